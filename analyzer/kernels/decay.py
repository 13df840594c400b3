"""Fading of counts on two horizons. Arrays only.

`mass` is what both users of it keep per key: columns before `FAST_COLUMNS` are slow, the others fast.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

MASS = 8
FAST_COLUMNS = 5
ACTIVITY = 5  # times a key was met, on the fast horizon: who is least active is given up first


@njit(
    types.void(types.float32[:, :, ::1], types.float64[:, ::1], types.int64, types.float64, types.float64),
    cache=True,
    nogil=True,
)
def rescale(rows, mass, used, slow_factor, fast_factor):
    """Multiply everything that was counted by the factor of its horizon.

    Parameters
    ----------
    rows : float32[capacity, layers, bins]
        Even layers are slow, odd ones fast.
    mass : float64[capacity, MASS]
    used : int64
        Slots from here on were never given out.
    slow_factor, fast_factor : float64
    """
    for slot in range(used):
        for layer in range(rows.shape[1]):
            factor = np.float32(fast_factor if layer % 2 else slow_factor)
            if factor != np.float32(1.0):
                for b in range(rows.shape[2]):
                    rows[slot, layer, b] *= factor
        for column in range(MASS):
            mass[slot, column] *= fast_factor if column >= FAST_COLUMNS else slow_factor
