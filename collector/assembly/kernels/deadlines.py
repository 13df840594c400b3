"""When a trace is due: the timer wheel and what arrival spreads have taught.

A deadline that moves later leaves the record where it is: the wheel looks at it, finds it is not
time, and files it again. Only a root that brings the deadline closer moves a record.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from collector.assembly.kernels import layout as a
from collector.assembly.kernels.lists import append, unlink

# Upper edges of the spread bins, milliseconds: two an octave, 25 ms .. 72 s.
SPREAD_EDGES_MS = np.array([round(25 * 2 ** (k / 2)) for k in range(24)], np.int64)
# When an operation has this many observations they are halved: old ones fade.
OBSERVATIONS_MAX = 1024


@njit(nogil=True)
def root_wait(learned, operation, limits):
    """Milliseconds to wait after the root came.

    The quantile of the arrival spreads of this root operation, as the upper edge of its bin, within
    the bounds; the configured wait until enough was seen.
    """
    total = np.int64(0)
    for i in range(learned.shape[1]):
        total += np.int64(learned[operation, i])
    wait = limits[a.ROOT_IDLE_MS]
    if total >= limits[a.ROOT_OBSERVATIONS_MIN]:
        need = (total * limits[a.ROOT_QUANTILE_PERMILLE] + 999) // 1000
        seen = np.int64(0)
        for i in range(learned.shape[1]):
            seen += np.int64(learned[operation, i])
            if seen >= need:
                wait = SPREAD_EDGES_MS[i]
                break
    return min(max(wait, limits[a.ROOT_IDLE_MIN_MS]), limits[a.ROOT_IDLE_MAX_MS])


@njit(nogil=True)
def observe(traces, learned, limits, slot):
    """Count how long after its root the last row of a trace came.

    A trace is counted once: what a late row teaches moves the earlier count. Spreads beyond the longest
    wait are not counted, because no wait could have caught them; those traces re-open instead.
    """
    if not traces[slot]["flags"] & a.HAS_ROOT:
        return
    operation = traces[slot]["root_operation"]
    old = np.int64(traces[slot]["spread_bin"])
    if old > 0 and learned[operation, old - 1] > 0:
        learned[operation, old - 1] -= 1
    traces[slot]["spread_bin"] = 0
    spread = (np.int64(traces[slot]["last_ms"]) - np.int64(traces[slot]["root_ms"])) & a.MASK_32
    if spread > limits[a.ROOT_IDLE_MAX_MS]:
        return
    at = 0
    while at < SPREAD_EDGES_MS.shape[0] - 1 and SPREAD_EDGES_MS[at] < spread:
        at += 1
    total = np.int64(0)
    for i in range(learned.shape[1]):
        total += np.int64(learned[operation, i])
    if total >= OBSERVATIONS_MAX:
        for i in range(learned.shape[1]):
            learned[operation, i] = learned[operation, i] >> 1
    learned[operation, at] += 1
    traces[slot]["spread_bin"] = at + 1


@njit(nogil=True)
def due_age(traces, limits, slot):
    """Age (milliseconds since `first_ms`) at which the trace is due, and the reason."""
    flags = traces[slot]["flags"]
    first = np.int64(traces[slot]["first_ms"])
    last = (np.int64(traces[slot]["last_ms"]) - first) & a.MASK_32
    if flags & a.HAS_ROOT and not flags & a.REOPENED:
        root = (np.int64(traces[slot]["root_ms"]) - first) & a.MASK_32
        # Rows still streaming in push the end on: cutting here would only make a revision.
        age = max(root + np.int64(traces[slot]["wait_ms"]), last + limits[a.ROOT_IDLE_MIN_MS])
        reason = a.REASON_ROOT_IDLE
    else:
        age = last + limits[a.IDLE_MS]
        reason = a.REASON_IDLE
    if limits[a.AGE_MAX_MS] < age:
        return limits[a.AGE_MAX_MS], a.REASON_MAX_AGE
    return age, reason


@njit(nogil=True)
def file_open(traces, lists, state, limits, slot, now):
    """Put an open trace on the wheel; one that is there moves only to an earlier bucket."""
    age, _ = due_age(traces, limits, slot)
    passed = (now - np.int64(traces[slot]["first_ms"])) & a.MASK_32
    tick = (now + max(age - passed, 0)) >> a.TICK_SHIFT
    ahead = min(max(tick - state[a.TICK], 0), a.WHEEL - 1)
    filed = traces[slot]["list"]
    if filed >= a.WHEEL:
        return  # it is due already
    if filed >= 0:
        if ahead >= (filed - state[a.TICK]) & (a.WHEEL - 1):
            return
        unlink(traces, lists, slot)
    append(traces, lists, (state[a.TICK] + ahead) & (a.WHEEL - 1), slot)


@njit(nogil=True)
def make_due(traces, lists, slot, reason):
    """Let an open trace leave with the next release, whatever its deadline."""
    if traces[slot]["list"] != a.DUE:
        unlink(traces, lists, slot)
        traces[slot]["pending"] = reason
        append(traces, lists, a.DUE, slot)


@njit(nogil=True)
def set_hand(state, now):
    """Set the wheel's hand once, at the first moment the owner tells."""
    if state[a.STARTED] == 0:
        state[a.STARTED] = 1
        state[a.TICK] = now >> a.TICK_SHIFT


@njit(
    a.INT(a.TRACES, a.LISTS, a.WORDS, a.WORDS, a.INT, a.INT, a.SLOTS),
    cache=True,
    nogil=True,
)
def collect_due(traces, lists, state, limits, now, spans_max, slots):
    """Take due traces off their lists, the ones a limit or pressure closed first.

    Parameters
    ----------
    spans_max : int
        Stop before the rows of the batch exceed this; one trace is always taken.
    slots : int32[traces_max]
        Filled with the records taken; their `pending` says why.

    Returns
    -------
    int
        How many; the work is bounded by what is due and by one turn of the wheel.
    """
    set_hand(state, now)
    count = 0
    spans = 0
    slot = np.int64(lists[a.DUE, 0])
    while slot >= 0:
        spans += traces[slot]["span_count"]
        if count == slots.shape[0] or (count > 0 and spans > spans_max):
            return count
        unlink(traces, lists, slot)
        slots[count] = slot
        count += 1
        slot = np.int64(lists[a.DUE, 0])
    end = now >> a.TICK_SHIFT
    # After a long pause every bucket is visited once, not once for each turn missed.
    state[a.TICK] = max(state[a.TICK], end - a.WHEEL + 1)
    while True:
        bucket = state[a.TICK] & (a.WHEEL - 1)
        stop = np.int64(lists[bucket, 1])
        slot = np.int64(lists[bucket, 0])
        while slot >= 0:
            after = np.int64(traces[slot]["after"])
            age, reason = due_age(traces, limits, slot)
            passed = (now - np.int64(traces[slot]["first_ms"])) & a.MASK_32
            if passed >= age:
                spans += traces[slot]["span_count"]
                if count == slots.shape[0] or (count > 0 and spans > spans_max):
                    return count
                unlink(traces, lists, slot)
                traces[slot]["pending"] = reason
                slots[count] = slot
                count += 1
            else:
                unlink(traces, lists, slot)
                tick = max((now + age - passed) >> a.TICK_SHIFT, state[a.TICK])
                append(traces, lists, min(tick, state[a.TICK] + a.WHEEL - 1) & (a.WHEEL - 1), slot)
            if slot == stop:
                break  # what was filed behind it belongs to a later look
            slot = after
        if state[a.TICK] >= end:
            return count
        state[a.TICK] += 1


@njit(a.INT(a.TRACES, a.LISTS, a.INT), cache=True, nogil=True)
def make_all_due(traces, lists, reason):
    """Let every open trace leave with the next releases. Returns how many that adds."""
    count = 0
    for bucket in range(a.WHEEL):
        while lists[bucket, 0] >= 0:
            make_due(traces, lists, np.int64(lists[bucket, 0]), reason)
            count += 1
    return count
