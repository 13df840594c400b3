"""What calls are about, and how much time a set of them covers. Works on a few nodes of a batch.

In: a forest and some of its nodes. Out: operations, nanoseconds. Never loops over spans in Python.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.forest import Forest
from analyzer.spans import SpanKind, TraceBatch

Nodes = npt.NDArray[np.int32]


def callees(traces: TraceBatch, forest: Forest, nodes: Nodes) -> npt.NDArray[np.uint32]:
    """Return the operation each span is about: of the first SERVER span below a CLIENT span, else its own.

    The same as `analyzer.kernels.call_shapes.find_callees` says of a whole batch.
    """
    operation, kind = traces.rows["operation"], traces.rows["kind"]
    found: npt.NDArray[np.uint32] = operation[forest.row[nodes]]
    clients = np.flatnonzero(kind[forest.row[nodes]] == SpanKind.CLIENT)
    begin = forest.child_ptr[nodes[clients]].astype(np.int64)
    count = forest.child_ptr[nodes[clients] + 1] - begin
    before = np.cumsum(count) - count
    place = np.arange(int(count.sum())) + np.repeat(begin - before, count)
    below = forest.row[forest.child[place]]
    serves = (kind[below] == SpanKind.SERVER) & (operation[below] != 0)
    # Backwards, so that the first of several SERVER spans is written last and stays.
    found[np.repeat(clients, count)[serves][::-1]] = operation[below[serves]][::-1]
    return found


def covered_ns(forest: Forest, nodes: Nodes) -> int:
    """Return the time in which at least one of the spans ran; they are sorted by start."""
    start, end = forest.start_ns[nodes], forest.end_ns[nodes]
    if not len(nodes):
        return 0
    until = np.maximum.accumulate(end)
    fresh = np.concatenate([start[:1], np.maximum(start[1:], until[:-1])])
    return int(np.maximum(end - fresh, 0).sum())


def covered_share(forest: Forest, nodes: Nodes) -> float:
    """Covered over summed time: 1 when the spans ran one after another."""
    return covered_ns(forest, nodes) / max(1, int((forest.end_ns[nodes] - forest.start_ns[nodes]).sum()))


def overlap(forest: Forest, nodes: Nodes) -> bool:
    """Whether two of the spans ran at the same time; they are sorted by start."""
    until = np.maximum.accumulate(forest.end_ns[nodes])
    return bool((forest.start_ns[nodes][1:] < until[:-1]).any())
