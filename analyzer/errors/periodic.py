"""When errors come: by the clock, in bursts, ever more, or since a moment.

In: times of events, or counts per window. Out: a period with its phase, or a shape in words. Knows no time zone: a
daily pattern is told in UTC, with a hint when it is a whole hour off after a change of clocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from analyzer.errors.tails import chi_square_tail

Shape = Literal["burst", "step", "leak", "steady", "too_few"]
MINUTE_NS = 60_000_000_000
# What people write into a crontab, shortest first.
PERIODS_MIN = (5, 10, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1_440, 10_080)
BINS_MAX = 60  # of a folded histogram
EVENTS_MIN = 12
ROUNDS_MIN = 3  # a period must have come round so often
P_MAX = 1e-3  # over all periods that are tried
SHARE_MIN = 0.5  # of the events, in the fullest tenth of the period
RECURS_MIN = 0.7  # of the rounds have an event there; of the half of a period at most every other round has
EVENTS_MAX = 200_000  # looked at, evenly spread over those given


@dataclass(frozen=True, slots=True)
class Period:
    """Errors that come by the clock.

    period_min : minutes;  phase_min : where in the period they come, minutes after its beginning (UTC)
    share : of the events in the fullest tenth of the period
    p : of so uneven a histogram by chance, over all periods tried
    """

    period_min: int
    phase_min: float
    share: float
    p: float
    sentence: str


def find_period(times_ns: Sequence[int] | npt.NDArray[np.int64]) -> Period | None:
    """Find the shortest period of `PERIODS_MIN` by which events come; None when they come at any time.

    Parameters
    ----------
    times_ns : int64[n]
        Unix times of the events, in any order.

    Notes
    -----
    The times are folded at each period and the bins compared with equal ones (chi-square). Events come in clusters: a
    single outage of ten minutes looks like any period. So what is counted is in how many of the rounds a bin has any
    event at all, each round once.
    """
    times = np.sort(np.asarray(times_ns, np.int64))
    if len(times) > EVENTS_MAX:
        times = times[np.linspace(0, len(times) - 1, EVENTS_MAX).astype(np.int64)]
    if len(times) < EVENTS_MIN:
        return None
    found: list[Period] = []
    for period in PERIODS_MIN:
        one = _folded(times, period)
        if one is not None:
            found.append(one)
    if not found:
        return None
    # Multiples of a period are as uneven as itself; its divisors do not recur.
    best = max(one.share for one in found)
    return next(one for one in found if one.share >= 0.8 * best)


def _folded(times: npt.NDArray[np.int64], period_min: int) -> Period | None:
    period_ns = period_min * MINUTE_NS
    rounds = times // period_ns
    round_count = int(rounds[-1] - rounds[0]) + 1
    if round_count < ROUNDS_MIN:
        return None
    bins = min(BINS_MAX, max(5, period_min))
    bin_of = (times % period_ns) * bins // period_ns
    # Each (round, bin) once.
    once = np.unique(rounds * bins + bin_of) % bins
    counts = np.bincount(once, minlength=bins).astype(np.float64)
    expected = counts.sum() / bins
    if counts.max() < ROUNDS_MIN or counts.sum() < EVENTS_MIN / 2:
        return None
    statistic = float(((counts - expected) ** 2).sum() / expected)
    # With few counts in a bin the chi-square is too sure; asking the fullest bin to recur keeps it honest.
    p = min(1.0, chi_square_tail(statistic, bins - 1) * len(PERIODS_MIN))
    width = max(1, bins // 10)
    around = np.concatenate([counts, counts[: width - 1]]) if width > 1 else counts
    windows = np.convolve(around, np.ones(width), "valid")
    start = int(np.argmax(windows))
    share = float(windows[start] / counts.sum())
    recurs = float(counts.max()) / round_count
    if p >= P_MAX or share < SHARE_MIN or recurs < RECURS_MIN:
        return None
    inside = ((bin_of - start) % bins) < width
    offsets = ((times[inside] % period_ns) - start * period_ns // bins) % period_ns
    phase = (start * period_min / bins + float(np.median(offsets)) / MINUTE_NS) % period_min
    return Period(period_min, phase, share, p, _said(period_min, phase, share))


def _said(period_min: int, phase_min: float, share: float) -> str:
    if period_min == 1_440:
        when = f"every day at about {int(phase_min) // 60:02d}:{int(phase_min) % 60:02d} UTC"
    elif period_min == 10_080:
        # 1970-01-01 was a Thursday.
        days = ("Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday")
        day, rest = divmod(int(phase_min), 1_440)
        when = f"every {days[day]} at about {rest // 60:02d}:{rest % 60:02d} UTC"
    elif period_min == 60:
        when = f"every hour, about {phase_min:.0f} minutes past"
    else:
        span = f"{period_min // 60} hours" if period_min % 60 == 0 else f"{period_min} minutes"
        when = f"every {span}, about {phase_min:.0f} minutes into them"
    return f"They come {when} ({share:.0%} of them within a tenth of the period): look for a job that runs then."


def shape_of(counts: Sequence[int] | npt.NDArray[np.int64]) -> Shape:
    """Say how events are spread over equal windows, oldest first.

    Returns
    -------
    "burst"
        Nearly all within a few neighbouring windows, calm before and after.
    "step"
        Few, then many from a moment to the end.
    "leak"
        Ever more, without a moment of change.
    "steady"
        None of these.
    "too_few"
        Fewer than `EVENTS_MIN` events, or eight windows.

    Notes
    -----
    Poisson likelihoods of a constant, a step, a box (burst) and a straight line, compared by the Bayesian information
    criterion (Schwarz, 1978).
    """
    values = np.asarray(counts, np.float64)
    n = len(values)
    if n < 8 or values.sum() < EVENTS_MIN:
        return "too_few"
    sums = np.concatenate([[0.0], np.cumsum(values)])
    fits = {
        "steady": (_log_flat(values.sum(), n), 1),
        "step": _step(sums, n),
        "burst": _box(sums, n),
        "leak": _line(values),
    }
    scores: dict[Shape, float] = {
        name: 2.0 * log - parameters * math.log(n) for name, (log, parameters) in fits.items()
    }
    best = max(scores, key=lambda name: scores[name])
    # Ten: "very strong" in Kass and Raftery, 1995; below it nothing is claimed.
    if best == "steady" or scores[best] - scores["steady"] < 10.0:
        return "steady"
    return best


def _log_flat(count: float, windows: float) -> float:
    """Log likelihood of a Poisson rate at its best, without what all models share."""
    return count * math.log(count / windows) - count if count > 0.0 else 0.0


def _step(sums: npt.NDArray[np.float64], n: int) -> tuple[float, int]:
    """Rise from a window on to the end."""
    best = -math.inf
    for k in range(2, n - 1):
        before, after = float(sums[k]), float(sums[n] - sums[k])
        if after / (n - k) > before / k:
            best = max(best, _log_flat(before, k) + _log_flat(after, n - k))
    return best, 3


def _box(sums: npt.NDArray[np.float64], n: int) -> tuple[float, int]:
    """A few windows, at most a third, that have more; calm at both ends."""
    best = -math.inf
    for begin in range(1, n - 1):
        for end in range(begin + 1, min(n, begin + n // 3 + 1)):
            inside = float(sums[end] - sums[begin])
            outside = float(sums[n]) - inside
            width = end - begin
            if inside / width > outside / (n - width):
                best = max(best, _log_flat(inside, width) + _log_flat(outside, n - width))
    return best, 4


def _line(values: npt.NDArray[np.float64]) -> tuple[float, int]:
    """A rate that grows in a straight line from its beginning; the slope is searched."""
    place = (np.arange(len(values)) + 0.5) / len(values)
    best = -math.inf
    for slope in np.linspace(0.5, 2.0, 16):
        rate = 1.0 - slope / 2.0 + slope * place
        rate = np.maximum(rate, 1e-3)
        rate *= values.sum() / rate.sum()
        best = max(best, float((values * np.log(rate) - rate).sum()))
    return best, 2
