"""Plays one request through a system, as the conditions of the moment have it.

In: an entry operation and a time. Out: the records of one trace, parents before children, with the truth of where
the trouble began. Nothing is written down here: no ids, no status, no losses.

Calls nest as deep as the levels of the system do (`LEVELS_MAX`), so plain nested calls are safe here.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi, sin

from analyzer.simulator.conditions import Conditions, EdgeEffect, OwnEffect
from analyzer.simulator.dice import MS, Dice
from analyzer.simulator.failures import (
    CANCELLED,
    DECLINED,
    NOT_FOUND,
    Failure,
    bug,
    passed_on,
    refused,
    reset,
    timed_out,
    unavailable,
)
from analyzer.simulator.system import CLIENT, INTERNAL, PRODUCER, SERVER, Call, Operation, Pod, System

_SLOT_NS = 10e9  # how long a host keeps its mood
_HICCUP_SHARE = 0.002  # of the calls, on the best of days, take many times as long
_HANG_NS = 120e9
_CONVOY_NS = 25e9  # from one convoy before a lock to the next
_RETRIES_FREE, _RETRY_BUDGET = 10, 0.2  # retries a service may make: ten, and one in five calls


@dataclass(slots=True, eq=False)
class Record:
    """One span as it happened; times in ns from the epoch of the case.

    raised : the failure came up here first;  origin : truth;  lost : never exported, because it never ended
    between : truth: of an origin, it is the way or the name that is broken, not one of its ends
    background : truth: the failure came up here, and nothing that was injected had a part in it
    """

    parent: int
    service: int
    pod: Pod
    role: int
    what: Operation | Call
    start: float
    end: float = 0.0
    failure: Failure | None = None
    raised: bool = False
    origin: bool = False
    between: bool = False
    background: bool = False
    lost: bool = False
    label: str = ""


class Player:
    """Owner of the requests under way and of the retry budgets."""

    def __init__(self, system: System, dice: Dice) -> None:
        self.system, self.dice = system, dice
        self.conditions = Conditions()
        self.records: list[Record] = []
        self.tenant = ""
        self._calls: dict[int, int] = {}
        self._retries: dict[int, int] = {}

    def play(self, entry: Operation, at: float, tenant: str) -> list[Record]:
        """Play a request; its records."""
        self.records, self.tenant = [], tenant
        self._serve(entry, -1, at)
        return self.records

    def load(self, at: float) -> float:
        """Return the traffic at a time, relative to its mean."""
        system = self.system
        return 1 + system.wave_depth * sin(2 * pi * (at / system.wave_ns + system.wave_phase))

    def _serve(self, operation: Operation, parent: int, at: float) -> tuple[float, Failure | None]:
        dice, conditions, system = self.dice, self.conditions, self.system
        service = operation.service
        pod = dice.pick(conditions.pods.get(service) or system.services[service].pods)
        record = Record(parent, service, pod, SERVER, operation, at)
        changed, plan = False, conditions.plans.get(operation.index)
        if plan is not None and (plan.tenant in (None, self.tenant)) and dice.chance(plan.share):
            operation, changed = plan.operation, plan.marks_holder
        index = len(self.records)
        self.records.append(record)
        noise = system.host_noise[pod.host]
        work = operation.work() * noise[int(at / _SLOT_NS) % len(noise)] * (0.9 + 0.1 * self.load(at))
        if pod.pause_ns and (at + pod.phase_ns) % pod.pause_every_ns < pod.pause_ns:
            work += pod.pause_ns * dice.uniform()
        if dice.chance(_HICCUP_SHARE):
            work *= dice.between(5, 20)
        inner, holder = record, index
        if operation.work_name:
            inner, holder = Record(index, service, pod, INTERNAL, operation, at + 0.02 * MS), len(self.records)
            self.records.append(inner)
        inner.origin = changed
        failure, early, hangs, wait = None, True, False, 0.0
        for effect in conditions.own.get(service, ()):
            if not effect.matches(operation.index, pod, self.tenant) or not dice.chance(effect.share):
                continue
            added = self._wait_of(effect, at) + work * (effect.factor - 1)
            if effect.span_name:
                self._wait_span(effect, holder, pod, at + 0.03 * MS, added)
            inner.origin |= effect.origin and not effect.span_name
            wait += added
            hangs |= effect.hangs
            if effect.failure is not None:
                failure, early = effect.failure, effect.early
        background = False
        if failure is None and operation.flake and dice.chance(operation.flake):
            failure, early, background = bug(operation.index), dice.chance(0.5), True
        elif failure is None and operation.business and dice.chance(operation.business):
            failure, background = NOT_FOUND if operation.index % 2 else DECLINED, True
        raised = failure is not None
        now = inner.start + (wait if not hangs else 0.0)
        if hangs:
            now += _HANG_NS
            record.lost = inner.lost = True
        elif failure is not None and early:
            now += work * 0.3
        else:
            now, stopped = self._run(operation, holder, pod, now, work)
            failure, raised = (stopped, False) if stopped is not None else (failure, raised)
        inner.end, inner.failure, inner.raised = now, failure, raised
        inner.background = raised and background
        if inner is not record:
            now += 0.02 * MS
            record.end, record.failure = now, failure
        return now, failure

    def _wait_of(self, effect: OwnEffect, at: float) -> float:
        wait = effect.extra() if effect.extra is not None else 0.0
        if effect.hold_ns:  # who is before us is mostly traffic that nobody sampled: a geometric number, in waves
            load = effect.queue_load * (0.65 + 0.35 * sin(2 * pi * at / _CONVOY_NS))
            before = int(log(1.0 - self.dice.uniform()) / log(load))
            wait += before * effect.hold_ns * (0.5 + self.dice.uniform())
        return wait

    def _wait_span(self, effect: OwnEffect, holder: int, pod: Pod, at: float, wait: float) -> None:
        above = self.records[holder]
        self.records.append(
            Record(
                holder,
                above.service,
                pod,
                INTERNAL,
                above.what,
                at,
                at + wait,
                effect.failure,
                raised=effect.failure is not None,
                origin=effect.origin,
                label=effect.span_name,
            )
        )

    def _run(
        self, operation: Operation, holder: int, pod: Pod, now: float, work: float
    ) -> tuple[float, Failure | None]:
        """Go through the stages; stop at the first failure that is not handled."""
        chunk = work / (len(operation.stages) + 1)
        for stage in operation.stages:
            now += chunk
            end, failure = now, None
            for i, call in enumerate(stage):
                if call.probability < 1.0 and not self.dice.chance(call.probability):
                    continue
                done, found = self._repeat(call, holder, pod, now + i * 0.03 * MS)
                if call.fire:
                    continue
                end = max(end, done)
                if found is not None and not call.handled and failure is None:
                    failure = passed_on(found, call.callee)
            now = end
            if failure is not None:
                return now + 0.1 * chunk, failure
        return now + chunk, None

    def _repeat(self, call: Call, holder: int, pod: Pod, at: float) -> tuple[float, Failure | None]:
        least, most = call.times
        end, failure = at, None
        for i in range(least if least == most else self.dice.whole(least, most)):
            start = at + i * 0.02 * MS if call.together else end + (0.03 * MS if i else 0.0)
            done, found = self._call(call, holder, pod, start)
            end = max(end, done)
            failure = failure or found
            if found is not None and not call.together:
                break
        return end, failure

    def _call(self, call: Call, holder: int, pod: Pod, at: float) -> tuple[float, Failure | None]:
        """Call, and call again while the policy and the budget allow it."""
        service = self.records[holder].service
        left = call.retries
        while True:
            end, failure = self._attempt(call, holder, service, pod, at)
            self._calls[service] = self._calls.get(service, 0) + 1
            if failure is None or not failure.retryable or left <= 0 or call.fire:
                return end, failure
            spent = self._retries.get(service, 0)
            if not call.origin and spent >= _RETRIES_FREE + _RETRY_BUDGET * self._calls[service]:
                return end, failure
            self._retries[service] = spent + 1
            left -= 1
            at = end + call.backoff_ns * (0.5 + self.dice.uniform())

    def _attempt(self, call: Call, holder: int, service: int, pod: Pod, at: float) -> tuple[float, Failure | None]:
        index = len(self.records)
        record = Record(holder, service, pod, PRODUCER if call.kind == "publish" else CLIENT, call, at)
        self.records.append(record)
        effects = self.conditions.edge(service, call.callee) if self.conditions.edges else ()
        there, back, blocked, failure = self._way(record, call, effects, at)
        if blocked:
            end = there
        elif call.kind == "publish":
            end = self._publish(call, record, index, at)
        elif call.target is not None:
            arrived, failure = self._serve(call.target, index, there + call.network())
            end = arrived + back + call.network()
        else:
            end = there + back + (call.law() if call.law is not None else MS)
            if failure is None and call.flake and self.dice.chance(call.flake):
                failure = unavailable(call.callee)
                record.raised = record.background = True
        if end - at > call.timeout_ns and call.kind != "publish":
            end, failure = at + call.timeout_ns, timed_out(call.callee)
            record.raised = True
            record.background = not call.origin and not any(below.origin for below in self.records[index:])
            if self.system.cancels:
                self._cut(index + 1, end)
        record.end, record.failure = end, failure
        record.origin |= call.origin and failure is not None
        if call.misses and failure is None and self.dice.chance(1.0 - call.hit_share):
            for miss in call.misses:
                end, failure = self._repeat(miss, holder, pod, end + 0.02 * MS)
                if failure is not None:
                    break
        return end, failure

    def _way(
        self, record: Record, call: Call, effects: list[EdgeEffect] | tuple[()], at: float
    ) -> tuple[float, float, bool, Failure | None]:
        """Return (when the request arrives, the delay back, is there no way, the failure of the peer)."""
        there, back, failure = at, 0.0, None
        silent = self.conditions.down.get(call.callee) if call.target is not None else None
        if silent is not None and call.kind == "service":
            record.origin = record.raised = True
            if silent:
                return at + call.timeout_ns + 1, 0.0, True, None
            return at + 0.5 * MS, 0.0, True, refused(call.callee)
        for effect in effects:
            if effect.tenant not in (None, self.tenant) or not self.dice.chance(effect.share):
                continue
            hit = True
            if effect.delay is not None:
                there += effect.delay() / 2
                back += effect.delay() / 2
            if effect.resend_share:
                resent = self._resends(effect)
                hit = resent > 0
                there += resent * effect.resend_ns
                if resent > 3:
                    record.origin, record.raised, record.between = effect.origin, True, effect.between
                    return there, 0.0, True, reset(call.callee)
            record.origin |= effect.origin and hit
            record.between |= effect.between and hit
            if effect.silent:
                return at + call.timeout_ns + 1, 0.0, True, None
            if effect.failure is not None:
                record.raised = True
                if call.target is not None or not effect.failure.answered:
                    return at + effect.fails_after_ns, 0.0, True, effect.failure
                failure = effect.failure  # the peer answers, with this
        return there, back, False, failure

    def _resends(self, effect: EdgeEffect) -> int:
        """Return how often a packet of the exchange had to be sent again (about six packets each way)."""
        resent = 0
        for _ in range(4):
            if not self.dice.chance(1 - (1 - effect.resend_share) ** 3):
                break
            resent += 1
        return resent

    def _publish(self, call: Call, record: Record, index: int, at: float) -> float:
        end = at + (0.5 + self.dice.uniform()) * MS
        if call.target is not None:
            wait = call.law() if call.law is not None else 5 * MS
            backlog = self.conditions.backlog.get(call.target.index)
            if backlog is not None:
                wait += backlog()
            first = len(self.records)
            self._serve(call.target, index, end + wait)
            if backlog is not None:
                self.records[first].origin = True
        return end

    def _cut(self, first: int, at: float) -> None:
        """Stop what is still running below a call that was given up."""
        for record in self.records[first:]:
            if record.start >= at and not record.lost:
                record.lost = True
                record.origin = record.background = False
            elif record.end > at:
                record.end, record.failure, record.raised = at + 0.2 * MS, CANCELLED, False
                record.lost = record.background = False
