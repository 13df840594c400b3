"""Ids -> trees: every span of a batch exactly once, in pre-order, defects repaired and counted.

In: `TraceBatch` rows in any order. Out: `Forest`. Total: never raises on data, no recursion,
O(n log n), the same forest whatever order the rows came in.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag

import numpy as np
import numpy.typing as npt

from analyzer.kernels.tree import fill_children, plant
from analyzer.spans import TraceBatch


class NodeFlag(IntFlag):
    """What was found or repaired at one node."""

    ORPHAN = 1 << 0  # its parent id is not in the trace
    SELF_PARENT = 1 << 1
    CYCLE_CUT = 1 << 2  # a cycle of parents was cut here; it is a root now
    NO_TIME = 1 << 3  # start or end is 0 or out of any calendar; not used for latency
    NEGATIVE_DURATION = 1 << 4  # end < start; duration is taken as 0
    SPLIT_ID = 1 << 5  # another span had the same id; both are kept
    SKEW_ADJUSTED = 1 << 6  # moved to fit its parent (clock offset between hosts)
    DETACHED = 1 << 7  # does not block its parent: consumer, or outlives a parent that did not wait
    ERROR_LOG = 1 << 8  # an ERROR log record was written under it
    EXCEPTION_LOG = 1 << 9  # a log record with exception.* was written under it
    OUTLIVES_PARENT = 1 << 10  # ended after its parent (as sent, beyond skew)


class Defect(IntEnum):
    """Columns of `Forest.defects`; each becomes a warning on the answer."""

    SELF_PARENT = 0
    CYCLE = 1
    ROOTLESS = 2
    MULTI_ROOT = 3
    MISSING_PARENT = 4
    DUPLICATE = 5  # exact duplicates, left out
    DUP_SPAN_ID = 6  # same id, other content; both kept
    NEGATIVE_DURATION = 7
    NO_TIME = 8
    TIME_OUT_OF_RANGE = 9
    SKEW_ADJUSTED = 10
    SKEW_INCONSISTENT = 11
    MISSING_SERVICE = 12
    BAD_TEXT = 13
    BAD_PARENT_ID = 14
    TRUNCATED = 15  # spans dropped by a limit, or the SDK dropped attributes
    LOG_WITHOUT_SPAN = 16  # a log names a span that is not here
    OWN_SCOPE = 17  # our own findings came back; left out
    MISSING_NAME = 18


DEFECT_COUNT = len(Defect)


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
