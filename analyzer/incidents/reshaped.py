"""Whose calls are not what they were: missing, new, repeated calls of requests that did not fail.

In: facts and cast of reference and window. Out: the share of traces whose shape changed at each candidate. For every
(operation, called operation) the number of calls of one execution is compared; an execution with a number that is
now more frequent is "changed" with the probability that it is one of the added ones. Of several changed executions
of a trace the deepest is charged: what it returned made those above it take another way. Where it asked somebody who
is gone (`analyzer.incidents.gone`), that one is charged: nobody returned anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from analyzer.incidents.cast import Cast, Lines
from analyzer.incidents.facts import TraceFacts
from analyzer.incidents.grouping import group_rows, number_alike

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_BUCKETS = 6  # 0, 1, 2, 3-4, 5-8, 9 and more calls
_CALLS = (0.0, 1.0, 2.0, 3.5, 6.5, 12.0)  # of a bucket, about
_BUCKET = np.array([0, 1, 2, 3, 3, 4, 4, 4, 4, 5])  # of so many calls
_EXECUTIONS_MIN = 5
# Chi-squared by degrees of freedom: at p = 1e-5, because hundreds of pairs are looked at; at p = 1e-3 for a pair that
# changed for a third of its executions.
_G_MIN = (0.0, 19.51, 23.03, 25.90, 28.47, 30.86)
_G_MIN_LARGE = (0.0, 10.83, 13.82, 16.27, 18.47, 20.52)
_DISTANCE_LARGE = 0.3
_DISTANCE_MIN = 0.05  # total variation: less than 5 % of executions is left to losses and the mix of requests
_ENTRIES_MAX = 63  # entry operations that are told apart; the others are one
_CHANGED_MIN = 0.2


@dataclass(frozen=True, slots=True)
class ShapeChange:
    """One pair whose number of calls changed: shares of executions by bucket, before and now."""

    operation: int
    called: int  # operation of the child
    callee: int  # candidate on its other side, when the child is a call; -1
    owner: int
    before: tuple[float, ...]
    now: tuple[float, ...]
    g: float

    @property
    def times_more(self) -> float:
        """How many times as many calls an execution makes as it did."""
        before, now = (
            sum(n * share for n, share in zip(_CALLS, shares, strict=True)) for shares in (self.before, self.now)
        )
        return now / max(before, 0.02)


@dataclass(frozen=True, slots=True)
class Reshaped:
    """share : float64[c] of the window's traces charged to each candidate; changes : the pairs, strongest first."""

    share: Floats
    changes: list[ShapeChange]


def find_reshaped(
    reference: TraceFacts,
    window: TraceFacts,
    cast: Cast,
    gone: npt.NDArray[np.bool_],
    troubled: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]],
) -> Reshaped:
    """Say at whom the shape of requests changed, as shares of the window's traces.

    Parameters
    ----------
    gone : bool[c]
        Candidates that are asked and send nothing any more.
    troubled : bool[n], bool[n]
        Spans of reference and window that have a reason to take another way (`redirect.find_troubled`).
    """
    entries, roots = _entries(reference, window)
    before = _Shapes(reference, cast.reference, entries[0], roots, troubled[0])
    now = _Shapes(window, cast.window, entries[1], roots, troubled[1])
    changed = np.zeros(len(window))
    changes = []
    for key in sorted(before.pairs.keys() | now.pairs.keys()):
        operation, child = key >> 32, key & 0xFFFFFFFF  # the child is known by its `Alike`
        executions_before, executions_now = before.executions.get(operation, 0), now.executions.get(operation, 0)
        if min(executions_before, executions_now) < _EXECUTIONS_MIN:
            continue
        new = now.histogram(key)
        old = _as_mixed(before.strata(key), now.strata_of(operation)) * executions_before
        g = _likelihood_ratio(old, new)
        p_old, p_new = old / executions_before, new / executions_now
        freedom = max(1, int(((old > 0) | (new > 0)).sum()) - 1)
        distance = 0.5 * float(np.abs(p_old - p_new).sum())
        least = _G_MIN_LARGE if distance >= _DISTANCE_LARGE else _G_MIN
        if g < least[freedom] or distance < _DISTANCE_MIN:
            continue
        # Which share of the executions with this number of calls is there only since something changed.
        usual = (old + 0.5) / (executions_before + 1.0)
        added = np.maximum(0.0, 1.0 - usual / np.maximum(p_new, 1e-12))
        here = now.of_operation(operation)
        changed[here] = np.maximum(changed[here], added[now.buckets(key, here)])
        owner = int(cast.window.owner[here[0]])
        called, callee = int(cast.alike.operation[child]), int(cast.alike.callee[child])
        changes.append(ShapeChange(operation, called, callee, owner, tuple(p_old), tuple(p_new), g))
    share = _charge_deepest(window, _answerable(window, cast.window, gone), changed, len(cast.names))
    return Reshaped(share, sorted(changes, key=lambda change: -change.g))


class _Shapes:
    """How many calls of each operation every execution made."""

    def __init__(
        self,
        facts: TraceFacts,
        lines: Lines,
        entry: Ints,
        entries: int,
        troubled: npt.NDArray[np.bool_],
    ) -> None:
        self._entry, self._entries = entry, entries
        self._strata: dict[int, Floats] = {}
        self._counted = lines.usable & ~troubled & ~lines.is_call & (facts.operation != 0)
        spans = np.flatnonzero(self._counted)
        groups = group_rows(facts.operation[spans], int(facts.operation.max(initial=0)) + 1)
        self._order, starts = spans[groups.order], groups.ptr.tolist()
        self._place = {
            operation: (starts[operation], starts[operation + 1])
            for operation in np.flatnonzero(np.diff(groups.ptr)).tolist()
        }
        self.executions = {operation: stop - start for operation, (start, stop) in self._place.items()}
        child = np.flatnonzero((facts.parent >= 0) & self._counted[facts.parent] & (facts.operation != 0))
        child = child[group_rows(facts.parent[child], len(facts)).order]
        parent = facts.parent[child]
        keys, (pair,) = number_alike([facts.operation[parent].astype(np.int64) << 32 | lines.alike[child]])
        groups = group_rows(pair, len(keys))
        pair, parent = pair[groups.order], parent[groups.order]
        first = np.ones(len(pair), np.bool_)  # of the calls of one pair that an execution makes
        first[1:] = (pair[1:] != pair[:-1]) | (parent[1:] != parent[:-1])
        at = np.flatnonzero(first)
        self._parent, self._bucket = parent[at], _bucket(np.diff(at, append=len(pair)))
        starts = np.searchsorted(at, groups.ptr).tolist()
        self.pairs = dict(zip(keys.tolist(), pairwise(starts), strict=True))

    def histogram(self, key: int) -> Floats:
        """float64[_BUCKETS]: executions by their number of calls."""
        found: Floats = self.strata(key).sum(axis=0)
        return found

    def strata(self, key: int) -> Floats:
        """float64[entries, _BUCKETS]: the same by the entry of their trace."""
        start, stop = self.pairs.get(key, (0, 0))
        cells = self._entry[self._parent[start:stop]] * _BUCKETS + self._bucket[start:stop]
        found: Floats = np.bincount(cells, minlength=self._entries * _BUCKETS).astype(np.float64)
        found = found.reshape(self._entries, _BUCKETS)
        found[:, 0] = self.strata_of(key >> 32) - found.sum(axis=1)
        return found

    def strata_of(self, operation: int) -> Floats:
        """float64[entries]: executions of an operation by the entry of their trace."""
        if operation not in self._strata:
            start, stop = self._place.get(operation, (0, 0))
            entry = self._entry[self._order[start:stop]]
            self._strata[operation] = np.bincount(entry, minlength=self._entries).astype(np.float64)
        return self._strata[operation]

    def of_operation(self, operation: int) -> Ints:
        """Spans that executed an operation, ascending."""
        start, stop = self._place.get(operation, (0, 0))
        return self._order[start:stop]

    def buckets(self, key: int, spans: Ints) -> Ints:
        """Bucket of each of these executions for one pair."""
        start, stop = self.pairs.get(key, (0, 0))
        found = np.zeros(len(spans), np.int64)
        found[np.searchsorted(spans, self._parent[start:stop])] = self._bucket[start:stop]
        return found


def _entries(*populations: TraceFacts) -> tuple[list[Ints], int]:
    """Of each population, int64[n]: which entry operation the trace of a span began with; and how many there are."""
    firsts = [facts.operation[np.minimum(facts.trace_ptr[:-1], max(0, len(facts) - 1))] for facts in populations]
    known, counts = np.unique(np.concatenate(firsts), return_counts=True)
    kept = np.sort(known[np.argsort(-counts, kind="stable")[:_ENTRIES_MAX]])
    found = []
    for facts, first in zip(populations, firsts, strict=True):
        place = np.minimum(np.searchsorted(kept, first), len(kept) - 1)
        place = np.where(kept[place] == first, place, len(kept))
        found.append(np.repeat(place, np.diff(facts.trace_ptr)).astype(np.int64))
    return found, len(kept) + 1


def _as_mixed(old: Floats, mix: Floats) -> Floats:
    """float64[_BUCKETS], sums to 1: the old shares, had the old executions come from entries as the new ones do."""
    counts = old.sum(axis=1)
    pooled = old.sum(axis=0) / max(1.0, counts.sum())
    known = counts >= _EXECUTIONS_MIN
    shares = np.where(known[:, None], old / np.maximum(1.0, counts)[:, None], pooled)
    mixed: Floats = (shares * mix[:, None]).sum(axis=0) / max(1.0, mix.sum())
    return mixed


def _bucket(numbers: Ints) -> Ints:
    return _BUCKET[np.minimum(numbers, len(_BUCKET) - 1)]


def _likelihood_ratio(old: Floats, new: Floats) -> float:
    """G of two histograms being draws of one."""
    both = (old + new) / (old.sum() + new.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = [np.where(part > 0, part * np.log(part / (part.sum() * both)), 0.0).sum() for part in (old, new)]
    return 2.0 * float(sum(terms))


def _answerable(facts: TraceFacts, lines: Lines, gone: npt.NDArray[np.bool_]) -> npt.NDArray[np.int32]:
    """int32[n]: who a change of a span's calls is charged to: its owner, or who is gone and was asked by it."""
    owner = lines.owner.copy()
    calls = np.flatnonzero(lines.is_call & gone[lines.callee] & (facts.parent >= 0))
    owner[facts.parent[calls]] = lines.callee[calls]
    return owner


def _charge_deepest(facts: TraceFacts, owner: npt.NDArray[np.int32], changed: Floats, count: int) -> Floats:
    """Share of traces by candidate; of changed executions of a trace, those without a changed one below them."""
    marked = changed >= _CHANGED_MIN
    if not marked.any():
        return np.zeros(count)
    hidden = np.zeros(len(facts), np.bool_)
    at = np.flatnonzero(marked)
    above = facts.parent[at]
    while len(above := above[above >= 0]):  # as many steps as the deepest trace has levels
        above = np.unique(above)
        above = above[~hidden[above]]
        hidden[above] = True
        above = facts.parent[above]
    at = np.flatnonzero(marked & ~hidden)
    mass, trace = changed[at], facts.trace[at]
    total = np.bincount(trace, mass, facts.trace_count)
    most = np.zeros(facts.trace_count)
    np.maximum.at(most, trace, mass)
    part = mass * (most[trace] / total[trace])
    share: Floats = np.bincount(owner[at], part, count) / max(1, facts.trace_count)
    return share
