"""Two shares of failing calls compared exactly, and how well one is known.

In: failed and all calls. Out: chances and limits. Tails are summed from their largest term outwards, so a million calls
cost some thousands of terms. Calls are taken as independent: retries of one request are not, and make it too sure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

_TERMS_MAX = 200_000  # a tail has fallen below doubles long before, at any count that fits a day
_LEAST = 1e-17
_HALVINGS = 60


class Calls(NamedTuple):
    """Calls of some minutes, and how many of them failed."""

    failed: int
    calls: int

    @property
    def share(self) -> float:
        """Failed of all; 0 without calls."""
        return self.failed / self.calls if self.calls else 0.0


def chance_of_more(one: Calls, other: Calls) -> float:
    """P(as many failures in `one` or more), if both failed alike.

    Raises
    ------
    ValueError
        More calls failed than there were, or a count is below 0.

    Notes
    -----
    Fisher's exact test, one-sided: given the failures of both, those in `one` are hypergeometric.
    """
    _check(one)
    _check(other)
    population, marked, drawn = one.calls + other.calls, one.failed + other.failed, one.calls
    least, most = max(0, drawn + marked - population), min(marked, drawn)
    if one.failed <= least:
        return 1.0
    mean = drawn * marked / population
    if one.failed > mean:
        return min(1.0, _tail(one.failed, 1, most, population, marked, drawn))
    return max(0.0, 1.0 - _tail(one.failed - 1, -1, least, population, marked, drawn))


def share_limits(seen: Calls, doubt: float = 0.05) -> tuple[float, float]:
    """Return the lower and the upper limit of the share of calls that fail; (0, 1) without calls.

    Notes
    -----
    Clopper & Pearson (1934): each limit is the share at which what was seen has a chance of `doubt` / 2.
    """
    _check(seen)
    failed, calls = seen
    if not calls:
        return 0.0, 1.0
    low, high = 0.0, 1.0
    if failed > 0:
        low = _solve(lambda share: _binomial(failed, 1, calls, share) < doubt / 2, 0.0, failed / calls)
    if failed < calls:
        high = _solve(lambda share: _binomial(failed, -1, calls, share) > doubt / 2, failed / calls, 1.0)
    return low, high


def _solve(below: Callable[[float], bool], low: float, high: float) -> float:
    """Halve towards the point where `below` stops being true."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if below(middle) else (low, middle)
    return (low + high) / 2.0


def _tail(k: int, step: int, end: int, population: int, marked: int, drawn: int) -> float:
    """Sum hypergeometric masses from k to `end` in direction `step`."""
    total = term = math.exp(
        _log_choose(marked, k) + _log_choose(population - marked, drawn - k) - _log_choose(population, drawn)
    )
    for _ in range(_TERMS_MAX):
        if k == end:
            break
        if step > 0:
            term *= (marked - k) * (drawn - k) / ((k + 1) * (population - marked - drawn + k + 1))
        else:
            term *= k * (population - marked - drawn + k) / ((marked - k + 1) * (drawn - k + 1))
        k += step
        total += term
        if term <= total * _LEAST:
            break
    return total


def _binomial(k: int, step: int, n: int, share: float) -> float:
    """Sum binomial masses from k to the end in direction `step`."""
    if share <= 0.0 or share >= 1.0:
        return 1.0 if (step < 0) == (share <= 0.0) else 0.0
    odds = share / (1.0 - share)
    total = term = math.exp(_log_choose(n, k) + k * math.log(share) + (n - k) * math.log1p(-share))
    end = n if step > 0 else 0
    for _ in range(_TERMS_MAX):
        if k == end:
            break
        term *= (n - k) / (k + 1) * odds if step > 0 else k / ((n - k + 1) * odds)
        k += step
        total += term
        if term <= total * _LEAST:
            break
    return total


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _check(one: Calls) -> None:
    if not 0 <= one.failed <= one.calls:
        raise ValueError(f"{one.failed} of {one.calls} calls failed; expected 0 to all of them")
