"""Whose time is it: own time, and time on the critical path. Arrays only.

In: a forest (parents before children, children sorted by start). Out: nanoseconds per node. Both are
exact in int64. Critical time is a partition: over each tree it sums to the duration of the root.

A child counts while it lies within its parent; what it does before or after its parent is not the
parent's time. DETACHED children (nobody waited for them) and children without time do not count.

Truth: tests/support/naive/critical_path.py.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from analyzer.kernels.node_bits import DETACHED
from analyzer.kernels.options import ARRAYS_ONLY
from analyzer.kernels.sorting import sort_indices

_I32, _I64 = types.int32[::1], types.int64[::1]
_FLAGS = types.uint16[::1]
_FOREST = (_I32, _I32, _I32, _I64, _I64, _FLAGS)


@njit(_I64(*_FOREST), cache=True, nogil=True)
def own_time(parent, child_ptr, child, start_ns, end_ns, flags):
    """Span time that no blocking child covers.

    Parameters
    ----------
    parent, child_ptr, child, start_ns, end_ns, flags
        The columns of `Forest` of the same names.

    Returns
    -------
    int64[m]
        Duration less the union of the blocking children, cut to the span; between 0 and the duration.
    """
    own = np.empty(parent.shape[0], np.int64)
    for i in range(parent.shape[0]):
        covered_until = start_ns[i]
        covered = np.int64(0)
        for k in range(child_ptr[i], child_ptr[i + 1]):
            c = child[k]
            if flags[c] & DETACHED:
                continue
            begin, end = max(start_ns[c], covered_until), min(end_ns[c], end_ns[i])
            if end > begin:
                covered += end - begin
                covered_until = end
        own[i] = end_ns[i] - start_ns[i] - covered
    return own


@njit(
    types.void(types.int64, *_FOREST, _I64, _I64, _I32, _I32, _I64, _I64),
    **ARRAYS_ONLY,
)
def _open_windows(i, parent, child_ptr, child, start_ns, end_ns, flags, low, high, order, scratch, latest, nothing):
    """Give the children that node i waited for their part of its window low[i]..high[i].

    Backwards from the end of the window: the child that returned last was waited for; before it began,
    the child that had returned last by then; and so on. A child that was still running when a chosen one
    began did not hold anything up: it ran beside. Only at the end of the window, where the caller of i
    cut it off, may the first chosen child still be running.
    """
    found = np.int64(0)
    for k in range(child_ptr[i], child_ptr[i + 1]):
        c = child[k]
        if start_ns[c] >= high[i]:
            break  # children stand by start
        if not flags[c] & DETACHED and end_ns[c] > max(low[i], start_ns[c]):
            order[found] = c
            latest[c] = -end_ns[c]
            found += 1
    if found > 1:
        sort_indices(order, scratch, 0, found, latest, start_ns, nothing)
    now = high[i]
    for k in range(found):
        c = order[k]
        if start_ns[c] >= now or (end_ns[c] > now and now < high[i]):
            continue
        high[c] = min(end_ns[c], now)
        low[c] = max(start_ns[c], low[i])
        now = low[c]
        if now <= low[i]:
            return


@njit(types.UniTuple(_I64, 2)(*_FOREST), cache=True, nogil=True)
def critical_windows(parent, child_ptr, child, start_ns, end_ns, flags):
    """The interval for which each node, with all below it, is on the critical path of its root.

    Returns
    -------
    low, high : int64[m]
        Equal where a node is not on the path. Windows of siblings do not overlap, and lie within
        their parent's.
    """
    count = parent.shape[0]
    low, high = np.zeros(count, np.int64), np.zeros(count, np.int64)
    order, scratch = np.empty(count, np.int32), np.empty(count, np.int32)
    latest, nothing = np.empty(count, np.int64), np.zeros(count, np.int64)
    for i in range(count):
        if parent[i] < 0:
            low[i], high[i] = start_ns[i], end_ns[i]
        if high[i] > low[i] and child_ptr[i + 1] > child_ptr[i]:
            _open_windows(
                i, parent, child_ptr, child, start_ns, end_ns, flags, low, high, order, scratch, latest, nothing
            )
    return low, high


@njit(_I64(*_FOREST), cache=True, nogil=True)
def critical_time(parent, child_ptr, child, start_ns, end_ns, flags):
    """Time for which each node itself held up its root.

    Root 0..100 with children B 10..40 and C 40..90: the root 10 + 10, B 30, C 50. Siblings that touch
    are both on the path.

    Returns
    -------
    int64[m]
        Never negative; over each tree the sum is the duration of the root, exactly.

    Notes
    -----
    O(m log m), no recursion: parents stand before children, so one forward loop hands the windows down.
    Source: the last-returning-child walk of CRISP (USENIX ATC 2022) and Jaeger, kernel A of algorithms.md;
    both drop a sibling that ends exactly when the next begins, this does not.
    """
    low, high = critical_windows(parent, child_ptr, child, start_ns, end_ns, flags)
    critical = high - low
    for i in range(parent.shape[0]):
        if parent[i] >= 0:
            critical[parent[i]] -= high[i] - low[i]
    return critical


@njit(types.Tuple((_I32, _I64, _I64))(*_FOREST, types.int64), cache=True, nogil=True)
def critical_path(parent, child_ptr, child, start_ns, end_ns, flags, root):
    """The critical path of one tree as segments, in the order of time.

    Parameters
    ----------
    parent, child_ptr, child, start_ns, end_ns, flags
        The columns of `Forest`, of the whole batch.
    root : int
        Node whose tree is walked.

    Returns
    -------
    node : int32[s]
    begin_ns, end_ns : int64[s]
        Every instant of the root belongs to exactly one segment.
    """
    last = root + 1
    while last < parent.shape[0] and parent[last] >= root:
        last += 1
    count = last - root
    low, high = np.zeros(last, np.int64), np.zeros(last, np.int64)
    order, scratch = np.empty(count, np.int32), np.empty(count, np.int32)
    latest, nothing = np.empty(last, np.int64), np.zeros(last, np.int64)
    low[root], high[root] = start_ns[root], end_ns[root]
    # Segments of one node are the gaps between its children's windows: at most one per child, and a last one.
    node, segment = np.empty(2 * count, np.int32), np.empty((3, 2 * count), np.int64)
    found = np.int64(0)
    for i in range(root, last):
        if high[i] <= low[i]:
            continue
        _open_windows(i, parent, child_ptr, child, start_ns, end_ns, flags, low, high, order, scratch, latest, nothing)
        at = low[i]
        for k in range(child_ptr[i], child_ptr[i + 1]):
            c = child[k]
            if high[c] > low[c]:
                if low[c] > at:
                    node[found], segment[0, found], segment[1, found] = i, at, low[c]
                    found += 1
                at = high[c]
        if high[i] > at:
            node[found], segment[0, found], segment[1, found] = i, at, high[i]
            found += 1
    places, spare = np.empty(found, np.int32), np.empty(found, np.int32)
    for k in range(found):
        places[k] = k
    segment[2, :found] = 0
    sort_indices(places, spare, 0, found, segment[0], segment[1], segment[2])
    return node[places], segment[0][places], segment[1][places]
