"""Exact tails in whole numbers: every mass is a fraction, nothing is rounded."""

from __future__ import annotations

from fractions import Fraction
from math import comb


def chance_of_more(failed: int, calls: int, other_failed: int, other_calls: int) -> Fraction:
    """P(failed or more of calls), given the failures of both."""
    marked = failed + other_failed
    ways = sum(
        comb(calls, k) * comb(other_calls, marked - k) for k in range(failed, min(marked, calls) + 1) if marked >= k
    )
    return Fraction(ways, comb(calls + other_calls, marked))


def binomial_at_most(failed: int, calls: int, share: Fraction) -> Fraction:
    """P(failed or fewer of calls)."""
    return sum((comb(calls, k) * share**k * (1 - share) ** (calls - k) for k in range(failed + 1)), start=Fraction(0))
