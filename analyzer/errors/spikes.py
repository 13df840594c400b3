"""Spikes and silences: is the last window unusual for this hour, and is there enough traffic to say so.

In: counts per window of many groups (errors of a fingerprint, requests of an operation), oldest first. Out: a `Trend`
of each, with both counts, the ratio and the exact probability. What is "more than three sigma" of a normal
distribution is here an exact tail below 0.00135: at two errors an hour, sigma says nothing. Over many groups the false
discovery rate is bounded too. Never looks at a clock: `end_ns` is where the last window ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from analyzer.errors.tails import discoveries, lower_tail, upper_tail
from analyzer.words import shown

State = Literal["usual", "spike", "new", "drop", "no_data", "too_little_traffic"]

HOUR_NS = 3_600_000_000_000
WEEK_HOURS = 168


@dataclass(frozen=True, slots=True)
class SpikeSettings:
    """When a window is told as unusual.

    p_max                tail of a normal distribution beyond three sigma
    false_discovery_rate over all groups that are judged together
    events_min           fewer are no spike, however rare
    season_weeks_min     weeks the same hour must have been seen in to be compared with itself
    season_windows_min   and windows of that hour
    recent_windows       otherwise: the last ones before
    reference_min        windows below which nothing is said
    outlier_p            windows of the reference that are themselves this rare are left out, at most a twentieth
    """

    p_max: float = 1.35e-3
    false_discovery_rate: float = 0.05
    events_min: int = 5
    season_weeks_min: int = 2
    season_windows_min: int = 12
    recent_windows: int = 48
    reference_min: int = 6
    outlier_p: float = 1e-6


@dataclass(frozen=True, slots=True)
class Series:
    """Counts of one group.

    key : what people call it
    counts : int64[n]     events per window, oldest first; the last is judged
    exposure : float64[n] or None    requests per window, when a rise of traffic explains a rise of errors
    known_before : the group was seen before the first window
    """

    key: str
    counts: npt.NDArray[np.int64]
    exposure: npt.NDArray[np.float64] | None = None
    known_before: bool = False


@dataclass(frozen=True, slots=True)
class Reference:
    """What is usual for the window: `mean` events, negative binomial with `size` (infinite: Poisson)."""

    mean: float
    size: float
    windows: int
    seasonal: bool


@dataclass(frozen=True, slots=True)
class Trend:
    """What is to be said of one group.

    expected : events that were to be expected in the window
    ratio : count / expected; infinite when nothing was expected
    p : probability of a count this far from what is expected, or further
    """

    key: str
    state: State
    count: int
    expected: float
    ratio: float
    p: float
    reference: Reference | None
    sentence: str


def find_spikes(
    series: Sequence[Series], *, window_ns: int, end_ns: int, settings: SpikeSettings | None = None
) -> list[Trend]:
    """Judge the last window of every group for too many events.

    Parameters
    ----------
    series : sequence of Series
    window_ns : int
        Length of a window.
    end_ns : int
        End of the last window, Unix time; tells the hour of the week (UTC).
    settings : SpikeSettings or None

    Returns
    -------
    list of Trend, in the order given: "spike", "new", "usual" or "too_little_traffic"

    Raises
    ------
    ValueError
        `window_ns` is not above 0, or counts and exposure differ in length.

    Notes
    -----
    The reference rate is itself estimated: its uncertainty (a gamma with the events seen, Jeffreys) and the spread
    from window to window (method of moments) are added as the inverse sizes of one negative binomial.
    """
    settings = settings or SpikeSettings()
    found = [_referenced(one, window_ns, end_ns, settings) for one in series]
    tails = [1.0 if ref is None else upper_tail(int(one.counts[-1]), ref.mean, ref.size) for one, ref in found]
    discovered = discoveries(tails, settings.false_discovery_rate)
    return [
        _risen(one, ref, p, rare and p < settings.p_max, settings)
        for (one, ref), p, rare in zip(found, tails, discovered, strict=True)
    ]


def find_drops(
    series: Sequence[Series], *, window_ns: int, end_ns: int, settings: SpikeSettings | None = None
) -> list[Trend]:
    """Judge the last window of every group for too few events; see `find_spikes`.

    Returns
    -------
    list of Trend: "drop", "no_data", "usual" or "too_little_traffic" (so few are usual that none says nothing)
    """
    settings = settings or SpikeSettings()
    found = [_referenced(one, window_ns, end_ns, settings) for one in series]
    tails = [1.0 if ref is None else lower_tail(int(one.counts[-1]), ref.mean, ref.size) for one, ref in found]
    discovered = discoveries(tails, settings.false_discovery_rate)
    return [
        _fallen(one, ref, p, rare and p < settings.p_max, settings)
        for (one, ref), p, rare in zip(found, tails, discovered, strict=True)
    ]


def reference_of(one: Series, *, window_ns: int, end_ns: int, settings: SpikeSettings) -> Reference | None:
    """Work out what is usual for the last window: this hour of the week when it is known, else the last windows."""
    n = len(one.counts)
    before = np.arange(n - 1)
    ages = n - 1 - before  # windows ago
    begin_ns = end_ns - window_ns
    hours = (begin_ns - ages * window_ns) // HOUR_NS
    hour = begin_ns // HOUR_NS
    same = before[((hour - hours) % WEEK_HOURS == 0) & (hour != hours)]
    seasonal = (
        len(same) >= settings.season_windows_min
        and len(np.unique(hours[same])) >= settings.season_weeks_min
        and len(same) >= settings.reference_min
    )
    chosen = same if seasonal else before[-settings.recent_windows :]
    if len(chosen) < settings.reference_min:
        return None
    counts = one.counts[chosen].astype(np.float64)
    exposure = np.ones(len(chosen)) if one.exposure is None else one.exposure[chosen].astype(np.float64)
    now = 1.0 if one.exposure is None else float(one.exposure[-1])
    kept = _without_outliers(counts, exposure, settings.outlier_p)
    counts, exposure = counts[kept], exposure[kept]
    total, seen = float(counts.sum()), float(exposure.sum())
    if seen <= 0.0:
        return None
    rate = (total + 0.5) / seen  # Jeffreys: no event seen is not "never"
    size = 1.0 / (1.0 / (total + 0.5) + _spread(counts, exposure))
    return Reference(rate * now, size, len(counts), seasonal)


def _spread(counts: npt.NDArray[np.float64], exposure: npt.NDArray[np.float64]) -> float:
    """Inverse size of the windows' own negative binomial, by moments; 0 when they vary as a Poisson does."""
    means = counts.sum() / exposure.sum() * exposure
    squares = float((means**2).sum())
    if squares == 0.0:
        return 0.0
    freedom = len(counts) / max(1, len(counts) - 1)
    return max(0.0, float(((counts - means) ** 2 * freedom - means).sum()) / squares)


def _without_outliers(
    counts: npt.NDArray[np.float64], exposure: npt.NDArray[np.float64], p: float
) -> npt.NDArray[np.int64]:
    """Leave out the largest windows when they are spikes against the others: an incident is no usual traffic."""
    spare = len(counts) // 20
    order = np.argsort(counts, kind="stable")
    while spare > 0:
        largest, rest = order[-1], order[:-1]
        if exposure[rest].sum() <= 0.0:
            break
        mean = (counts[rest].sum() + 0.5) / exposure[rest].sum() * exposure[largest]
        size = 1.0 / (1.0 / (counts[rest].sum() + 0.5) + _spread(counts[rest], exposure[rest]))
        if upper_tail(int(counts[largest]), float(mean), float(size)) >= p:
            break
        order, spare = rest, spare - 1
    return np.sort(order)


def _referenced(one: Series, window_ns: int, end_ns: int, settings: SpikeSettings) -> tuple[Series, Reference | None]:
    if window_ns <= 0:
        raise ValueError(f"window_ns is {window_ns}; expected above 0")
    if one.exposure is not None and len(one.exposure) != len(one.counts):
        raise ValueError(
            f"{one.key!r} has {len(one.counts)} counts and {len(one.exposure)} exposures; expected as many"
        )
    if not len(one.counts):
        raise ValueError(f"{one.key!r} has no windows; expected one at least: the one to judge")
    return one, reference_of(one, window_ns=window_ns, end_ns=end_ns, settings=settings)


def _risen(one: Series, ref: Reference | None, p: float, rare: bool, settings: SpikeSettings) -> Trend:
    count = int(one.counts[-1])
    is_new = not one.known_before and count > 0 and not one.counts[:-1].any()
    if is_new:
        return _trend(one, "new", ref, p, f"{_events(count)}; it was never seen before")
    if ref is None:
        return _trend(one, "too_little_traffic", ref, p, f"{_events(count)}; there is no past to compare with")
    both = f"{_events(count)} where {ref.mean:.3g} are usual{_when(ref)}"
    if count < settings.events_min:
        few = ref.mean < settings.events_min
        words = f"{both}: too little traffic to tell" if few else both
        return _trend(one, "too_little_traffic" if few else "usual", ref, p, words)
    if rare:
        times = f"{count / ref.mean:.3g} times as many" if ref.mean > 0.0 else "none were expected"
        return _trend(one, "spike", ref, p, f"{both}: {times} (p {p:.1e})")
    return _trend(one, "usual", ref, p, both)


def _fallen(one: Series, ref: Reference | None, p: float, rare: bool, settings: SpikeSettings) -> Trend:
    count = int(one.counts[-1])
    if ref is None:
        return _trend(one, "too_little_traffic", ref, p, f"{_events(count)}; there is no past to compare with")
    both = f"{_events(count)} where {ref.mean:.3g} are usual{_when(ref)}"
    if rare:
        return _trend(one, "no_data" if count == 0 else "drop", ref, p, f"{both} (p {p:.1e})")
    # Had nothing come at all, would that have been rare? If not, no drop can be told here.
    blind = lower_tail(0, ref.mean, ref.size) >= settings.p_max
    words = f"{both}: even silence would say nothing" if blind else both
    return _trend(one, "too_little_traffic" if blind else "usual", ref, p, words)


def _trend(one: Series, state: State, ref: Reference | None, p: float, words: str) -> Trend:
    count, expected = int(one.counts[-1]), ref.mean if ref else 0.0
    ratio = count / expected if expected > 0.0 else (math.inf if count else 1.0)
    return Trend(one.key, state, count, expected, ratio, p, ref, f"{shown(one.key)}: {words}")


def _events(count: int) -> str:
    return "1 event" if count == 1 else f"{count} events"


def _when(ref: Reference) -> str:
    kind = "this hour of the week" if ref.seasonal else "the time before"
    return f" ({kind}, {ref.windows} windows)"


def novelty(counts: Sequence[int], events: int) -> float:
    """Probability that `events` further errors bring at least one that was never seen, if nothing had changed.

    Parameters
    ----------
    counts : sequence of int
        How often each known kind was seen; kinds seen once tell how many are still unseen.
    events : int
        Errors in the window.

    Returns
    -------
    float
        Near 1: this service brings new kinds all the time, and one more is no news.

    Examples
    --------
    >>> round(novelty([400, 300, 1], 50), 3)
    0.133

    Notes
    -----
    Good & Turing (Good, 1953): the share of events of unseen kinds is the share of kinds seen once, here with one
    added to both so that a short past is not taken as a closed list.
    """
    total = sum(counts)
    once = sum(1 for count in counts if count == 1)
    unseen = min(1.0, (once + 1.0) / (total + 1.0))
    return 1.0 - (1.0 - unseen) ** max(0, events)
