"""Exact tails of counts, against fractions and printed tables."""

from __future__ import annotations

import math
import random

import pytest

from analyzer.errors.tails import chi_square_tail, discoveries, lower_tail, upper_tail
from tests.support.naive import tails as naive


@pytest.mark.parametrize("mean", [1, 3, 8, 20])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 9, 20, 31])
def test_the_poisson_tail_is_that_of_the_sum(count: int, mean: int):
    assert upper_tail(count, float(mean)) == pytest.approx(naive.poisson_upper(count, mean), rel=1e-9, abs=1e-14)


@pytest.mark.parametrize("size", [1, 2, 7, 50])
@pytest.mark.parametrize("mean", [1, 4, 30])
@pytest.mark.parametrize("count", [0, 1, 4, 12, 60, 200])
def test_the_negative_binomial_tail_is_that_of_the_sum(count: int, mean: int, size: int):
    expected = naive.negative_binomial_upper(count, mean, size)

    assert upper_tail(count, float(mean), float(size)) == pytest.approx(expected, rel=1e-9, abs=0.0)


def test_the_two_tails_make_a_whole():
    for mean, size in ((0.3, math.inf), (5.0, 2.5), (1e4, 10.0), (1e5, math.inf)):
        for count in (0, 1, 4, int(mean), int(mean) + 3):
            assert lower_tail(count, mean, size) + upper_tail(count + 1, mean, size) == pytest.approx(1.0)


def test_a_far_tail_is_not_rounded_to_nothing():
    """One less the sum below would be 0 or negative there."""
    assert upper_tail(200, 20.0) == pytest.approx(4.663501789e-124, rel=1e-6, abs=0.0)


def test_nothing_is_expected_and_nothing_came():
    assert (upper_tail(0, 0.0), upper_tail(1, 0.0), lower_tail(0, 0.0), lower_tail(-1, 3.0)) == (1.0, 0.0, 1.0, 0.0)


@pytest.mark.parametrize(("mean", "size"), [(-1.0, 1.0), (math.nan, 1.0), (math.inf, 1.0), (1.0, 0.0)])
def test_what_is_no_distribution_is_refused(mean: float, size: float):
    with pytest.raises(ValueError, match="expected"):
        upper_tail(3, mean, size)


@pytest.mark.parametrize(
    ("statistic", "freedom", "expected"),
    [(3.841459, 1, 0.05), (5.991465, 2, 0.05), (7.814728, 3, 0.05), (18.307038, 10, 0.05), (19.675138, 11, 0.05)],
)
def test_chi_square_tails_of_the_printed_table(statistic: float, freedom: int, expected: float):
    assert chi_square_tail(statistic, freedom) == pytest.approx(expected, rel=1e-6)


def test_discoveries_are_those_of_adjusted_values():
    drawn = random.Random(7)
    for _ in range(200):
        p_values = [drawn.random() ** drawn.choice((1, 6)) for _ in range(drawn.randrange(1, 30))]
        assert discoveries(p_values, 0.05) == naive.benjamini_hochberg(p_values, 0.05)


def test_no_tests_no_discoveries():
    assert discoveries([], 0.05) == []
