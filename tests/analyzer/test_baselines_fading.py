"""What was observed fades with time, whatever the clock does."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.config import AnalysisConfig
from tests.support.columns import MS
from tests.support.fed_baselines import SECOND, Service, log_normal


def test_observations_fade_with_their_half_life():
    config = AnalysisConfig(slow_half_life_s=3600, baseline_count_min=10)
    service = Service(config)
    service.learn(log_normal(1000, 1))
    service.now_ns += 3600 * SECOND
    service.learn(log_normal(1, 2))

    assert float(service.score(np.array([50 * MS])).count[0]) == pytest.approx(501, rel=1e-3)


@pytest.mark.parametrize("days", [100, 20_000])
def test_a_long_silence_renormalises(days: int):
    """Weights grow with time; before they overflow everything is scaled back."""
    service = Service(AnalysisConfig(baseline_count_min=10))
    service.learn(log_normal(1000, 1))
    service.now_ns += days * 86_400 * SECOND
    for part in range(3):
        service.learn(log_normal(100, part, median_ms=10))
    score = service.score(np.array([10 * MS]))

    assert float(score.count[0]) == pytest.approx(300, rel=1e-3)
    assert abs(float(score.expected_ns[0]) / (10 * MS) - 1) < 0.1


def test_time_running_back_changes_nothing():
    service = Service()
    service.learn(log_normal(300, 1))
    service.now_ns -= 3600 * SECOND
    service.learn(log_normal(300, 1))

    assert float(service.score(np.array([50 * MS])).count[0]) == pytest.approx(600, rel=1e-4)
