"""Baselines fed with durations of one operation, and streams of durations to feed them."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from analyzer.analysis import Score
from analyzer.baselines import Baselines
from analyzer.config import AnalysisConfig
from analyzer.spans import Vocabulary
from tests.support.columns import MS, Tree, columns, numbered

T0 = 1_760_000_000 * 10**9
SECOND = 10**9


class Service:
    """Baselines fed with one-span traces of one operation."""

    def __init__(self, config: AnalysisConfig | None = None, words: Vocabulary | None = None) -> None:
        self.words = words or numbered(400)
        self.baselines = Baselines(config or AnalysisConfig())
        self.now_ns = T0

    def learn(self, durations_ns: np.ndarray, operation: int = 1, bad: bool = False, failed: bool = False) -> None:
        traces, forest, own = self.batch(durations_ns, operation)
        score = self.baselines.score_own(traces, forest, own)
        weights = self.baselines.contamination_weights(forest, np.full(len(own), bad), score.p)
        self.baselines.learn(traces, forest, own, weights, self.now_ns, np.full(len(own), failed))

    def score(self, durations_ns: np.ndarray, operation: int = 1) -> Score:
        traces, forest, own = self.batch(durations_ns, operation)
        return self.baselines.score_own(traces, forest, own)

    def batch(self, durations_ns: np.ndarray, operation: int = 1):
        trees = [Tree([-1], [operation], [T0], [T0 + int(duration)]) for duration in durations_ns]
        traces, forest = columns(trees, self.words)
        return traces, forest, forest.end_ns - forest.start_ns

    def slow(self, duration_ms: float, operation: int = 1) -> bool:
        duration_ns = np.array([duration_ms * MS], np.int64)
        return bool(self.baselines.is_slow(self.score(duration_ns, operation), duration_ns)[0])


def log_normal(count: int, seed: int, median_ms: float = 50, sigma: float = 0.3) -> np.ndarray:
    return (median_ms * MS * np.exp(np.random.default_rng(seed).normal(0, sigma, count))).astype(np.int64)


def pareto(count: int, seed: int) -> np.ndarray:
    return (10 * MS * (1 + np.random.default_rng(seed).pareto(2.0, count))).astype(np.int64)


def equal(left: Score, right: Score) -> bool:
    return all(
        np.array_equal(getattr(left, field.name), getattr(right, field.name), equal_nan=field.name == "expected_ns")
        for field in fields(Score)
    )
