"""How long messages wait in their queue: octaves per (producer, consumer), and how unusual a wait is. Arrays only.

In: rows of counts (`analyzer.kernels.call_shapes`), a wait. Out: a changed row, or a p value. Never raises.

Truth: tests/support/naive/structure.py (lists).
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from analyzer.kernels.bins import BINS_PER_OCTAVE, bin_of
from analyzer.kernels.call_shapes import GAPS, WIDTH
from analyzer.kernels.options import ARRAYS_ONLY

# A wait that one in a hundred exceeds teaches a tenth: a backlog must last to become normal.
_RARE_SHARE, _RARE_WEIGHT = 0.01, 0.1
_KNOWN = 50.0  # waits before any of them is called rare

_ROWS = types.float32[:, :, ::1]


@njit(types.UniTuple(types.float64, 2)(_ROWS, types.int64, types.int64), **ARRAYS_ONLY)
def _mass(rows, slot, gap):
    """Weight of all waits, and of those in the octave of this one or above."""
    total = 0.0
    above = 0.0
    for b in range(GAPS, WIDTH):
        here = float(rows[slot, 0, b])
        total += here
        if b >= GAPS + gap:
            above += here
    return total, above


@njit(types.float64(_ROWS, types.int64, types.int64, types.float64[::1]), **ARRAYS_ONLY)
def wait_p(rows, slot, wait_ns, limits):
    """Conformal upper-tail p of a wait, to an octave; nan while too few are known (`limits[1]`; `limits[2]`: scale)."""
    if slot < 0:
        return np.nan
    total, above = _mass(rows, slot, bin_of(wait_ns) // BINS_PER_OCTAVE)
    total /= limits[2]
    return (1.0 + above / limits[2]) / (1.0 + total) if total >= limits[1] else np.nan


@njit(types.void(_ROWS, types.int64, types.int64, types.float64), **ARRAYS_ONLY)
def learn_wait(rows, slot, wait_ns, slow):
    """Count a wait; `slow` : what one of now weighs."""
    gap = bin_of(wait_ns) // BINS_PER_OCTAVE
    total, above = _mass(rows, slot, gap)
    rare = total >= _KNOWN * slow and above < _RARE_SHARE * total
    rows[slot, 0, GAPS + gap] += np.float32(slow * (_RARE_WEIGHT if rare else 1.0))
