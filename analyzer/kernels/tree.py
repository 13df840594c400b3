"""Rows of traces -> trees in pre-order. Arrays only.

In: the rows of a batch, grouped by trace, in any order inside a trace. Out: every span exactly once,
parents before children, siblings by (start, end, span id), with flags and counts of what was repaired.
Per trace: gather the columns, link ids, repair times, order, repair clocks, write. The common trace has
no defect and pays for none; every repair is a branch that is entered when a look found a reason.

Truth: tests/support/naive/forest.py.
"""

from __future__ import annotations

import numpy as np
from numba import from_dtype, njit, types

from analyzer.kernels import node_bits as bits
from analyzer.kernels.gather import COUNTED, count_flags, count_out_of_range, gather, link_by_sort
from analyzer.kernels.links import (
    cut_cycles,
    find_hashed,
    find_sorted,
    hash_ids,
    link_hashed,
    mark_split_ids,
    settle_roots,
)
from analyzer.kernels.options import ARRAYS_ONLY, INLINED
from analyzer.kernels.skew import calls_that_do_not_fit, repair_skew
from analyzer.kernels.sorting import sort_indices
from analyzer.spans import SPAN_DTYPE, SpanFlag, SpanKind, StatusCode

# A span that ends less than this after its parent was cut to another clock tick, not left running: some
# SDKs give whole milliseconds.
DETACH_SLACK_NS = 1_000_000

_LOG, _OWN_SCOPE, _EXCEPTION = int(SpanFlag.LOG), int(SpanFlag.OWN_SCOPE), int(SpanFlag.EXCEPTION)
_SERVER, _CLIENT = int(SpanKind.SERVER), int(SpanKind.CLIENT)
_PRODUCER, _CONSUMER = int(SpanKind.PRODUCER), int(SpanKind.CONSUMER)
_ERROR = int(StatusCode.ERROR)

_ROWS = types.Array(from_dtype(SPAN_DTYPE), 1, "C", readonly=False)
_I32, _I64, _U64, _BOOL = types.int32[::1], types.int64[::1], types.uint64[::1], types.boolean[::1]


@njit(
    types.int64(types.int64, _I32, _I32, _I32, _I32, _I32, _I32, _BOOL),
    **ARRAYS_ONLY,
)
def _pre_order(count, order, parent, child_ptr, child, stack, pre_order, reached):
    """Lay the spans out, parents before children, siblings as they stand in `order`.

    Returns
    -------
    int
        Spans reached from a root; fewer than `count` when parents go in circles.
    """
    for i in range(count):
        child_ptr[i] = 0
        reached[i] = False
    for i in range(count):
        if parent[i] >= 0:
            child_ptr[parent[i]] += 1
    filled = np.int64(0)
    for i in range(count):
        filled += child_ptr[i]
        child_ptr[i] = filled
    child_ptr[count] = filled
    # Filled from behind, so that child_ptr[i] ends as the first place of span i.
    waiting = np.int64(0)
    for k in range(count - 1, -1, -1):
        i = order[k]
        p = parent[i]
        if p >= 0:
            child_ptr[p] -= 1
            child[child_ptr[p]] = i
        else:
            stack[waiting] = i
            waiting += 1
    met = np.int64(0)
    while waiting > 0:
        waiting -= 1
        i = stack[waiting]
        pre_order[met] = i
        reached[i] = True
        met += 1
        for k in range(child_ptr[i + 1] - 1, child_ptr[i] - 1, -1):
            stack[waiting] = child[k]
            waiting += 1
    return met


@njit(types.int64(types.int64, types.int64, _I64, _I64, _I64, _I64), **INLINED)
def _relation(i, p, kind, start, end, node_flags):
    """Flags of span i that come from how it lies under its parent p."""
    found = np.int64(0)
    if kind[i] == _CONSUMER and kind[p] == _PRODUCER:
        found |= bits.DETACHED
    if end[i] > end[p] and not (node_flags[i] | node_flags[p]) & bits.NO_TIME:
        found |= bits.OUTLIVES_PARENT
        # A server that outlives its client is a client that gave up, or two clocks; either way it was waited for.
        if not (kind[i] == _SERVER and kind[p] == _CLIENT) and end[i] - end[p] > DETACH_SLACK_NS:
            found |= bits.DETACHED
    return found


@njit(
    types.int64(
        _ROWS, types.int64, types.int64, _U64, types.int64, _I32, types.int64, types.int64, _I32, _I32,
        types.uint16[::1], _I32,
    ),
    **ARRAYS_ONLY,
)  # fmt: skip
def _attach_logs(rows, begin, stop, ids, count, table, mask, probes, anchor, node, flags, row_node):
    """Put log rows under the span they name; return how many name a span that is not here.

    Parameters
    ----------
    probes : int
        0: ids are sorted, `anchor` says which span of an id gets what names it.
    node : int32[count]
        Node of each local span.
    """
    lost = np.int64(0)
    for i in range(begin, stop):
        seen = np.int64(rows[i]["flags"])
        if not seen & _LOG or seen & _OWN_SCOPE:
            continue
        word = rows[i]["parent_id"]
        if word == np.uint64(0):
            continue
        if probes > 0:
            found = find_hashed(word, ids, table, mask, probes)
        else:
            found = find_sorted(word, ids, count)
            found = np.int64(anchor[found]) if found >= 0 else found
        if found < 0:
            lost += 1
            continue
        at = node[found]
        row_node[i] = at
        if rows[i]["status"] == _ERROR:
            flags[at] |= np.uint16(bits.ERROR_LOG)
        if seen & _EXCEPTION:
            flags[at] |= np.uint16(bits.EXCEPTION_LOG)
    return lost


@njit(
    types.int64(
        _ROWS, _I64, types.int64, _I32, _I32, _I64, _I32, _I64, _I64, types.uint16[::1], _I32, types.int32[:, ::1]
    ),
    cache=True,
    nogil=True,
)
def plant(
    rows,
    trace_ptr,
    offset_max_ns,
    node_row,
    node_parent,
    node_ptr,
    child_ptr,
    start_ns,
    end_ns,
    flags,
    row_node,
    defects,
):
    """Build the trees of a batch.

    Parameters
    ----------
    rows : SPAN_DTYPE[n]
    trace_ptr : int64[T + 1]
    offset_max_ns : int
        Largest clock offset that is repaired; 0 repairs none.
    node_row, node_parent : int32[n]
    start_ns, end_ns : int64[n]
    flags : uint16[n]
        Written for the nodes; what is behind them stays as it was.
    node_ptr : int64[T + 1]
    child_ptr : int32[n + 1]
        Written: how many children stand before each node's.
    row_node : int32[n]
        Written for every row.
    defects : int32[T, DEFECT_COUNT]
        Zeros; counted up.

    Returns
    -------
    int
        Nodes written.
    """
    longest = np.int64(0)
    for t in range(trace_ptr.shape[0] - 1):
        longest = max(longest, trace_ptr[t + 1] - trace_ptr[t])
    size = np.int64(8)
    while size < 2 * longest:
        size *= 2
    table = np.empty(size, np.int32)
    whole = np.empty((9, longest + 1), np.int32)
    row, parent, order, scratch, node = whole[0], whole[1], whole[2], whole[3], whole[4]
    first_child, child, stack, laid = whole[5], whole[6], whole[7], whole[8]
    words = np.empty((3, longest), np.uint64)
    ids, parent_ids, flipped = words[0], words[1], words[2]
    numbers = np.empty((5, longest), np.int64)
    start, end, kind, span_flags, node_flags = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    id_key = flipped.view(np.int64)
    reached = np.empty(longest, np.bool_)
    row_node[:] = -1
    nodes = np.int64(0)
    node_ptr[0] = 0

    for t in range(trace_ptr.shape[0] - 1):
        begin, stop = trace_ptr[t], trace_ptr[t + 1]
        count, logs, own, seen = gather(
            rows, begin, stop, row, ids, parent_ids, flipped, start, end, kind, span_flags, node_flags
        )
        mask, probes = hash_ids(ids, count, table)
        if probes > 0:
            link_hashed(ids, parent_ids, span_flags, count, table, mask, probes, parent)
        elif count > 0:
            kept = link_by_sort(
                rows, begin, count, row, ids, parent_ids, flipped, start, end, kind, span_flags, node_flags, order,
                scratch, parent,
            )  # fmt: skip
            defects[t, bits.DEFECT_DUPLICATE] = count - kept
            count = kept
            table[:count] = scratch[:count]  # who gets the children of an id; scratch is used again below
            defects[t, bits.DEFECT_DUP_SPAN_ID] = mark_split_ids(ids, kind, count, node_flags)
        entries, self_parents, missing = settle_roots(count, parent, node_flags)
        defects[t, bits.DEFECT_SELF_PARENT] = self_parents
        defects[t, bits.DEFECT_MISSING_PARENT] = missing
        defects[t, bits.DEFECT_ROOTLESS] = 1 if count > 0 and entries == 0 else 0
        defects[t, bits.DEFECT_MULTI_ROOT] = entries if entries > 1 else 0
        defects[t, bits.DEFECT_OWN_SCOPE] = own

        for i in range(count):
            order[i] = i
        sort_indices(order, scratch, 0, count, start, end, id_key)
        if _pre_order(count, order, parent, first_child, child, stack, laid, reached) < count:
            defects[t, bits.DEFECT_CYCLE] = cut_cycles(count, parent, reached, start, id_key, scratch, node_flags)
            _pre_order(count, order, parent, first_child, child, stack, laid, reached)
        if offset_max_ns > 0 and calls_that_do_not_fit(count, parent, kind, start, end):
            moved, inconsistent = repair_skew(
                rows, count, offset_max_ns, row, parent, kind, start, end, node_flags, laid, stack, scratch, begin
            )
            defects[t, bits.DEFECT_SKEW_ADJUSTED] = moved
            defects[t, bits.DEFECT_SKEW_INCONSISTENT] = inconsistent
            if moved > 0:
                sort_indices(order, scratch, 0, count, start, end, id_key)
                _pre_order(count, order, parent, first_child, child, stack, laid, reached)
        if seen & COUNTED:
            count_flags(count, span_flags, node_flags, defects, t)
            if seen & (bits.NO_TIME << 32):
                defects[t, bits.DEFECT_TIME_OUT_OF_RANGE] = count_out_of_range(rows, begin, count, row)

        for k in range(count):
            node[laid[k]] = nodes + k
        for k in range(count):
            i = laid[k]
            p = parent[i]
            found = node_flags[i]
            if p >= 0:
                found |= _relation(i, p, kind, start, end, node_flags)
            at = nodes + k
            node_row[at] = begin + row[i]
            node_parent[at] = node[p] if p >= 0 else -1
            start_ns[at], end_ns[at] = start[i], end[i]
            flags[at] = found
            child_ptr[at] = first_child[i + 1] - first_child[i]
            row_node[begin + row[i]] = at
        if logs > 0:
            defects[t, bits.DEFECT_LOG_WITHOUT_SPAN] = _attach_logs(
                rows, begin, stop, ids, count, table, mask, probes, table, node, flags, row_node
            )
        nodes += count
        node_ptr[t + 1] = nodes
    return nodes


@njit(types.int64(types.int64, _I32, _I32, _I32), **ARRAYS_ONLY)
def fill_children(count, parent, child_ptr, child):
    """Turn counts of children into places, and fill the children in.

    Parameters
    ----------
    parent : int32[...]
        In pre-order, siblings in order.
    child_ptr : int32[count + 1]
        In: children of each node. Out: where they begin.
    child : int32[...]
        Written.

    Returns
    -------
    int
        Children written.
    """
    total = np.int64(0)
    for i in range(count):
        total += child_ptr[i]
        child_ptr[i] = total
    child_ptr[count] = total
    for i in range(count - 1, -1, -1):
        p = parent[i]
        if p >= 0:
            child_ptr[p] -= 1
            child[child_ptr[p]] = i
    return total
