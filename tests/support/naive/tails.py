"""Tails of counts, written for the eye: add up exact fractions, one event after the other."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate
from math import exp


def poisson_upper(count: int, mean: float) -> float:
    """One less the masses below; exact but for e**-mean."""
    mass, below = Fraction(1), Fraction(0)
    for k in range(count):
        below += mass
        mass = mass * Fraction(mean) / (k + 1)
    return float(1 - below * Fraction(exp(-mean)))


def negative_binomial_masses(mean: int, size: int, count: int) -> list[Fraction]:
    """Masses of 0, 1, ... count - 1: successes before the `size`-th failure; whole sizes only."""
    success = Fraction(mean, size + mean)
    masses = [(1 - success) ** size]
    for k in range(count - 1):
        masses.append(masses[-1] * success * (k + size) / (k + 1))
    return masses


def negative_binomial_upper(count: int, mean: int, size: int) -> float:
    return float(1 - sum(negative_binomial_masses(mean, size, count), Fraction(0))) if count else 1.0


def benjamini_hochberg(p_values: list[float], rate: float) -> list[bool]:
    """Adjusted p-values, smallest of all that stand above; then compare."""
    count = len(p_values)
    ordered = sorted(p_values)
    adjusted = [p * count / rank for rank, p in enumerate(ordered, 1)]
    best = list(accumulate(reversed(adjusted), min))[::-1]
    return [best[ordered.index(p)] <= rate for p in p_values]
