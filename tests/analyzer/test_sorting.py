"""Indices are sorted as `sorted` sorts them, equals left in their order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.kernels.sorting import RUN, sort_indices

small = st.integers(0, 3)


def sort(keys: list[tuple[int, int, int]], low: int = 0) -> list[int]:
    columns = np.array(keys, np.int64).reshape(-1, 3).T.copy()
    order = np.arange(len(keys), dtype=np.int32)
    sort_indices(order, np.empty_like(order), low, len(order), columns[0], columns[1], columns[2])
    return order.tolist()


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(small, small, small), max_size=5 * RUN))
def test_equals_keep_their_order(keys):
    assert sort(keys) == sorted(range(len(keys)), key=lambda i: keys[i])


@pytest.mark.parametrize("count", [0, 1, RUN, RUN + 1, 2 * RUN, 2 * RUN + 1, 700])
def test_lengths_around_the_runs(count):
    rng = np.random.default_rng(count)
    keys = [tuple(row) for row in rng.integers(-(2**62), 2**62, (count, 3)).tolist()]

    assert sort(keys) == sorted(range(count), key=lambda i: keys[i])


def test_what_stands_before_the_slice_stays():
    keys = [(9, 0, 0), (8, 0, 0), (7, 0, 0), (1, 0, 0)]

    assert sort(keys, low=2) == [0, 1, 3, 2]
