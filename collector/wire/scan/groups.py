"""Where the groups of a request stand, and the Resource in each: what the stamp of a tenant goes by.

In: a request of spans or logs. Out: places. Truth: tests/support/naive/stamp.py.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from analyzer.kernels.hashing import READ_BYTES, U0, U
from analyzer.kernels.options import ARRAYS_ONLY
from collector.wire.scan.wire import read_block, read_tag, skip

_HEAD = U(0x0A)  # ResourceSpans of a request, the Resource of these; logs have the same numbers

# A group: where its tag, what it holds and its end stand; how many Resource messages it has; of the last of them the
# same three places; bytes and fields of all of them, which a reader puts side by side.
BEGIN, START, END, HEADS, HEAD_BEGIN, HEAD_START, HEAD_END, HEAD_BYTES, HEAD_FIELDS = range(9)
WORDS = 9


@njit(types.int64(READ_BYTES, types.int64, types.Array(types.int64, 2, "C")), **ARRAYS_ONLY)
def find_groups(raw, length, places):
    """Find the groups of a request -> how many; -1: it is broken.

    Parameters
    ----------
    raw : uint8[...]      `SLACK_BYTES` readable bytes stand behind the request
    places : int64[m, WORDS]
        Filled for the first m groups.
    """
    p, end, count = U0, U(length), 0
    while p < end:
        begin = p
        tag, p = read_tag(raw, p, end)
        if p > end:
            return -1
        if tag != _HEAD:
            p = skip(raw, p, end, tag)
            continue
        start, stop = read_block(raw, p, end)
        if stop > end:
            return -1
        p = stop
        heads, size, fields = 0, np.int64(0), 0
        head_begin, head_start, head_end = start, start, start
        q = start
        while q < stop:
            at = q
            tag, q = read_tag(raw, q, stop)
            if q > stop:
                return -1
            if tag != _HEAD:
                q = skip(raw, q, stop, tag)
                continue
            head_begin = at
            head_start, head_end = read_block(raw, q, stop)
            if head_end > stop:
                return -1
            q = head_end
            heads += 1
            size += np.int64(head_end - head_start)
            r = head_start
            while r < head_end:
                tag, r = read_tag(raw, r, head_end)
                if r > head_end:
                    return -1
                fields += 1
                r = skip(raw, r, head_end, tag)
            if r != head_end:
                return -1
        if q != stop:
            return -1
        if count < len(places):
            place = places[count]
            place[BEGIN], place[START], place[END] = begin, start, stop
            place[HEADS], place[HEAD_BYTES], place[HEAD_FIELDS] = heads, size, fields
            place[HEAD_BEGIN], place[HEAD_START], place[HEAD_END] = head_begin, head_start, head_end
        count += 1
    return count if p == end else -1
