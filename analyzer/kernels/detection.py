"""Counting calls per entity, and tails of counts. Arrays only.

An entity is one word: kind in the top two bits, two ids of 31 bits below (an edge has a caller and a callee,
the others have one id, in the lower half; an operation that is called within traces has INNER set, so that what
begins traces stands apart; a call that an operation usually makes has the callee's operation, plus one, in the upper
half). A tick's counts are one row per entity.

Truth: tests/support/naive/detection.py.
"""

from __future__ import annotations

import math

import numpy as np
from numba import from_dtype, njit, types

from analyzer.kernels.options import ARRAYS_ONLY, INLINED
from analyzer.kernels.pairs import home
from analyzer.spans import SPAN_DTYPE

EDGE, SERVICE, OPERATION, INSTANCE = 0, 1, 2, 3
INNER = 1 << 31  # of the key of an operation: it was called by another service
FIRST_CALL = 2  # upper half of the key of a call: its callee's operation plus one, from here on
CALLS, FAILURES, SERVED, SCORED, RARE, RAREST, EXTREME = range(7)
COLUMNS = 7
USED, REFUSED, FREE, CALLEES, CALLEES_REFUSED = range(5)  # places of `header`
HEADER = 5

_ROWS = types.Array(from_dtype(SPAN_DTYPE), 1, "C", readonly=False)
_ROWS_ANY = types.Array(from_dtype(SPAN_DTYPE), 1, "A", readonly=False)
_KIND_SHIFT = np.uint64(62)
_HIGH_SHIFT = np.uint64(31)
_FOLD = np.uint64(32)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_SERVER, _CLIENT, _PRODUCER, _CONSUMER = 2, 3, 4, 5
_RARE_P, _RAREST_P, _EXTREME_P = np.float32(0.05), np.float32(0.01), np.float32(0.002)
_TINY = 1e-300


@njit(
    types.int64(
        types.uint64, types.uint64[::1], types.int32[::1], types.uint64[::1], types.int32[::1], types.int64[::1]
    ),
    **INLINED,
)
def _slot_of(key, table_keys, table_slots, keys, free, header):
    """Return the slot of an entity, giving it one when it is new; -1 when there is no room."""
    mask = np.uint64(table_keys.shape[0] - 1)
    at = home(key, mask)
    while True:
        found = table_keys[np.int64(at)]
        if found == key:
            return np.int64(table_slots[np.int64(at)])
        if found == _ZERO:
            break
        at = (at + _ONE) & mask
    if header[FREE] > 0:
        header[FREE] -= 1
        slot = np.int64(free[header[FREE]])
    elif header[USED] < keys.shape[0]:
        slot = header[USED]
        header[USED] += 1
    else:
        header[REFUSED] += 1
        return np.int64(-1)
    table_keys[np.int64(at)] = key
    table_slots[np.int64(at)] = np.int32(slot)
    keys[slot] = key
    return slot


@njit(types.uint32(types.uint64, types.uint32, types.uint64[::1], types.uint32[::1], types.int64[::1]), **INLINED)
def _callee_of(key, seen, callee_keys, callees, header):
    """Return whom calls of this kind reached last; remember `seen` when it is not 0."""
    mask = np.uint64(callee_keys.shape[0] - 1)
    at = home(key, mask)
    while callee_keys[np.int64(at)] != _ZERO and callee_keys[np.int64(at)] != key:
        at = (at + _ONE) & mask
    place = np.int64(at)
    if seen != 0:
        if callee_keys[place] == _ZERO:
            if 2 * (header[CALLEES] + 1) > callee_keys.shape[0]:
                header[CALLEES_REFUSED] += 1
                return seen
            callee_keys[place] = key
            header[CALLEES] += 1
        callees[place] = seen
        return seen
    return callees[place] if callee_keys[place] == key else np.uint32(0)


@njit(types.void(types.int32[:, ::1], types.int64, types.float32, types.uint8), **INLINED)
def _count_time(counts, slot, p, level):
    """Count a scored time: how many, how many rare, how many of the rarest, how many rarer than these."""
    if level > 0:
        counts[slot, SCORED] += 1
        if p <= _RARE_P:
            counts[slot, RARE] += 1
            if p <= _RAREST_P:
                counts[slot, RAREST] += 1
                if p <= _EXTREME_P:
                    counts[slot, EXTREME] += 1


@njit(
    [
        types.void(
            rows,
            types.int32[::1],
            types.int32[::1],
            types.int32[::1],
            types.int32[::1],
            types.uint16[::1],
            types.int64,
            types.boolean[::1],
            types.float32[::1],
            types.uint8[::1],
            types.float32[::1],
            types.uint8[::1],
            types.float32[::1],
            types.float32[::1],
            types.uint64[::1],
            types.int32[::1],
            types.uint64[::1],
            types.int32[::1],
            types.int32[::1],
            types.int32[::1],
            types.uint64[::1],
            types.uint32[::1],
            types.int64[::1],
            types.int32[:, ::1],
        )
        for rows in (_ROWS, _ROWS_ANY)
    ],
    **ARRAYS_ONLY,
)
def count_entities(
    rows,
    node_row,
    parent,
    child_ptr,
    child,
    flags,
    no_entry,
    failed,
    own_p,
    own_level,
    duration_p,
    duration_level,
    missing,
    wait_p,
    table_keys,
    table_slots,
    keys,
    free,
    group,
    owner,
    callee_keys,
    callees,
    header,
    counts,
):
    """Add a measured batch to the open tick.

    Parameters
    ----------
    rows, node_row, parent, child_ptr, child, flags, failed
        As in `Forest` and `Analysis`.
    no_entry : int64
        Flags of roots that are none: their parent was lost.
    own_p, own_level, duration_p, duration_level : float32[m], uint8[m]
        As in `Score`; level 0: nothing is known.
    missing, wait_p : float32[m]
        As in `StructureScore`; an operation without missing calls counts as SERVED, and the time of an edge that
        carries messages is how long they wait.
    table_keys, table_slots : uint64[size], int32[size]
        Open addressing, a power of two of places, at least twice the capacity.
    keys : uint64[capacity]
        Key of each slot, 0: free.
    free, header : int32[capacity], int64[HEADER]
        Slots given back; USED, REFUSED, FREE, CALLEES, CALLEES_REFUSED.
    group : int32[capacity]
        Slot of the service of each instance.
    owner : int32[capacity]
        Slot of the service of each operation.
    callee_keys, callees : uint64[size], uint32[size]
        Service that calls of an operation to a peer reached last: names the callee of a call without a server span.
    counts : int32[capacity, COLUMNS]
        Added to.
    """
    # A span and its parent are often of one service: the slots of the last one are kept at hand.
    last_service, home_slot = np.int64(-1), np.int64(-1)
    last_resource, slot_there = np.int64(-1), np.int64(-1)
    for i in range(node_row.shape[0]):
        row = rows[node_row[i]]
        service, kind, resource = row["service"], row["kind"], row["resource"]
        if np.int64(service) != last_service:
            key = (np.uint64(SERVICE) << _KIND_SHIFT) | np.uint64(service)
            home_slot = _slot_of(key, table_keys, table_slots, keys, free, header)
            last_service = np.int64(service)
        p = parent[i]
        crossed = False
        if p >= 0:
            above = rows[node_row[p]]
            crossed = above["service"] != service
            entry = crossed
            if crossed and above["kind"] != _CLIENT and above["kind"] != _PRODUCER:
                key = (np.uint64(above["service"]) << _HIGH_SHIFT) | np.uint64(service)
                slot = _slot_of(key, table_keys, table_slots, keys, free, header) if key != _ZERO else np.int64(-1)
                if slot >= 0:
                    counts[slot, CALLS] += 1
                    counts[slot, SERVED] += 1
                    counts[slot, FAILURES] += failed[i]
        else:
            whole = (np.int64(flags[i]) & no_entry) == 0
            entry = whole or kind in (_SERVER, _CONSUMER)
            if whole and row["operation"] != 0:
                key = (np.uint64(OPERATION) << _KIND_SHIFT) | np.uint64(row["operation"])
                slot = _slot_of(key, table_keys, table_slots, keys, free, header)
                if slot >= 0:
                    counts[slot, CALLS] += 1
                    counts[slot, FAILURES] += failed[i]
                    counts[slot, SERVED] += missing[i] <= 0
                    owner[slot] = np.int32(home_slot)
                    _count_time(counts, slot, duration_p[i], duration_level[i])
        if crossed and row["operation"] != 0:
            key = (np.uint64(OPERATION) << _KIND_SHIFT) | np.uint64(INNER) | np.uint64(row["operation"])
            slot = _slot_of(key, table_keys, table_slots, keys, free, header)
            if slot >= 0:
                counts[slot, CALLS] += 1
                counts[slot, FAILURES] += failed[i]
                counts[slot, SERVED] += missing[i] <= 0
                owner[slot] = np.int32(home_slot)
                _count_time(counts, slot, own_p[i], own_level[i])
        if home_slot >= 0 and entry:
            counts[home_slot, CALLS] += 1
            counts[home_slot, FAILURES] += failed[i]
        if resource != 0:
            if np.int64(resource) != last_resource:
                key = (np.uint64(INSTANCE) << _KIND_SHIFT) | np.uint64(resource)
                slot_there = _slot_of(key, table_keys, table_slots, keys, free, header)
                last_resource = np.int64(resource)
            if slot_there >= 0:
                group[slot_there] = np.int32(home_slot)
                if entry:
                    counts[slot_there, CALLS] += 1
                    counts[slot_there, FAILURES] += failed[i]
                _count_time(counts, slot_there, own_p[i], own_level[i])
        elsewhere = False
        if kind in (_CLIENT, _PRODUCER):
            callee = np.uint32(0)
            taker = np.int64(-1)
            for k in range(child_ptr[i], child_ptr[i + 1]):
                below = rows[node_row[child[k]]]["service"]
                if below != service:
                    callee = below
                    taker = np.int64(child[k])
                    break
            served = callee != 0
            lost = False
            if row["operation"] != 0:
                key = (np.uint64(row["operation"]) << _FOLD) | np.uint64(row["peer"])
                known = _callee_of(key, callee, callee_keys, callees, header)
                if not served and known != 0:
                    callee = known
                    lost = True
            if callee == 0:
                callee = row["peer"]
            if callee != 0 and callee != service:
                key = (np.uint64(service) << _HIGH_SHIFT) | np.uint64(callee)
                slot = _slot_of(key, table_keys, table_slots, keys, free, header)
                if slot >= 0:
                    elsewhere = True
                    counts[slot, CALLS] += 1
                    counts[slot, SERVED] += served
                    counts[slot, FAILURES] += failed[i]
                    # Nothing covers a call whose server span was lost: all of it would look like the way there.
                    if kind == _PRODUCER and served:
                        _count_time(counts, slot, wait_p[taker], np.uint8(wait_p[taker] >= 0))
                    elif not lost:
                        _count_time(counts, slot, own_p[i], own_level[i])
        # The time on the way to another is told by the edge; among it, the service's own would be lost to sight.
        if home_slot >= 0 and not elsewhere:
            _count_time(counts, home_slot, own_p[i], own_level[i])


@njit(types.float64(types.float64, types.float64, types.float64), cache=True, nogil=True)
def _fraction(a, b, x):
    """Continued fraction of the incomplete beta function (modified Lentz; DLMF 8.17.22)."""
    tiny = 1e-30
    c = 1.0
    d = 1.0 - (a + b) * x / (a + 1.0)
    if abs(d) < tiny:
        d = tiny
    d = 1.0 / d
    h = d
    for m in range(1, 3000):
        for even in (True, False):
            if even:
                step = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
            else:
                step = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
            d = 1.0 + step * d
            c = 1.0 + step / c
            if abs(d) < tiny:
                d = tiny
            if abs(c) < tiny:
                c = tiny
            d = 1.0 / d
            change = d * c
            h *= change
        if abs(change - 1.0) < 1e-10:
            break
    return h


@njit(types.float64(types.float64, types.float64, types.float64), cache=True, nogil=True)
def _incomplete_beta(a, b, x):
    """Regularised incomplete beta function; a, b > 0."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    if x < (a + 1.0) / (a + b + 2.0):
        return min(1.0, math.exp(front) * _fraction(a, b, x) / a)
    return min(1.0, max(0.0, 1.0 - math.exp(front) * _fraction(b, a, 1.0 - x) / b))


@njit(types.float64(types.float64, types.float64, types.float64), cache=True, nogil=True)
def _above(count, mean, variance):
    if count <= 0.0:
        return 1.0
    if mean <= 0.0:
        return 0.0
    ratio = variance / mean
    if ratio < 0.999:
        most = mean / (1.0 - ratio)
        return _incomplete_beta(count, most - count + 1.0, 1.0 - ratio) if count < most + 1.0 else 0.0
    ratio = max(ratio, 1.001)
    return _incomplete_beta(count, mean / (ratio - 1.0), 1.0 - 1.0 / ratio)


@njit(types.float64(types.float64, types.float64, types.float64), cache=True, nogil=True)
def _below(count, mean, variance):
    if mean <= 0.0:
        return 1.0
    ratio = variance / mean
    if ratio < 0.999:
        most = mean / (1.0 - ratio)
        return _incomplete_beta(most - count, count + 1.0, ratio) if count < most else 1.0
    ratio = max(ratio, 1.001)
    return _incomplete_beta(mean / (ratio - 1.0), count + 1.0, 1.0 / ratio)


_FLOATS = types.float64[::1]


@njit(types.void(_FLOATS, _FLOATS, _FLOATS, types.boolean, _FLOATS), cache=True, nogil=True)
def count_tails(counts, means, variances, upper, tails):
    """Fill `tails` with P(X >= count) (upper) or P(X <= count) of counts with a mean and a variance.

    The binomial, Poisson or negative binomial law with these two moments; a beta-binomial count with rare events
    is the last within its accuracy, and the negative binomial tail is the heavier one.

    Parameters
    ----------
    counts, means, variances : float64[n]
        Counts are whole numbers from 0. A nan anywhere gives nan.
    upper : bool
    tails : float64[n]
        Written; never 0, so that logarithms stay finite.

    Notes
    -----
    Binomial tail P(X >= k) = I_p(k, n - k + 1); negative binomial with r and q = 1 - mean / variance:
    I_q(k, r) (DLMF 8.17). The number of steps grows with the square root of the count.
    """
    for i in range(counts.shape[0]):
        count, mean, variance = counts[i], means[i], variances[i]
        if math.isnan(count) or math.isnan(mean) or math.isnan(variance):
            tails[i] = math.nan
        else:
            tails[i] = max(_TINY, _above(count, mean, variance) if upper else _below(count, mean, variance))
