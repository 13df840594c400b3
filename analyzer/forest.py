"""Ids -> trees: every span of a batch exactly once, in pre-order, defects repaired and counted.

In: `TraceBatch` rows in any order. Out: `Forest`. Total: never raises on data, no recursion,
O(n log n), the same forest whatever order the rows came in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.kernels.tree import fill_children, plant
from analyzer.node_words import DEFECT_COUNT, Defect, NodeFlag
from analyzer.spans import TraceBatch

__all__ = ["DEFECT_COUNT", "Defect", "Forest", "NodeFlag", "build_forest"]


@dataclass(frozen=True, slots=True)
class Forest:
    """Spans of a batch as trees. m nodes, T traces; parents stand before children.

    row : int32[m]              row of `TraceBatch.rows` of a node
    parent : int32[m]           node index, -1: root
    trace_ptr : int64[T + 1]    nodes of trace t are trace_ptr[t]:trace_ptr[t + 1]
    child_ptr : int32[m + 1]    children of node i are child[child_ptr[i]:child_ptr[i + 1]],
    child : int32[...]          sorted by (start, end, span id)
    start_ns, end_ns : int64[m] repaired; end >= start
    flags : uint16[m]           NodeFlag
    row_node : int32[n_rows]    node of a row: its own for spans, the span it was written under for logs, -1 none
    defects : int32[T, DEFECT_COUNT]
    """

    row: npt.NDArray[np.int32]
    parent: npt.NDArray[np.int32]
    trace_ptr: npt.NDArray[np.int64]
    child_ptr: npt.NDArray[np.int32]
    child: npt.NDArray[np.int32]
    start_ns: npt.NDArray[np.int64]
    end_ns: npt.NDArray[np.int64]
    flags: npt.NDArray[np.uint16]
    row_node: npt.NDArray[np.int32]
    defects: npt.NDArray[np.int32]

    def children(self, node: int) -> npt.NDArray[np.int32]:
        return self.child[self.child_ptr[node] : self.child_ptr[node + 1]]

    def nodes(self, trace: int) -> range:
        return range(int(self.trace_ptr[trace]), int(self.trace_ptr[trace + 1]))


def build_forest(traces: TraceBatch, clock_skew_max_ns: int = 2_000_000_000) -> Forest:
    """Put the spans of a batch into trees; repair and count what is wrong with them.

    Every span is in the forest exactly once, whatever its ids and times are; only exact duplicates and
    what firstfault wrote itself are left out. The order of rows within a trace does not matter.

    Parameters
    ----------
    traces : TraceBatch
    clock_skew_max_ns : int
        Largest offset between the clocks of two processes that is repaired; 0 repairs none.

    Returns
    -------
    Forest

    Notes
    -----
    O(n log n) for any input, about 60 ns per span for usual traces. Truth: tests/support/naive/forest.py.
    Source: Jaeger's adjusters (span id uniquifier, clock skew), with reliability.md (d) for the rest.
    """
    # A view without its own memory layout, or one that may not be written, would be another type to the kernel.
    rows = np.require(traces.rows, requirements=["C", "A", "W"])
    pointers = np.require(traces.trace_ptr, np.int64, ["C", "A", "W"])
    count, trace_count = len(rows), len(pointers) - 1
    row, parent, row_node = (np.empty(count, np.int32) for _ in range(3))
    start_ns, end_ns = np.empty(count, np.int64), np.empty(count, np.int64)
    flags = np.empty(count, np.uint16)
    node_ptr = np.empty(trace_count + 1, np.int64)
    child_ptr = np.zeros(count + 1, np.int32)
    defects = np.zeros((trace_count, DEFECT_COUNT), np.int32)
    nodes = plant(
        rows, pointers, clock_skew_max_ns, row, parent, node_ptr, child_ptr, start_ns, end_ns, flags, row_node, defects
    )
    child = np.empty(nodes, np.int32)
    children = fill_children(nodes, parent, child_ptr, child)
    defects[:, Defect.TRUNCATED] += traces.dropped
    return Forest(
        row=row[:nodes],
        parent=parent[:nodes],
        trace_ptr=node_ptr,
        child_ptr=child_ptr[: nodes + 1],
        child=child[:children],
        start_ns=start_ns[:nodes],
        end_ns=end_ns[:nodes],
        flags=flags[:nodes],
        row_node=row_node,
        defects=defects,
    )
