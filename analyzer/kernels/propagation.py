"""Count how failures travel: per (parent operation, child operation, class), and per operation by itself.

In: a batch with its failures. Out: the counts of an open-addressing table, decayed by its owner. Arrays
only; a full neighbourhood of the table refuses the key and counts it. Truth: tests/support/naive/errors.py.
"""

from __future__ import annotations

import numpy as np
from numba import from_dtype, njit, types

from analyzer.kernels.failure_rules import (
    OWN_KEY,
    RECOVERED,
    answers_error,
    attempt_of,
    find_slot,
    hash_of,
    mix_key,
    says_fine,
    waited_for,
)
from analyzer.spans import SPAN_DTYPE, SpanKind

SEVERAL = -1  # in `callee`, of an operation that calls more than one service
_SERVER, _CLIENT = int(SpanKind.SERVER), int(SpanKind.CLIENT)


def _read(scalar):
    return types.Array(scalar, 1, "C", readonly=True)


@njit(cache=True, nogil=True)
def _count(keys, counts, key, hits, seen):
    """Add to a key, taking a free slot for a new one; return 1 when there was none."""
    slot = find_slot(keys, key)
    if slot < -len(keys):
        return 1
    if slot < 0:
        slot = -1 - slot
        keys[slot] = key
    counts[slot, 0] += hits
    counts[slot, 1] += seen
    return 0


@njit(cache=True, nogil=True)
def _went_on(rows, node_row, parent, flags, failed):
    """bool[m]: whether a failure below a node came out of it.

    A span that says nothing of itself (a server's 402 that is not marked, a piece of work without a status) is no
    sign that it dealt with the failure: what became of that, the span above says.
    """
    found = np.zeros(len(node_row), np.bool_)
    for i in range(len(node_row)):
        r, p = node_row[i], parent[i]
        if failed[i]:
            found[i] = True
        elif says_fine(rows, r):
            found[i] = False
        elif answers_error(rows, r):
            found[i] = True
        else:
            found[i] = p >= 0 and waited_for(rows, node_row, flags, p, i) and found[p]
    return found


@njit(
    [
        types.int64(
            types.Array(from_dtype(SPAN_DTYPE), 1, "C", readonly=True),
            *(_read(scalar) for scalar in (types.int32, types.int32, types.int32, types.int32, types.int64)),
            *(_read(scalar) for scalar in (types.int64, types.uint16, types.boolean, types.uint8, types.uint64)),
            types.uint64[::1],
            types.float32[:, ::1],
            types.int32[::1],
        )
    ],
    cache=True,
    nogil=True,
)
def learn_propagation(
    rows, node_row, parent, child_ptr, child, start_ns, end_ns, flags, failed, error_class, operation_hash,
    keys, counts, callee,
):  # fmt: skip
    """Count a batch, reading spans that say nothing as `kernels.blame` reads them: they let a failure through.

    Parameters
    ----------
    rows ... error_class
        Columns of `TraceBatch`, `Forest` and `Analysis`.
    operation_hash : uint64[n_operations]
    keys : uint64[capacity], counts : float32[capacity, 2]
        The table; capacity a power of two.
    callee : int32[n_operations]
        In, out: string id of the service that answers calls of a CLIENT operation; 0 not known, SEVERAL when the
        operation (`POST`) is used to call more than one.

    Returns
    -------
    int
        Keys that found no place.
    """
    known = len(operation_hash)
    alone = np.zeros((known, 2), np.float32)
    has_failed_child = np.zeros(len(node_row), np.bool_)
    went_on = _went_on(rows, node_row, parent, flags, failed)
    refused = 0
    for i in range(len(node_row) - 1, -1, -1):
        r, p = node_row[i], parent[i]
        if not has_failed_child[i] and rows[r]["operation"] < known:
            alone[rows[r]["operation"], 1] += 1.0
            if failed[i]:
                alone[rows[r]["operation"], 0] += 1.0
        if p < 0:
            continue
        s = node_row[p]
        if rows[r]["kind"] == _SERVER and rows[s]["kind"] == _CLIENT and rows[s]["operation"] < known:
            called = rows[s]["operation"]
            other = callee[called] != 0 and callee[called] != rows[r]["service"]
            callee[called] = SEVERAL if other else rows[r]["service"]
        if not waited_for(rows, node_row, flags, p, i):
            continue
        if not failed[i]:
            if has_failed_child[i] and not says_fine(rows, r):
                has_failed_child[p] = True
            continue
        if attempt_of(rows, node_row, child_ptr, child, start_ns, end_ns, failed, p, i) == RECOVERED:
            continue
        has_failed_child[p] = True
        key = mix_key(
            hash_of(operation_hash, rows[s]["operation"]),
            hash_of(operation_hash, rows[r]["operation"]),
            np.uint64(error_class[i]),
        )
        refused += _count(keys, counts, key, 1.0 if went_on[p] else 0.0, 1.0)
    for operation in range(known):
        if alone[operation, 1] > 0.0:
            key = mix_key(operation_hash[operation], np.uint64(OWN_KEY), np.uint64(0))
            refused += _count(keys, counts, key, alone[operation, 0], alone[operation, 1])
    return refused


@njit([types.int64(types.uint64[::1], types.float32[:, ::1], types.float32)], cache=True, nogil=True)
def sweep(keys, counts, seen_min):
    """Drop keys seen (after decay) less than `seen_min` times, and close the gaps; return how many are left."""
    old_keys, old_counts = keys.copy(), counts.copy()
    keys[:] = np.uint64(0)
    counts[:, :] = 0.0
    left = 0
    for slot in range(len(old_keys)):
        if old_keys[slot] != np.uint64(0) and old_counts[slot, 1] >= seen_min:
            left += 1 - _count(keys, counts, old_keys[slot], old_counts[slot, 0], old_counts[slot, 1])
    return left


def warm() -> None:
    """Load the kernels from the cache, or compile them."""
    one, times = np.zeros(1, np.int32), np.zeros(1, np.int64)
    keys, counts = np.zeros(2, np.uint64), np.zeros((2, 2), np.float32)
    learn_propagation(
        np.zeros(1, SPAN_DTYPE), one, np.full(1, -1, np.int32), np.zeros(2, np.int32), one[:0], times, times,
        np.zeros(1, np.uint16), np.zeros(1, np.bool_), np.zeros(1, np.uint8), np.ones(1, np.uint64),
        keys, counts, np.zeros(1, np.int32),
    )  # fmt: skip
    sweep(keys, counts, 0.01)
