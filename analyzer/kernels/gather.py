"""Rows of one trace -> local columns, times repaired; and what their flags count up to. Arrays only.

In: the rows of one trace, in any order. Out: the columns that linking needs, spans only. Logs and what
firstfault wrote itself are counted and left out; so are exact duplicates once ids are known to repeat.

Truth: tests/support/naive/forest.py.
"""

from __future__ import annotations

import numpy as np
from numba import from_dtype, njit, types

from analyzer.kernels import node_bits as bits
from analyzer.kernels.links import link_sorted, sort_by_content
from analyzer.kernels.options import ARRAYS_ONLY
from analyzer.spans import SPAN_DTYPE, SpanFlag

# Times from here on are out of any calendar (the year 2200). It leaves 2**60 ns of room, so that adding
# offsets and taking differences never overflows.
TIME_MAX_NS = 7_258_118_400_000_000_000

_LOG, _OWN_SCOPE = int(SpanFlag.LOG), int(SpanFlag.OWN_SCOPE)
_NO_SERVICE = int(SpanFlag.NO_SERVICE | SpanFlag.EMPTY_SERVICE | SpanFlag.SERVICE_NOT_TEXT)
_BAD_TEXT, _BAD_PARENT_ID = int(SpanFlag.BAD_TEXT), int(SpanFlag.BAD_PARENT_ID)
_TRUNCATED, _NO_NAME = int(SpanFlag.TRUNCATED), int(SpanFlag.NO_NAME)
_TIMES = bits.NO_TIME | bits.NEGATIVE_DURATION
# What `count_flags` would count: nothing to do for a trace in which none of these was seen.
COUNTED = _NO_SERVICE | _BAD_TEXT | _BAD_PARENT_ID | _TRUNCATED | _NO_NAME | _TIMES << 32
_SIGN = np.uint64(1 << 63)

_ROWS = types.Array(from_dtype(SPAN_DTYPE), 1, "C", readonly=False)
_I32, _I64, _U64 = types.int32[::1], types.int64[::1], types.uint64[::1]


@njit(
    types.UniTuple(types.int64, 4)(
        _ROWS, types.int64, types.int64, _I32, _U64, _U64, _U64, _I64, _I64, _I64, _I64, _I64
    ),
    **ARRAYS_ONLY,
)
def gather(rows, begin, stop, row, ids, parent_ids, flipped, start, end, kind, span_flags, node_flags):
    """Copy what linking needs from the span rows of one trace into local columns, times repaired.

    Returns
    -------
    count : int
        Spans.
    logs, own : int
        Log rows; rows that firstfault wrote itself.
    seen : int
        All span flags and node flags that occur, or-ed (node flags in the upper half).
    """
    count, logs, own, seen = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    earliest = np.int64(TIME_MAX_NS)
    for i in range(begin, stop):
        flags = np.int64(rows[i]["flags"])
        if flags & _OWN_SCOPE:
            own += 1
            continue
        if flags & _LOG:
            logs += 1
            continue
        word = rows[i]["span_id"]
        first, last = rows[i]["start_ns"], rows[i]["end_ns"]
        repaired = np.int64(0)
        good_first, good_last = 0 < first < TIME_MAX_NS, 0 < last < TIME_MAX_NS
        if not (good_first and good_last):
            repaired = np.int64(bits.NO_TIME)
            last = first if good_first else last
            first = last if good_last else first
            if not (good_first or good_last):
                first, last = np.int64(0), np.int64(0)
        elif last < first:
            repaired = np.int64(bits.NEGATIVE_DURATION)
            last = first
        if first > 0:
            earliest = min(earliest, first)
        row[count] = i - begin
        ids[count] = word
        flipped[count] = word ^ _SIGN
        parent_ids[count] = rows[i]["parent_id"]
        start[count], end[count] = first, last
        kind[count] = rows[i]["kind"]
        span_flags[count] = flags
        node_flags[count] = repaired
        seen |= flags | (repaired << 32)
        count += 1
    if seen & (bits.NO_TIME << 32) and earliest < TIME_MAX_NS:
        # A span without any time is put at the beginning of its trace, so that it does not stretch it.
        for i in range(count):
            if start[i] == 0:
                start[i], end[i] = earliest, earliest
    return count, logs, own, seen


@njit(
    types.int64(
        _ROWS, types.int64, types.int64, _I32, _U64, _U64, _U64, _I64, _I64, _I64, _I64, _I64, _I32, _I32, _I32
    ),
    cache=True,
    nogil=True,
)
def link_by_sort(
    rows, begin, count, row, ids, parent_ids, flipped, start, end, kind, span_flags, node_flags, order, scratch, parent
):
    """Link when ids repeat: order the columns by id and content, leave duplicates out; return how many stay."""
    content = np.empty((count, 8), np.int64)
    signed_parents = parent_ids.view(np.int64)
    for i in range(count):
        at = begin + row[i]
        content[i, 0] = rows[at]["start_ns"]
        content[i, 1] = rows[at]["end_ns"]
        content[i, 2] = signed_parents[i]
        content[i, 3] = (kind[i] << 32) | np.int64(rows[at]["service"])
        # The copy that says most stands first: a status, an HTTP status, more attributes.
        content[i, 4] = -(np.int64(rows[at]["status"]) << 32 | np.int64(rows[at]["http_status"]) << 16) - np.int64(
            rows[at]["attribute_count"]
        )
        content[i, 5] = np.int64(rows[at]["name"]) << 31 | np.int64(rows[at]["raw_length"])
        content[i, 6] = np.int64(rows[at]["resource"]) << 31 | np.int64(rows[at]["error_type"])
        content[i, 7] = np.int64(rows[at]["exception_type"]) << 31 | np.int64(rows[at]["peer"])
    first, second, third = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    kept = sort_by_content(ids, flipped.view(np.int64), count, order, scratch, first, second, third, content)
    chosen = order[:kept]
    row[:kept] = row[chosen]
    ids[:kept] = ids[chosen]
    flipped[:kept] = flipped[chosen]
    parent_ids[:kept] = parent_ids[chosen]
    start[:kept] = start[chosen]
    end[:kept] = end[chosen]
    kind[:kept] = kind[chosen]
    span_flags[:kept] = span_flags[chosen]
    node_flags[:kept] = node_flags[chosen]
    link_sorted(ids, parent_ids, span_flags, kind, kept, scratch, parent)
    return kept


@njit(types.void(types.int64, _I64, _I64, types.int32[:, ::1], types.int64), **ARRAYS_ONLY)
def count_flags(count, span_flags, node_flags, defects, trace):
    """Count the defects that flags of the spans name."""
    for i in range(count):
        flags = span_flags[i]
        defects[trace, bits.DEFECT_MISSING_SERVICE] += 1 if flags & _NO_SERVICE else 0
        defects[trace, bits.DEFECT_BAD_TEXT] += 1 if flags & _BAD_TEXT else 0
        defects[trace, bits.DEFECT_BAD_PARENT_ID] += 1 if flags & _BAD_PARENT_ID else 0
        defects[trace, bits.DEFECT_TRUNCATED] += 1 if flags & _TRUNCATED else 0
        defects[trace, bits.DEFECT_MISSING_NAME] += 1 if flags & _NO_NAME else 0
        defects[trace, bits.DEFECT_NO_TIME] += 1 if node_flags[i] & bits.NO_TIME else 0
        defects[trace, bits.DEFECT_NEGATIVE_DURATION] += 1 if node_flags[i] & bits.NEGATIVE_DURATION else 0


@njit(types.int64(_ROWS, types.int64, types.int64, _I32), **ARRAYS_ONLY)
def count_out_of_range(rows, begin, count, row):
    """Spans with a time that is set, but in no calendar (values from 2**63 have wrapped to negative)."""
    found = np.int64(0)
    for i in range(count):
        first, last = rows[begin + row[i]]["start_ns"], rows[begin + row[i]]["end_ns"]
        found += 1 if first < 0 or first >= TIME_MAX_NS or last < 0 or last >= TIME_MAX_NS else 0
    return found
