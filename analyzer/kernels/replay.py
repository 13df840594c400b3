"""What if these spans had been normal: the trace as a model that can be run again. Arrays only.

In: one tree of a forest, and times for its segments. Out: how long the root would have taken, and how
much of the difference each segment explains. Works on one tree with local indices (node - root).

The segments of a span are its own work before each blocking child (`gap`, kept at the child: the time
since the sibling that released it, or since the span began) and after the last one (`tail`). A child
begins when its gap is over after its predecessor returned; a span ends its tail after its last child
returned. With the observed gaps and tails the model takes exactly as long as the trace did.

Truth: tests/support/naive/replay.py.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from analyzer.kernels.node_bits import DETACHED
from analyzer.kernels.sorting import sort_indices

_I32, _I64, _F64 = types.int32[::1], types.int64[::1], types.float64[::1]
_BOOL = types.boolean[::1]
_SAME_NS = 0.5  # returns closer than this are the same nanosecond: they share the path


@njit(types.int64(_I32, types.int64), cache=True, nogil=True)
def tree_end(parent, root):
    """First node behind the tree of `root` (trees lie in pre-order, one after another)."""
    last = root + 1
    while last < parent.shape[0] and parent[last] >= root:
        last += 1
    return last


@njit(_I64(_I32, types.int64, types.int64), cache=True, nogil=True)
def subtree_ends(parent, root, last):
    """For each node of the tree root:last, local, the first node behind its subtree, local."""
    ends = np.arange(1, last - root + 1)
    for i in range(last - 1, root, -1):
        p = parent[i] - root
        ends[p] = max(ends[p], ends[i - root])
    return ends


@njit(
    types.Tuple((_BOOL, _I32, _I64, _I64))(_I32, _I32, _I32, _I64, _I64, types.uint16[::1], types.int64, types.int64),
    cache=True,
    nogil=True,
)
def build_replay(parent, child_ptr, child, start_ns, end_ns, flags, root, last):
    """Take the tree root:last apart into gaps and tails.

    Parameters
    ----------
    parent, child_ptr, child, start_ns, end_ns, flags
        The columns of `Forest`, of the whole batch.
    root, last : int
        The tree, as node indices of the batch.

    Returns
    -------
    blocking : bool[n]
        Spans that somebody waited for: not DETACHED, and of positive duration within their parent.
    predecessor : int32[n]
        Local index of the sibling whose return released the span; -1: its parent's begin did.
    gap, tail : int64[n]
        Nanoseconds, never negative.
    """
    count = last - root
    start, end = start_ns[root:last].copy(), end_ns[root:last].copy()
    blocking = np.ones(count, np.bool_)
    predecessor = np.full(count, -1, np.int32)
    gap, tail = np.zeros(count, np.int64), np.zeros(count, np.int64)
    order, scratch, nothing = np.empty(count, np.int32), np.empty(count, np.int32), np.zeros(count, np.int64)
    for p in range(count):
        waited = np.int64(0)
        for k in range(child_ptr[root + p], child_ptr[root + p + 1]):
            c = child[k] - root
            start[c] = min(max(start[c], start[p]), end[p])
            end[c] = min(max(end[c], start[c]), end[p])
            blocking[c] = not flags[child[k]] & DETACHED and end[c] > start[c]
            if blocking[c]:
                order[waited] = c
                waited += 1
        sort_indices(order, scratch, 0, waited, end, start, nothing)
        returned, latest, released = np.int64(0), start[p], np.int32(-1)
        for k in range(child_ptr[root + p], child_ptr[root + p + 1]):
            c = child[k] - root
            if not blocking[c]:
                continue
            while returned < waited and end[order[returned]] <= start[c]:
                released = order[returned]
                returned += 1
            predecessor[c] = released
            gap[c] = start[c] - (end[released] if released >= 0 else start[p])
            latest = max(latest, end[c])
        tail[p] = end[p] - latest
    return blocking, predecessor, gap, tail


@njit(
    types.float64(_I32, _I32, types.int64, _BOOL, _I32, _F64, _F64, _F64, _F64, _F64),
    cache=True,
    nogil=True,
)
def replay(child_ptr, child, root, blocking, predecessor, gap, tail, returned, duration, weight):
    """Run the model: how long the root takes with these gaps and tails, and what is critical then.

    Parameters
    ----------
    child_ptr, child : int32
        The columns of `Forest`, of the whole batch.
    root : int
    blocking, predecessor
        From `build_replay`.
    gap, tail : float64[n]
    returned, duration : float64[n]
        Overwritten: when each span returns after its parent began; how long it takes.
    weight : float64[n]
        Written: share of the critical path that goes through the span. 0 off the path, 1 on it; children
        that return at the same time share it, as they share the blame.

    Returns
    -------
    float
        Nanoseconds the root takes.
    """
    count = gap.shape[0]
    for p in range(count - 1, -1, -1):
        longest = 0.0
        for k in range(child_ptr[root + p], child_ptr[root + p + 1]):
            c = child[k] - root
            if blocking[c]:
                returned[c] = gap[c] + duration[c] + (returned[predecessor[c]] if predecessor[c] >= 0 else 0.0)
                longest = max(longest, returned[c])
        duration[p] = longest + tail[p]
    weight[:] = 0.0
    weight[0] = 1.0
    for p in range(count):
        begin, stop = child_ptr[root + p], child_ptr[root + p + 1]
        if weight[p] == 0.0 or begin == stop:
            continue
        longest, together = duration[p] - tail[p], 0
        for k in range(begin, stop):
            c = child[k] - root
            if blocking[c] and returned[c] >= longest - _SAME_NS:
                together += 1
        for k in range(stop - 1, begin - 1, -1):  # a predecessor stands before what it released
            c = child[k] - root
            if not blocking[c]:
                continue
            if returned[c] >= longest - _SAME_NS:
                weight[c] += weight[p] / together
            if predecessor[c] >= 0:
                weight[predecessor[c]] += weight[c]
    return duration[0]


@njit(
    types.Tuple((_F64, _F64, types.float64, types.float64))(
        _I32, _I32, types.int64, _BOOL, _I32, _F64, _F64, _F64, _F64, types.int64
    ),
    cache=True,
    nogil=True,
)
def attribute(child_ptr, child, root, blocking, predecessor, gap, tail, gap_usual, tail_usual, steps):
    """Share out the time lost between the usual and the observed segments (Aumann-Shapley).

    Every segment grows from usual to observed in one movement; a segment is charged for its growth while
    it is critical. Parallel work that was hidden behind something slower is charged only for what shows.

    Parameters
    ----------
    gap, tail : float64[n]
        Observed.
    gap_usual, tail_usual : float64[n]
        What they would have been.
    steps : int
        Points of the movement that are looked at.

    Returns
    -------
    gap_share, tail_share : float64[n]
        Nanoseconds; together exactly (up to rounding of float64) observed - usual.
    observed_ns, usual_ns : float
        How long the root takes in the two cases.

    Notes
    -----
    O(n * steps). With 8 points the sum is off by 0.65 % on average before it is scaled to the exact
    difference, and the order of the blamed is that of exact Shapley values (algorithms.md 7).
    Source: Aumann and Shapley, Values of Non-Atomic Games (1974); the replay model follows CRISP's and
    ShapleyIQ's happens-before reading of siblings.
    """
    count = gap.shape[0]
    returned, duration, weight = np.zeros(count), np.zeros(count), np.zeros(count)
    gap_share, tail_share = np.zeros(count), np.zeros(count)
    usual = replay(child_ptr, child, root, blocking, predecessor, gap_usual, tail_usual, returned, duration, weight)
    observed = replay(child_ptr, child, root, blocking, predecessor, gap, tail, returned, duration, weight)
    lost = observed - usual
    if lost == 0.0:
        return gap_share, tail_share, observed, usual
    total = 0.0
    for step in range(steps):
        t = (step + 0.5) / steps
        replay(
            child_ptr, child, root, blocking, predecessor, gap_usual + t * (gap - gap_usual),
            tail_usual + t * (tail - tail_usual), returned, duration, weight,
        )  # fmt: skip
        gap_share += weight * (gap - gap_usual)
        tail_share += weight * (tail - tail_usual)
    total = gap_share.sum() + tail_share.sum()
    if total == 0.0:
        # What was lost shows only at the very end of the movement, behind the last point.
        replay(child_ptr, child, root, blocking, predecessor, gap, tail, returned, duration, weight)
        gap_share += weight * (gap - gap_usual)
        tail_share += weight * (tail - tail_usual)
        total = gap_share.sum() + tail_share.sum()
    if total != 0.0:
        gap_share *= lost / total
        tail_share *= lost / total
    return gap_share, tail_share, observed, usual
