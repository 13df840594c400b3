"""The sketches against sorted lists, the pair table against a dict."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.kernels import sketch
from analyzer.kernels.bins import BINS, EDGES, bin_of
from analyzer.kernels.decay import MASS
from analyzer.kernels.pairs import find_contexts
from analyzer.pair_table import PairTable, pack
from tests.support.naive.baselines import Observations, plain_bin

TIMES = st.integers(0, 3 * 10**12)


@given(st.one_of(TIMES, st.sampled_from([int(edge) + step for edge in EDGES for step in (-1, 0, 1)])))
def test_the_bin_is_the_one_whose_edge_is_next_below(value_ns: int):
    assert bin_of(value_ns) == plain_bin(value_ns)


@pytest.mark.parametrize("value_ns", [-(2**63), -1, 0, 511, 2**41, 2**63 - 1])
def test_times_out_of_range_go_to_the_outer_bins(value_ns: int):
    assert bin_of(value_ns) == (0 if value_ns < 512 else BINS - 1)


def test_no_bin_is_wider_than_nine_percent():
    widths = np.diff(EDGES[1:]) / EDGES[1:-1]

    assert float(widths.max()) < 0.092


class Key:
    """One key, learned and viewed."""

    def __init__(self) -> None:
        self.rows = np.zeros((1, sketch.LAYERS, BINS), np.float32)
        self.views = np.zeros((1, 2, sketch.VIEW), np.float32)
        self.mass = np.zeros((1, MASS), np.float64)

    def learn(self, values_ns: list[int], weights: list[float] | None = None) -> Key:
        count = len(values_ns)
        sketch.insert(
            np.zeros((count, 1), np.int32),
            np.array(values_ns, np.int64),
            np.stack([np.zeros(count, np.int64), np.array(values_ns, np.int64)]),
            np.array(weights or [1.0] * count, np.float32),
            np.zeros(count, np.bool_),
            self.rows,
            self.views,
            self.mass,
            1.0,
            1.0,
        )
        sketch.refresh(np.zeros((1, 1), np.int32), self.rows, self.views, self.mass, 1.0, -1.0)
        return self


@settings(max_examples=60)
@given(st.lists(TIMES, min_size=1, max_size=60), TIMES)
def test_p_values_are_those_of_counting(values_ns: list[int], asked_ns: int):
    view = Key().learn(values_ns).views[0, sketch.OWN]
    plain = Observations([(value, 1.0) for value in values_ns])

    assert sketch.lower_p(view, asked_ns, 0.0) == pytest.approx(plain.lower(asked_ns), rel=1e-5)
    above = plain.upper(asked_ns) * (1 + plain.count) - 1
    if above >= sketch.TAIL_COUNT:
        assert sketch.upper_p(view, asked_ns, 0.0) == pytest.approx(plain.upper(asked_ns), rel=1e-5)
    else:
        assert sketch.upper_p(view, asked_ns, 0.0) <= plain.upper(asked_ns) * (1 + 1e-5)


@settings(max_examples=60)
@given(st.lists(st.integers(1_000, 10**12), min_size=1, max_size=60))
def test_the_median_is_in_the_bin_of_the_true_one(values_ns: list[int]):
    """So it is off by one bin's width at most."""
    median = float(Key().learn(values_ns).views[0, sketch.OWN, sketch.MEDIAN])
    ordered = sorted(values_ns)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]

    assert EDGES[plain_bin(low)] * 0.999 <= median <= EDGES[plain_bin(high) + 1] * 1.001


@settings(max_examples=40)
@given(st.lists(TIMES, min_size=2, max_size=40), st.data())
def test_leaving_one_out_is_never_having_learned_it(values_ns: list[int], data: st.DataObject):
    index = data.draw(st.integers(0, len(values_ns) - 1))
    asked = values_ns[index]
    others = Observations([(value, 1.0) for i, value in enumerate(values_ns) if i != index])
    view = Key().learn(values_ns).views[0, sketch.DURATION]

    assert sketch.lower_p(view, asked, 1.0) == pytest.approx(others.lower(asked), rel=1e-5)


def test_a_view_of_nothing_knows_nothing():
    view = Key().learn([5_000], [0.0]).views[0, sketch.OWN]

    assert view[sketch.COUNT] == 0.0
    assert math.isnan(float(view[sketch.MEDIAN]))
    assert sketch.upper_p(view, 10**9, 0.0) == 1.0


def test_a_key_is_halved_when_it_has_enough():
    key = Key().learn([1_000_000])
    key.rows *= np.float32(2 * sketch.COUNT_MAX)
    key.mass *= 2 * sketch.COUNT_MAX
    sketch.refresh(np.zeros((1, 1), np.int32), key.rows, key.views, key.mass, 1.0, -1.0)

    assert float(key.views[0, sketch.OWN, sketch.COUNT]) == sketch.COUNT_MAX
    assert key.mass[0, sketch.WEIGHT] == sketch.COUNT_MAX


@settings(max_examples=30)
@given(st.lists(st.lists(st.integers(0, 40), max_size=30), min_size=1, max_size=8))
def test_the_pair_table_is_a_dict(batches: list[list[int]]):
    """Within its capacity: the same keys are known, and no two share a slot."""
    table, known = PairTable(64), set()
    for numbers in batches:
        keys = pack(np.array(numbers, np.uint32), np.array([number % 3 for number in numbers], np.uint32))
        added = table.add(keys, np.zeros(64))
        known |= {int(key) for key in keys if key}

        assert added.refused == 0
        assert len(table) == len(known)
        slots = table.find(np.array(sorted(known), np.uint64)).tolist()
        assert -1 not in slots
        assert len(set(slots)) == len(known)
        assert table.find(np.array([99 << 32], np.uint64)).tolist() == [-1]


def test_a_full_table_gives_up_its_least_active_keys():
    table = PairTable(16)
    table.add(pack(np.arange(1, 17), np.zeros(1, np.uint32)), np.zeros(16))
    activity = np.arange(16, dtype=np.float64)[::-1].copy()  # the key in the last slot is the least active

    added = table.add(pack(np.array([50]), np.zeros(1, np.uint32)), activity)

    assert added.evicted.tolist() == [15]
    assert (added.refused, table.evicted, len(table)) == (0, 1, 16)
    assert table.find(pack(np.array([16, 50, 1]), np.zeros(1, np.uint32))).tolist() == [-1, 15, 0]


def test_a_flood_of_new_keys_cannot_sweep_out_everything():
    """A sixteenth of the table changes hands at once; the rest of the flood is refused and counted."""
    table = PairTable(32)
    table.add(pack(np.arange(1, 33), np.zeros(1, np.uint32)), np.zeros(32))

    added = table.add(pack(np.arange(100, 1100), np.zeros(1, np.uint32)), np.ones(32))

    assert (len(added.evicted), added.refused, len(table)) == (2, 998, 32)


def test_contexts_are_looked_up_by_trace():
    table = PairTable(16)
    table.add(pack(np.array([1, 2, 2]), np.array([0, 0, 1])), np.zeros(16))
    slots = np.empty((3, 2), np.int32)
    operation, root = np.array([1, 2, 0], np.uint32), np.array([1, 0], np.uint32)
    find_contexts(operation, np.array([0, 2, 3], np.int64), root, *table.arrays, slots)

    expected = table.find(pack(np.array([1, 1, 2, 2, 0, 0]), np.array([0, 1, 0, 1, 0, 0])))
    assert slots.reshape(-1).tolist() == expected.tolist()
