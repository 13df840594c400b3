"""Measure drawn traces the plain way: an `Analysis` for rooms that only read one.

Trees come from `parent_id` as sent, own time is the span minus the union of its children, nothing is learned.
Not a truth for the kernels; those have their own twins.
"""

from __future__ import annotations

import numpy as np

from analyzer.analysis import Analysis, Score, StructureScore
from analyzer.forest import DEFECT_COUNT, Forest, NodeFlag
from analyzer.spans import FLAG_LOG, SpanFlag, TraceBatch


def measure(traces: TraceBatch) -> Analysis:
    """Measure every trace of a batch."""
    forest = plain_forest(traces)
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
    nothing = np.zeros(count, np.float32)
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
        structure=StructureScore(
            nothing, np.zeros(count, np.int32), np.full(count, np.nan, np.float32), np.full(count, np.nan, np.float32)
        ),
    )


def plain_forest(traces: TraceBatch) -> Forest:
    """Parents before children, in the order of start; no repair but orphans."""
    nodes: list[int] = []
    parents: list[int] = []
    flags: list[int] = []
    trace_ptr = [0]
    for t in range(traces.trace_count):
        own_rows = range(int(traces.trace_ptr[t]), int(traces.trace_ptr[t + 1]))
        spans = [row for row in own_rows if not int(traces.rows[row]["flags"]) & FLAG_LOG]
        by_id = {int(traces.rows[row]["span_id"]): row for row in spans}
        below: dict[int, list[int]] = {}
        for row in spans:
            below.setdefault(by_id.get(int(traces.rows[row]["parent_id"]), -1), []).append(row)
        waiting = [(row, -1) for row in reversed(below.get(-1, []))]
        while waiting:
            row, parent = waiting.pop()
            root = bool(int(traces.rows[row]["flags"]) & SpanFlag.ROOT)
            place = len(nodes)
            nodes.append(row)
            parents.append(parent)
            flags.append(int(NodeFlag.ORPHAN) if parent < 0 and not root else 0)
            waiting += [(child, place) for child in reversed(below.get(row, []))]
        trace_ptr.append(len(nodes))
    count = len(nodes)
    children: list[list[int]] = [[] for _ in range(count)]
    for i, parent in enumerate(parents):
        if parent >= 0:
            children[parent].append(i)
    row_node = np.full(len(traces.rows), -1, np.int32)
    row_node[nodes] = np.arange(count)
    return Forest(
        row=np.array(nodes, np.int32),
        parent=np.array(parents, np.int32),
        trace_ptr=np.array(trace_ptr, np.int64),
        child_ptr=np.concatenate([[0], np.cumsum([len(c) for c in children])]).astype(np.int32),
        child=np.array([child for many in children for child in many], np.int32),
        start_ns=traces.rows["start_ns"][nodes].astype(np.int64),
        end_ns=traces.rows["end_ns"][nodes].astype(np.int64),
        flags=np.array(flags, np.uint16),
        row_node=row_node,
        defects=np.zeros((traces.trace_count, DEFECT_COUNT), np.int32),
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
