"""Rows that are alike, put together in linear time: what `np.unique` and `argsort` do by comparing.

In: keys or numbers of rows. Out: their numbers, or `Groups`. Bounded by what comes in. Knows nothing of spans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.kernels.grouping import number_keys, sort_by_number

Keys = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Groups:
    """order : int32[n], rows by group and, within one, as they came; ptr : int64[g + 1], where each group begins."""

    order: npt.NDArray[np.int32]
    ptr: npt.NDArray[np.int64]

    def rows(self, group: int) -> npt.NDArray[np.int32]:
        """Rows of a group, ascending."""
        return self.order[self.ptr[group] : self.ptr[group + 1]]


def group_rows(numbers: npt.NDArray[np.integer], count: int) -> Groups:
    """Put rows of the same number together.

    Parameters
    ----------
    numbers : int[n]
        0 to `count` - 1.
    count : int
    """
    ptr = np.zeros(count + 1, np.int64)
    order = np.empty(len(numbers), np.int32)
    sort_by_number(np.ascontiguousarray(numbers, np.int32), ptr[1:], order)
    return Groups(order, ptr)


def number_alike(columns: Sequence[npt.NDArray[np.integer]]) -> tuple[Keys, list[Numbers]]:
    """Return the different keys of all columns, ascending, and of each column the place of its keys among them.

    Parameters
    ----------
    columns : int[n] each
        Below 2**63: two ids, in the upper and the lower half of a word.
    """
    total = sum(len(column) for column in columns)
    known, count = np.empty(total, np.int64), 0
    table = np.zeros(1 << max(4, (2 * total).bit_length()), np.int32)
    found = [np.empty(len(column), np.int32) for column in columns]
    for column, numbers in zip(columns, found, strict=True):
        count = number_keys(np.ascontiguousarray(column, np.int64), known, count, table, numbers)
    order = np.argsort(known[:count])
    place = np.empty(count, np.int32)
    place[order] = np.arange(count, dtype=np.int32)
    return known[order], [place[numbers] for numbers in found]
