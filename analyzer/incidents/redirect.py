"""Blame of single traces, seen with what many traces teach: who gave up too early, who never got an answer.

In: facts and lines of a population, and the reference to compare with. Out: for each span with blame, where it goes:
the process it ran in, or the call that it speaks of. Works on spans that carry blame; healthy traffic costs nothing.

Gave up too early: a call that timed out after less time than it often took while all was well: the time limit is new,
so the blame is the caller's, also for what failed below because it was cancelled.

No answer: a span failed, none of its children says so, and one of its calls has nothing below it although that
callee nearly always answers; or the call itself is missing, and the error speaks of somebody who was not reached.
Of those who may be meant, one that is gone altogether (`analyzer.incidents.gone`) is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.error_classes import ErrorClass
from analyzer.incidents.cast import Cast, Lines
from analyzer.incidents.facts import TraceFacts
from analyzer.incidents.grouping import number_alike

Floats = npt.NDArray[np.float64]
Spans = npt.NDArray[np.intp]

_NONE = -1
_LOW = 0xFFFFFFFF
_EARLY = 0.95  # quantile of usual durations: who gives up before it gives up on healthy calls
_GONE_SHARE = 0.95  # of the blame of who did not reach somebody that is gone
_GONE_PRESENCE_MIN = 0.05  # of executions that reached it, to be asked for at all
_USUAL_MIN = 10
_SILENT_PRIOR = 0.5  # odds that a failed span means a silent callee, before looking
_LEVELS_MAX = 8  # between a failed span and the call below that it speaks of
_UNANSWERED_MAX = 0.6  # of the usual share of answers: less is more than lost spans
_ANSWERED_MIN = 0.7  # share of answered calls from which on a missing answer is one
_SILENT_MIN = 0.5  # share of answered calls below which silence says nothing
_NOT_REACHED = (int(ErrorClass.TIMEOUT), int(ErrorClass.UNAVAILABLE))


@dataclass(frozen=True, slots=True)
class Usual:
    """What the reference knows of operations.

    answered : float64[alike]         share of calls with the other side's span below; 0 where it is not known
    alike, took_ns : int32[c], int64[c] of each good call: which `Alike` it is of, how long it took
    partner : int32[operations]       candidate that nearly every execution reaches directly, without a call span; -1
    presence : float64[operations]    share of executions that reach it
    gone : int32[operations]          the one candidate that executions reached and that is gone now; -1
    """

    answered: Floats
    alike: npt.NDArray[np.int32]
    took_ns: npt.NDArray[np.int64]
    partner: npt.NDArray[np.int32]
    presence: Floats
    gone: npt.NDArray[np.int32]

    def late_ns(self, alike: npt.NDArray[np.int32]) -> Floats:
        """float64[k]: what one in twenty good calls like these took at least; 0 where that is hardly known."""
        wanted, back = np.unique(alike, return_inverse=True)
        found = np.zeros(len(wanted))
        for index, number in enumerate(wanted.tolist()):
            took = self.took_ns[self.alike == number]
            if len(took) >= _USUAL_MIN:
                rank = int(_EARLY * len(took))
                found[index] = np.partition(took, rank)[rank]
        return found[back]


def learn_usual(reference: TraceFacts, cast: Cast, operations: int, gone: npt.NDArray[np.bool_]) -> Usual:
    """Take from the reference what `redirect` compares with.

    Parameters
    ----------
    gone : bool[c]
        Candidates that are asked and send nothing any more.
    """
    lines = cast.reference
    calls = np.flatnonzero(lines.is_call & ~reference.failed)
    alike = lines.alike[calls]
    total = np.bincount(alike, minlength=len(cast.alike))
    seen = np.bincount(alike[lines.remote[calls] >= 0], minlength=len(cast.alike))
    answered: Floats = np.where(total >= _USUAL_MIN, seen / np.maximum(1, total), 0.0)
    took_ns = np.where(lines.usable[calls], reference.duration_ns[calls], 0)
    partner, presence, missed = _partners(reference, lines, operations, gone)
    return Usual(answered, alike, took_ns, partner, presence, missed)


def _partners(
    reference: TraceFacts, lines: Lines, operations: int, gone: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int32], Floats, npt.NDArray[np.int32]]:
    """Processes that are reached directly below an operation, in dialects without call spans; those that are gone."""
    partner, presence = np.full(operations, _NONE, np.int32), np.zeros(operations)
    missed = np.full(operations, _NONE, np.int32)
    above = np.maximum(reference.parent, 0)
    direct = (reference.parent >= 0) & (lines.owner != lines.owner[above])
    direct &= (lines.callee[above] < 0) | gone[lines.owner]  # a span that looks like a call may make two
    child = np.flatnonzero(direct & ~reference.failed[above])
    if not len(child):
        return partner, presence, missed
    once, _ = number_alike([above[child].astype(np.int64) << 32 | lines.owner[child]])
    pairs, (numbers,) = number_alike([reference.operation[once >> 32].astype(np.int64) << 32 | (once & _LOW)])
    counts = np.bincount(numbers, minlength=len(pairs))
    executions = np.bincount(reference.operation[~reference.failed], minlength=operations)
    order = np.argsort(counts, kind="stable")
    pairs, counts = pairs[order], counts[order]
    operation, reached = pairs >> 32, (pairs & _LOW).astype(np.int32)
    partner[operation] = reached
    presence[operation] = counts / np.maximum(1, executions[operation])
    presence[executions < _USUAL_MIN] = 0.0
    lost = gone[reached] & (counts >= _GONE_PRESENCE_MIN * executions[operation])
    missed[operation[lost]] = reached[lost]
    callers, counts = np.unique(operation[lost], return_counts=True)
    missed[callers[counts > 1]] = _NONE  # who misses several of them may be the one that reaches nobody
    return partner, presence, missed


@dataclass(frozen=True, slots=True)
class Redirected:
    """owner : int32[k], candidate a blamed span's blame goes to; callee : int32[k], -1 or the other end of a call;
    share : float64[k], of the blame that goes to the call rather than to the owner itself;
    hurried : int32[k], whom the owner did not wait for, -1 where it did not give up too early.
    """

    owner: npt.NDArray[np.int32]
    callee: npt.NDArray[np.int32]
    share: Floats
    hurried: npt.NDArray[np.int32]


def redirect(facts: TraceFacts, lines: Lines, usual: Usual, blamed: Spans) -> Redirected:
    """Say where the blame of these spans goes.

    Parameters
    ----------
    blamed : intp[k]
        Spans with blame.
    """
    owner, callee = lines.owner[blamed].copy(), lines.callee[blamed].copy()
    share = np.where(callee >= 0, 1.0, 0.0)
    hurried = np.full(len(blamed), _NONE, np.int32)
    impatient = _impatient(facts, lines, usual)
    silent, silence = _silent_calls(facts, lines, usual)
    at, todo = blamed.astype(np.int64), np.full(len(blamed), impatient.any())
    while todo.any():  # up to the nearest call that gave up too early
        hit = todo & impatient[np.maximum(at, 0)]
        owner[hit], callee[hit], share[hit] = lines.owner[at[hit]], _NONE, 0.0
        hurried[hit] = lines.callee[at[hit]]
        at = np.where(todo & ~hit, facts.parent[np.maximum(at, 0)], at)
        todo &= ~hit & (at >= 0)
    alone = (callee < 0) & (hurried < 0) & facts.failed[blamed] & ~facts.has_failed_child[blamed]
    here = blamed[alone]
    odds = np.where(silent[here] >= 0, _SILENT_PRIOR / (1.01 - silence[here]), 0.0)
    speaks = np.isin(facts.error_class[here], _NOT_REACHED)
    operation = facts.operation[here]
    missing = speaks & (usual.presence[operation] >= _SILENT_MIN)
    if missing.any():
        missing &= ~_reached(facts, lines, usual)[here]
    odds_missing = np.where(missing, _SILENT_PRIOR / (1.01 - np.minimum(1.0, usual.presence[operation])), 0.0)
    callee[alone] = np.where(odds >= odds_missing, silent[here], usual.partner[operation])
    best = np.maximum(odds, odds_missing)
    share[alone] = best / (1.0 + best)
    callee[alone & (share <= 0.0)] = _NONE
    missed = usual.gone[facts.operation[blamed]]
    meant = (missed >= 0) & (missed != owner) & facts.failed[blamed] & ~facts.has_failed_child[blamed]
    meant &= (hurried < 0) & np.isin(facts.error_class[blamed], _NOT_REACHED)
    # A call that was not answered says more than one that was not made.
    meant &= np.where(lines.is_call[blamed], lines.remote[blamed] >= 0, silent[blamed] < 0)
    callee[meant], share[meant] = missed[meant], _GONE_SHARE
    return Redirected(owner, callee, share, hurried)


def find_unanswered(facts: TraceFacts, lines: Lines, usual: Usual) -> npt.NDArray[np.bool_]:
    """bool[n]: calls that nobody answered and that say nothing of it, of a kind that now often goes unanswered.

    Where clients do not record that they failed, this is all there is to see of a callee that cannot be reached.
    """
    found = np.zeros(len(facts), np.bool_)
    told = (lines.remote >= 0) | facts.failed
    count = np.bincount(lines.alike, minlength=len(usual.answered))
    share = np.bincount(lines.alike[told], minlength=len(usual.answered)) / np.maximum(1, count)
    fewer = (count >= _USUAL_MIN) & (usual.answered >= _ANSWERED_MIN) & (share < _UNANSWERED_MAX * usual.answered)
    if fewer.any():
        found = fewer[lines.alike] & ~told
    return found


def find_troubled(facts: TraceFacts, lines: Lines, unanswered: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """bool[n]: spans that failed, or whose calls did: a reason to take another way, to wait, to try again.

    A call did when its callee says so, too: many clients record nothing.
    """
    bad = facts.failed | unanswered | (lines.is_call & facts.has_failed_child)
    found = facts.failed.copy()
    found[facts.parent[bad & (facts.parent >= 0)]] = True
    return found


def _impatient(facts: TraceFacts, lines: Lines, usual: Usual) -> npt.NDArray[np.bool_]:
    """bool[n]: given up sooner than healthy calls of its kind often took, and nothing below it timed out.

    Where a caller does not record that it gave up, its callee does: it was cancelled.
    """
    timed_out = facts.failed & (facts.error_class == int(ErrorClass.TIMEOUT))
    passed_on = np.zeros(len(facts), np.bool_)
    below = timed_out & (facts.parent >= 0)
    passed_on[facts.parent[below]] = True
    answered = np.flatnonzero(lines.remote >= 0)
    remote = lines.remote[answered]
    cancelled = facts.failed[remote] & (facts.error_class[remote] == int(ErrorClass.CANCELLED))
    gave_up = timed_out & ~passed_on
    gave_up[answered[cancelled]] |= ~facts.failed[answered[cancelled]]
    early = np.zeros(len(facts), np.bool_)
    calls = np.flatnonzero(gave_up & lines.is_call)
    early[calls] = facts.duration_ns[calls] < usual.late_ns(lines.alike[calls])
    return early


def _silent_calls(facts: TraceFacts, lines: Lines, usual: Usual) -> tuple[npt.NDArray[np.int32], Floats]:
    """Of each failed span: candidate of the call below it whose silence says most, and how usual an answer is there.

    The call may stand deeper, under spans that did not record the failure.
    """
    callee, answered = np.full(len(facts), _NONE, np.int32), np.zeros(len(facts))
    calls = lines.is_call & (lines.remote < 0) & ~facts.failed & (facts.parent >= 0)
    silent = np.flatnonzero(calls)
    usually = usual.answered[lines.alike[silent]]
    order = np.argsort(usually, kind="stable")
    order = order[usually[order] >= _SILENT_MIN]
    silent, usually = silent[order], usually[order]
    at = facts.parent[silent].astype(np.int64)
    for _ in range(_LEVELS_MAX):
        inside = at >= 0
        silent, usually, at = silent[inside], usually[inside], at[inside]
        hit = facts.failed[at]
        better = hit.copy()
        better[hit] = usually[hit] >= answered[at[hit]]
        callee[at[better]], answered[at[better]] = lines.callee[silent[better]], usually[better]
        silent, usually, at = silent[~hit], usually[~hit], facts.parent[at[~hit]].astype(np.int64)
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
