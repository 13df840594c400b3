"""Sums per operation and per edge equal the plain twin's, and begin again after a take."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.aggregates import Aggregates
from analyzer.kernels.aggregate import sum_edges, sum_operations
from tests.support.drawing import batch, draw, healthy
from tests.support.measured import measure
from tests.support.naive.aggregate import aggregate
from tests.support.naive.vocabulary import vocabulary
from tests.support.shop import FAULTS, HEALTHY


def in_words(sums: Aggregates, words):  # type: ignore[no-untyped-def]
    operations, edges = sums.take(words)
    return (
        {
            (one.service, one.operation, one.kind): [
                one.count,
                one.error_count,
                one.duration_sum_ns,
                one.duration_max_ns,
            ]
            for one in operations
        },
        {
            (one.caller, one.callee, one.callee_kind, one.rule): [one.count, one.error_count, one.duration_sum_ns]
            for one in edges
        },
    )


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_one_trace_is_summed_as_the_twin_sums_it(fault):  # type: ignore[no-untyped-def]
    words = vocabulary()
    analysis = measure(batch(fault.drawing(), words))
    sums = Aggregates()
    sums.add(analysis)

    assert in_words(sums, words) == aggregate(analysis)


def test_batches_add_up():
    """Two batches of one vocabulary are the sum of both."""
    words = vocabulary()
    sums = Aggregates()
    expected: dict[object, int] = {}
    for text in HEALTHY:
        analysis = measure(batch(healthy(draw(text), 20), words))
        sums.add(analysis)
        for key, numbers in aggregate(analysis)[0].items():
            expected[key] = expected.get(key, 0) + numbers[0]

    operations, _ = in_words(sums, words)

    assert {key: numbers[0] for key, numbers in operations.items()} == expected


def test_a_take_starts_again_from_zero():
    words = vocabulary()
    sums = Aggregates()
    sums.add(measure(batch(draw(HEALTHY[0]), words)))
    sums.take(words)

    assert sums.take(words) == ([], [])


def test_a_full_edge_table_counts_what_it_loses():
    """Two slots, many edges: two are kept, the calls of the others are counted."""
    text = "a GET / 0..100\n" + "\n".join(f"  s{i} work {i}..{i + 1}" for i in range(10))
    analysis = measure(batch(draw(text)))
    forest = analysis.forest
    keys, totals = np.zeros(2, np.uint64), np.zeros((2, 4), np.int64)

    lost = sum_edges(
        analysis.traces.rows,
        forest.row,
        forest.parent,
        forest.child_ptr,
        forest.child,
        forest.start_ns,
        forest.end_ns,
        analysis.failed,
        keys,
        totals,
    )

    assert (lost, totals[:, 0].sum()) == (8, 2)


def test_an_operation_outside_the_table_goes_to_row_zero():
    analysis = measure(batch(draw("a GET / 0..100")))
    forest = analysis.forest
    totals = np.zeros((1, 4), np.int64)

    outside = sum_operations(analysis.traces.rows, forest.row, forest.start_ns, forest.end_ns, analysis.failed, totals)

    assert (outside, totals[0, 0]) == (1, 1)


def test_sums_of_durations_saturate():
    """Ten durations of 2**61 ns do not turn negative."""
    analysis = measure(batch(healthy(draw("a GET / 0..100"), 10)))
    forest = analysis.forest
    totals = np.zeros((len(analysis.traces.vocabulary.operations), 4), np.int64)
    end = np.full(10, 2**61, np.int64)

    sum_operations(analysis.traces.rows, forest.row, np.zeros(10, np.int64), end, analysis.failed, totals)

    assert totals[:, 2].max() == 2**62
