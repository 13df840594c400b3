"""Exact tails of counts: how surprising is a number of events.

In: counts, expected counts, sizes. Out: probabilities, 0 to 1. Made of log-gamma and of sums that run away from the
mean, so that a tail of 1e-30 is as exact as one of 0.1. Decides nothing.

Truth: tests/support/naive/tails.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

_NEGLIGIBLE = 1e-17  # of the sum so far: nothing that double precision keeps
_TERMS_MAX = 1_000_000  # a tail is cut there; its terms fall geometrically long before


def upper_tail(count: int, mean: float, size: float = math.inf) -> float:
    """P(X >= count) of a negative binomial; of a Poisson when `size` is infinite.

    Parameters
    ----------
    count : int
        Events seen, 0 or more.
    mean : float
        Events expected, 0 or more.
    size : float
        Dispersion: the variance is mean + mean**2 / size.

    Raises
    ------
    ValueError
        `mean` is negative or no number, or `size` is not above 0.

    Examples
    --------
    >>> round(upper_tail(10, 2.0), 7)
    4.65e-05

    Notes
    -----
    The negative binomial as a Poisson whose rate is gamma distributed: Greenwood & Yule, 1920.
    """
    _check(mean, size)
    if count <= 0:
        return 1.0
    if mean == 0.0:
        return 0.0
    if count > mean:
        return min(1.0, _away(count, 1, mean, size))
    return max(0.0, 1.0 - _away(count - 1, -1, mean, size))


def lower_tail(count: int, mean: float, size: float = math.inf) -> float:
    """P(X <= count) of the same; see `upper_tail`."""
    _check(mean, size)
    if count < 0:
        return 0.0
    if mean == 0.0:
        return 1.0
    if count < mean:
        return min(1.0, _away(count, -1, mean, size))
    return max(0.0, 1.0 - _away(count + 1, 1, mean, size))


def _check(mean: float, size: float) -> None:
    if not (mean >= 0.0 and math.isfinite(mean)):
        raise ValueError(f"mean is {mean}; expected a number of 0 or more")
    if not size > 0.0:
        raise ValueError(f"size is {size}; expected above 0, infinite for a Poisson")


def _log_mass(count: int, mean: float, size: float) -> float:
    if math.isinf(size):
        return count * math.log(mean) - mean - math.lgamma(count + 1)
    # log1p keeps what a huge size would lose.
    return (
        math.lgamma(count + size)
        - math.lgamma(size)
        - math.lgamma(count + 1)
        - size * math.log1p(mean / size)
        + count * (math.log(mean) - math.log(size + mean))
    )


def _away(count: int, step: int, mean: float, size: float) -> float:
    """Sum the masses from `count` on in direction `step`, relative to the first one."""
    if count < 0:
        return 0.0
    total = term = 1.0
    k = count
    # mass(k + 1) / mass(k) is mean / (k + 1), or (k + size) / (k + 1) * mean / (size + mean).
    for _ in range(_TERMS_MAX):
        if step > 0:
            term *= _ratio(k, mean, size)
        else:
            if k == 0:
                break
            term /= _ratio(k - 1, mean, size)
        k += step
        total += term
        if term < _NEGLIGIBLE * total:
            break
    return math.exp(_log_mass(count, mean, size) + math.log(total))


def _ratio(k: int, mean: float, size: float) -> float:
    if math.isinf(size):
        return mean / (k + 1)
    return (k + size) / (k + 1) * (mean / (size + mean))


def chi_square_tail(statistic: float, freedom: int) -> float:
    """P(X >= statistic) of a chi-square with `freedom` degrees of freedom.

    Notes
    -----
    The finite sums for even and odd degrees (Abramowitz & Stegun 26.4.4, 26.4.5); no incomplete gamma is needed.
    """
    if freedom < 1:
        raise ValueError(f"freedom is {freedom}; expected 1 or more")
    if statistic <= 0.0:
        return 1.0
    half = statistic / 2.0
    if freedom % 2:
        total = math.erfc(math.sqrt(half))
        log_term = 0.5 * math.log(half) - half - math.lgamma(1.5)
        orders = range(1, freedom - 1, 2)
        for order in orders:
            total += math.exp(log_term)
            log_term += math.log(half) - math.log(order / 2.0 + 1.0)
        return min(1.0, total)
    log_term, total = -half, 0.0
    for order in range(freedom // 2):
        total += math.exp(log_term)
        log_term += math.log(half) - math.log(order + 1.0)
    return min(1.0, total)


def discoveries(p_values: Sequence[float], rate: float) -> list[bool]:
    """Which tests are discoveries when at most a share `rate` of them may be false.

    Parameters
    ----------
    p_values : sequence of float
    rate : float
        False discovery rate, 0 to 1.

    Returns
    -------
    list of bool, in the order given

    Notes
    -----
    Benjamini & Hochberg, 1995: all up to the last one, by size, that is at most rate * rank / count.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    last = 0
    for rank, i in enumerate(order, 1):
        if p_values[i] <= rate * rank / len(p_values):
            last = rank
    found = [False] * len(p_values)
    for i in order[:last]:
        found[i] = True
    return found
