"""Two tests: does an error keep to one place, and does it come with load? In: counts. Out: what was found, or None.

Both ask for an effect worth telling beside a small chance: with many errors everything is significant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Numbers: TypeAlias = npt.NDArray[np.float64]

CHANCE_MAX = 0.001  # of either, all places looked at together; a wrong "only on host 7" sends people astray
ERRORS_MIN = 10
ERROR_SHARE_MIN = 0.8  # of the errors, in the one place
CALL_SHARE_MAX = 0.5  # of the calls there: more and the place is simply most of the system
MINUTES_MIN = 20
RHO_MIN = 0.5


@dataclass(frozen=True, slots=True)
class Skew:
    """The place, and how likely so many errors there are by chance."""

    name: str
    errors: int
    error_share: float
    call_share: float
    p: float


@dataclass(frozen=True, slots=True)
class Load:
    """How strongly the failing share goes with the number of calls."""

    rho: float
    minutes: int
    p: float


def skewed_to(errors: Mapping[str, int], calls: Mapping[str, int], total: int) -> Skew | None:
    """Find the one place most errors are in, when calls are not.

    Parameters
    ----------
    errors : place -> errors
    calls : place -> calls
    total : all errors, those without a place too

    Notes
    -----
    Exact binomial upper tail of the errors in the place, at its share of calls; times the places looked at
    (Bonferroni). Errors come in bursts, so the tail is taken over at most 200 of them: more would claim a certainty
    that is not there.
    """
    all_calls = sum(calls.values())
    if total < ERRORS_MIN or all_calls <= 0 or len(calls) < 2:
        return None
    name, count = max(errors.items(), key=lambda pair: (pair[1], pair[0]), default=("", 0))
    if not name or name not in calls:
        return None
    error_share, call_share = min(1.0, count / total), calls[name] / all_calls
    if error_share < ERROR_SHARE_MIN or call_share > CALL_SHARE_MAX:
        return None
    trials = min(total, 200)
    p = min(1.0, binomial_upper(round(error_share * trials), trials, call_share) * len(calls))
    return Skew(name, total, error_share, call_share, p) if p <= CHANCE_MAX else None


def binomial_upper(successes: int, trials: int, share: float) -> float:
    """P(X >= successes) of `trials` with chance `share` each; summed from the largest term in logarithms."""
    if successes <= 0:
        return 1.0
    if share <= 0.0:
        return 0.0
    if share >= 1.0:
        return 1.0
    logs = [
        math.lgamma(trials + 1)
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(share)
        + (trials - k) * math.log1p(-share)
        for k in range(successes, trials + 1)
    ]
    return min(1.0, math.fsum(math.exp(value) for value in logs))


def load_correlation(errors: Mapping[int, int], calls: Mapping[int, int]) -> Load | None:
    """Tell whether the share of calls that fail rises with their number, minute by minute.

    Notes
    -----
    Spearman's rank correlation of calls and errors/calls; its chance by the usual t with n - 2 degrees of freedom, in
    the normal approximation, which is a little small for few minutes: `MINUTES_MIN` keeps clear of them. The last
    minute is left out: it has not ended.
    """
    minutes = sorted(calls)[:-1]
    if len(minutes) < MINUTES_MIN or sum(errors.get(minute, 0) for minute in minutes) < ERRORS_MIN:
        return None
    load = np.array([calls[minute] for minute in minutes], np.float64)
    share = np.array([errors.get(minute, 0) for minute in minutes], np.float64) / load
    rho = _spearman(load, share)
    if not rho >= RHO_MIN:
        return None
    n = len(minutes)
    t = rho * math.sqrt((n - 2) / max(1e-12, 1.0 - rho * rho))
    p = 0.5 * math.erfc(t / math.sqrt(2.0))
    return Load(rho, n, p) if p <= CHANCE_MAX else None


def _spearman(x: Numbers, y: Numbers) -> float:
    """Rank correlation, equal values sharing their mean rank; nan when either never varies."""
    a, b = _ranks(x), _ranks(y)
    a, b = a - a.mean(), b - b.mean()
    size = math.sqrt(float((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / size if size > 0 else math.nan


def _ranks(x: Numbers) -> Numbers:
    _, place, counts = np.unique(x, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: Numbers = (ends - (counts - 1) / 2.0)[place]
    return ranks
