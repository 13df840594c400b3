"""The tests behind a judgement of a change: side by side, before and after, and when it began.

In: requests as columns. Out: numbers. All compare like with like: a request only with those of its own stratum (its
operation, say), so that a shifted mix of traffic is no effect. Decides nothing; `changes` does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.errors.tails import upper_tail

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# Odds of a bad request in the new version against the old one; the test is a bet spread evenly over these.
ODDS_RATIOS = np.array([1.5, 2.0, 4.0, 8.0, 16.0, 64.0])
_RATE_MIN = 1e-4
_PRIOR_REQUESTS = 2.0  # a stratum begins with the rate of all, worth as many requests
SLICES_BEFORE = 24  # of the time before, to see how restless it is by itself
_SUPPORT_LOGS = 3.0  # splits this much less likely than the best one could still be the onset


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """Bad requests after the change against those before it.

    count, expected : bad ones after, and how many were to be expected
    p : probability of so many or more
    """

    count: int
    expected: float
    p: float


def rates_by_stratum(bad: Bools, stratum: Ints, strata: int) -> tuple[Floats, float]:
    """Share of bad requests of every stratum, drawn a little to that of all; and that of all."""
    seen = np.bincount(stratum, minlength=strata).astype(np.float64)
    worse = np.bincount(stratum, weights=bad.astype(np.float64), minlength=strata)
    overall = (worse.sum() + 0.5) / (seen.sum() + 1.0)
    return (worse + _PRIOR_REQUESTS * overall) / (seen + _PRIOR_REQUESTS), float(overall)


def side_by_side(bad: Bools, is_new: Bools, stratum: Ints, block: Ints, rates: Floats) -> float:
    """Evidence that the new version is worse than the old one that runs beside it.

    Parameters
    ----------
    bad, is_new : bool[n]
    stratum : int64[n]
    block : int64[n]
        Slice of time, 0 or more; within a slice the order does not matter.
    rates : float64[strata]
        What is known from before.

    Returns
    -------
    float
        An e-value: 1 / e is a p-value that holds at whatever moment one looks, and however often.

    Notes
    -----
    In every cell (slice, stratum) both versions are held against one common rate, whatever that is: a fault of both,
    a restless hour or a shifted mix is no evidence. Turner, Ly & Grünwald, "Generic E-variables for exact
    sequential k-sample tests that allow for optional stopping", 2024; the bets are mixed over `ODDS_RATIOS`.
    """
    logs = np.zeros(len(ODDS_RATIOS))
    strata = len(rates)
    worse, seen = rates * _PRIOR_REQUESTS, np.full(strata, _PRIOR_REQUESTS)
    cell = block * strata + stratum
    # Per cell: old good, old bad, new good, new bad.
    cells, position = np.unique(cell, return_inverse=True)
    counts = np.zeros((len(cells), 4))
    np.add.at(counts, (position, 2 * is_new.astype(np.int64) + bad.astype(np.int64)), 1.0)
    for at, (old_good, old_bad, new_good, new_bad) in zip(cells.tolist(), counts, strict=True):
        row = at % strata
        old, new = old_good + old_bad, new_good + new_bad
        if old and new:
            base = min(max(worse[row] / seen[row], _RATE_MIN), 1.0 - _RATE_MIN)
            raised = ODDS_RATIOS * base / (1.0 - base + ODDS_RATIOS * base)
            common = (old * base + new * raised) / (old + new)
            logs += old_bad * np.log(base / common) + old_good * np.log((1.0 - base) / (1.0 - common))
            logs += new_bad * np.log(raised / common) + new_good * np.log((1.0 - raised) / (1.0 - common))
        worse[row] += old_bad  # what the bet is set on was seen before it
        seen[row] += old
    top = float(logs.max())
    return math.exp(min(700.0, top + math.log(float(np.exp(logs - top).mean()))))


def before_after(bad: Bools, is_after: Bools, stratum: Ints, strata: int, slices: Ints, at_least: float) -> BeforeAfter:
    """Hold the requests after the change against what those before it lead to expect.

    Parameters
    ----------
    bad, is_after : bool[n]
    stratum : int64[n]
        All 0: the mix is not looked at.
    strata : int
    slices : int64[n]
        Slice of time; how they vary before the change is how restless the service is by itself.
    at_least : float
        What is expected is multiplied by it: a rise that others, who have nothing to do with it, show too.
    """
    before = ~is_after
    rates, _ = rates_by_stratum(bad[before], stratum[before], strata)
    expected = rates[stratum]
    mean = float(expected[is_after].sum()) * max(1.0, at_least)
    count = int(bad[is_after].sum())
    seen = float(bad[before].sum()) + 0.5
    spread = spread_of(bad[before], expected[before], slices[before])
    size = 1.0 / (1.0 / seen + spread)
    return BeforeAfter(count, mean, upper_tail(count, mean, size))


def spread_of(bad: Bools, expected: Floats, slices: Ints) -> float:
    """Inverse size of the negative binomial that the slices vary with; 0 when they vary as chance does."""
    if not len(slices):
        return 0.0
    counts = np.bincount(slices - slices.min(), weights=bad.astype(np.float64))
    means = np.bincount(slices - slices.min(), weights=expected)
    squares = float((means**2).sum())
    if squares == 0.0:
        return 0.0
    return max(0.0, float(((counts - means) ** 2 - means).sum()) / squares)


def onset_range(bad: Bools, expected: Floats, slices: Ints) -> tuple[int, int]:
    """First and last slice in which a lasting rise may have begun.

    Returns
    -------
    (int, int)
        Slices that are nearly as likely as the likeliest one.

    Notes
    -----
    One step of a Poisson rate, by likelihood over all splits; the set of splits within `_SUPPORT_LOGS` (times the
    variance over the mean of the counts before the step) of the best.
    """
    low = int(slices.min())
    counts: Floats = np.bincount(slices - low, weights=bad.astype(np.float64)).astype(np.float64)
    means = np.maximum(np.bincount(slices - low, weights=expected), 1e-9)
    c0: Floats = np.cumsum(counts)[:-1]
    m0: Floats = np.cumsum(means)[:-1]
    c1, m1 = counts.sum() - c0, means.sum() - m0
    logs = _log_rate(c0, m0) + _log_rate(c1, m1)
    logs[c1 / m1 <= c0 / m0] = -np.inf  # a fall is no onset
    if not np.isfinite(logs).any():
        return low, low + len(counts) - 1
    best = int(np.argmax(logs))
    first = counts[: best + 1]
    # Restless counts make the place of the step less sure.
    excess = 1.0 if first.mean() == 0.0 or len(first) < 2 else max(1.0, float(first.var(ddof=1) / first.mean()))
    near = np.flatnonzero(logs >= logs[best] - _SUPPORT_LOGS * excess)
    return low + int(near[0]) + 1, low + int(near[-1]) + 1


def _log_rate(count: Floats, mean: Floats) -> Floats:
    found: Floats = count * np.log(np.maximum(count, 1e-12) / mean) - count
    return found
