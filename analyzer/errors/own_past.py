"""A group of errors against its own past: windows of five minutes, per call of its service where calls are known.

In: errors and calls by minute. Out: a `Series` to be judged and what it was divided by; of one group that is asked
about, `Lately`: a spike, a drop, silence, or nothing. Pure: no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from analyzer.errors.group_state import MINUTE_NS, MINUTES_MAX
from analyzer.errors.group_words import ErrorGroup, Lately
from analyzer.errors.spikes import Series, SpikeSettings, Trend, find_drops, find_spikes

WINDOW_MINUTES = 5
WINDOWS = MINUTES_MAX // WINDOW_MINUTES
LAG_MINUTES = 1  # traces wait some 30 s for their spans; the minute that is not complete would look calm
_SETTINGS = SpikeSettings()
_NO_CALLS: Mapping[int, int] = {}


class PastSeries(NamedTuple):
    """Windows of one group, the last to be judged. calls : of the last window; 0 when they are not known."""

    series: Series
    per: Literal["calls", "time"]
    calls: int


def past_series(
    key: str, errors: Callable[[int, int], int], begins: Sequence[int], calls: Mapping[int, int] = _NO_CALLS
) -> PastSeries:
    """Count windows, and their calls where these explain the errors.

    Parameters
    ----------
    errors : errors of the minutes from one up to another
    begins : first minutes of the windows, oldest first; the last is judged
    calls : calls of the service by minute

    Notes
    -----
    Windows in which nobody called say nothing of errors per call and are left out. Errors without a call (a service
    whose calls are not counted), no call now, or too few windows with calls: then time is what is compared by.
    """
    counts = np.array([errors(begin, begin + WINDOW_MINUTES) for begin in begins], np.int64)
    called = np.array([sum(calls.get(begin + i, 0) for i in range(WINDOW_MINUTES)) for begin in begins], np.float64)
    told = called > 0
    if not told[-1] or counts[~told].any() or told.sum() <= _SETTINGS.reference_min:
        return PastSeries(Series(key, counts, known_before=True), "time", 0)
    return PastSeries(Series(key, counts[told], called[told], known_before=True), "calls", int(called[-1]))


def said(trend: Trend, found: PastSeries) -> str:
    """The sentence of a trend, and what it was divided by."""
    if found.per == "calls":
        return f"{trend.sentence}; for the {found.calls:,} calls of its service in the window"
    return f"{trend.sentence}; by time, the calls of its service are not known"


def key_of(group: ErrorGroup) -> str:
    """What people call it."""
    return f"{group.type or group.operation or 'failure'} in {group.service}"


def lately_of(group: ErrorGroup, calls: Mapping[int, int], now_ns: int) -> Lately:
    """Judge the last five full minutes of one group: too many, too few, none, or as usual.

    Parameters
    ----------
    calls : calls of the service where it began, by minute since 1970
    """
    end = now_ns // MINUTE_NS - LAG_MINUTES
    first = max(group.first_seen_ns // MINUTE_NS + 1, end - WINDOWS * WINDOW_MINUTES)
    begins = [begin for back in range(WINDOWS, 1, -1) if (begin := end - back * WINDOW_MINUTES) >= first]
    kept = {bucket.start: bucket.count for bucket in group.minutes}
    found = past_series(
        key_of(group),
        lambda begin, until: sum(kept.get(minute, 0) for minute in range(begin, until)),
        [*begins, end - WINDOW_MINUTES],
        calls,
    )
    window_ns, end_ns = WINDOW_MINUTES * MINUTE_NS, end * MINUTE_NS
    (trend,) = find_spikes([found.series], window_ns=window_ns, end_ns=end_ns)
    if trend.state != "spike":
        (fallen,) = find_drops([found.series], window_ns=window_ns, end_ns=end_ns)
        trend = fallen if fallen.state in ("drop", "no_data") else trend
    return Lately(
        state="usual" if trend.state == "new" else trend.state,
        now=trend.count,
        usual=trend.expected,
        p=trend.p,
        per=found.per,
        calls=found.calls,
        window_s=WINDOW_MINUTES * 60,
        sentence=said(trend, found),
    )
