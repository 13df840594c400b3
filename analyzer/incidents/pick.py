"""Some traces of a measured batch as a batch of their own.

In: an `Analysis`, indices of traces. Out: an `Analysis` of these only (copies of their rows and nodes, views of
nothing but the bytes). What costs milliseconds for a batch of thousands of traces costs microseconds for the few
that are kept. It measures nothing again.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.analysis import Analysis, Score, StructureScore, no_calls
from analyzer.forest import Forest
from analyzer.spans import TraceBatch


def pick_traces(analysis: Analysis, chosen: npt.NDArray[np.intp]) -> Analysis:
    """Return the traces `chosen` (indices, ascending).

    Parameters
    ----------
    analysis : Analysis
        m nodes, T traces.
    chosen : intp[k]
        Indices below T.

    Returns
    -------
    Analysis
        k traces. `duration` is as in the batch: known of roots only.
    """
    traces, forest = analysis.traces, analysis.forest
    # Nothing here may touch the whole batch: few of thousands of traces are picked.
    first_row, first_node, end_node = traces.trace_ptr[chosen], forest.trace_ptr[chosen], forest.trace_ptr[chosen + 1]
    rows, row_ptr = _ranges(first_row, traces.trace_ptr[chosen + 1])
    nodes, node_ptr = _ranges(first_node, end_node)
    places, _ = _ranges(forest.child_ptr[first_node].astype(np.int64), forest.child_ptr[end_node].astype(np.int64))
    row_moved = np.repeat(first_row - row_ptr[:-1], np.diff(node_ptr))
    node_moved = np.repeat(first_node - node_ptr[:-1], np.diff(node_ptr))
    parent = forest.parent[nodes].astype(np.int64)
    counts = forest.child_ptr[nodes + 1] - forest.child_ptr[nodes]
    child_moved = np.repeat(node_moved, counts)
    row_node = forest.row_node[rows].astype(np.int64)
    row_node_moved = np.repeat(first_node - node_ptr[:-1], np.diff(row_ptr))
    return Analysis(
        traces=TraceBatch(
            rows=traces.rows[rows],
            trace_ptr=row_ptr,
            reasons=traces.reasons[chosen],
            revisions=traces.revisions[chosen],
            dropped=traces.dropped[chosen],
            raw=traces.raw,
            vocabulary=traces.vocabulary,
            details=traces.details,
        ),
        forest=Forest(
            row=(forest.row[nodes] - row_moved).astype(np.int32),
            parent=np.where(parent >= 0, parent - node_moved, -1).astype(np.int32),
            trace_ptr=node_ptr,
            child_ptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
            child=(forest.child[places] - child_moved).astype(np.int32),
            start_ns=forest.start_ns[nodes],
            end_ns=forest.end_ns[nodes],
            flags=forest.flags[nodes],
            row_node=np.where(row_node >= 0, row_node - row_node_moved, -1).astype(np.int32),
            defects=forest.defects[chosen],
        ),
        own_ns=analysis.own_ns[nodes],
        critical_ns=analysis.critical_ns[nodes],
        failed=analysis.failed[nodes],
        weak=analysis.weak[nodes],
        error_class=analysis.error_class[nodes],
        own=_score(analysis.own, nodes),
        duration=_score(analysis.duration, nodes),
        structure=StructureScore(
            missing=analysis.structure.missing[nodes],
            repeated=analysis.structure.repeated[nodes],
            repeated_usual=analysis.structure.repeated_usual[nodes],
            server_share=analysis.structure.server_share[nodes],
            wait_p=analysis.structure.wait_p[nodes],
            calls=no_calls(),  # of the batch the traces were taken from
        ),
    )


def _ranges(
    starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places starts[i]:ends[i], one range after the other; and where each begins now."""
    sizes = ends - starts
    fresh = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return np.arange(fresh[-1]) + np.repeat(starts - fresh[:-1], sizes), fresh


def _score(score: Score, nodes: npt.NDArray[np.int64]) -> Score:
    return Score(
        p=score.p[nodes],
        p_low=score.p_low[nodes],
        expected_ns=score.expected_ns[nodes],
        count=score.count[nodes],
        level=score.level[nodes],
    )
