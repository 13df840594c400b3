"""Blame of single traces, seen with what many traces teach: who gave up too early, who never got an answer.

In: facts and lines of a population, and the reference to compare with. Out: for each span with blame, where it goes:
the process it ran in, or the call that it speaks of. Works on spans that carry blame; healthy traffic costs nothing.

Gave up too early: a call that timed out after less time than its operation often took while all was well. Its
callee is as fast as ever, so whatever failed below was cancelled: the blame is the caller's.

No answer: a span failed, none of its children says so, and one of its calls has nothing below it although that
callee nearly always answers; or the call itself is missing, and the error speaks of somebody who was not reached.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.error_classes import ErrorClass
from analyzer.incidents.cast import Lines
from analyzer.incidents.facts import TraceFacts

Floats = npt.NDArray[np.float64]
Spans = npt.NDArray[np.intp]

_NONE = -1
_EARLY = 0.9  # quantile of usual durations: who gives up before it gives up on healthy calls
_USUAL_MIN = 10
_SILENT_PRIOR = 0.5  # odds that a failed span means a silent callee, before looking
_LEVELS_MAX = 8  # between a failed span and the call below that it speaks of
_SILENT_MIN = 0.5  # share of answered calls below which silence says nothing
_NOT_REACHED = (int(ErrorClass.TIMEOUT), int(ErrorClass.UNAVAILABLE))


@dataclass(frozen=True, slots=True)
class Usual:
    """What the reference knows of operations.

    late_ns : float64[operations]     the 90th percentile of good durations; inf when hardly known
    answered : float64[operations]    share of calls with the other side's span below; 0 of other operations
    partner : int32[operations]       candidate that nearly every execution reaches directly, without a call span; -1
    presence : float64[operations]    share of executions that reach it
    """

    late_ns: Floats
    answered: Floats
    partner: npt.NDArray[np.int32]
    presence: Floats


def learn_usual(reference: TraceFacts, lines: Lines, operations: int) -> Usual:
    """Take from the reference what `redirect` compares with."""
    late_ns = np.full(operations, np.inf)
    good = np.flatnonzero(lines.usable & ~reference.failed)
    order = good[np.lexsort((reference.duration_ns[good], reference.operation[good]))]
    numbers, starts, counts = np.unique(reference.operation[order], return_index=True, return_counts=True)
    known = counts >= _USUAL_MIN
    late_ns[numbers[known]] = reference.duration_ns[order[(starts + (_EARLY * counts).astype(np.intp))[known]]]
    calls = lines.is_call & ~reference.failed
    total = np.bincount(reference.operation[calls], minlength=operations)
    seen = np.bincount(reference.operation[calls & (lines.remote >= 0)], minlength=operations)
    answered: Floats = np.divide(seen, total, out=np.zeros(operations), where=total >= _USUAL_MIN)
    partner, presence = _partners(reference, lines, operations)
    return Usual(late_ns, answered, partner, presence)


def _partners(reference: TraceFacts, lines: Lines, operations: int) -> tuple[npt.NDArray[np.int32], Floats]:
    """Processes that are reached directly below an operation, in dialects without call spans."""
    partner, presence = np.full(operations, _NONE, np.int32), np.zeros(operations)
    above = np.maximum(reference.parent, 0)
    direct = (reference.parent >= 0) & (lines.owner != lines.owner[above]) & (lines.callee[above] < 0)
    child = np.flatnonzero(direct & ~reference.failed[above])
    if not len(child):
        return partner, presence
    once = np.unique(above[child].astype(np.int64) << 20 | lines.owner[child])
    pairs, counts = np.unique(
        reference.operation[once >> 20].astype(np.int64) << 20 | (once & 0xFFFFF), return_counts=True
    )
    executions = np.bincount(reference.operation[~reference.failed], minlength=operations)
    order = np.argsort(counts, kind="stable")
    pairs, counts = pairs[order], counts[order]
    partner[pairs >> 20] = (pairs & 0xFFFFF).astype(np.int32)
    presence[pairs >> 20] = counts / np.maximum(1, executions[pairs >> 20])
    presence[executions < _USUAL_MIN] = 0.0
    return partner, presence


@dataclass(frozen=True, slots=True)
class Redirected:
    """owner : int32[k], candidate a blamed span's blame goes to; callee : int32[k], -1 or the other end of a call;
    share : float64[k], of the blame that goes to the call rather than to the owner itself.
    """

    owner: npt.NDArray[np.int32]
    callee: npt.NDArray[np.int32]
    share: Floats


def redirect(facts: TraceFacts, lines: Lines, usual: Usual, blamed: Spans) -> Redirected:
    """Say where the blame of these spans goes.

    Parameters
    ----------
    blamed : intp[k]
        Spans with blame.
    """
    owner, callee = lines.owner[blamed].copy(), lines.callee[blamed].copy()
    share = np.where(callee >= 0, 1.0, 0.0)
    impatient = _impatient(facts, usual)
    silent, silence = _silent_calls(facts, lines, usual)
    at, todo = blamed.astype(np.int64), np.ones(len(blamed), np.bool_)
    while todo.any():  # up to the nearest call that gave up too early
        hit = todo & impatient[np.maximum(at, 0)]
        owner[hit], callee[hit], share[hit] = lines.owner[at[hit]], _NONE, 0.0
        at = np.where(todo & ~hit, facts.parent[np.maximum(at, 0)], at)
        todo &= ~hit & (at >= 0)
    alone = (callee < 0) & facts.failed[blamed] & ~facts.has_failed_child[blamed] & ~impatient[blamed]
    here = blamed[alone]
    odds = np.where(silent[here] >= 0, _SILENT_PRIOR / (1.01 - silence[here]), 0.0)
    speaks = np.isin(facts.error_class[here], _NOT_REACHED)
    operation = facts.operation[here]
    missing = speaks & (usual.presence[operation] >= _SILENT_MIN) & ~_reached(facts, lines, usual)[here]
    odds_missing = np.where(missing, _SILENT_PRIOR / (1.01 - np.minimum(1.0, usual.presence[operation])), 0.0)
    callee[alone] = np.where(odds >= odds_missing, silent[here], usual.partner[operation])
    best = np.maximum(odds, odds_missing)
    share[alone] = best / (1.0 + best)
    callee[alone & (share <= 0.0)] = _NONE
    return Redirected(owner, callee, share)


def _impatient(facts: TraceFacts, usual: Usual) -> npt.NDArray[np.bool_]:
    """bool[n]: timed out sooner than healthy calls of its operation often took, and nothing below it timed out."""
    timed_out = facts.failed & (facts.error_class == int(ErrorClass.TIMEOUT))
    passed_on = np.zeros(len(facts), np.bool_)
    below = timed_out & (facts.parent >= 0)
    passed_on[facts.parent[below]] = True
    late = usual.late_ns[facts.operation]
    early: npt.NDArray[np.bool_] = timed_out & ~passed_on & (facts.duration_ns < late) & np.isfinite(late)
    return early


def _silent_calls(facts: TraceFacts, lines: Lines, usual: Usual) -> tuple[npt.NDArray[np.int32], Floats]:
    """Of each failed span: candidate of the call below it whose silence says most, and how usual an answer is there.

    The call may stand deeper, under spans that did not record the failure.
    """
    callee, answered = np.full(len(facts), _NONE, np.int32), np.zeros(len(facts))
    calls = lines.is_call & (lines.remote < 0) & ~facts.failed & (facts.parent >= 0)
    silent = np.flatnonzero(calls & (usual.answered[facts.operation] >= _SILENT_MIN))
    silent = silent[np.argsort(usual.answered[facts.operation[silent]], kind="stable")]
    at = facts.parent[silent].astype(np.int64)
    for _ in range(_LEVELS_MAX):
        inside = at >= 0
        silent, at = silent[inside], at[inside]
        hit = facts.failed[at]
        better = hit.copy()
        better[hit] = usual.answered[facts.operation[silent[hit]]] >= answered[at[hit]]
        callee[at[better]] = lines.callee[silent[better]]
        answered[at[better]] = usual.answered[facts.operation[silent[better]]]
        silent, at = silent[~hit], facts.parent[at[~hit]].astype(np.int64)
        if not len(silent):
            break
    return callee, answered


def _reached(facts: TraceFacts, lines: Lines, usual: Usual) -> npt.NDArray[np.bool_]:
    """bool[n]: a child of the span ran at the partner of its operation."""
    reached = np.zeros(len(facts), np.bool_)
    child = np.flatnonzero(facts.parent >= 0)
    above = facts.parent[child]
    reached[above[lines.owner[child] == usual.partner[facts.operation[above]]]] = True
    return reached
