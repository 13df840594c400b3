"""Spikes, drops, silence, new kinds, and honest "too little traffic"."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analyzer.errors.spikes import HOUR_NS, Series, SpikeSettings, find_drops, find_spikes, novelty
from tests.support.drawn_counts import measure

MINUTE_NS = HOUR_NS // 60
END_NS = 1_760_000_400_000_000_000 // HOUR_NS * HOUR_NS


def windows(past: list[int], now: int, **more) -> Series:
    return Series("db timeout", np.array([*past, now], np.int64), **more)


def judged(series: Series, find=find_spikes, window_ns: int = 5 * MINUTE_NS):
    (found,) = find([series], window_ns=window_ns, end_ns=END_NS)
    return found


def test_a_spike_says_both_counts_and_the_ratio():
    found = judged(windows([2, 1, 3, 2, 2, 2] * 4, 21))

    assert (found.state, found.count) == ("spike", 21)
    assert found.ratio == pytest.approx(21 / found.expected)
    assert found.sentence.startswith("db timeout: 21 events where 2.02 are usual (the time before, 24 windows): 10.4")


def test_four_events_are_no_spike_however_rare():
    """Nothing for a week, then four: the tail is far out, but four events move nobody."""
    found = judged(windows([0] * 40, 4, known_before=True))

    assert found.p < 1.35e-3
    assert (found.state, found.count) == ("too_little_traffic", 4)
    assert "too little traffic to tell" in found.sentence


def test_five_events_after_silence_are_a_spike():
    assert judged(windows([0] * 40, 5, known_before=True)).state == "spike"


def test_what_was_never_seen_is_new_not_a_spike():
    assert judged(windows([0] * 40, 5)).state == "new"


def test_a_restless_group_needs_more_to_spike():
    """Both have 10 events a window; one jumps between 0 and 30 by itself."""
    calm = judged(windows([10, 9, 11, 10, 12, 8] * 4, 27))
    restless = judged(windows([0, 30, 5, 1, 22, 2] * 4, 27))

    assert (calm.state, restless.state) == ("spike", "usual")


def test_more_requests_explain_more_errors():
    """Five times the traffic, five times the errors: the same share fails."""
    past, now = [10] * 24, 50
    requests = np.array([1000.0] * 24 + [5000.0])

    assert judged(windows(past, now)).state == "spike"
    assert judged(windows(past, now, exposure=requests)).state == "usual"


def test_an_old_incident_is_not_what_is_usual():
    """One window of 400 among 48 would hide every spike behind its spread."""
    past = [4, 5, 6, 5] * 12
    past[20] = 400

    assert judged(windows(past, 30)).state == "spike"


def test_the_batch_of_this_hour_of_the_week_is_usual():
    """Sundays at this hour a job fails 60 times; compared with the hour before, it is a spike."""
    hours = 24 * 7
    past = [1] * (4 * hours)
    for week in range(1, 5):
        past[-hours * week] = 60
    settings = SpikeSettings(season_windows_min=4, reference_min=4)

    def state(series: Series) -> str:
        (found,) = find_spikes([series], window_ns=HOUR_NS, end_ns=END_NS, settings=settings)
        return found.state

    assert state(windows(past, 62)) == "usual"
    assert state(windows(past[-100:], 62)) == "spike"
    assert state(windows(past, 200)) == "spike"


def test_a_drop_and_a_silence_are_told_apart():
    past = [100, 110, 95, 105] * 12

    assert judged(windows(past, 20), find_drops).state == "drop"
    assert judged(windows(past, 0), find_drops).state == "no_data"
    assert judged(windows(past, 98), find_drops).state == "usual"


def test_silence_says_nothing_where_little_comes():
    found = judged(windows([1, 0, 2, 1] * 6, 0), find_drops)

    assert found.state == "too_little_traffic"
    assert "even silence would say nothing" in found.sentence


def test_without_a_past_nothing_is_told():
    assert judged(windows([3], 50, known_before=True)).state == "too_little_traffic"


def test_hostile_names_are_harmless_in_sentences():
    series = Series("a\x1b[31m\nb", np.array([1] * 20 + [50]), known_before=True)

    assert judged(series).sentence.startswith("a [31m b: 50 events")


@pytest.mark.parametrize(
    ("series", "window_ns", "words"),
    [
        (windows([1], 1), 0, "window_ns is 0; expected above 0"),
        (Series("a", np.zeros(0, np.int64)), 1, "'a' has no windows"),
        (windows([1], 1, exposure=np.ones(1)), 1, "2 counts and 1 exposures"),
    ],
)
def test_what_cannot_be_judged_is_refused(series: Series, window_ns: int, words: str):
    with pytest.raises(ValueError, match=words):
        judged(series, window_ns=window_ns)


def test_where_new_kinds_come_all_the_time_one_more_is_no_news():
    restless, settled = [1] * 50 + [100], [500, 400, 100]

    assert novelty(restless, 10) > 0.95
    assert novelty(settled, 10) < 0.02
    assert novelty([], 0) == 0.0


@pytest.mark.parametrize(("weeks", "factor"), [(1.0, 8.0), (4.0, 8.0), (1.0, 0.05)])
def test_of_what_is_told_at_most_a_twentieth_is_false(weeks: float, factor: float):
    """Drawn streams with rhythms nobody told us of; 10 % of the groups spike (or fall). Rates from 0.01 a window."""
    found = measure(range(4), weeks=weeks, factor=factor)

    assert found.told >= 15
    assert found.precision >= 0.95


def test_without_spikes_hardly_any_is_told():
    assert measure(range(4), weeks=1.0, spiked=0.0).told <= 3


def test_nothing_expected_has_no_finite_ratio():
    found = judged(windows([3] * 10, 7, exposure=np.array([10.0] * 10 + [0.0])))

    assert math.isinf(found.ratio)
