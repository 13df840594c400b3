"""Leaving: rows are let go, closed ids are forgotten."""

from __future__ import annotations

import numpy as np
from numba import njit

from collector.assembly.kernels import layout as a
from collector.assembly.kernels.chains import AHEAD, walk_ahead
from collector.assembly.kernels.lists import append, unlink
from collector.assembly.kernels.table import hash_words, remove


@njit(nogil=True)
def forget(traces, index, lists, state, seeds, slot):
    """Take a closed trace out of the table and give its record back."""
    unlink(traces, lists, slot)
    h = hash_words(traces[slot]["trace_id_0"], traces[slot]["trace_id_1"], seeds)
    remove(index, h, slot)
    traces[slot]["state"] = a.FREE
    traces[slot]["after"] = state[a.FREE_HEAD]
    state[a.FREE_HEAD] = slot
    state[a.CLOSED_TRACES] -= 1


@njit(nogil=True)
def close(rows, traces, index, lists, live, head_of, state, limits, seeds, slot, now):
    """Let go of the rows of a released trace and remember its id only."""
    unlink(traces, lists, slot)
    row = np.int64(traces[slot]["head"])
    while row >= 0:
        live[head_of[row >> limits[a.SEGMENT_SHIFT]]] -= 1
        row = np.int64(rows[row]["next"])
    state[a.HELD_SPANS] -= traces[slot]["span_count"]
    state[a.HELD_BYTES] -= traces[slot]["byte_count"]
    traces[slot]["head"] = -1
    traces[slot]["span_count"] = 0
    traces[slot]["released_count"] = 0
    traces[slot]["early_count"] = 0
    traces[slot]["byte_count"] = 0
    if traces[slot]["state"] == a.KEPT:
        state[a.KEPT_TRACES] -= 1
    else:
        state[a.OPEN_TRACES] -= 1
    traces[slot]["state"] = a.CLOSED
    traces[slot]["since_ms"] = now & a.MASK_32
    state[a.CLOSED_TRACES] += 1
    append(traces, lists, a.CLOSED_LIST, slot)
    if state[a.CLOSED_TRACES] > limits[a.CLOSED_MAX]:
        forget(traces, index, lists, state, seeds, np.int64(lists[a.CLOSED_LIST, 0]))
        state[a.FORGOTTEN] += 1


@njit(nogil=True)
def _look_ahead(rows, traces, slot, heads):
    """Bring the rows of the next traces of a list into the cache. How many traces that were."""
    traces_seen = 0
    count = 0
    while slot >= 0 and traces_seen < AHEAD:
        if traces[slot]["head"] >= 0:
            heads[count] = traces[slot]["head"]
            count += 1
        traces_seen += 1
        slot = np.int64(traces[slot]["after"])
    walk_ahead(rows, heads, count)
    return traces_seen


@njit(nogil=True)
def expire(rows, traces, index, lists, live, head_of, state, limits, seeds, now):
    """Close what was kept long enough, forget what was closed long enough. Oldest first."""
    heads = np.empty(AHEAD, np.int32)
    ahead = 0
    slot = np.int64(lists[a.KEPT_LIST, 0])
    while slot >= 0 and (now - np.int64(traces[slot]["since_ms"])) & a.MASK_32 >= limits[a.LATE_KEEP_MS]:
        if ahead == 0:
            ahead = _look_ahead(rows, traces, slot, heads)
        ahead -= 1
        # Its time was up then, however long nobody looked.
        then = np.int64(traces[slot]["since_ms"]) + limits[a.LATE_KEEP_MS]
        close(rows, traces, index, lists, live, head_of, state, limits, seeds, slot, then)
        slot = np.int64(lists[a.KEPT_LIST, 0])
    slot = np.int64(lists[a.CLOSED_LIST, 0])
    while slot >= 0 and (now - np.int64(traces[slot]["since_ms"])) & a.MASK_32 >= limits[a.LATE_WINDOW_MS]:
        forget(traces, index, lists, state, seeds, slot)
        slot = np.int64(lists[a.CLOSED_LIST, 0])


@njit(nogil=True)
def keep_trace(traces, lists, state, slot, now):
    """Keep the rows of a trace that nobody holds, so a late row finds them."""
    traces[slot]["state"] = a.KEPT
    traces[slot]["since_ms"] = now & a.MASK_32
    state[a.OPEN_TRACES] -= 1
    state[a.KEPT_TRACES] += 1
    append(traces, lists, a.KEPT_LIST, slot)


_TABLES = (a.ROWS, a.TRACES, a.INDEX, a.LISTS, a.SLOTS, a.SLOTS, a.WORDS, a.WORDS, a.SEEDS)


@njit(a.VOID(*_TABLES, a.INT), cache=True, nogil=True)
def expire_now(rows, traces, index, lists, live, head_of, state, limits, seeds, now):
    """Do `expire`; the owner calls it before it looks at deadlines."""
    expire(rows, traces, index, lists, live, head_of, state, limits, seeds, now)


@njit(a.INT(*_TABLES, a.INT, a.INT), cache=True, nogil=True)
def close_kept(rows, traces, index, lists, live, head_of, state, limits, seeds, now, count):
    """Close up to `count` kept traces, the longest kept first. Returns how many there were."""
    heads = np.empty(AHEAD, np.int32)
    ahead = 0
    closed = 0
    while closed < count and lists[a.KEPT_LIST, 0] >= 0:
        slot = np.int64(lists[a.KEPT_LIST, 0])
        if ahead == 0:
            ahead = _look_ahead(rows, traces, slot, heads)
        ahead -= 1
        close(rows, traces, index, lists, live, head_of, state, limits, seeds, slot, now)
        closed += 1
    state[a.LET_GO_EARLY] += closed
    return closed


@njit(a.VOID(*_TABLES, a.INT, a.INT, a.SLOTS), cache=True, nogil=True)
def let_go(rows, traces, index, lists, live, head_of, state, limits, seeds, now, keep, slots):
    """The receiver of a batch has let go of it: keep the rows for late spans, or close.

    A trace that was re-opened meanwhile stays as it is. One that a limit closed takes no late rows,
    so nothing of it is kept.
    """
    for i in range(slots.shape[0]):
        slot = np.int64(slots[i])
        traces[slot]["holds"] -= 1
        if traces[slot]["holds"] > 0 or traces[slot]["state"] != a.RELEASED:
            continue
        if keep and not traces[slot]["flags"] & a.LIMITED:
            keep_trace(traces, lists, state, slot, now)
        else:
            close(rows, traces, index, lists, live, head_of, state, limits, seeds, slot, now)
