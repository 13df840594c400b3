"""Kernels that sum a batch into operations and edges. Arrays only.

Truth: tests/support/naive/aggregate.py.
"""

from __future__ import annotations

import numpy as np
from numba import from_dtype, njit, types

from analyzer.kernels.options import ARRAYS_ONLY
from analyzer.kernels.pairs import home
from analyzer.spans import SPAN_DTYPE

_ROWS = types.Array(from_dtype(SPAN_DTYPE), 1, "C", readonly=False)
_ROWS_ANY = types.Array(from_dtype(SPAN_DTYPE), 1, "A", readonly=False)

# Edge rules, in the order of `collector.contracts.EdgeRollup.rule`.
CLIENT_SERVER, PARENT_CHILD, PEER_ATTRIBUTE, PRODUCER_CONSUMER = 0, 1, 2, 3
RULES = ("client_server", "parent_child", "peer_attribute", "producer_consumer")

_SERVER, _CLIENT, _PRODUCER, _CONSUMER = 2, 3, 4, 5


@njit(
    [
        types.int64(
            rows,
            types.int32[::1],
            types.int64[::1],
            types.int64[::1],
            types.boolean[::1],
            types.int64[:, ::1],
        )
        for rows in (_ROWS, _ROWS_ANY)
    ],
    **ARRAYS_ONLY,
)
def sum_operations(rows, node_row, start_ns, end_ns, failed, totals):
    """Add every node to its operation's totals.

    Parameters
    ----------
    rows : SPAN_DTYPE[n]
    node_row : int32[m]
    start_ns, end_ns : int64[m]
    failed : bool[m]
    totals : int64[n_operations, 4]
        count, errors, summed duration (saturating), longest duration; added to in place.

    Returns
    -------
    int64
        Nodes whose operation id had no row in `totals` (they went to row 0).
    """
    outside = np.int64(0)
    most = np.int64(1) << np.int64(62)
    for i in range(node_row.shape[0]):
        operation = np.int64(rows[node_row[i]]["operation"])
        if operation >= totals.shape[0]:
            operation = np.int64(0)
            outside += 1
        duration = end_ns[i] - start_ns[i]
        totals[operation, 0] += 1
        if failed[i]:
            totals[operation, 1] += 1
        totals[operation, 2] = min(most, totals[operation, 2] + min(duration, most - totals[operation, 2]))
        totals[operation, 3] = max(totals[operation, 3], duration)
    return outside


@njit(
    types.int64(types.uint64[::1], types.int64[:, ::1], types.uint64, types.uint64, types.boolean, types.int64),
    **ARRAYS_ONLY,
)
def _add_edge(keys, totals, pair, key, failed, duration):
    """Find or make the slot of one edge and add a call; 1 when the table had no room."""
    mask = np.uint64(keys.shape[0] - 1)
    slot = home(pair ^ (key << np.uint64(56)), mask)
    for _ in range(keys.shape[0]):
        at = np.int64(slot)
        if totals[at, 0] == 0:
            keys[at] = pair
            totals[at, 3] = np.int64(key)
        elif keys[at] != pair or totals[at, 3] != np.int64(key):
            slot = (slot + np.uint64(1)) & mask
            continue
        totals[at, 0] += 1
        if failed:
            totals[at, 1] += 1
        totals[at, 2] += duration
        return 0
    return 1


@njit(
    [
        types.int64(
            rows,
            types.int32[::1],
            types.int32[::1],
            types.int32[::1],
            types.int32[::1],
            types.int64[::1],
            types.int64[::1],
            types.boolean[::1],
            types.uint64[::1],
            types.int64[:, ::1],
        )
        for rows in (_ROWS, _ROWS_ANY)
    ],
    **ARRAYS_ONLY,
)
def sum_edges(rows, node_row, parent, child_ptr, child, start_ns, end_ns, failed, keys, totals):
    """Add every call between services, and from a service to an unseen peer, to an edge table.

    An edge from an observed callee takes the time of the calling span when that is a CLIENT,
    else of the called one. A CLIENT or PRODUCER without a child of another service makes an edge to its peer.

    Parameters
    ----------
    rows, node_row, parent, child_ptr, child, start_ns, end_ns, failed
        As in `Forest` and `Analysis`.
    keys : uint64[capacity]
        caller string id << 32 | callee string id; capacity is a power of two.
    totals : int64[capacity, 4]
        calls, errors, summed duration, rule + 16 * peer kind. calls == 0: the slot is free.

    Returns
    -------
    int64
        Calls that found no room in the table.
    """
    lost = 0
    shift = np.uint64(32)
    for i in range(node_row.shape[0]):
        row = rows[node_row[i]]
        service = np.uint64(row["service"])
        kind = row["kind"]
        p = parent[i]
        if p >= 0:
            above = rows[node_row[p]]
            if above["service"] != row["service"]:
                rule = PARENT_CHILD
                duration = end_ns[i] - start_ns[i]
                wrong = failed[i]
                if above["kind"] == _CLIENT and kind == _SERVER:
                    rule = CLIENT_SERVER
                    duration = end_ns[p] - start_ns[p]
                    wrong = failed[i] or failed[p]
                elif above["kind"] == _PRODUCER and kind == _CONSUMER:
                    rule = PRODUCER_CONSUMER
                pair = (np.uint64(above["service"]) << shift) | service
                lost += _add_edge(keys, totals, pair, np.uint64(rule), wrong, duration)
        if kind in (_CLIENT, _PRODUCER) and row["peer"] != 0:
            seen = False
            for k in range(child_ptr[i], child_ptr[i + 1]):
                if rows[node_row[child[k]]]["service"] != row["service"]:
                    seen = True
                    break
            if not seen:
                pair = (service << shift) | np.uint64(row["peer"])
                key = np.uint64(PEER_ATTRIBUTE) + np.uint64(16) * np.uint64(row["peer_kind"])
                lost += _add_edge(keys, totals, pair, key, failed[i], end_ns[i] - start_ns[i])
    return lost
