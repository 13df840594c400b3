"""Measure drawn traces the plain way: an `Analysis` for rooms that only read one.

Own time is the span minus the union of its children, nothing is learned. Not a truth for the kernels; those have
their own twins.
"""

from __future__ import annotations

import numpy as np

from analyzer.analysis import Analysis, Score, StructureScore, no_calls
from analyzer.forest import Forest, build_forest
from analyzer.spans import TraceBatch


def measure(traces: TraceBatch) -> Analysis:
    """Measure every trace of a batch."""
    forest = build_forest(traces)
    rows = traces.rows[forest.row]
    count = len(forest.row)
    own = np.zeros(count, np.int64)
    for i in range(count):
        own[i] = forest.end_ns[i] - forest.start_ns[i] - _covered(forest, i)
    unknown = Score(
        np.ones(count, np.float32),
        np.ones(count, np.float32),
        np.full(count, np.nan),
        np.zeros(count, np.float32),
        np.zeros(count, np.uint8),
    )
    nothing, nan = np.zeros(count, np.float32), np.full(count, np.nan, np.float32)
    return Analysis(
        traces=traces,
        forest=forest,
        own_ns=own,
        critical_ns=own.copy(),
        failed=rows["status"] == 2,
        weak=np.zeros(count, np.bool_),
        error_class=np.zeros(count, np.uint8),
        own=unknown,
        duration=unknown,
        structure=StructureScore(nothing, np.zeros(count, np.int32), nan, nan.copy(), nan.copy(), no_calls()),
    )


def _covered(forest: Forest, node: int) -> int:
    """Time of a node that the union of its children covers."""
    begin, end = int(forest.start_ns[node]), int(forest.end_ns[node])
    covered, reached = 0, begin
    for child in sorted(forest.children(node), key=lambda c: int(forest.start_ns[c])):
        start, stop = max(reached, int(forest.start_ns[child])), min(end, int(forest.end_ns[child]))
        if stop > start:
            covered += stop - start
            reached = stop
    return covered
