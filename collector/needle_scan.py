"""The search behind `collector.needles`: a kernel, loaded only by those who search."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types

from collector.needles import BITS, GRAM, SPREAD

_BYTES = types.Array(types.uint8, 1, "C", readonly=True)
_FLAGS = types.Array(types.boolean, 1, "C")
_MULTIPLIER, _LOW, _SHIFT = np.uint64(SPREAD), np.uint64(0xFFFFFFFF), np.uint64(32 - BITS)
_TOP, _ONE_BYTE = np.uint64(24), np.uint64(8)  # where the youngest of four bytes stands; how far they move
_A, _Z, _LOWER = np.uint64(ord("A")), np.uint64(ord("Z")), np.uint64(0x20)


@njit(types.int64(_BYTES, _FLAGS, types.int64), cache=True, nogil=True)
def next_begin(data: Any, begins: Any, start: int) -> int:
    """The first place at or behind `start` where a word may begin; -1: none."""
    gram = np.uint64(0)
    for i in range(start, data.size):
        byte = np.uint64(data[i])
        if _A <= byte <= _Z:  # as bytes.lower() has it
            byte |= _LOWER
        gram = gram >> _ONE_BYTE | byte << _TOP
        if i - start >= GRAM - 1 and begins[(gram * _MULTIPLIER & _LOW) >> _SHIFT]:
            return i - (GRAM - 1)
    return -1
