"""A file that holds its own bad traces: learned whole, and they are found all the same."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.columns import MS
from tests.support.fed_baselines import T0, Service, log_normal


@pytest.mark.parametrize("healthy", [24, 60, 300, 1000])
def test_a_file_that_holds_its_own_bad_trace(healthy: int):
    """Learned whole, scored leaving each span out: the one slow trace is found, and no other."""
    service = Service()
    durations = np.append(log_normal(healthy, 5, sigma=0.15), 400 * MS)
    traces, forest, own = service.batch(durations)
    included = service.baselines.learn_robust(traces, forest, own, T0)
    score = service.baselines.score_duration(traces, forest, included)

    assert np.flatnonzero(service.baselines.is_slow(score, own)).tolist() == [healthy]


def test_two_modes_are_not_outliers_of_each_other():
    """One in ten misses the cache and takes fifty times as long: that is how it is."""
    service = Service()
    rng = np.random.default_rng(1)
    durations = np.where(rng.random(400) < 0.1, log_normal(400, 2, median_ms=50, sigma=0.1), log_normal(400, 3, 1, 0.1))
    traces, forest, own = service.batch(durations)
    included = service.baselines.learn_robust(traces, forest, own, T0)
    score = service.baselines.score_duration(traces, forest, included)

    assert int(service.baselines.is_slow(score, own).sum()) <= 1


def test_failed_spans_of_a_file_are_left_out():
    service = Service()
    traces, forest, own = service.batch(log_normal(100, 1))
    failed = np.arange(100) < 30
    included = service.baselines.learn_robust(traces, forest, own, T0, failed)

    assert included.tolist() == [0.0] * 30 + [1.0] * 70
