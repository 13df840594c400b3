"""What the fault-free traces show of a system: who is asked how often, how long it takes.

In: the records of the baseline. Out: `Usage`, and choices of targets that are seen often enough for a fault to be
seen at all: a fault of something nobody asked in the window is no test of anybody.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

from analyzer.simulator.dice import Dice
from analyzer.simulator.player import Record
from analyzer.simulator.system import CLIENT, SERVER, Call, Operation, Service, System

T = TypeVar("T")
_KEPT_MAX = 200  # durations of an operation; enough for a median


@dataclass(frozen=True, slots=True)
class Usage:
    """Counts of the baseline.

    operation_calls, service_calls : by index;  operation_traces, service_traces : traces that hold them
    edge_calls : by (caller index, callee name);  duration_ns : median by operation index
    """

    traces: int
    operation_calls: Counter[int]
    service_calls: Counter[int]
    operation_traces: Counter[int]
    service_traces: Counter[int]
    edge_calls: Counter[tuple[int, str]]
    duration_ns: dict[int, float]


def count_usage(traces: Sequence[list[Record]]) -> Usage:
    """Count what the traces used."""
    operations: Counter[int] = Counter()
    services: Counter[int] = Counter()
    operation_traces: Counter[int] = Counter()
    service_traces: Counter[int] = Counter()
    edges: Counter[tuple[int, str]] = Counter()
    durations: dict[int, list[float]] = {}
    for records in traces:
        seen = set()
        for record in records:
            if record.role == SERVER and isinstance(record.what, Operation):
                index = record.what.index
                operations[index] += 1
                services[record.service] += 1
                seen.add((index, record.service))
                kept = durations.setdefault(index, [])
                if len(kept) < _KEPT_MAX and record.failure is None:
                    kept.append(record.end - record.start)
            elif record.role == CLIENT and isinstance(record.what, Call):
                edges[record.service, record.what.callee] += 1
        operation_traces.update(index for index, _ in seen)
        service_traces.update({service for _, service in seen})
    medians = {index: median(found) for index, found in durations.items() if found}
    return Usage(len(traces), operations, services, operation_traces, service_traces, edges, medians)


class Chooser:
    """Picks targets of faults. Owner of the set of what is taken, so that two faults never share a root."""

    def __init__(self, system: System, usage: Usage, dice: Dice) -> None:
        self.system, self.usage, self.dice = system, usage, dice
        self.taken: set[int] = set()

    def service(self, share: float = 0.12, good: Callable[[Service], bool] | None = None) -> Service:
        """Return an instrumented service asked in at least `share` of the traces, when there is one."""
        entry_too = self.dice.chance(0.1)
        found = [
            s
            for s in self.system.services
            if s.seen and not s.worker and s.index not in self.taken and (good is None or good(s))
        ]
        deep = [s for s in found if s.level > 0 or entry_too] or found
        chosen = self._often_used(deep, lambda s: self.usage.service_traces[s.index], share)
        self.taken.add(chosen.index)
        return chosen

    def operation(self, share: float = 0.08, good: Callable[[Operation], bool] | None = None) -> Operation:
        """Return an operation of an instrumented service."""
        found = [
            o
            for o in self.system.operations
            if o.kind == SERVER
            and self.system.services[o.service].seen
            and o.service not in self.taken
            and (good is None or good(o))
        ]
        deep = [o for o in found if self.system.services[o.service].level > 0 or self.dice.chance(0.1)] or found
        chosen = self._often_used(deep, lambda o: self.usage.operation_traces[o.index], share)
        self.taken.add(chosen.service)
        return chosen

    def busiest(self, service: Service) -> Operation:
        """Return the operation of a service that is asked most."""
        own = [o for o in self.system.operations if o.service == service.index]
        return max(own, key=lambda o: (self.usage.operation_calls[o.index], -o.index))

    def edge(
        self,
        share: float = 0.12,
        kinds: tuple[str, ...] = ("service",),
        wanted: Callable[[Operation, Call], bool] | None = None,
    ) -> tuple[Operation, Call]:
        """Return a call between two instrumented services, made in about `share` of the traces.

        One that is `wanted`, when there is one.
        """
        services = {s.name: s for s in self.system.services}
        found = [
            (o, c)
            for o in self.system.operations
            if self.system.services[o.service].seen and o.service not in self.taken
            for c in o.calls()
            if c.kind in kinds and not c.fire and (c.callee not in services or services[c.callee].seen)
            and (c.target is None or c.target.service not in self.taken)
        ]  # fmt: skip
        found = [edge for edge in found if wanted is not None and wanted(*edge)] or found
        chosen = self._often_used(found, lambda e: self.usage.edge_calls[e[0].service, e[1].callee], share)
        self.taken.add(chosen[0].service)
        if chosen[1].target is not None:
            self.taken.add(chosen[1].target.service)
        return chosen

    def slack_ns(self, service: int) -> float:
        """Return how much longer the busiest calls of a service may take before a caller gives up."""
        left = [
            c.timeout_ns - self.usage.duration_ns.get(c.target.index, c.target.typical_ns)
            for o in self.system.operations
            for c in o.calls()
            if c.target is not None and c.target.service == service and c.kind == "service"
        ]
        return max(5e6, min(left, default=3e9))

    def _often_used(self, found: Sequence[T], count: Callable[[T], int], share: float) -> T:
        if not found:
            raise NoTargetError
        for floor in (share, share / 2, share / 4):
            often = [one for one in found if count(one) >= floor * self.usage.traces]
            if often:
                return self.dice.pick(often)
        return max(found, key=count)


class NoTargetError(Exception):
    """The system drawn has nothing of the kind; another one is drawn."""
