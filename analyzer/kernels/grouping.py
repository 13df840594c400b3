"""Equal keys numbered alike, and indices put in the order of such numbers. Arrays only.

What a comparison of sorted keys does in n log n, these do in n: there are few different keys and many rows.

Truth: tests/support/naive/grouping.py.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from analyzer.kernels.options import ARRAYS_ONLY
from analyzer.kernels.pairs import home

_I32, _I64 = types.int32[::1], types.int64[::1]


@njit(types.int64(_I64, _I64, types.int64, _I32, _I32), **ARRAYS_ONLY)
def number_keys(keys, known, count, table, numbers):
    """Give each key its number, by first appearance; return how many different ones are known now.

    Parameters
    ----------
    keys : int64[n]
        Two ids each, in the upper and the lower half.
    known : int64[at least count + n]
        Keys that have a number; new ones are written behind the first `count`.
    count : int
    table : int32[size]
        Hash table of the caller: number + 1, 0 free. A power of two of places, more than `known` has.
    numbers : int32[n]
        Filled.
    """
    mask = np.uint64(table.shape[0] - 1)
    for i in range(keys.shape[0]):
        at = home(np.uint64(keys[i]), mask)
        number = table[np.int64(at)] - 1
        while number >= 0 and known[number] != keys[i]:
            at = (at + np.uint64(1)) & mask
            number = table[np.int64(at)] - 1
        if number < 0:
            number = count
            known[number] = keys[i]
            count += 1
            table[np.int64(at)] = count
        numbers[i] = number
    return count


@njit(types.void(_I32, _I64, _I32), **ARRAYS_ONLY)
def sort_by_number(numbers, ends, order):
    """Fill `order` with the indices of `numbers`, the smallest number first, equals in their order.

    Parameters
    ----------
    numbers : int32[n]
        Below the length of `ends`.
    ends : int64[groups]
        Zeros; afterwards where each number's indices end in `order`.
    order : int32[n]
        Filled.
    """
    for i in range(numbers.shape[0]):
        ends[numbers[i]] += 1
    place = np.int64(0)
    for group in range(ends.shape[0]):
        place += ends[group]
        ends[group] = place - ends[group]
    for i in range(numbers.shape[0]):
        order[ends[numbers[i]]] = i
        ends[numbers[i]] += 1


@njit(types.void(_I32, _I32, _I32, _I64), **ARRAYS_ONLY)
def count_blocks(blocks, members, last, counts):
    """Count in how many blocks each member occurs.

    Parameters
    ----------
    blocks : int32[n]
        Rows of one block stand together; none is -1.
    members : int32[n]
    last : int32[m]
        -1; overwritten.
    counts : int64[m]
        Zeros; filled.
    """
    for i in range(blocks.shape[0]):
        if last[members[i]] != blocks[i]:
            last[members[i]] = blocks[i]
            counts[members[i]] += 1
