"""What protects, and what wears out: the state of a circuit breaker per edge, retry storms, pools, queues, deadlines.

In: `SystemSums`. Out: named conditions with their numbers. A breaker is not seen, it is inferred: calls that fail
at once and never reach the callee. A refused connection looks the same, so it is only called sure when the failures
say so by their type (`named`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from analyzer.errors.edge_sums import EdgeSums, SystemSums
from analyzer.errors.tails import upper_tail
from analyzer.words import shown

BreakerState = Literal["closed", "open", "half_open"]
ConditionKind = Literal[
    "breaker_open", "retry_storm", "pool_exhausted", "timeout_inversion", "queue_backlog", "dead_letters"
]

CALLS_MIN = 5  # of a window, to say anything of its breaker
OPEN_SHARE = 0.8  # of the calls fail at once
PROBING_SHARE = 0.5  # of the calls fail at once, others are let through again
FAST_SHARE = 0.2  # of the usual time of an answered call: what fails within it did not ask anybody
AMPLIFICATION_MAX = 2.0  # attempts per call; above it retries are most of the load
ABANDONED_MIN = 3
BACKLOG_P = 1e-4


@dataclass(frozen=True, slots=True)
class Breaker:
    """One edge and its states.

    states : of every window; a window without enough calls keeps the state before it
    sure : the failures name a breaker themselves
    """

    caller: str
    callee: str
    states: tuple[BreakerState, ...]
    sure: bool

    @property
    def now(self) -> BreakerState:
        return self.states[-1] if self.states else "closed"


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that wears out, at an edge or a queue. `value` against `usual`: what that is depends on the kind."""

    kind: ConditionKind
    caller: str
    callee: str
    value: float
    usual: float
    sentence: str


def breaker_of(edge: EdgeSums, named: int = 0) -> Breaker:
    """Infer the states of a breaker between two services.

    Parameters
    ----------
    edge : EdgeSums
    named : int
        Failures of this edge whose type names an open breaker (CallNotPermittedException, BrokenCircuitException).
    """
    answered = int(edge.answered.sum())
    fine = edge.calls - edge.failed
    usual_ns = float((edge.duration_ns - edge.failed_ns).sum() / fine.sum()) if fine.sum() else 0.0
    states: list[BreakerState] = []
    state: BreakerState = "closed"
    for at in range(len(edge.calls)):
        calls, failed = int(edge.calls[at]), int(edge.failed[at])
        if calls >= CALLS_MIN:
            mean_failed_ns = float(edge.failed_ns[at]) / failed if failed else 0.0
            # Where the callee usually answers with spans of its own, those that asked nobody have none below.
            silent = calls - int(edge.answered[at]) if answered else failed
            at_once = min(failed, silent) if mean_failed_ns <= FAST_SHARE * usual_ns else 0
            state = _next(state, at_once / calls, failed / calls)
        states.append(state)
    return Breaker(edge.caller, edge.callee, tuple(states), named > 0)


def _next(state: BreakerState, at_once: float, failed: float) -> BreakerState:
    if at_once >= OPEN_SHARE:
        return "open"
    if state != "closed" and failed >= 1.0 - PROBING_SHARE:
        return "half_open"  # some are let through, most are not
    return "closed"


def conditions_of(
    sums: SystemSums, named: Mapping[tuple[str, str], int] | None = None, *, split: int | None = None
) -> list[Condition]:
    """Find what wears out: in the windows from `split` on, against those before.

    Parameters
    ----------
    split : int or None
        First window that is not usual; None: the last third.
    named : mapping of (caller, callee) to a count
        See `breaker_of`.
    """
    found: list[Condition] = []
    split = sums.windows - max(1, sums.windows // 3) if split is None else split
    for key, edge in sums.edges.items():
        breaker = breaker_of(edge, (named or {}).get(key, 0))
        if breaker.now != "closed":
            found.append(_breaker_words(breaker, edge, split))
        found += _of_edge(edge, split)
    found += _queues(sums, split)
    for queue, counts in sums.dead_letters.items():
        before, now = int(counts[:split].sum()), int(counts[split:].sum())
        usual = before * (len(counts) - split) / max(1, split)
        if (now and upper_tail(now, usual + 0.5, before + 0.5) < BACKLOG_P * 10) or (now >= CALLS_MIN and not before):
            words = f"{now} messages went to the dead letters of {shown(queue)}, where {usual:.3g} are usual"
            found.append(Condition("dead_letters", "", queue, now, usual, words))
    return found


def _breaker_words(breaker: Breaker, edge: EdgeSums, split: int) -> Condition:
    calls, failed = int(edge.calls[split:].sum()), int(edge.failed[split:].sum())
    how = "is" if breaker.sure else "seems to be (or connections are refused; the failures do not say)"
    state = breaker.now.replace("_", "-")
    words = f"the breaker from {shown(edge.caller)} to {shown(edge.callee)} {how} {state}:"
    words += f" {failed} of {calls} calls failed, nearly all at once and unasked"
    return Condition("breaker_open", edge.caller, edge.callee, failed / max(1, calls), 0.0, words)


def _of_edge(edge: EdgeSums, split: int) -> list[Condition]:
    found = []
    who = f"{shown(edge.caller)} to {shown(edge.callee)}"
    calls, retries = int(edge.calls[split:].sum()), int(edge.retries[split:].sum())
    attempts = calls / max(1, calls - retries)
    usual = _attempts(edge, split)
    if retries >= CALLS_MIN and attempts > AMPLIFICATION_MAX:
        words = f"{attempts:.3g} attempts per call from {who} ({usual:.3g} before): retries are most of the load"
        found.append(Condition("retry_storm", edge.caller, edge.callee, attempts, usual, words))
    exhausted, failed = int(edge.exhausted[split:].sum()), int(edge.failed[split:].sum())
    if exhausted >= CALLS_MIN and 2 * exhausted >= failed:
        words = f"{exhausted} of {failed} failed calls from {who} found no connection, thread or quota left"
        found.append(Condition("pool_exhausted", edge.caller, edge.callee, exhausted, 0.0, words))
    abandoned = int(edge.abandoned[split:].sum())
    if abandoned >= ABANDONED_MIN:
        words = (
            f"{abandoned} calls from {who} were given up while {shown(edge.callee)} went on and did well:"
            f" {shown(edge.caller)} is less patient than its callee is slow"
        )
        found.append(Condition("timeout_inversion", edge.caller, edge.callee, abandoned, 0.0, words))
    return found


def _attempts(edge: EdgeSums, split: int) -> float:
    calls, retries = int(edge.calls[:split].sum()), int(edge.retries[:split].sum())
    return calls / (calls - retries) if calls > retries else 1.0


def _queues(sums: SystemSums, split: int) -> list[Condition]:
    """Queues into which more goes than comes out, all told; only where what comes out is seen at all."""
    sent = sum((one.sent for one in sums.services.values()), np.zeros(sums.windows, np.int64))
    received = sum((one.received for one in sums.services.values()), np.zeros(sums.windows, np.int64))
    before_in, before_out = int(sent[:split].sum()), int(received[:split].sum())
    now_in, now_out = int(sent[split:].sum()), int(received[split:].sum())
    if not before_in or not before_out or now_in < CALLS_MIN:
        return []
    # One message may be consumed by many, or not be traced: what counts is the change of the share.
    share = before_out / before_in
    expected = share * now_in
    size = 1.0 / (1.0 / (before_out + 0.5))
    if now_out >= 0.8 * expected or upper_tail(round(expected), now_out + 0.5, size) >= BACKLOG_P:
        return []
    words = f"{now_in} messages were sent and {now_out} processed, where {expected:.3g} were to be expected:"
    words += " the others wait"
    return [Condition("queue_backlog", "", "queues", now_in * share - now_out, 0.0, words)]
