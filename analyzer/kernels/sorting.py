"""Stable sorting of indices by three integer keys. Arrays only.

In: indices and three key columns. Out: the same indices, in order. Short runs by insertion, long ones
by merging them, so a million equal or hostile keys cost n log n and no recursion.

Truth: `sorted` with a tuple key (tests/analyzer/test_sorting.py).
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from analyzer.kernels.options import ARRAYS_ONLY, INLINED

RUN = 24  # rows sorted by insertion before merging begins; flat between 16 and 32 on traces of 30 spans

_INDEX = types.int32[::1]
_KEY = types.int64[::1]


@njit(types.boolean(types.int32, types.int32, _KEY, _KEY, _KEY), **INLINED)
def _after(i, j, first, second, third):
    """Whether row i stands after row j; False for equal keys, which keeps the sort stable."""
    if first[i] != first[j]:
        return first[i] > first[j]
    if second[i] != second[j]:
        return second[i] > second[j]
    return third[i] > third[j]


@njit(types.void(_INDEX, types.int64, types.int64, _KEY, _KEY, _KEY), **ARRAYS_ONLY)
def _insert(order, low, high, first, second, third):
    """Sort order[low:high] by insertion."""
    for at in range(low + 1, high):
        moving = order[at]
        place = at
        while place > low and _after(order[place - 1], moving, first, second, third):
            order[place] = order[place - 1]
            place -= 1
        order[place] = moving


@njit(types.void(_INDEX, _INDEX, types.int64, types.int64, types.int64, _KEY, _KEY, _KEY), **ARRAYS_ONLY)
def _merge(source, target, low, middle, high, first, second, third):
    """Merge the sorted source[low:middle] and source[middle:high] into target[low:high]."""
    left, right = low, middle
    for at in range(low, high):
        if left < middle and (right >= high or not _after(source[left], source[right], first, second, third)):
            target[at] = source[left]
            left += 1
        else:
            target[at] = source[right]
            right += 1


@njit(types.void(_INDEX, _INDEX, types.int64, types.int64, _KEY, _KEY, _KEY), **ARRAYS_ONLY)
def sort_indices(order, scratch, low, high, first, second, third):
    """Sort order[low:high] by (first, second, third), keeping the order of equals.

    Parameters
    ----------
    order : int32[...]
        Indices into the key columns; the slice is sorted in place.
    scratch : int32[...]
        As long as `order`; the same slice is overwritten.
    low, high : int
    first, second, third : int64[...]
    """
    if high - low <= RUN:
        _insert(order, low, high, first, second, third)
        return
    for begin in range(low, high, RUN):
        _insert(order, begin, min(begin + RUN, high), first, second, third)
    width = np.int64(RUN)
    while width < high - low:
        for begin in range(low, high, 2 * width):
            middle, end = min(begin + width, high), min(begin + 2 * width, high)
            # What is in order already (spans mostly come by time) needs no merge.
            if middle < end and _after(order[middle - 1], order[middle], first, second, third):
                for at in range(begin, end):
                    scratch[at] = order[at]
                _merge(scratch, order, begin, middle, end, first, second, third)
        width *= 2
