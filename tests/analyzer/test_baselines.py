"""What is unusual: cold start, calibration, contexts, what is worth a word, what has no baseline, bounds."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.baselines import Baselines
from analyzer.config import AnalysisConfig
from analyzer.forest import NodeFlag
from tests.support.columns import MS, Tree, columns, numbered
from tests.support.fed_baselines import SECOND, T0, Service, equal, log_normal, pareto


def test_cold_start_is_silent():
    """Below baseline_count_min nothing is unusual, however long it takes."""
    service = Service()
    service.learn(log_normal(199, 1))
    score = service.score(np.array([3600 * SECOND]))

    assert (score.p[0], score.p_low[0], score.level[0]) == (1.0, 1.0, 0)
    assert np.isnan(score.expected_ns[0])
    assert not service.slow(3_600_000)


def test_from_the_two_hundredth_observation_on_an_outlier_is_seen():
    """The tail rule; by counting alone it would take 499."""
    service = Service()
    service.learn(log_normal(220, 1))

    assert service.slow(500)
    assert not service.slow(75)
    assert not service.slow(50)


@pytest.mark.parametrize("stream", [log_normal, pareto])
def test_p_values_mean_what_they_say(stream):
    """P(p <= 0.01) is about 0.01 for healthy streams, narrow or heavy-tailed."""
    service = Service()
    for part in range(4):
        service.learn(stream(1000, part))
    p = service.score(stream(4000, 99)).p

    assert 0.004 <= float((p <= 0.01).mean()) <= 0.016
    assert 0.03 <= float((p <= 0.05).mean()) <= 0.065


def test_half_a_thousand_to_call_a_trace_slow_by_counting():
    """n = 499 is the smallest at which 1 / (n + 1) reaches trace_latency_p_max."""
    p_max = AnalysisConfig().trace_latency_p_max

    assert 1 / 500 <= p_max < 1 / 499


def test_a_context_knows_better_than_the_operation():
    """The same query takes 5 ms under one entry and 50 ms under another; 50 ms is odd only under the first."""
    words, baselines = numbered(3), Baselines(AnalysisConfig())
    rng = np.random.default_rng(3)

    def trees(root: int, median_ms: float, count: int) -> list[Tree]:
        made = []
        for _ in range(count):
            took = int(median_ms * MS * rng.lognormal(0, 0.1))
            made.append(Tree([-1, 0], [root, 3], [T0, T0], [T0 + took + MS, T0 + took]))
        return made

    traces, forest = columns(trees(1, 5, 2000) + trees(2, 50, 2000), words)
    own = forest.end_ns - forest.start_ns
    baselines.learn(traces, forest, own, np.ones(len(own), np.float32), T0)
    traces, forest = columns(trees(1, 50, 1) + trees(2, 50, 1) + trees(1, 5, 1), words)
    score = baselines.score_duration(traces, forest)

    assert score.level.tolist() == [2] * 6
    assert float(score.p[1]) < 0.02 < float(score.p[3])
    assert float(score.p[5]) > 0.02
    assert abs(float(score.expected_ns[5]) / (5 * MS) - 1) < 0.15


def test_slow_means_rare_and_far_and_worth_it():
    """0.1 ms -> 2 ms is rare and far, yet not worth a word; 50 ms -> 60 ms is not far."""
    service = Service()
    for part in range(3):
        service.learn(log_normal(1000, part, median_ms=0.1, sigma=0.1), operation=1)
        service.learn(log_normal(1000, part, median_ms=50, sigma=0.01), operation=2)

    assert [service.slow(2, 1), service.slow(60, 2), service.slow(100, 2)] == [False, False, True]


def test_spans_without_times_are_neither_learned_nor_scored():
    words, baselines = numbered(1), Baselines(AnalysisConfig(baseline_count_min=10))
    trees = [Tree([-1], [1], [T0], [T0 + MS], [int(NodeFlag.NO_TIME) if i % 2 else 0]) for i in range(100)]
    traces, forest = columns(trees, words)
    own = forest.end_ns - forest.start_ns
    baselines.learn(traces, forest, own, np.ones(100, np.float32), T0)
    score = baselines.score_own(traces, forest, own)

    assert baselines.counts.learned == 50
    assert score.level.tolist() == [2, 0] * 50


def test_the_operation_other_has_no_baseline():
    """Id 0 is a mixture of everything that found no room."""
    service = Service()
    service.learn(log_normal(1000, 1), operation=0)

    assert len(service.baselines) == 0
    assert service.score(np.array([10**12]), operation=0).level.tolist() == [0]


def test_keys_are_bounded_and_the_busy_ones_stay():
    service = Service(AnalysisConfig(baseline_keys_max=16, baseline_count_min=50))
    service.learn(log_normal(500, 1), operation=1)
    for operation in range(2, 200):
        service.learn(log_normal(2, operation), operation=operation)
        service.learn(log_normal(2, operation), operation=1)
    counts = service.baselines.counts

    assert len(service.baselines) == 16
    assert counts.evicted + counts.untracked + 16 == 2 * 199
    assert service.slow(5000, operation=1)


def test_another_vocabulary_is_refused():
    service = Service()
    service.learn(log_normal(10, 1))
    service.words = numbered(400)

    with pytest.raises(ValueError, match="another vocabulary"):
        service.score(log_normal(1, 1))


def test_error_rates():
    service = Service()
    service.learn(log_normal(90, 1))
    service.learn(log_normal(10, 2), failed=True)
    rate, calls = service.baselines.error_rate(1)

    assert (round(rate, 6), round(calls, 6)) == (0.1, 100.0)
    assert service.baselines.error_rate(7) == (0.0, 0.0)


def test_an_empty_batch_is_fine():
    service = Service()
    service.learn(np.zeros(0, np.int64))

    assert len(service.score(np.zeros(0, np.int64)).p) == 0


def test_roots_first_and_the_rest_when_a_trace_is_explained_is_the_same_score():
    words = numbered(400)
    service = Service(words=words)
    service.learn(log_normal(400, 1))
    service.learn(log_normal(400, 2, median_ms=20), operation=2)
    draw = np.random.default_rng(3).integers(5, 300, (20, 3)) * MS
    trees = [Tree([-1, 0, 0], [1, 2, 2], [T0] * 3, [T0 + int(end) for end in ends]) for ends in draw]
    traces, forest = columns(trees, words)
    whole = service.baselines.score_duration(traces, forest)
    parts = service.baselines.score_duration(traces, forest, roots_only=True)
    roots = forest.parent < 0
    assert np.array_equal(parts.p[roots], whole.p[roots])
    assert (parts.level[~roots] == 0).all()
    assert (whole.level > 0).all()
    for trace in range(20):
        for _again in range(2):
            service.baselines.add_durations(parts, traces, forest, forest.nodes(trace))
    assert equal(parts, whole)
