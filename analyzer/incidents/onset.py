"""When did it begin: the first trace of a stream that is not like the reference any more.

In: facts of healthy traces, facts of a stream that may have gone bad at some time. Out: `Onset`, or None when the
stream looks like the reference. Never sees labels, never says who is at fault.

Every trace is compared with reference traces of the same entry: for each operation, whether it failed, took longer
than nearly all of them, was called more often, or was not called at all. Each such question gives a series of yes and
no in order of time; a series whose share of yes has risen is found by CUSUM, its beginning where the running sum was
lowest (`analyzer.detection.change_points`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from analyzer.detection.change_points import cusum
from analyzer.incident_words import Symptom
from analyzer.incidents.facts import TraceFacts

Floats = npt.NDArray[np.float64]
Marks = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.intp]

_REFERENCE_MIN = 20  # reference traces of an entry before its traces are compared
_TRACES_MAX = 20_000  # of the stream; more are thinned evenly
_OPERATIONS_MAX = 512  # per entry, the most frequent ones
_MISSING_NATS = 3.0
_EXPECTED_SHARE = 0.5  # of the reference traces: who is in so many is missed when absent
_RATIO = 1.5  # a share within this factor of the reference's is no change
_DOUBT = 1.0  # standard errors by which a reference share may be too small
_FALSE = 1e-3  # chance that a stream like the reference is said to have changed
_STRONG = 0.4  # of the highest rise: so much a series must rise to have a say in when
_HEALTHY = 6.0  # nats of evidence that the traces before the onset were healthy; with less, it began with the first
_SLOWER = 1.2  # times a quantile of the reference: what is less is not worth an incident
_BURSTS = 2.0  # times the highest rise within the reference
_EARLY = 0.25  # share of the evidence that must have begun
_BETS = (3.0, 10.0, 0.3, 0.9)  # a share three or ten times as large, or at least so large


@dataclass(frozen=True, slots=True)
class Onset:
    """Where a stream ceased to be like the reference.

    index : int       trace, counted in order of their starts
    at_ns : int       when it began
    signals           what rose, strongest first
    height : float    log likelihood ratio of the strongest series
    """

    index: int
    at_ns: int
    signals: tuple[Symptom, ...]
    height: float


@dataclass(frozen=True, slots=True)
class _Cells:
    """Traces of one entry by operation, T rows, P columns."""

    calls: Floats
    own_ns: Floats
    failed: Floats
    missing: Floats


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry operation: rows it fills on both sides, columns of the operations in it, both sides' cells."""

    rows: Indices
    usual_rows: Indices
    columns: Indices
    reference: _Cells
    stream: _Cells


# Of an entry, in the reference and in the stream: where it is asked, where the answer is yes (bool[T, P] each).
Asked: TypeAlias = tuple[tuple[Marks, Marks], tuple[Marks, Marks]]
Question: TypeAlias = Callable[[_Entry], Asked]


def find_onset(reference: TraceFacts, stream: TraceFacts) -> Onset | None:
    """Find the first trace of a stream that is not like the reference any more.

    Parameters
    ----------
    reference : TraceFacts
        Healthy traces; a few bad ones do little harm.
    stream : TraceFacts
        Of the same vocabulary, in any order.

    Returns
    -------
    Onset or None
        None: nothing rose beyond chance. When the whole stream is bad it is the first trace.

    Notes
    -----
    A series with reference share p0 (its upper bound, times 1.5) is bet to have risen to p1; gains are
    log(p1 / p0) for a yes and log((1 - p1) / (1 - p0)) for a no. Over all series, bets and starts the chance that
    noise rises above log(T K / 0.001) is at most 0.001 (union bound over the sums of likelihood ratios).
    """
    starts = stream.trace_start_ns
    order = np.argsort(starts, kind="stable")
    if len(order) > _TRACES_MAX:
        order = order[np.linspace(0, len(order) - 1, _TRACES_MAX).astype(np.intp)]
    if not len(order) or not reference.trace_count:
        return None
    entries, width = _entries(reference, stream, order)
    rises: list[tuple[Floats, Indices, Floats, Symptom]] = []
    for signal, series, before in _series(entries, width, len(order), reference.trace_count):
        height, onset = cusum(series)
        # What the reference itself has of it (bursts, slow minutes) is no change.
        rises.append((height - _BURSTS * cusum(before)[0], onset, series, signal))
    count = sum(len(series) for _, _, series, _ in rises)
    if not count:
        return None
    threshold = np.log(len(order) * count / _FALSE)
    best = max(float(height.max()) for height, _, _, _ in rises)
    if best < threshold:
        return None
    strong = max(threshold, _STRONG * best)
    found = [
        (float(height[place]), int(onset[place]), signal, series[place])
        for height, onset, series, signal in rises
        for place in np.flatnonzero(height >= strong)
    ]
    index = _agreed([(onset, height) for height, onset, _, _ in found])
    healthy = -sum(height * float(gains[:index].sum()) for height, _, _, gains in found)
    if healthy < _HEALTHY * sum(height for height, _, _, _ in found):
        index = 0
    signals = dict.fromkeys(signal for _, _, signal, _ in sorted(found, key=lambda one: -one[0]))
    where = int(np.searchsorted(starts[np.argsort(starts, kind="stable")], starts[order[index]]))
    return Onset(where, int(starts[order[index]]), tuple(signals), best)


def _agreed(onsets: list[tuple[int, float]]) -> int:
    """Return the onset that a quarter of the evidence has begun by: the earliest of many is a stray yes before it.

    onsets : (onset, height) of each series
    """
    onsets = sorted(onsets)
    heights = np.cumsum([height for _, height in onsets])
    return onsets[int(np.searchsorted(heights, _EARLY * heights[-1]))][0]


def _roots(facts: TraceFacts) -> npt.NDArray[np.int64]:
    """Operation of the first span of each trace; -1 of an empty one."""
    found = np.full(facts.trace_count, -1, np.int64)
    full = np.diff(facts.trace_ptr) > 0
    found[full] = facts.operation[facts.trace_ptr[:-1][full]]
    return found


def _entries(reference: TraceFacts, stream: TraceFacts, order: Indices) -> tuple[list[_Entry], int]:
    """Put both sides into cells, by entry; and the number of operations in all."""
    before, during = _roots(reference), _roots(stream)
    when = np.argsort(reference.trace_start_ns, kind="stable")
    operations = np.unique(np.concatenate([reference.operation, stream.operation]))
    entries = []
    for root in np.unique(during[during >= 0]).tolist():
        usual_rows = np.flatnonzero(before[when] == root)
        usual = when[usual_rows]
        if len(usual) < _REFERENCE_MIN:
            continue
        rows = np.flatnonzero(during[order] == root)
        traces = order[rows]
        spans = [_spans(facts, chosen) for facts, chosen in ((reference, usual), (stream, traces))]
        met, counts = np.unique(
            np.concatenate([reference.operation[spans[0][0]], stream.operation[spans[1][0]]]), return_counts=True
        )
        met = np.sort(met[np.argsort(-counts, kind="stable")[:_OPERATIONS_MAX]])
        entries.append(
            _Entry(
                rows=rows,
                usual_rows=usual_rows,
                columns=np.searchsorted(operations, met),
                reference=_cells(reference, *spans[0], len(usual), met),
                stream=_cells(stream, *spans[1], len(traces), met),
            )
        )
    return entries, len(operations)


def _spans(facts: TraceFacts, traces: Indices) -> tuple[Indices, Indices]:
    """Return the spans of some traces, and the place of each span's trace among them."""
    sizes = np.diff(facts.trace_ptr)[traces]
    place = np.repeat(np.arange(len(traces)), sizes)
    first = np.repeat(facts.trace_ptr[:-1][traces] - (np.cumsum(sizes) - sizes), sizes)
    return (first + np.arange(len(place))).astype(np.intp), place


def _cells(facts: TraceFacts, spans: Indices, place: Indices, count: int, operations: npt.NDArray[np.uint32]) -> _Cells:
    column = np.searchsorted(operations, facts.operation[spans])
    known = column < len(operations)
    known[known] = operations[column[known]] == facts.operation[spans[known]]
    spans, cell = spans[known], place[known] * len(operations) + column[known]
    shape = (count, len(operations))

    def summed(weights: npt.NDArray[np.generic] | None = None) -> Floats:
        sums: Floats = np.bincount(cell, weights=weights, minlength=shape[0] * shape[1]).reshape(shape).astype(float)
        return sums

    return _Cells(
        calls=summed(),
        own_ns=summed(facts.own_ns[spans]),
        failed=summed(facts.failed[spans]),
        missing=summed(facts.missing[spans] > _MISSING_NATS),
    )


def _series(entries: list[_Entry], width: int, count: int, usual: int) -> Iterator[tuple[Symptom, Floats, Floats]]:
    """Yield, question after question and bet after bet, the gains of all operations in the stream and the reference.

    float64[k, count], float64[k, usual]
    """
    for signal, ask in _QUESTIONS:
        asked = [ask(entry) for entry in entries]
        for bet in _BETS:
            gains, before = np.zeros((width, count)), np.zeros((width, usual))
            for entry, (reference, stream) in zip(entries, asked, strict=True):
                share = _share(*reference)
                after = share * bet if bet > 1 else np.maximum(share, bet)
                after = np.where((after >= _RATIO * share) & (after < 0.95), after, share)
                won, lost = np.log(after / share), np.log((1 - after) / (1 - share))
                for matrix, rows, (where, yes) in (
                    (gains, entry.rows, stream),
                    (before, entry.usual_rows, reference),
                ):
                    matrix[np.ix_(entry.columns, rows)] = np.where(where, np.where(yes, won, lost), 0.0).T
            moved = gains.any(axis=1)
            if moved.any():
                yield signal, gains[moved], before[moved]


def _share(asked: Marks, yes: Marks) -> Floats:
    """float64[P]: upper bound of the share of yes in the reference, with what is no change on top."""
    n = np.maximum(asked.sum(axis=0), 1)
    share = ((yes & asked).sum(axis=0) + 0.5) / (n + 1.0)
    bound: Floats = np.minimum(_RATIO * (share + _DOUBT * np.sqrt(share * (1 - share) / n)), 0.94)
    return bound


def _both(entry: _Entry, ask: Callable[[_Cells], tuple[Marks, Marks]], where: Marks) -> Asked:
    """Ask reference and stream the same of the operations marked in `where` (bool[P])."""
    (asked, yes), (asked_now, yes_now) = ask(entry.reference), ask(entry.stream)
    return (asked & where, yes), (asked_now & where, yes_now)


def _enough(entry: _Entry) -> Marks:
    """bool[P]: operations in enough reference traces to be compared."""
    enough: Marks = (entry.reference.calls > 0).sum(axis=0) >= _REFERENCE_MIN
    return enough


def _failed(entry: _Entry) -> Asked:
    return _both(entry, lambda cells: (cells.calls > 0, cells.failed > 0), _enough(entry))


def _slower(quantile: float) -> Question:
    def ask(entry: _Entry) -> Asked:
        here = entry.reference.calls > 0
        times = np.where(here, entry.reference.own_ns, np.nan)
        enough = _enough(entry) & (here.sum(axis=0) * (1 - quantile) >= 1)
        border = np.full(times.shape[1], np.inf)
        if enough.any():
            border[enough] = _SLOWER * np.nanquantile(times[:, enough], quantile, axis=0)
        return _both(entry, lambda cells: (cells.calls > 0, cells.own_ns > border), enough)

    return ask


def _absent(entry: _Entry) -> Asked:
    expected = (entry.reference.calls > 0).mean(axis=0) >= _EXPECTED_SHARE
    return _both(entry, lambda cells: (np.ones_like(cells.calls, np.bool_), cells.calls == 0), expected)


def _missing(entry: _Entry) -> Asked:
    return _both(entry, lambda cells: (cells.calls > 0, cells.missing > 0), _enough(entry))


def _more(entry: _Entry) -> Asked:
    """Called more often than in all but a few reference traces (or at all, when it hardly ever was)."""
    most = np.quantile(entry.reference.calls, 0.98, axis=0)
    everywhere = np.ones(len(most), np.bool_)
    return _both(entry, lambda cells: (np.ones_like(cells.calls, np.bool_), cells.calls > most), everywhere)


_QUESTIONS: tuple[tuple[Symptom, Question], ...] = (
    ("errors", _failed),
    ("latency", _slower(0.95)),
    ("latency", _slower(0.99)),
    ("structure", _absent),
    ("structure", _missing),
    ("structure", _more),
)
