"""Decoded rows -> traces: every row is put at the head of its trace's chain."""

from __future__ import annotations

import numpy as np
from numba import njit

from collector.assembly.kernels import layout as a
from collector.assembly.kernels.deadlines import file_open, make_due, root_wait, set_hand
from collector.assembly.kernels.expiry import close, expire, forget
from collector.assembly.kernels.lists import unlink
from collector.assembly.kernels.shedding import sheds
from collector.assembly.kernels.table import find_hashed, hash_words, insert


@njit(nogil=True)
def _new_record(rows, traces, index, lists, live, head_of, state, limits, seeds, now):
    """A free trace record, taken from the oldest closed (then kept) trace if need be; -1: all are open."""
    if state[a.FREE_HEAD] < 0:
        if state[a.UNTOUCHED] < traces.shape[0]:
            state[a.UNTOUCHED] += 1
            return state[a.UNTOUCHED] - 1
        if lists[a.CLOSED_LIST, 0] < 0:
            if lists[a.KEPT_LIST, 0] < 0:
                return -1
            slot = np.int64(lists[a.KEPT_LIST, 0])
            close(rows, traces, index, lists, live, head_of, state, limits, seeds, slot, now)
            state[a.LET_GO_EARLY] += 1
        # `close` may have forgotten the oldest id already, when ids are at their own bound.
        if lists[a.CLOSED_LIST, 0] >= 0 and state[a.FREE_HEAD] < 0:
            forget(traces, index, lists, state, seeds, np.int64(lists[a.CLOSED_LIST, 0]))
            state[a.FORGOTTEN] += 1
    slot = state[a.FREE_HEAD]
    state[a.FREE_HEAD] = traces[slot]["after"]
    return slot


@njit(nogil=True)
def _reset(traces, slot, word_0, word_1):
    trace = traces[slot]
    trace["trace_id_0"] = word_0
    trace["trace_id_1"] = word_1
    trace["head"] = -1
    trace["span_count"] = 0
    trace["released_count"] = 0
    trace["early_count"] = 0
    trace["byte_count"] = 0
    trace["list"] = -1
    trace["revision"] = 0
    trace["dropped"] = 0
    trace["holds"] = 0
    trace["flags"] = 0
    trace["spread_bin"] = 0


@njit(nogil=True)
def _open(traces, lists, state, limits, slot, now):
    """Open a new trace, or re-open one that was released, and file it on the wheel."""
    trace = traces[slot]
    unlink(traces, lists, slot)
    if trace["revision"] > 0:
        trace["flags"] = trace["flags"] | a.REOPENED
        state[a.REOPENINGS] += 1
        if trace["state"] == a.KEPT:
            state[a.KEPT_TRACES] -= 1
            state[a.OPEN_TRACES] += 1
        elif trace["state"] == a.CLOSED:
            state[a.CLOSED_TRACES] -= 1
            state[a.OPEN_TRACES] += 1
    else:
        state[a.OPEN_TRACES] += 1
    trace["state"] = a.OPEN
    trace["first_ms"] = now & a.MASK_32
    trace["last_ms"] = now & a.MASK_32
    file_open(traces, lists, state, limits, slot, now)


@njit(
    a.INT(
        a.ROWS,
        a.TRACES,
        a.INDEX,
        a.LISTS,
        a.SLOTS,
        a.SLOTS,
        a.LEARNED,
        a.WORDS,
        a.WORDS,
        a.SEEDS,
        a.SHED,
        a.INT,
        a.INT,
        a.INT,
    ),
    cache=True,
    nogil=True,
)
def link(rows, traces, index, lists, live, head_of, learned, state, limits, seeds, shed, first, count, now):
    """Link rows[first : first + count] (all of one run of segments) into their traces.

    A row is linked, or counted under exactly one reason: written by ourselves; over a limit of its
    trace; no record for a new trace; of a new trace that is left out under stress. The last share of
    both limits is only for roots and errors, so those are the last to be dropped. The first row
    dropped by a limit makes its trace due.

    Returns
    -------
    int
        Rows linked.

    Notes
    -----
    O(count); consecutive rows of one trace look it up once. The index has room for `count` new ids:
    the owner has seen to it. Truth: tests/support/naive/assembler.py.
    """
    set_hand(state, now)
    expire(rows, traces, index, lists, live, head_of, state, limits, seeds, now)
    state[a.RECEIVED] += count
    run = head_of[first >> limits[a.SEGMENT_SHIFT]] if count > 0 else 0
    linked = 0
    linked_bytes = np.int64(0)
    slot = np.int64(-1)
    last_0 = np.uint64(0)
    last_1 = np.uint64(0)
    for r in range(first, first + count):
        row = rows[r]
        flags = np.int64(row["flags"])
        row["next"] = -1
        if flags & a.ROW_OWN_SCOPE:
            state[a.DROPPED_OWN_SCOPE] += 1
            continue
        word_0 = row["trace_id_0"]
        word_1 = row["trace_id_1"]
        length = np.int64(row["raw_length"])
        is_root = (flags & a.ROW_ROOT) != 0 and (flags & a.ROW_LOG) == 0
        wanted = is_root or row["status"] == a.STATUS_ERROR or (flags & a.ROW_EXCEPTION) != 0
        spans_max = limits[a.SPANS_MAX] if wanted else limits[a.SPANS_PLAIN_MAX]
        bytes_max = limits[a.BYTES_MAX] if wanted else limits[a.BYTES_PLAIN_MAX]
        if slot < 0 or word_0 != last_0 or word_1 != last_1:
            last_0 = word_0
            last_1 = word_1
            h = hash_words(word_0, word_1, seeds)
            slot = np.int64(find_hashed(index, traces, word_0, word_1, h))
            if slot < 0:
                if state[a.SHEDDING] != a.SHED_NOTHING and sheds(shed, state, seeds, word_0, word_1, h):
                    state[a.DROPPED_STRESS] += 1
                    continue
                if length > bytes_max:  # it would never fit: no record for it
                    state[a.DROPPED_TOO_LARGE] += 1
                    continue
                slot = np.int64(_new_record(rows, traces, index, lists, live, head_of, state, limits, seeds, now))
                if slot < 0:
                    state[a.DROPPED_LIVE_TRACES] += 1
                    continue
                _reset(traces, slot, word_0, word_1)
                insert(index, h, slot)
                _open(traces, lists, state, limits, slot, now)
        trace = traces[slot]
        is_open = trace["state"] == a.OPEN
        if trace["flags"] & a.LIMITED and not is_open:
            trace["dropped"] += 1
            state[a.DROPPED_TOO_LARGE] += 1
            continue
        over_spans = trace["span_count"] >= spans_max
        if over_spans or trace["byte_count"] + length > bytes_max:
            trace["dropped"] += 1
            state[a.DROPPED_TOO_LARGE] += 1
            if is_open and not trace["flags"] & a.LIMITED:
                trace["flags"] = trace["flags"] | a.LIMITED
                make_due(traces, lists, slot, a.REASON_SPAN_LIMIT if over_spans else a.REASON_BYTE_LIMIT)
            continue
        if not is_open:
            _open(traces, lists, state, limits, slot, now)
        row["next"] = trace["head"]
        row["arrival_ms"] = now & a.MASK_32
        trace["head"] = r
        trace["span_count"] += 1
        trace["byte_count"] += length
        trace["last_ms"] = now & a.MASK_32
        linked += 1
        linked_bytes += length
        if trace["revision"] > 0:
            state[a.LATE] += 1
        if is_root and not trace["flags"] & a.HAS_ROOT:
            operation = np.int64(row["operation"])
            if operation >= learned.shape[0]:
                operation = np.int64(0)  # operations beyond the table share one row
            trace["flags"] = trace["flags"] | a.HAS_ROOT
            trace["root_operation"] = operation
            trace["root_ms"] = now & a.MASK_32
            trace["wait_ms"] = root_wait(learned, operation, limits)
            file_open(traces, lists, state, limits, slot, now)
    live[run] += linked
    state[a.OPEN_SPANS] += linked
    state[a.OPEN_BYTES] += linked_bytes
    state[a.HELD_SPANS] += linked
    state[a.HELD_BYTES] += linked_bytes
    return linked
