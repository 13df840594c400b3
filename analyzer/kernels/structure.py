"""Shapes of traces: which calls an operation makes, how many, how late. Arrays only.

In: operations, kinds, trees, what failed, counts by (parent operation, child operation). Out: changed
counts, expected calls, scores. Never raises, never recurses; linear in spans, whatever the fan-out.

A key (operation, 0) counts executions of an operation, a key (operation, callee) the executions in which the
callee was there. What a CLIENT span is about is the operation that answered it, when that was seen: ten calls
named `POST` to three services are three callees. Executions that failed, or whose child failed, teach nothing
and are never odd: the failure explains their shape.

Truth: tests/support/naive/structure.py (dicts).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types

from analyzer.kernels.bins import BINS_PER_OCTAVE, bin_of
from analyzer.kernels.pairs import find_slot

# Columns of `mass`. The first five slow, the others fast (analyzer.kernels.decay).
PRESENT = 0  # executions; of a pair: executions in which the child was there
SERVER = 1  # executions with a SERVER child
OVERLAPPED = 2  # executions of which two children ran at the same time
SEVERAL = 3  # executions with two children or more
FAST = 5  # as PRESENT, fast horizon, bad traces too
FAST_MISSED = 6  # pairs: executions without the child, though it is expected

# A row, layer 0 slow and layer 1 fast: how often the callee was there how many times, and how long after its
# producer it began.
COUNT_UPPER = np.array([1, 2, 3, 4, 5, 7, 9, 12, 16, 24, 32, 48, 64, 128, 512, 1 << 30], np.int64)
GAPS = 16  # first column of the gaps: octaves from 512 ns
OCTAVES = 32
WIDTH = GAPS + OCTAVES

SERVER_KIND, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5

# An absence nobody has met before, or one that comes four times as often as it used to (and four times more).
_UNSEEN = 1.5
RISE = 3.0
RISE_COUNT = 4.0
# Absences found in bad traces are learned while they are this rare, and few of late: a rare healthy branch is
# found once or twice and then known, a fault never teaches itself.
_LEARN_SHARE = 0.001
# One-sided 99 % lower bound (Wilson 1927) of the share of executions that make a call.
_WILSON_Z = 2.33

_U32 = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_ZERO = np.uint64(0)
_IDS = types.uint32[::1]
_KINDS = types.uint8[::1]
_FLAGS = types.boolean[::1]
_NODES = types.int32[::1]
_KEYS = types.uint64[::1]
_SLOTS = types.int32[::1]
_ROWS = types.float32[:, :, ::1]
_MASS = types.float64[:, ::1]
_REALS = types.float32[::1]


@njit(types.void(_IDS, _KINDS, _NODES, _NODES, _IDS), cache=True, nogil=True)
def find_callees(operation, kind, child_ptr, child, callee):
    """Fill callee[i]: the operation of the first SERVER span below a CLIENT span, else the node's own."""
    for i in range(operation.shape[0]):
        callee[i] = operation[i]
        if kind[i] == CLIENT:
            for k in range(child_ptr[i], child_ptr[i + 1]):
                if kind[child[k]] == SERVER_KIND and operation[child[k]] != 0:
                    callee[i] = operation[child[k]]
                    break


@njit(types.void(_IDS, _IDS, _KINDS, _NODES, _KEYS, _SLOTS, _SLOTS, _SLOTS), cache=True, nogil=True)
def find_edges(operation, callee, kind, parent, table_keys, table_slots, own, pair):
    """Fill own[i] with the slot of node i's operation, pair[i] with that of (parent's operation, its callee).

    -1 where there is none. Pairs under a CLIENT span are not kept: what is below it is another service's
    answer, not the caller's doing (its share of SERVER children is, in the operation's own row).
    """
    for i in range(operation.shape[0]):
        own[i] = -1
        pair[i] = -1
        key = np.uint64(operation[i])
        if key == _ZERO:
            continue
        own[i] = find_slot(key << _U32, table_keys, table_slots)
        above = parent[i]
        if above >= 0 and operation[above] != 0 and kind[above] != CLIENT:
            pair[i] = find_slot(np.uint64(operation[above]) << _U32 | np.uint64(callee[i]), table_keys, table_slots)


@njit(
    types.int64(
        _KEYS, _KEYS, _SLOTS, types.int64, _MASS, types.float64[::1], types.float64[::1], _SLOTS, _SLOTS, _REALS
    ),
    cache=True,
    nogil=True,
)
def expect(keys, table_keys, table_slots, used, mass, scales, limits, first, pairs, surprise):
    """List for every operation the calls it is expected to make, and how surprising each one's absence is.

    Parameters
    ----------
    keys : uint64[capacity]
        0 where a slot is free.
    table_keys, table_slots
        The hash table.
    used : int64
    mass : float64[capacity, MASS]
    scales : float64[2]
        Slow, fast.
    limits : float64[4]
        Fewest executions; smallest share (lower bound); least surprise in nats; 1 to leave one absence and one
        execution out of the counts (the trace that is scored has been learned), else 0.
    first : int32[used + 1]
        Written: pairs[first[s]:first[s + 1]] are expected of the operation in slot s.
    pairs : int32[used]
        Written: slots of pairs.
    surprise : float32[used]
        Written, beside `pairs`: nats, -log of the share of executions without the call; 0 when the absence is a
        thing that happens, as often as it does now.

    Returns
    -------
    int64
        How many are expected.
    """
    owner = np.full(used, -1, np.int32)
    nats = np.zeros(used, np.float32)
    first[:] = 0
    for s in range(used):
        key = keys[s]
        if key == _ZERO or key & _LOW == _ZERO:
            continue
        o = find_slot(key & ~_LOW, table_keys, table_slots)
        if o < 0:
            continue
        n = mass[o, PRESENT] / scales[0]
        present = min(mass[s, PRESENT] / scales[0], n)
        n -= limits[3]
        if n < limits[0]:
            continue
        absent = max(0.0, n - present)
        share = (n - absent) / n
        z = _WILSON_Z * _WILSON_Z / n
        bound = (share + z / 2 - math.sqrt(z * (share * (1.0 - share) + z / 4))) / (1.0 + z)
        if bound < limits[1]:
            continue
        owner[s] = o
        first[o + 1] += 1
        usual = mass[o, FAST] / scales[1] * (absent + 1.0) / (n + 1.0)
        rising = mass[s, FAST_MISSED] / scales[1] >= RISE_COUNT + RISE * usual
        if absent < _UNSEEN or rising:
            nats[s] = -math.log((absent + 0.5) / (n + 1.0))
            if nats[s] < limits[2]:
                nats[s] = 0.0
    for s in range(used):
        first[s + 1] += first[s]
    total = first[used]
    for k in range(used):
        s = used - 1 - k
        if owner[s] >= 0:
            at = first[owner[s] + 1] - 1
            # Filled from behind: first[o + 1] walks down to first[o], and is put right below.
            pairs[at] = s
            surprise[at] = nats[s]
            first[owner[s] + 1] = at
    # Every first[o + 1] now stands at the beginning of o's part: shift back by one.
    for s in range(used):
        first[s] = first[s + 1]
    first[used] = total
    return total


@njit(types.int64(types.int64), cache=True, nogil=True)
def count_bin(count):
    """Column of a number of like calls."""
    for b in range(COUNT_UPPER.shape[0] - 1):
        if count <= COUNT_UPPER[b]:
            return b
    return COUNT_UPPER.shape[0] - 1


@njit(types.int64(_REALS, types.int64, types.int64, types.float64), cache=True, nogil=True)
def upper_bin(row, begin, end, q):
    """First column at which a share q of row[begin:end] is reached, less `begin`; -1 when it is empty."""
    total = 0.0
    for b in range(begin, end):
        total += float(row[b])
    below = 0.0
    for b in range(begin, end):
        below += float(row[b])
        if total > 0.0 and below >= q * total:
            return b - begin
    return -1


@njit(types.float64(_REALS, types.float64), cache=True, nogil=True)
def usual_count(row, ratio):
    """Number of like calls that 95 % of executions do not exceed; nan of an empty row.

    More when the tail is heavy: `ratio` times the usual number is then what 99.8 % do not exceed.
    """
    b = upper_bin(row, 0, GAPS, 0.95)
    if b < 0:
        return np.nan
    return max(float(COUNT_UPPER[b]), COUNT_UPPER[upper_bin(row, 0, GAPS, 0.998)] / ratio)


@njit(
    types.void(
        _IDS,
        _IDS,
        _KINDS,
        _FLAGS,
        _NODES,
        _NODES,
        _SLOTS,
        _SLOTS,
        _ROWS,
        _MASS,
        types.float64[::1],
        _KEYS,
        _SLOTS,
        _SLOTS,
        _REALS,
        types.float32[:, ::1],
        types.int32[::1],
    ),
    cache=True,
    nogil=True,
)
def score(
    operation,
    callee,
    kind,
    failed,
    child_ptr,
    child,
    own,
    pair,
    rows,
    mass,
    limits,
    keys,
    first,
    pairs,
    surprise,
    out,
    repeated,
):
    """Say what is odd in the shape below each node.

    Parameters
    ----------
    operation, callee : uint32[m]
    kind : uint8[m]
    failed : bool[m]
    child_ptr, child : int32[m + 1], int32[...]
    own, pair : int32[m]
        From `find_edges`.
    rows, mass : the counts
    limits : float64[4]
        Fewest executions before a usual number is told; before a share of servers is; slow scale; how many times
        the usual number is too many.
    keys : uint64[capacity]
    first, pairs, surprise
        From `expect`.
    out : float32[3, m]
        Written: surprise of missing calls (nats), usual number of the like calls, share of SERVER children.
    repeated : int32[m]
        Written: number of like calls, of those that stand out most from their usual number.
    """
    most = np.uint32(0)
    for i in range(operation.shape[0]):
        most = max(most, callee[i])
    counted = np.zeros(np.int64(most) + 1, np.int32)
    stamp = np.full(np.int64(most) + 1, -1, np.int32)
    for i in range(operation.shape[0]):
        out[0, i] = 0.0
        out[1, i] = np.nan
        out[2, i] = np.nan
        repeated[i] = 0
        begin, end = child_ptr[i], child_ptr[i + 1]
        slot = own[i]
        executions = mass[slot, PRESENT] / limits[2] if slot >= 0 else 0.0
        if kind[i] == CLIENT and executions >= limits[1] and executions > 0.0:
            out[2, i] = mass[slot, SERVER] / limits[2] / executions
        expected = first[slot + 1] - first[slot] if slot >= 0 and slot + 1 < first.shape[0] else 0
        if begin == end and expected == 0:
            continue
        explained = failed[i]
        for k in range(begin, end):
            c = child[k]
            explained = explained or failed[c]
            if kind[c] == CLIENT and callee[c] == operation[c] and own[c] >= 0:
                # A call whose answer was always seen, and is not now: spans were lost, not calls.
                explained = explained or 2.0 * mass[own[c], SERVER] > mass[own[c], PRESENT]
            op = callee[c]
            if op == 0:
                continue  # `<other>`: not one operation
            if stamp[op] != i:
                stamp[op] = i
                counted[op] = 0
            counted[op] += 1
        best = -1.0
        for k in range(begin, end):
            c = child[k]
            op = callee[c]
            count = counted[op]
            if count == 0:
                continue  # met before: each operation is looked at once
            counted[op] = 0
            usual = np.nan
            if count > 1 and executions >= limits[0] and pair[c] >= 0:
                usual = usual_count(rows[pair[c], 0], limits[3])
            ratio = count / usual if usual > 0.0 else float(count)
            if ratio > best or (ratio == best and count > repeated[i]):
                best = ratio
                repeated[i] = count
                out[1, i] = usual
        if expected > 0 and not explained and kind[i] != CLIENT and kind[i] != PRODUCER:
            for e in range(first[slot], first[slot + 1]):
                op = np.int64(keys[pairs[e]] & _LOW)
                if surprise[e] > 0.0 and (op > np.int64(most) or stamp[op] != i):
                    out[0, i] += surprise[e]


@njit(
    types.void(
        _IDS,
        _IDS,
        _KINDS,
        _FLAGS,
        _FLAGS,
        types.int64[::1],
        _NODES,
        _NODES,
        types.int64[:, ::1],
        _SLOTS,
        _SLOTS,
        _ROWS,
        _MASS,
        types.float64[::1],
        _KEYS,
        _SLOTS,
        _SLOTS,
    ),
    cache=True,
    nogil=True,
)
def learn(
    operation,
    callee,
    kind,
    failed,
    bad,
    trace_ptr,
    child_ptr,
    child,
    times_ns,
    own,
    pair,
    rows,
    mass,
    scales,
    keys,
    first,
    pairs,
):
    """Count the shapes of a batch.

    Parameters
    ----------
    operation, callee, kind, failed, child_ptr, child, own, pair, rows, mass, keys, first, pairs
        As in `score`.
    bad : bool[T]
        Traces that something was found in: they teach the fast horizon, and rare absences; the rest only while
        the operation is cold, when there is nothing to protect.
    trace_ptr : int64[T + 1]
    times_ns : int64[2, m]
        Start and end.
    scales : float64[3]
        What one execution of now weighs, slow and fast; executions from which on an operation is not cold.
    """
    most = np.uint32(0)
    for i in range(operation.shape[0]):
        most = max(most, callee[i])
    counted = np.zeros(np.int64(most) + 1, np.int32)
    stamp = np.full(np.int64(most) + 1, -1, np.int32)
    slow, fast, count_min = scales[0], scales[1], scales[2]
    for trace in range(trace_ptr.shape[0] - 1):
        for i in range(trace_ptr[trace], trace_ptr[trace + 1]):
            slot = own[i]
            if slot < 0 or failed[i]:
                continue
            begin, end = child_ptr[i], child_ptr[i + 1]
            explained = False
            served = False
            cold = mass[slot, PRESENT] < count_min * slow
            overlapped = False
            open_until = np.int64(0)
            for k in range(begin, end):
                c = child[k]
                explained = explained or failed[c]
                served = served or kind[c] == SERVER_KIND
                overlapped = overlapped or (k > begin and times_ns[0, c] < open_until)
                open_until = times_ns[1, c] if k == begin else max(open_until, times_ns[1, c])
                op = callee[c]
                if op == 0:
                    continue
                if stamp[op] != i:
                    stamp[op] = i
                    counted[op] = 0
                counted[op] += 1
            if explained:
                continue
            mass[slot, FAST] += fast
            expected = first[slot + 1] - first[slot] if slot + 1 < first.shape[0] else 0
            teaches = cold or not bad[trace]
            executions = mass[slot, PRESENT]
            missed = 0
            rare = True
            for e in range(expected):
                s = pairs[first[slot] + e]
                op = np.int64(keys[s] & _LOW)
                if op > np.int64(most) or stamp[op] != i:
                    missed += 1
                    mass[s, FAST_MISSED] += fast
                    rare = rare and executions - mass[s, PRESENT] + slow <= _LEARN_SHARE * executions
                    few = RISE_COUNT * fast + RISE * _LEARN_SHARE * mass[slot, FAST]
                    rare = rare and mass[s, FAST_MISSED] <= few
            if bad[trace] and missed > 0 and rare:
                teaches = True
            if teaches:
                mass[slot, PRESENT] += slow
                if served:
                    mass[slot, SERVER] += slow
                if end - begin > 1:
                    mass[slot, SEVERAL] += slow
                    if overlapped:
                        mass[slot, OVERLAPPED] += slow
            for k in range(begin, end):
                c = child[k]
                op = callee[c]
                s = pair[c]
                if s < 0:
                    continue
                if counted[op] > 0:
                    mass[s, FAST] += fast
                    rows[s, 1, count_bin(counted[op])] += np.float32(fast)
                    if teaches:
                        mass[s, PRESENT] += slow
                        rows[s, 0, count_bin(counted[op])] += np.float32(slow)
                    counted[op] = 0
                if teaches and kind[i] == PRODUCER and kind[c] == CONSUMER:
                    gap = bin_of(times_ns[0, c] - times_ns[1, i]) // BINS_PER_OCTAVE
                    rows[s, 0, GAPS + gap] += np.float32(slow)
