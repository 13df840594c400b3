"""MicroHECL: from the entry along abnormal call edges that move together; where they end is the cause.

Source: Liu et al., MicroHECL, ICSE-SEIP 2021. Duration and failures are followed to callees, traffic to callers; an
edge is followed when it is abnormal and its series correlates with the edge before; the ends are ranked by
correlation with the entry's series. Changed: the trained detectors are three-spread rules on slices of time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.evaluation.methods.columns import Bools, Floats, Ints, caller, duration_ms, name_of, slices
from analyzer.evaluation.words import Scores
from analyzer.incidents.facts import TraceFacts
from analyzer.spans import Vocabulary

OUTSIDE = -1
SPREADS = 3.0
CORRELATION_MIN = 0.7
SLICE_COUNT = 20  # of the window; the reference is cut in pieces of the same length
SPREAD_FLOOR = 0.05  # of the mean: a series over slices is a mean of many calls


@dataclass(frozen=True, slots=True)
class Series:
    """Edges (caller, callee) and, per signal, their slices in the window: float64[edges, slices]; abnormal: bool."""

    edges: list[tuple[int, int]]
    signals: dict[str, Floats]
    abnormal: dict[str, Bools]


def rank(reference: TraceFacts, window: TraceFacts, vocabulary: Vocabulary) -> Scores:
    """Rank the ends of the walks by their correlation with the entry; nothing abnormal at the entry: nobody."""
    if not len(reference) or not len(window):
        return []
    series = measure(reference, window)
    entries = [i for i, (source, _) in enumerate(series.edges) if source == OUTSIDE]
    if not entries:
        return []
    calls = series.signals["count"].sum(axis=1)
    entry = max(entries, key=lambda i: float(calls[i]))
    found: dict[int, float] = {}
    for signal in ("duration", "failed", "count"):
        rows = series.signals[signal]
        if not any(series.abnormal[signal]):
            continue
        for end in walk(series, signal, entry):
            strength = abs(correlation(rows[end], rows[entry]))
            service = series.edges[end][1]
            found[service] = max(found.get(service, 0.0), strength)
    root = series.edges[entry][1]
    if len(found) > 1:
        found.pop(root, None)  # the entry is where it was noticed; it is the cause only when nothing else is
    return sorted(
        ((name_of(service, vocabulary), value) for service, value in found.items()), key=lambda one: (-one[1], one[0])
    )


def walk(series: Series, signal: str, entry: int) -> list[int]:
    """Return the edges at which abnormality ends."""
    rows, abnormal = series.signals[signal], series.abnormal[signal]
    upstream = signal == "count"
    ends: list[int] = []
    seen, open_edges = {entry}, [entry]
    while open_edges:
        here = open_edges.pop()
        at = series.edges[here][0 if upstream else 1]
        following = [
            i
            for i, (source, target) in enumerate(series.edges)
            if (target if upstream else source) == at
            and i not in seen
            and abnormal[i]
            and correlation(rows[i], rows[here]) >= CORRELATION_MIN
        ]
        seen.update(following)
        open_edges += following
        if not following and (here != entry or abnormal[entry]):
            ends.append(here)
    return ends


def measure(reference: TraceFacts, window: TraceFacts) -> Series:
    """Cut both windows in slices and say which edges leave their usual range in the window."""
    start = window.trace_start_ns
    length_ns = max(int((start.max() - start.min()) // SLICE_COUNT), 1)
    before, after = _edges(reference), _edges(window)
    edges, place = np.unique(np.concatenate([before[1], after[1]]), axis=0, return_inverse=True)
    place = place.reshape(-1)
    rows = _slice(reference, before[0], place[: len(before[0])], len(edges), length_ns)
    rows_after = _slice(window, after[0], place[len(before[0]) :], len(edges), length_ns)
    abnormal = {}
    for signal, usual_rows in rows.items():
        mean, spread = usual_rows.mean(axis=1), usual_rows.std(axis=1)
        floor = _floor(signal, mean)
        off = np.abs(rows_after[signal] - mean[:, None]) > SPREADS * np.maximum(spread, floor)[:, None]
        abnormal[signal] = np.asarray(off.any(axis=1), bool)
    pairs = [(int(source), int(target)) for source, target in edges]
    return Series(pairs, rows_after, abnormal)


def _floor(signal: str, mean: Floats) -> Floats:
    """Spread below which a series over slices is taken to be flat: counting noise, a failed call, 5 % of the time."""
    if signal == "count":
        return np.sqrt(mean) + 1e-9
    found: Floats = SPREAD_FLOOR * mean + (SPREAD_FLOOR if signal == "failed" else 1e-9)
    return found


def correlation(first: Floats, second: Floats) -> float:
    """Pearson correlation; 0 when one of them is flat."""
    spread = float(first.std() * second.std())
    if spread <= 0.0:
        return 0.0
    return float(((first - first.mean()) * (second - second.mean())).mean() / spread)


def _edges(facts: TraceFacts) -> tuple[Ints, Ints]:
    """(int64[calls] called spans, int64[calls, 2] caller and callee)."""
    calls = np.flatnonzero(facts.entering)
    return calls, np.column_stack([caller(facts)[calls], facts.service[calls].astype(np.int64)])


def _slice(facts: TraceFacts, calls: Ints, edge: Ints, edge_count: int, length_ns: int) -> dict[str, Floats]:
    """float64[edges, slices] of each signal; an edge without a call in a slice has its own mean there."""
    of_span, slice_count = slices(facts, length_ns)
    cell = edge * slice_count + of_span[calls]
    size = edge_count * slice_count
    count = np.bincount(cell, minlength=size).astype(np.float64).reshape(edge_count, slice_count)
    found = {"count": count}
    for signal, values in (("duration", duration_ms(facts)), ("failed", facts.failed.astype(np.float64))):
        total = np.bincount(cell, values[calls], size).reshape(edge_count, slice_count)
        mean = total.sum(axis=1) / np.maximum(count.sum(axis=1), 1.0)
        found[signal] = np.where(count > 0, total / np.maximum(count, 1.0), mean[:, None])
    return found
