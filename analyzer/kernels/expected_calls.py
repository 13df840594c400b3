"""Which calls an operation is expected to make, and how surprising each one's absence is. Arrays only.

In: counts by (operation, callee). Out: a list of pairs per operation, in nats. Never raises; linear in pairs.

Truth: tests/support/naive/structure.py (dicts).
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types

from analyzer.kernels.call_shapes import FAST, FAST_MISSED, PRESENT
from analyzer.kernels.pairs import find_slot

# An absence nobody has met before, or one that comes four times as often as it used to (and four times more).
_UNSEEN = 1.5
RISE = 3.0
RISE_COUNT = 4.0
# One-sided 99 % lower bound (Wilson 1927) of the share of executions that make a call.
_WILSON_Z = 2.33

_LOW = np.uint64(0xFFFFFFFF)
_ZERO = np.uint64(0)
_KEYS = types.uint64[::1]
_SLOTS = types.int32[::1]
_MASS = types.float64[:, ::1]
_REALS = types.float32[::1]


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
