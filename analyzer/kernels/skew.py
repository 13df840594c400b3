"""Clocks of two hosts that disagree, inside one trace. Arrays only.

In: the spans of one trace in local columns, with their order. Out: start and end moved where one offset
makes every call between two processes fit. Moves nothing when in doubt.

A call fits when the SERVER span lies within its CLIENT span. For a call that does not, the offsets that
would make it fit are an interval: client.start - server.start .. client.end - server.end. All calls of the
same two processes in a trace go through the same two clocks, so one offset must serve them all:

- a call that fits needs no offset, so then none of its pair is moved;
- a server longer than its client, or a client that failed (it may have given up waiting), says nothing;
- the intervals of the others must have a common offset, not above the limit; the middle of it is taken,
  as if network time were the same both ways (Jaeger's clock skew adjuster does so span by span; here the
  pair must agree, and timeouts are kept as they are: reliability.md (d) 24, 25).

What hangs under a moved server moves with it. Asynchronous work of another process never moves.

Truth: tests/support/naive/forest.py.
"""

from __future__ import annotations

import numpy as np
from numba import from_dtype, njit, types

from analyzer.kernels.node_bits import NO_TIME, SKEW_ADJUSTED
from analyzer.kernels.sorting import sort_indices
from analyzer.spans import NO_RPC_STATUS, SPAN_DTYPE, SpanKind, StatusCode

_ROWS = types.Array(from_dtype(SPAN_DTYPE), 1, "C", readonly=False)
_CLIENT, _SERVER, _CONSUMER = int(SpanKind.CLIENT), int(SpanKind.SERVER), int(SpanKind.CONSUMER)
_ERROR = int(StatusCode.ERROR)

_I32, _I64 = types.int32[::1], types.int64[::1]


@njit(types.boolean(_ROWS, types.int64, types.int64), cache=True, nogil=True, inline="always")
def _remote(rows, a, b):
    """Whether two rows were written by different processes, as far as their resources tell."""
    return rows[a]["resource"] != rows[b]["resource"] or rows[a]["service"] != rows[b]["service"]


@njit(types.boolean(_ROWS, types.int64), cache=True, nogil=True)
def _gave_up(rows, client):
    """Whether a client span failed: it may have stopped waiting."""
    code = rows[client]["rpc_status"]
    return (
        rows[client]["status"] == _ERROR or rows[client]["http_status"] >= 400 or (code != NO_RPC_STATUS and code != 0)
    )


@njit(types.boolean(types.int64, _I32, _I64, _I64, _I64), cache=True, nogil=True)
def calls_that_do_not_fit(count, parent, kind, start, end):
    """Whether any SERVER span stands out of its CLIENT span: a look, before `repair_skew` is worth it."""
    for i in range(count):
        p = parent[i]
        if p >= 0 and kind[i] == _SERVER and kind[p] == _CLIENT and (start[i] < start[p] or end[i] > end[p]):
            return True
    return False


@njit(types.int64(types.int64, types.int64, types.int64), cache=True, nogil=True, inline="always")
def _middle(low, high, most):
    """The offset to apply for offsets low..high that all fit; 0 when none does."""
    middle = low + (high - low) // 2
    return middle if low <= high and -most <= middle <= most else np.int64(0)


@njit(types.boolean(types.int64[:, ::1], types.int64, types.int64), cache=True, nogil=True, inline="always")
def _same_pair(keys, i, j):
    return keys[0, i] == keys[0, j] and keys[1, i] == keys[1, j] and keys[2, i] == keys[2, j]


@njit(
    types.UniTuple(types.int64, 2)(
        _ROWS, types.int64, types.int64, _I32, _I32, _I64, _I64, _I64, _I64, _I32, _I32, _I32, types.int64
    ),
    cache=True,
    nogil=True,
)
def repair_skew(
    rows, count, offset_max_ns, row, parent, kind, start, end, node_flags, parents_first, calls, scratch, first_row
):
    """Move the spans of processes whose clock disagrees with their callers'.

    Parameters
    ----------
    rows : SPAN_DTYPE[...]
    count : int
        Spans of the trace; the columns below are local to it.
    offset_max_ns : int
        Largest offset that is believed; 0 repairs nothing.
    row : int32[...]
        Row of each span, counted from `first_row`.
    parents_first : int32[count]
        An order in which parents stand before their children.
    calls, scratch : int32[...]
        Overwritten.

    Returns
    -------
    moved : int
        Spans that were moved.
    inconsistent : int
        Pairs of processes whose calls do not fit and for which no one offset would do.
    """
    found = np.int64(0)
    keys = np.zeros((3, count), np.int64)
    for i in range(count):
        p = parent[i]
        if p < 0 or kind[i] != _SERVER or kind[p] != _CLIENT or (node_flags[i] | node_flags[p]) & NO_TIME:
            continue
        server, client = first_row + row[i], first_row + row[p]
        if end[i] - start[i] > end[p] - start[p] or not _remote(rows, server, client) or _gave_up(rows, client):
            continue
        keys[0, i] = (np.int64(rows[client]["resource"]) << 32) | np.int64(rows[server]["resource"])
        keys[1, i] = np.int64(rows[client]["service"])
        keys[2, i] = np.int64(rows[server]["service"])
        calls[found] = i
        found += 1
    sort_indices(calls, scratch, 0, found, keys[0], keys[1], keys[2])

    offset = np.zeros(count, np.int64)
    inconsistent = np.int64(0)
    begin = np.int64(0)
    while begin < found:
        first = calls[begin]
        low, high = start[parent[first]] - start[first], end[parent[first]] - end[first]
        fits, last = np.int64(0), begin
        while last < found and _same_pair(keys, calls[last], first):
            i = calls[last]
            one_low, one_high = start[parent[i]] - start[i], end[parent[i]] - end[i]
            fits += 1 if one_low <= 0 <= one_high else 0
            low, high = max(low, one_low), min(high, one_high)
            last += 1
        if fits < last - begin:
            middle = _middle(low, high, offset_max_ns) if fits == 0 else np.int64(0)
            inconsistent += 1 if middle == 0 else 0
            for k in range(begin, last):
                offset[calls[k]] = middle
        begin = last

    moved = np.int64(0)
    for k in range(count):
        i = parents_first[k]
        p = parent[i]
        if p >= 0 and not (kind[i] == _CONSUMER and _remote(rows, first_row + row[i], first_row + row[p])):
            offset[i] += offset[p]
        if offset[i] != 0:
            moved += 1
            node_flags[i] |= SKEW_ADJUSTED
    for i in range(count):
        start[i] += offset[i]
        end[i] += offset[i]
    return moved, inconsistent
