"""The parts of detection against their plain twins, and the laws the budget rests on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core import config

from analyzer.detection.alarms import entity_name
from analyzer.detection.change_points import cusum, page_hinkley
from analyzer.detection.entities import SEASONS, Entities
from analyzer.detection.evidence import Budget, log_bet
from analyzer.detection.history import likelihood_ratio, lower, upper
from analyzer.detection.load import mix_moved, season_of
from analyzer.detection.windows import is_within
from tests.support.drawing import batch, draw
from tests.support.measured import measure
from tests.support.naive import detection as naive
from tests.support.naive.vocabulary import vocabulary
from tests.support.random_traces import random_trace
from tests.support.shop import FAULTS

BET = 0.7
NUMBERS = st.floats(-5, 5, allow_nan=False).map(lambda value: round(value, 3))


def one(function, *values: float) -> float:  # type: ignore[no-untyped-def]
    return float(function(*(np.array([value]) for value in values))[0])


@pytest.mark.parametrize(("n", "share"), [(1, 0.5), (8, 0.05), (40, 0.3), (300, 0.9)])
def test_binomial_tails(n: int, share: float):
    """Variance below the mean: the binomial law."""
    masses = [naive.binomial_pmf(k, n, share) for k in range(n + 1)]
    mean, variance = n * share, n * share * (1 - share)
    for k in range(0, n + 1, max(1, n // 20)):
        assert one(upper, k, mean, variance) == pytest.approx(sum(masses[k:]), rel=1e-6, abs=1e-12)
        assert one(lower, k, mean, variance) == pytest.approx(sum(masses[: k + 1]), rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(("mean", "ratio"), [(0.01, 1.5), (0.7, 1.1), (8.0, 3.0), (120.0, 20.0)])
def test_negative_binomial_tails(mean: float, ratio: float):
    masses = [naive.negative_binomial_pmf(k, mean, ratio * mean) for k in range(3000)]
    for k in (0, 1, 2, 5, 20, 100, 300):
        assert one(upper, k, mean, ratio * mean) == pytest.approx(sum(masses[k:]), rel=1e-6, abs=1e-12)
        assert one(lower, k, mean, ratio * mean) == pytest.approx(sum(masses[: k + 1]), rel=1e-6, abs=1e-12)


def test_poisson_tails_are_the_limit():
    masses = [naive.poisson_pmf(k, 30.0) for k in range(200)]

    assert one(upper, 45, 30.0, 30.0) == pytest.approx(sum(masses[45:]), rel=0.02)
    assert one(lower, 15, 30.0, 30.0) == pytest.approx(sum(masses[:16]), rel=0.02)


@pytest.mark.parametrize(("count", "mean", "variance"), [(1e6, 9e5, 1e6), (1e6, 9e5, 1e9), (3e5, 1e5, 1e6)])
def test_large_counts_stay_numbers(count: float, mean: float, variance: float):
    assert 0.0 < one(upper, count, mean, variance) < 1.0
    assert one(lower, count, mean, variance) > 0.1


def test_what_is_unknown_stays_unknown():
    assert np.isnan(one(upper, np.nan, 1.0, 1.0))
    assert np.isnan(one(lower, 1.0, np.nan, 1.0))
    assert one(upper, 3, 0.0, 0.0) > 0.0  # never 0: its logarithm is taken


@given(st.lists(st.none() | st.floats(1e-12, 1.0), min_size=1, max_size=60))
def test_the_e_process_is_the_twins(p_values: list[float | None]):
    log_e, seen = 0.0, []
    for p in p_values:
        log_e = max(0.0, log_e + one(log_bet, np.nan if p is None else p, BET))
        seen.append(np.exp(log_e))

    assert seen == pytest.approx(naive.e_process(p_values, BET), rel=1e-9)


def one_bet(p: np.ndarray) -> np.ndarray:
    return np.exp(log_bet(p, BET))


def test_bets_on_nothing_do_not_win():
    """The mean of E without its floor is 1 whenever it is looked at (while a mean can be drawn), and it rarely rises."""
    p = np.random.default_rng(1).uniform(size=(50_000, 30))
    paths = np.cumprod(one_bet(p), axis=1)

    assert paths.mean(axis=0)[:6] == pytest.approx(np.ones(6), abs=0.05)
    assert (paths.max(axis=1) >= 50).mean() <= 1 / 50


def test_bets_on_counts_win_even_less():
    """P-values of counts are larger than uniform: few calls, and a share below the border."""
    rng = np.random.default_rng(4)
    n, border = np.full((5_000 if config.DISABLE_JIT else 50_000, 20), 40.0), 0.05
    counts = rng.binomial(40, border, n.shape).astype(float)
    paths = np.cumprod(one_bet(upper(counts, n * border, n * border * (1 - border))), axis=1)

    assert (paths.mean(axis=0) <= 1.0).all()
    assert (paths.max(axis=1) >= 50).mean() <= 1 / 100


def test_likelihood_ratios_of_nothing_do_not_win_either():
    """The mean of exp(ratio) is 1 at the border, and less inside it."""
    rng = np.random.default_rng(2)
    mean, variance = 3.0, 4.5
    counts = rng.negative_binomial(mean**2 / (variance - mean), mean / variance, 200_000).astype(float)
    fewer = rng.poisson(1.5, 200_000).astype(float)
    borders = np.full(200_000, mean), np.full(200_000, variance)

    assert np.exp(likelihood_ratio(counts, *borders, 2.5)).mean() == pytest.approx(1.0, abs=0.05)
    assert np.exp(likelihood_ratio(counts, *borders, 0.3)).mean() == pytest.approx(1.0, abs=0.05)
    assert np.exp(likelihood_ratio(fewer, *borders, 2.5)).mean() < 0.5


def test_an_alarm_earns_no_more_than_it_may():
    """One alarm brings 0.05 false alarms along in all; without any, the base is spent."""
    budget = Budget(0.1, 0.05, 10.0)
    base = sum(budget.spend(1) for _ in range(360))
    budget.earn()
    after = [budget.spend(1) for _ in range(1000)]

    assert base == pytest.approx(0.1 * 0.95)
    assert sum(after) - 1000 * 0.1 * 0.95 / 360 == pytest.approx(0.05)
    assert after[0] > 50 * after[-1] > 0


@settings(max_examples=200)
@given(st.lists(NUMBERS, min_size=1, max_size=25))
def test_cusum_is_the_largest_of_all_runs(gains: list[float]):
    height, onset = cusum(np.array([gains]))
    best, start = naive.cusum(gains)

    assert height[0] == pytest.approx(best, abs=1e-9)
    if best > 1e-9:
        top = int(onset[0])
        assert max(np.cumsum(gains[top:])) == pytest.approx(best, abs=1e-9)
        assert top == start or max(np.cumsum(gains[start:])) == pytest.approx(best, abs=1e-9)
    else:
        assert onset[0] == len(gains)


def test_cusum_finds_a_step():
    gains = np.array([[-1.0] * 40 + [2.0] * 10, [-1.0] * 50])
    height, onset = cusum(gains)

    assert height.tolist() == [20.0, 0.0]
    assert onset.tolist() == [40, 50]


@given(st.lists(NUMBERS, min_size=1, max_size=25), st.sampled_from([0.0, 0.1, 1.0]))
def test_page_hinkley_is_the_twins(values: list[float], drift: float):
    height, onset = page_hinkley(np.array([values]), drift)
    expected, start = naive.page_hinkley(values, drift)

    assert height[0] == pytest.approx(expected, abs=1e-9)
    if expected > 1e-6:
        assert abs(int(onset[0]) - start) <= 1 or height[0] == pytest.approx(expected, abs=1e-6)


def test_page_hinkley_sees_a_slow_rise():
    """One per cent a step for an hour of minutes; the steady series stays low."""
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 0.05, (2, 120))
    rise = np.concatenate([np.zeros(60), np.arange(60) * 0.01])
    height, onset = page_hinkley(noise + np.stack([rise, np.zeros(120)]), 0.05)

    assert height[0] > 10 * max(height[1], 0.1)
    assert 55 <= onset[0] <= 85


def test_parts_of_the_day():
    """1970-01-01 was a Thursday."""
    for hour in range(24 * 14):
        weekday = (3 + hour // 24) % 7
        assert season_of(hour * 3600.0 + 1) == naive.season_of(weekday, hour % 24) < SEASONS


@pytest.mark.parametrize(
    ("lately", "moved"), [((80.0, 20.0), 1.0), ((20.0, 80.0), (80 + 4) / 120 / 0.2), ((0.0, 0.0), 1.0)]
)
def test_a_mix_has_moved_as_far_as_the_operation_that_moved_furthest(lately: tuple[float, float], moved: float):
    """Of a service's calls (slot 0) four in five are of one operation, and one in five of another; slot 3 has none."""
    entities = Entities(16, 16)
    entities.owner[1:3] = 0
    entities["share_n"][1:3, 0] = 800.0, 200.0
    entities["mix"][1:3] = lately

    assert np.exp(mix_moved(entities, 4)) == pytest.approx([moved, 1.0, 1.0, 1.0])


def in_words(entities: Entities, words) -> dict[tuple[str | int, ...], list[int]]:  # type: ignore[no-untyped-def]
    found: dict[tuple[str | int, ...], list[int]] = {}
    for slot in np.flatnonzero(entities.keys):
        name = entity_name(int(entities.keys[slot]), words)
        service = "" if name.service == "unknown_service" else name.service
        kind = "inner" if is_within(entities.keys[[slot]])[0] else "operation"
        place: tuple[str | int, ...] = {
            "edge": ("edge", service, name.callee),
            "service": ("service", service),
            "operation": (kind, service, name.operation),
            "instance": ("instance", name.resource_id),
        }[name.kind]
        counts = entities.counts[slot].tolist()
        if any(counts):
            found[place] = [a + b for a, b in zip(found.get(place, [0] * 7), counts, strict=True)]
    return found


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_drawn_trace_is_counted_as_the_twin_counts_it(fault):  # type: ignore[no-untyped-def]
    words, entities, twin = vocabulary(), Entities(256, 16), naive.Counts()
    for _ in range(2):
        analysis = measure(batch(fault.drawing(), words))
        entities.count(analysis)
        twin.add(analysis)

    assert in_words(entities, words) == {place: sums for place, sums in twin.sums.items() if any(sums)}


@pytest.mark.parametrize("seed", range(12))
def test_random_traces_are_counted_as_the_twin_counts_them(seed: int):
    words, entities, twin = vocabulary(), Entities(1024, 16), naive.Counts()
    for part in range(3):
        analysis = measure(batch([random_trace(100 * seed + 10 * part + i, 40) for i in range(5)], words))
        rng = np.random.default_rng(seed)
        for score in (analysis.own, analysis.duration):
            score.p[:] = rng.choice([0.001, 0.004, 0.01, 0.03, 0.05, 0.8], len(score.p))
            score.level[:] = rng.integers(0, 3, len(score.level))
        analysis.structure.missing[:] = rng.choice([0.0, 2.5], len(analysis.structure.missing))
        analysis.structure.wait_p[:] = rng.choice([np.nan, 0.001, 0.03, 0.8], len(analysis.structure.missing))
        entities.count(analysis)
        twin.add(analysis)

    assert in_words(entities, words) == {place: sums for place, sums in twin.sums.items() if any(sums)}


def test_a_call_without_its_server_span_is_charged_to_the_callee_it_used_to_reach():
    words, entities = vocabulary(), Entities(256, 16)
    whole = """
    shop   GET /buy        0..50
      shop   CLIENT ledger   10..20
        ledger   SERVER book          12..18
    """
    entities.count(measure(batch([draw(whole, seed=i) for i in range(3)], words)))
    cut = "\n".join(line for line in whole.splitlines() if "book" not in line)
    entities.count(measure(batch([draw(cut, seed=9)], words)))

    assert in_words(entities, words)["edge", "shop", "ledger"][:3] == [4, 0, 3]
