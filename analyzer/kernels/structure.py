"""Shapes of traces: what is odd below each span, and what a batch teaches. Arrays only.

In: operations, callees, kinds, trees, what failed, counts by (operation, callee), expected calls. Out: scores, or
changed counts. Never raises, never recurses; linear in spans, whatever the fan-out.

Executions that failed, or whose child failed, teach nothing and are never odd: the failure explains their shape.

Truth: tests/support/naive/structure.py (dicts).
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from analyzer.kernels.call_shapes import (
    CLIENT,
    CONSUMER,
    FAST,
    FAST_MISSED,
    OVERLAPPED,
    PRESENT,
    PRODUCER,
    SERVER,
    SERVER_KIND,
    SEVERAL,
    count_bin,
    is_called,
    tally,
    usual_count,
)
from analyzer.kernels.expected_calls import RISE, RISE_COUNT
from analyzer.kernels.options import ARRAYS_ONLY
from analyzer.kernels.waits import learn_wait, wait_p

# Absences found in bad traces are learned while they are this rare, and few of late: a rare healthy branch is
# found once or twice and then known, a fault never teaches itself.
_LEARN_SHARE = 0.001

_LOW = np.uint64(0xFFFFFFFF)
_IDS = types.uint32[::1]
_KINDS = types.uint8[::1]
_FLAGS = types.boolean[::1]
_NODES = types.int32[::1]
_KEYS = types.uint64[::1]
_SLOTS = types.int32[::1]
_COUNTS = types.int32[::1]
_ROWS = types.float32[:, :, ::1]
_MASS = types.float64[:, ::1]
_REALS = types.float32[::1]


@njit(
    types.void(
        _IDS,
        _IDS,
        _KINDS,
        _FLAGS,
        _NODES,
        _NODES,
        _NODES,
        types.boolean[::1],
        types.int64[:, ::1],
        _SLOTS,
        _SLOTS,
        _ROWS,
        _MASS,
        types.float64[::1],
        _KEYS,
        _SLOTS,
        _SLOTS,
        _REALS,
        _SLOTS,
        _SLOTS,
        _COUNTS,
        _COUNTS,
        types.float32[:, ::1],
        types.int32[::1],
        types.int32[:, ::1],
    ),
    **ARRAYS_ONLY,
)
def score(
    operation,
    callee,
    kind,
    failed,
    parent,
    child_ptr,
    child,
    timed,
    times_ns,
    own,
    pair,
    rows,
    mass,
    limits,
    keys,
    first,
    pairs,
    surprise,
    usual_first,
    usual_pairs,
    counted,
    stamp,
    out,
    repeated,
    calls,
):
    """Say what is odd in the shape below each node.

    Parameters
    ----------
    operation, callee : uint32[m]
    kind : uint8[m]
    failed : bool[m]
    parent, child_ptr, child : int32[m], int32[m + 1], int32[...]
    timed : bool[m]
        Both times can be used.
    times_ns : int64[2, m]
        Start and end.
    own, pair : int32[m]
        From `find_edges`.
    rows, mass : the counts
    limits : float64[4]
        Fewest executions before a usual number is told; before a share of servers is; slow scale; how many times
        the usual number is too many.
    keys : uint64[capacity]
    first, pairs, surprise
        From `expect`.
    usual_first, usual_pairs
        The same for calls that are made in most executions, if not in nearly all.
    counted, stamp : int32[more than the largest callee]
        Room to count in (`call_shapes.tally`): zeros, -1.
    out : float32[4, m]
        Written: surprise of missing calls (nats), usual number of the like calls, share of SERVER children, upper
        tail p of the wait of a message.
    repeated : int32[m]
        Written: number of like calls, of those that stand out most from their usual number.
    calls : int32[2, len(usual_pairs)]
        Added to: executions that could have made the usual call, and those that left it out.
    """
    for i in range(operation.shape[0]):
        out[0, i] = 0.0
        out[1, i] = np.nan
        out[2, i] = np.nan
        out[3, i] = np.nan
        repeated[i] = 0
        begin, end = child_ptr[i], child_ptr[i + 1]
        slot = own[i]
        above = parent[i]
        if kind[i] == CONSUMER and above >= 0 and kind[above] == PRODUCER and timed[i] and timed[above]:
            out[3, i] = wait_p(rows, pair[i], times_ns[0, i] - times_ns[1, above], limits)
        executions = mass[slot, PRESENT] / limits[2] if slot >= 0 else 0.0
        if kind[i] == CLIENT and executions >= limits[1] and executions > 0.0:
            out[2, i] = mass[slot, SERVER] / limits[2] / executions
        listed = slot >= 0 and slot + 1 < first.shape[0]
        expected = first[slot + 1] - first[slot] if listed else 0
        usually = usual_first[slot + 1] - usual_first[slot] if listed else 0
        if begin == end and expected == 0 and usually == 0:
            continue
        explained = failed[i]
        for k in range(begin, end):
            c = child[k]
            explained = explained or failed[c]
            if kind[c] == CLIENT and callee[c] == operation[c] and own[c] >= 0:
                # A call whose answer was always seen, and is not now: spans were lost, not calls.
                explained = explained or 2.0 * mass[own[c], SERVER] > mass[own[c], PRESENT]
            tally(callee[c], i, counted, stamp)
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
        if explained or kind[i] == CLIENT or kind[i] == PRODUCER:
            continue
        if expected > 0:
            for e in range(first[slot], first[slot + 1]):
                op = np.int64(keys[pairs[e]] & _LOW)
                if surprise[e] > 0.0 and not is_called(op, i, stamp):
                    out[0, i] += surprise[e]
        if usually > 0:
            for e in range(usual_first[slot], usual_first[slot + 1]):
                calls[0, e] += 1
                calls[1, e] += not is_called(np.int64(keys[usual_pairs[e]] & _LOW), i, stamp)


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
        _COUNTS,
        _COUNTS,
    ),
    **ARRAYS_ONLY,
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
    counted,
    stamp,
):
    """Count the shapes of a batch.

    Parameters
    ----------
    operation, callee, kind, failed, child_ptr, child, own, pair, rows, mass, keys, first, pairs, counted,
    stamp
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
                tally(callee[c], i, counted, stamp)
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
                if not is_called(op, i, stamp):
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
                    learn_wait(rows, s, times_ns[0, c] - times_ns[1, i], slow)
