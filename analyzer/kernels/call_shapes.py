"""Which call is which, and how often one is made: the columns of the counts, and how they are read. Arrays only.

In: operations, kinds, trees, rows of counts. Out: what each span is about, its slots, usual numbers. Never raises.

A key (operation, 0) counts executions of an operation, a key (operation, callee) the executions in which the
callee was there. What a CLIENT span is about is the operation that answered it, when that was seen: ten calls
named `POST` to three services are three callees.

Truth: tests/support/naive/structure.py (dicts).
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from analyzer.kernels.options import ARRAYS_ONLY, INLINED
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

_U32 = np.uint64(32)
_ZERO = np.uint64(0)
_IDS = types.uint32[::1]
_KINDS = types.uint8[::1]
_NODES = types.int32[::1]
_KEYS = types.uint64[::1]
_SLOTS = types.int32[::1]
_REALS = types.float32[::1]


@njit(types.void(_IDS, _KINDS, _NODES, _NODES, _IDS), **ARRAYS_ONLY)
def find_callees(operation, kind, child_ptr, child, callee):
    """Fill callee[i]: the operation of the first SERVER span below a CLIENT span, else the node's own."""
    for i in range(operation.shape[0]):
        callee[i] = operation[i]
        if kind[i] == CLIENT:
            for k in range(child_ptr[i], child_ptr[i + 1]):
                if kind[child[k]] == SERVER_KIND and operation[child[k]] != 0:
                    callee[i] = operation[child[k]]
                    break


@njit(types.void(_IDS, _IDS, _KINDS, _NODES, _KEYS, _SLOTS, _SLOTS, _SLOTS), **ARRAYS_ONLY)
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


@njit(types.int64(_IDS, _KINDS, _NODES, _NODES, _SLOTS, _SLOTS), **ARRAYS_ONLY)
def count_new(operation, kind, parent, child_ptr, own, pair):
    """Count the nodes that could be the first to show their operation or call; nearly always none."""
    count = 0
    for i in range(operation.shape[0]):
        if operation[i] == 0:
            continue
        above = parent[i]
        is_new = own[i] < 0 and (child_ptr[i + 1] > child_ptr[i] or kind[i] == CLIENT)
        if pair[i] < 0 and above >= 0:
            is_new = is_new or (operation[above] != 0 and kind[above] != CLIENT)
        count += is_new
    return count


@njit(types.void(types.uint32, types.int64, _SLOTS, _SLOTS), **INLINED)
def tally(op, node, counted, stamp):
    """Count one callee of a node; 0 (`<other>`) is not one operation and is not counted.

    counted, stamp : int32[operations]    how often, and of which node (-1: of none yet)
    """
    if op != 0:
        if stamp[op] != node:
            stamp[op] = node
            counted[op] = 0
        counted[op] += 1


@njit(types.boolean(types.int64, types.int64, _SLOTS), **INLINED)
def is_called(op, node, stamp):
    """Whether a node calls an operation, once all its callees are counted."""
    return op < stamp.shape[0] and stamp[op] == node


@njit(types.int64(types.int64), **ARRAYS_ONLY)
def count_bin(count):
    """Column of a number of like calls."""
    for b in range(COUNT_UPPER.shape[0] - 1):
        if count <= COUNT_UPPER[b]:
            return b
    return COUNT_UPPER.shape[0] - 1


@njit(types.int64(_REALS, types.int64, types.int64, types.float64), **ARRAYS_ONLY)
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


@njit(types.float64(_REALS, types.float64), **ARRAYS_ONLY)
def usual_count(row, ratio):
    """Number of like calls that 95 % of executions do not exceed; nan of an empty row.

    More when the tail is heavy: `ratio` times the usual number is then what 99.8 % do not exceed.
    """
    b = upper_bin(row, 0, GAPS, 0.95)
    if b < 0:
        return np.nan
    return max(float(COUNT_UPPER[b]), COUNT_UPPER[upper_bin(row, 0, GAPS, 0.998)] / ratio)
