"""Shares of failing calls, compared exactly: against whole numbers, and by what they must be."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.errors.exact_shares import Calls, chance_of_more, share_limits
from tests.support.naive import exact_shares as naive

SOME = st.integers(0, 60).flatmap(lambda calls: st.tuples(st.integers(0, calls), st.just(calls)))


@settings(max_examples=200, deadline=None)
@given(SOME, SOME)
def test_the_chance_is_that_of_whole_numbers(one: tuple[int, int], other: tuple[int, int]):
    expected = float(naive.chance_of_more(*one, *other))

    assert chance_of_more(Calls(*one), Calls(*other)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(max_examples=100, deadline=None)
@given(SOME)
def test_at_its_limits_what_was_seen_is_just_not_rare(seen: tuple[int, int]):
    """At the upper limit so few have a chance of a fortieth, at the lower one so many."""
    failed, calls = seen
    low, high = share_limits(Calls(failed, calls))

    if failed < calls:
        assert float(naive.binomial_at_most(failed, calls, Fraction(high))) == pytest.approx(0.025, rel=1e-6)
    else:
        assert high == 1.0
    if failed > 0:
        above = 1 - naive.binomial_at_most(failed - 1, calls, Fraction(low))
        assert float(above) == pytest.approx(0.025, rel=1e-6)
    else:
        assert low == 0.0


def test_no_calls_say_nothing():
    assert share_limits(Calls(0, 0)) == (0.0, 1.0)
    assert chance_of_more(Calls(0, 0), Calls(3, 10)) == 1.0


def test_a_million_calls_are_compared_too():
    """A thousandth against a thousandth and a tenth of it more."""
    low, high = share_limits(Calls(1_000, 1_000_000))

    assert chance_of_more(Calls(1_100, 1_000_000), Calls(1_000, 1_000_000)) == pytest.approx(0.0153, rel=0.01)
    assert chance_of_more(Calls(1_000, 1_000_000), Calls(1_100, 1_000_000)) == pytest.approx(0.986, rel=0.001)
    assert (low, high) == (pytest.approx(0.000939, rel=0.001), pytest.approx(0.001064, rel=0.001))


@pytest.mark.parametrize("wrong", [Calls(3, 2), Calls(-1, 2)])
def test_counts_that_cannot_be_are_refused(wrong: Calls):
    with pytest.raises(ValueError, match=f"{wrong.failed} of 2 calls failed; expected 0 to all of them"):
        share_limits(wrong)
    with pytest.raises(ValueError, match="expected 0 to all"):
        chance_of_more(Calls(0, 1), wrong)
