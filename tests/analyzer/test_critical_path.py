"""Whose time it is: own time, and the partition of each root's time along the critical path."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.forest import Forest, build_forest
from analyzer.kernels import critical_path as kernels
from tests.support.drawing import MS, batch, draw
from tests.support.naive.critical_path import naive_critical_time, naive_own_time, paint
from tests.support.random_rows import nested_trace
from tests.support.rows import trace_batch, tree_rows

# Interpreted kernels are a thousand times slower; the shapes are the same.
LARGE = 200 if numba.config.DISABLE_JIT else 20_000


def columns(forest: Forest):
    return forest.parent, forest.child_ptr, forest.child, forest.start_ns, forest.end_ns, forest.flags


def drawn(text: str) -> Forest:
    return build_forest(batch(draw(text)))


def critical_ms(text: str) -> list[int]:
    return (kernels.critical_time(*columns(drawn(text))) // MS).tolist()


def own_ms(text: str) -> list[int]:
    return (kernels.own_time(*columns(drawn(text))) // MS).tolist()


def path(text: str) -> list[str]:
    """Operations on the critical path, in time, with their milliseconds."""
    traces = batch(draw(text))
    forest = build_forest(traces)
    nodes, begin, end = kernels.critical_path(*columns(forest), 0)
    names = traces.rows["name"][forest.row[nodes]]
    return [
        f"{traces.vocabulary.strings.text(int(name))} {int(ns) // MS}"
        for name, ns in zip(names, end - begin, strict=True)
    ]


TOUCHING = """
    s A 0..100
      s B 10..40
      s C 40..90
"""
OVERLAPPING = """
    s A 0..100
      s B 10..50
      s C 40..90
"""
PARALLEL = """
    s A 0..100
      s B 10..80
      s C 10..90
        s D 20..70
"""


def test_siblings_that_touch_are_both_on_the_path():
    """Times cut to whole microseconds make touching common; a strict comparison loses B."""
    assert path(TOUCHING) == ["A 10", "B 30", "C 50", "A 10"]
    assert critical_ms(TOUCHING) == [20, 30, 50]


def test_a_sibling_that_still_ran_when_the_last_began_held_nothing_up():
    assert path(OVERLAPPING) == ["A 40", "C 50", "A 10"]
    assert critical_ms(OVERLAPPING) == [50, 0, 50]
    assert own_ms(OVERLAPPING) == [20, 40, 50]


def test_of_parallel_children_the_last_to_return_counts():
    assert path(PARALLEL) == ["A 10", "C 10", "D 50", "C 20", "A 10"]
    assert own_ms(PARALLEL) == [20, 70, 30, 50]


def test_detached_work_is_nobody_s_time():
    text = """
        s A 0..100
          s PRODUCER send 10..12
            t CONSUMER take 20..60
          s audit 90..150
    """

    assert critical_ms(text) == [98, 2, 0, 0]
    assert own_ms(text) == [98, 2, 40, 60]


def test_a_server_that_outlives_its_client_counts_up_to_its_end():
    text = """
        s A 0..100
          s CLIENT call 10..60 ERROR
            t B 15..300
    """

    assert critical_ms(text) == [50, 5, 45]
    assert own_ms(text) == [50, 5, 285]


def test_every_root_has_a_path_of_its_own():
    forest = drawn("s A 0..10 name:a\n  s B 2..5\ns C 20..50\n  s D 30..50")

    assert (kernels.critical_time(*columns(forest)) // MS).tolist() == [7, 3, 10, 20]
    nodes, begin, end = kernels.critical_path(*columns(forest), 2)
    assert nodes.tolist() == [2, 3]
    assert ((end - begin) // MS).tolist() == [10, 20]


@settings(deadline=None, max_examples=150)
@given(st.lists(nested_trace(), min_size=1, max_size=2))
def test_random_trees_equal_the_painted_ones(parts):
    forest = build_forest(trace_batch(parts))

    assert kernels.own_time(*columns(forest)).tolist() == naive_own_time(forest)
    assert kernels.critical_time(*columns(forest)).tolist() == naive_critical_time(forest)


@settings(deadline=None, max_examples=80)
@given(st.lists(nested_trace(), min_size=1, max_size=2))
def test_segments_equal_the_painted_path(parts):
    forest = build_forest(trace_batch(parts))
    for root in np.flatnonzero(forest.parent < 0):
        painted = paint(forest, int(root), int(forest.start_ns[root]), int(forest.end_ns[root]))
        nodes, begin, end = kernels.critical_path(*columns(forest), int(root))
        segments = zip(nodes.tolist(), begin.tolist(), end.tolist(), strict=True)

        assert {at: node for node, a, b in segments for at in range(a, b)} == painted
        assert (begin[1:] == end[:-1]).all()


def shapes(count: int):
    """Large trees: parents, starts, ends."""
    index = np.arange(count)
    rng = np.random.default_rng(7)
    chain = index - 1
    fan = np.where(index > 0, 0, -1)
    binary = (index - 1) // 2
    comb = np.where(index % 2 == 1, index - 1, index - 2)
    late = index + 10**18
    yield "chain", chain, late, 10**18 + 3 * count - index
    yield "fan of touching siblings", fan, np.where(index > 0, late - 1, 10**18), np.where(index > 0, late, late[-1])
    yield "fan of overlapping siblings", fan, late, np.where(index > 0, late + count, 10**18 + 3 * count)
    yield "binary", binary, late, 10**18 + 4 * count - index
    yield "comb", np.where(index == 0, -1, comb), late, 10**18 + 4 * count - index
    yield "all times equal", fan, np.full(count, 10**18), np.full(count, 10**18 + 5)
    start = rng.integers(0, 10**9, count) + 10**18
    yield "random", np.array([-1, *(rng.integers(0, index[1:]))]), start, start + rng.integers(0, 10**9, count)


@pytest.mark.parametrize("shape", range(7))
@pytest.mark.parametrize("count", [LARGE, pytest.param(1_000_000, marks=pytest.mark.deep)])
def test_the_parts_of_large_trees_sum_to_their_root(shape, count):
    _, parents, start, end = list(shapes(count))[shape]
    forest = build_forest(trace_batch([tree_rows(parents, start, end)]))
    own, critical = kernels.own_time(*columns(forest)), kernels.critical_time(*columns(forest))
    nodes, begin, finish = kernels.critical_path(*columns(forest), 0)

    assert int(critical.sum()) == int(forest.end_ns[0] - forest.start_ns[0]) == int((finish - begin).sum())
    assert (critical >= 0).all()
    assert (own >= 0).all()
    assert (own <= forest.end_ns - forest.start_ns).all()
    assert len(nodes) > 0
