"""When errors come: by the clock, in bursts, ever more, since a moment."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.errors.periodic import MINUTE_NS, find_period, shape_of

DAY = 1_440
# A Sunday, 00:00 UTC.
MIDNIGHT_NS = 1_759_622_400 * 1_000_000_000


def every(period_min: int, phase_min: float, rounds: int, *, spread_s: float = 20.0, stray: int = 0) -> np.ndarray:
    """Some errors in each round, a little spread; and some at any time."""
    dice = np.random.default_rng([period_min, rounds, stray])
    begin = MIDNIGHT_NS // (period_min * MINUTE_NS) * period_min * MINUTE_NS
    at = begin + (np.repeat(np.arange(rounds), 4) * period_min + phase_min) * MINUTE_NS
    at = at + np.abs(dice.normal(0.0, spread_s, len(at))) * 1e9
    anywhere = begin + dice.uniform(0, rounds * period_min * MINUTE_NS, stray)
    return np.concatenate([at, anywhere]).astype(np.int64)


@pytest.mark.parametrize(
    ("period", "phase"), [(5, 1.0), (15, 3.0), (60, 17.0), (60, 0.0), (240, 30.0), (DAY, 150.0), (7 * DAY, 4_500.0)]
)
def test_a_job_of_a_crontab_is_found(period: int, phase: float):
    found = find_period(every(period, phase, 30))

    assert found is not None
    assert found.period_min == period
    assert (found.phase_min - phase + period / 2) % period - period / 2 == pytest.approx(0.0, abs=max(1.0, period / 50))


def test_it_is_said_when_to_look():
    found = find_period(every(DAY, 150.0, 10))

    assert found is not None
    assert found.sentence.startswith("They come every day at about 02:30 UTC")


def test_a_fifth_of_strays_does_not_hide_the_clock():
    found = find_period(every(60, 17.0, 48, stray=40))

    assert found is not None
    assert found.period_min == 60


@pytest.mark.parametrize("seed", range(20))
def test_errors_at_any_time_have_no_period(seed: int):
    dice = np.random.default_rng(seed)

    assert find_period((MIDNIGHT_NS + dice.uniform(0, 14 * DAY * MINUTE_NS, 300)).astype(np.int64)) is None


def test_one_outage_is_no_period():
    """A thousand errors within ten minutes, and a few on other days."""
    dice = np.random.default_rng(2)
    outage = MIDNIGHT_NS + dice.uniform(0, 10 * MINUTE_NS, 1_000)
    others = MIDNIGHT_NS + dice.uniform(0, 10 * DAY * MINUTE_NS, 20)

    assert find_period(np.concatenate([outage, others]).astype(np.int64)) is None


def test_a_handful_is_too_few():
    assert find_period(every(60, 0.0, 2)) is None
    assert find_period([]) is None


def noisy(rates: list[float], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(rates)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("rates", "shape"),
    [
        ([1.0] * 20 + [30.0] * 3 + [1.0] * 20, "burst"),
        ([1.0] * 20 + [12.0] * 20, "step"),
        ([0.6 * n for n in range(40)], "leak"),
        ([8.0] * 40, "steady"),
        ([0.1] * 20, "too_few"),
        ([20.0] * 5, "too_few"),
    ],
)
def test_shapes_are_told_apart(rates: list[float], shape: str, seed: int):
    assert shape_of(noisy(rates, seed)) == shape
