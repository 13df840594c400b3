"""A hash table from a pair of ids to a slot. Arrays only.

A key is one word: operation id in the upper half, another id (a root operation, a child operation,
or 0 for none) in the lower half. 0 means free, so the operation `<other>` (id 0) is never a key.
Open addressing, linear probing, load at most one half; nothing is ever deleted in place: whoever
evicts builds the table anew.

Truth: tests/support/naive/baselines.py (a dict).
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from analyzer.kernels.options import ARRAYS_ONLY, INLINED

_HIGH_FACTOR = np.uint64(0x9E3779B1)
_LOW_FACTOR = np.uint64(0x85EBCA77)
_LOW = np.uint64(0xFFFFFFFF)
_FOLD = np.uint64(32)
_ZERO = np.uint64(0)
_KEYS = types.uint64[::1]
_SLOTS = types.int32[::1]


@njit(types.uint64(types.uint64, types.uint64), cache=True, nogil=True, inline="always")
def home(key, mask):
    """Return the place at which the search for a key begins."""
    # Ids are ours and dense, so nobody outside chooses where a key falls; two multiplications of 32-bit halves
    # are enough, and cannot overflow.
    word = (key >> _FOLD) * _HIGH_FACTOR ^ (key & _LOW) * _LOW_FACTOR
    return (word ^ (word >> _FOLD)) & mask


@njit(types.int32(types.uint64, _KEYS, _SLOTS), **INLINED)
def find_slot(key, table_keys, table_slots):
    """Return the slot of one key, -1 when it is not there."""
    mask = np.uint64(table_keys.shape[0] - 1)
    at = home(key, mask)
    while True:
        found = table_keys[np.int64(at)]
        if found == key:
            return table_slots[np.int64(at)]
        if found == _ZERO:
            return np.int32(-1)
        at = (at + np.uint64(1)) & mask


@njit(types.void(_KEYS, _KEYS, _SLOTS, _SLOTS), **ARRAYS_ONLY)
def find_slots(keys, table_keys, table_slots, slots):
    """Fill `slots` with the slot of each key; -1 where it is not there or the key is 0.

    Parameters
    ----------
    keys : uint64[n]
    table_keys : uint64[size]
        A power of two of places, at least half of them 0.
    table_slots : int32[size]
    slots : int32[n]
        Written.
    """
    for i in range(keys.shape[0]):
        slots[i] = find_slot(keys[i], table_keys, table_slots) if keys[i] != _ZERO else np.int32(-1)


@njit(
    types.void(types.uint32[::1], types.int64[::1], types.uint32[::1], _KEYS, _SLOTS, types.int32[:, ::1]),
    **ARRAYS_ONLY,
)
def find_contexts(operation, trace_ptr, root_operation, table_keys, table_slots, slots):
    """Fill `slots` with two rows a node: of its operation, and of its operation under its trace's root.

    Parameters
    ----------
    operation : uint32[m]
    trace_ptr : int64[T + 1]
    root_operation : uint32[T]
    table_keys, table_slots
        As `find_slots`.
    slots : int32[m, 2]
        Written; -1 where there is none, or an operation is `<other>`.
    """
    for trace in range(trace_ptr.shape[0] - 1):
        root = np.uint64(root_operation[trace])
        for i in range(trace_ptr[trace], trace_ptr[trace + 1]):
            slots[i, 0] = -1
            slots[i, 1] = -1
            key = np.uint64(operation[i]) << _FOLD
            if key != _ZERO:
                slots[i, 0] = find_slot(key, table_keys, table_slots)
                if root != _ZERO:
                    slots[i, 1] = find_slot(key | root, table_keys, table_slots)


@njit(types.void(_KEYS, _SLOTS, _KEYS, _SLOTS), cache=True, nogil=True)
def put_slots(keys, slots, table_keys, table_slots):
    """Enter keys that are not in the table yet, each with its slot. The caller keeps half of it free."""
    mask = np.uint64(table_keys.shape[0] - 1)
    for i in range(keys.shape[0]):
        at = home(keys[i], mask)
        while table_keys[np.int64(at)] != _ZERO:
            at = (at + np.uint64(1)) & mask
        table_keys[np.int64(at)] = keys[i]
        table_slots[np.int64(at)] = slots[i]
