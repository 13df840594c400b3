"""Due traces -> one contiguous batch, exact duplicates left out."""

from __future__ import annotations

import numpy as np
from numba import njit

from collector.assembly.kernels import layout as a
from collector.assembly.kernels.chains import AHEAD, walk_ahead
from collector.assembly.kernels.deadlines import observe
from collector.assembly.kernels.expiry import keep_trace
from collector.assembly.kernels.table import hash_words


@njit(nogil=True)
def _chain(rows, head, count, order):
    """Rows of a chain, oldest first, into order[:count]."""
    row = np.int64(head)
    for i in range(count - 1, -1, -1):
        order[i] = row
        row = np.int64(rows[row]["next"])


@njit(nogil=True)
def _same_fields(one, other):
    """Whether two rows agree in all that is cheap to compare."""
    return (
        one["span_id"] == other["span_id"]
        and one["start_ns"] == other["start_ns"]
        and one["end_ns"] == other["end_ns"]
        and one["raw_length"] == other["raw_length"]
        and one["resource"] == other["resource"]
        and one["kind"] == other["kind"]
    )


@njit(nogil=True)
def _same_bytes(raw, one, other):
    first = np.int64(one["raw_offset"])
    second = np.int64(other["raw_offset"])
    for i in range(np.int64(one["raw_length"])):  # noqa: SIM110 (numba has no all())
        if raw[first + i] != raw[second + i]:
            return False
    return True


@njit(nogil=True)
def _field_hash(row, seeds):
    return hash_words(row["span_id"], np.uint64(row["start_ns"]), seeds)


@njit(nogil=True)
def _byte_hash(raw, row, seeds):
    """Secretly seeded hash of a row's bytes, so nobody can make different spans meet."""
    start = np.int64(row["raw_offset"])
    low = seeds[5]
    for i in range(np.int64(row["raw_length"])):
        low = (low ^ np.uint64(raw[start + i])) * seeds[6]
        low ^= low >> np.uint64(29)
    return hash_words(low, row["span_id"], seeds)


@njit(nogil=True)
def _mark_duplicates(raw, rows, order, count, table, seeds):
    """Turn order[i] into ~order[i] for every row that an older row of the trace equals byte for byte.

    `table` is all zero before and after; its length is a power of two, at least twice `count`.
    A row is looked up by its id and times. Only when a different row stands there is it looked up
    again by its bytes: so a million spans under one id stay linear, and an ordinary span costs no
    hash of its bytes.

    Returns
    -------
    int
        Rows marked.
    """
    size = 4
    while size < 2 * count:
        size *= 2
    mask = size - 1
    marked = 0
    for i in range(count):
        row = rows[order[i]]
        at = _field_hash(row, seeds) & mask
        by_bytes = False
        while table[at] != 0:
            other = rows[order[table[at] - 1]]
            if _same_fields(row, other):
                if _same_bytes(raw, row, other):
                    order[i] = ~order[i]
                    marked += 1
                    break
                if not by_bytes:
                    by_bytes = True
                    at = _byte_hash(raw, row, seeds) & mask
                    continue
            at = (at + 1) & mask
        else:
            table[at] = i + 1
    for at in range(size):
        table[at] = 0
    return marked


@njit(nogil=True)
def _leave_out(rows, traces, live, head_of, state, limits, order, count, slot):
    """Take the marked rows out of the chain, count them, and let their bytes go. Rows left."""
    kept = 0
    before = np.int64(-1)
    for i in range(count):
        r = np.int64(order[i])
        if r >= 0:
            rows[r]["next"] = before
            before = r
            order[kept] = r
            kept += 1
        else:
            length = np.int64(rows[~r]["raw_length"])
            live[head_of[~r >> limits[a.SEGMENT_SHIFT]]] -= 1
            traces[slot]["byte_count"] -= length
            state[a.HELD_BYTES] -= length
            state[a.OPEN_BYTES] -= length
    traces[slot]["head"] = before
    traces[slot]["span_count"] = kept
    state[a.DEDUPED] += count - kept
    state[a.OPEN_SPANS] -= count - kept
    state[a.HELD_SPANS] -= count - kept
    return kept


@njit(
    a.INT(
        a.RAW,
        a.ROWS,
        a.TRACES,
        a.LISTS,
        a.SLOTS,
        a.SLOTS,
        a.LEARNED,
        a.WORDS,
        a.WORDS,
        a.SEEDS,
        a.INT,
        a.SLOTS,
        a.SLOTS,
        a.SLOTS,
        a.ROWS,
        a.WORDS,
        a.META,
    ),
    cache=True,
    nogil=True,
)
def gather(
    raw,
    rows,
    traces,
    lists,
    live,
    head_of,
    learned,
    state,
    limits,
    seeds,
    now,
    slots,
    order,
    table,
    out,
    trace_ptr,
    meta,
):
    """Copy the rows of collected traces into `out`, grouped by trace, in order of arrival.

    A re-opened trace whose late rows were all duplicates is not released again.

    Parameters
    ----------
    slots : int32[n]
        Records `collect_due` has taken.
    order, table : int32[...]
        Scratch for the largest trace of the batch; `table` is zero, a power of two long, and at
        least twice its rows.
    out : SPAN_DTYPE[...]
        Room for every row of the traces.
    trace_ptr : int64[n + 1], meta : int32[n, META_COUNT]
        Filled for the traces released.

    Returns
    -------
    int
        Traces released, at most n.
    """
    written = 0
    at = np.int64(0)
    trace_ptr[0] = 0
    heads = np.empty(AHEAD, np.int32)
    for k in range(slots.shape[0]):
        if k % AHEAD == 0:
            ahead = 0
            for i in range(k, min(k + AHEAD, slots.shape[0])):
                if traces[slots[i]]["head"] >= 0:
                    heads[ahead] = traces[slots[i]]["head"]
                    ahead += 1
            walk_ahead(rows, heads, ahead)
        slot = np.int64(slots[k])
        trace = traces[slot]
        count = np.int64(trace["span_count"])
        old = np.int64(trace["released_count"])
        _chain(rows, trace["head"], count, order)
        if count > 1 and _mark_duplicates(raw, rows, order, count, table, seeds) > 0:
            count = _leave_out(rows, traces, live, head_of, state, limits, order, count, slot)
        trace["state"] = a.RELEASED
        if count == old:
            if trace["holds"] == 0:
                keep_trace(traces, lists, state, slot, now)
            continue
        new_bytes = np.int64(0)
        for i in range(count):
            out[at + i] = rows[order[i]]
            out[at + i]["next"] = -1
            if i >= old:
                new_bytes += np.int64(rows[order[i]]["raw_length"])
        at += count
        reason = trace["pending"]
        if reason <= a.REASON_MAX_AGE:  # a trace that was cut short teaches nothing about waiting
            observe(traces, learned, limits, slot)
        trace["reason"] = reason
        if trace["revision"] == 0:
            trace["early_count"] = count
        trace["revision"] += 1
        trace["released_count"] = count
        trace["holds"] += 1
        state[a.OPEN_SPANS] -= count - old
        state[a.OPEN_BYTES] -= new_bytes
        state[a.RELEASED_TRACES + reason] += 1
        state[a.RELEASED_SPANS + reason] += count - old
        meta[written, a.META_REASON] = reason
        meta[written, a.META_REVISION] = trace["revision"]
        meta[written, a.META_DROPPED] = trace["dropped"]
        meta[written, a.META_LATE] = count - trace["early_count"]
        meta[written, a.META_SLOT] = slot
        written += 1
        trace_ptr[written] = at
    return written


@njit(a.INT(a.RAW, a.ROWS, a.INT, a.INT, a.SEEDS, a.SLOTS, a.SLOTS, a.ROWS), cache=True, nogil=True)
def copy_rows(raw, rows, head, count, seeds, order, table, out):
    """Copy the rows of one chain, duplicates left out, and change nothing. Returns rows copied."""
    _chain(rows, head, count, order)
    _mark_duplicates(raw, rows, order, count, table, seeds)
    copied = 0
    for i in range(count):
        if order[i] >= 0:
            out[copied] = rows[order[i]]
            out[copied]["next"] = -1
            copied += 1
    return copied


@njit(a.VOID(a.RAW, a.ROWS, a.RAW), cache=True, nogil=True)
def copy_bytes(raw, out, out_raw):
    """Copy the bytes of the rows of `out` one after another and let the rows point to them."""
    at = np.int64(0)
    for i in range(out.shape[0]):
        start = np.int64(out[i]["raw_offset"])
        length = np.int64(out[i]["raw_length"])
        out_raw[at : at + length] = raw[start : start + length]
        out[i]["raw_offset"] = at
        at += length
