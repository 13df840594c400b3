"""Rows that are alike are found in linear time, as a dict and `sorted` find them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.incidents.grouping import group_rows, number_alike
from analyzer.incidents.slower import _middle, _quantile
from analyzer.kernels.grouping import count_blocks, number_keys
from tests.support.naive import grouping as naive

small = st.integers(0, 6)
halves = st.one_of(small, st.integers(0, 2**31 - 1))
keys = st.lists(st.builds(lambda high, low: high << 32 | low, halves, halves), max_size=80)


def numbered(columns: list[list[int]], places: int = 512) -> tuple[list[int], list[list[int]]]:
    known, count = np.empty(sum(map(len, columns)), np.int64), 0
    table, found = np.zeros(places, np.int32), []
    for column in columns:
        numbers = np.empty(len(column), np.int32)
        count = number_keys(np.array(column, np.int64), known, count, table, numbers)
        found.append(numbers.tolist())
    return known[:count].tolist(), found


@settings(deadline=None, max_examples=80)
@given(st.lists(keys, min_size=1, max_size=3))
def test_keys_are_numbered_by_first_appearance_over_all_columns(columns):
    known: list[int] = []

    assert [naive.numbers_of(column, known) for column in columns] == numbered(columns)[1]
    assert known == numbered(columns)[0]


def test_keys_that_meet_at_one_place_of_a_table_that_is_nearly_full_stay_apart():
    column = [at << 32 for at in range(15)] * 2

    assert numbered([column], places=16) == (column[:15], [[*range(15)] * 2])


@settings(deadline=None, max_examples=80)
@given(st.lists(keys, min_size=1, max_size=3))
def test_alike_keys_are_numbered_in_their_order(columns):
    """What `np.unique` answers, asked of all columns at once."""
    expected, back = np.unique(np.concatenate([np.array(one, np.int64) for one in columns]), return_inverse=True)

    found, numbers = number_alike([np.array(one, np.int64) for one in columns])

    assert found.tolist() == expected.tolist()
    assert np.concatenate(numbers).tolist() == back.tolist()


@settings(deadline=None, max_examples=80)
@given(st.lists(small, max_size=80))
def test_rows_of_a_group_stay_in_their_order(numbers):
    groups = group_rows(np.array(numbers, np.int64), 7)

    assert groups.order.tolist() == naive.order_of(numbers)
    assert [groups.rows(one).tolist() for one in range(7)] == [
        [row for row, number in enumerate(numbers) if number == one] for one in range(7)
    ]


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(small, small), max_size=80))
def test_a_member_is_counted_once_a_block(pairs):
    pairs.sort(key=lambda pair: pair[0])
    blocks, members = np.array(pairs, np.int32).reshape(-1, 2).T.copy()
    counts = np.zeros(7, np.int64)

    count_blocks(blocks, members, np.full(7, -1, np.int32), counts)

    assert counts.tolist() == naive.blocks_of(blocks.tolist(), members.tolist(), 7)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=60), st.sampled_from([0.0, 0.05, 0.5, 0.9, 0.95, 1.0]))
def test_a_quantile_of_what_is_in_order_is_that_of_numpy(values, share):
    ordered = np.sort(np.array(values, np.float64))

    assert _quantile(ordered, share) == float(np.quantile(ordered, share))


@pytest.mark.parametrize("largest", [0, 2, 10**9])
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_the_middle_leaves_out_the_first_of_equals(largest, data):
    values = np.array(data.draw(st.lists(st.integers(0, largest), min_size=20, max_size=70)), np.float64)
    count = len(values) // 10

    middle = np.flatnonzero(_middle(values, np.sort(values), count))

    assert middle.tolist() == sorted(naive.order_of(values.tolist())[count:-count])
