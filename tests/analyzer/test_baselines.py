"""What is normal: cold start, contexts, calibration, contamination, forgetting, keeping, bounds."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import fields

import numpy as np
import pytest

from analyzer.analysis import Score
from analyzer.baselines import Baselines
from analyzer.config import AnalysisConfig
from analyzer.forest import NodeFlag
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


def test_learning_what_it_scored_does_not_make_ever_more_look_rare():
    """The contamination guard must not weed the healthy tail out: p stays calibrated while it runs."""
    service = Service()
    share = []
    for part in range(40):
        values = log_normal(500, part, sigma=0.8)
        share.append(float((service.score(values).p < 0.001).mean()))
        service.learn(values)

    assert float(np.mean(share[-20:])) <= 0.003


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


def test_an_incident_does_not_become_normal_before_its_time():
    """Ten minutes of nothing but 10x slower traffic: still slow at the end."""
    service = Service()
    service.learn(log_normal(1000, 1))
    for minute in range(10):
        service.now_ns += 60 * SECOND
        service.learn(log_normal(300, minute, median_ms=500))

    assert service.slow(500)
    assert service.baselines.counts.kept_out > 2500


def test_bad_traces_teach_next_to_nothing():
    service = Service()
    service.learn(log_normal(1000, 1))
    for part in range(10):
        service.learn(log_normal(500, part, median_ms=200), bad=True)

    assert service.slow(300)
    assert service.baselines.counts.suspicious == 5000


def test_a_lasting_shift_without_errors_becomes_normal_and_is_announced():
    service = Service()
    service.learn(log_normal(2000, 1))
    for minute in range(45):
        service.now_ns += 60 * SECOND
        service.learn(log_normal(60, minute, median_ms=200))
    announced = service.baselines.take_announcements()

    assert [(one.service, one.operation, one.measure) for one in announced] == [("s1", "o1", "own time")]
    assert abs(announced[0].before_ns / (50 * MS) - 1) < 0.1
    assert abs(announced[0].after_ns / (200 * MS) - 1) < 0.15  # an eighth of the fast horizon is older
    assert not service.slow(220)
    assert service.baselines.take_announcements() == []


def test_a_lasting_shift_with_errors_stays_abnormal():
    service = Service()
    service.learn(log_normal(2000, 1))
    for minute in range(45):
        service.now_ns += 60 * SECOND
        service.learn(log_normal(60, minute, median_ms=200), failed=True)

    assert service.baselines.take_announcements() == []
    assert service.slow(220)


def test_a_short_shift_is_forgotten():
    """Five slow minutes, then an hour as before: nothing is announced."""
    service = Service()
    service.learn(log_normal(2000, 1))
    for minute in range(65):
        service.now_ns += 60 * SECOND
        service.learn(log_normal(60, minute, median_ms=200 if minute < 5 else 50))

    assert service.baselines.take_announcements() == []


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


def test_what_is_kept_comes_back_the_same():
    """Names are kept, not ids: the new process met its operations in another order."""
    before = Service()
    for operation in (1, 2, 3):
        before.learn(log_normal(600, operation, median_ms=10 * operation), operation)
        before.now_ns += 3600 * SECOND
    blob = before.baselines.save()
    after = Service(words=numbered(0))
    names = before.words.strings
    for operation in (3, 1, 2):
        service, name, kind = before.words.operations.key(operation)
        new = after.words.strings
        after.words.operations.intern(
            new.intern(names.text(service).encode()), new.intern(names.text(name).encode()), kind
        )
    after.baselines.load(blob)
    asked = log_normal(200, 7, median_ms=20, sigma=1.0)

    for old, new in ((3, 1), (1, 2), (2, 3)):
        assert equal(before.score(asked, old), after.score(asked, new))


def test_rows_that_wait_for_their_names_are_kept_too():
    """Two restarts, the operation is met only after the second."""
    first = Service()
    first.learn(log_normal(600, 1))
    second = Baselines(AnalysisConfig())
    second.load(first.baselines.save())
    third = Service()
    third.baselines.load(second.save())
    asked = log_normal(50, 7)

    assert equal(first.score(asked), third.score(asked))


def test_loaded_rows_fade_while_they_wait():
    """Ninety days and more pass before the operation is met again."""
    first = Service(AnalysisConfig(baseline_count_min=10))
    first.learn(log_normal(1000, 1))
    second = Service(AnalysisConfig(baseline_count_min=10))
    second.baselines.load(first.baselines.save())
    second.now_ns += 100 * 86_400 * SECOND
    second.learn(log_normal(10, 1), operation=2)

    assert float(second.score(np.array([50 * MS])).count[0]) < 1.0


def corrupt_blobs(blob: bytes) -> dict[str, bytes]:
    packed = zlib.compress(b"\xff" * 64)
    huge = struct.pack("<4sIQ", b"FFSN", zlib.crc32(packed), 1 << 60) + packed
    nonsense = struct.pack("<4sIQ", b"FFSN", zlib.crc32(packed), 64) + packed
    head = json.dumps({"kind": "baselines", "version": 99, "words": {}, "arrays": []}).encode()
    newer_body = zlib.compress(struct.pack("<Q", len(head)) + head)
    newer = struct.pack("<4sIQ", b"FFSN", zlib.crc32(newer_body), 8 + len(head)) + newer_body
    return {
        "empty": b"",
        "not a snapshot": b"PK\x03\x04 something else altogether",
        "cut": blob[:-7],
        "one bit": blob[:100] + bytes([blob[100] ^ 1]) + blob[101:],
        "says it is huge": huge,
        "nonsense inside": nonsense,
        "from a newer version": newer,
    }


@pytest.mark.parametrize("case", corrupt_blobs(b"x" * 200))
def test_a_corrupt_blob_is_refused_and_changes_nothing(case: str):
    service = Service()
    service.learn(log_normal(600, 1))
    asked = log_normal(50, 7)
    before = service.score(asked)
    blob = corrupt_blobs(service.baselines.save())[case]

    with pytest.raises(ValueError, match=r"baselines snapshot: .+"):
        service.baselines.load(blob)

    assert equal(service.score(asked), before)


def test_another_vocabulary_is_refused():
    service = Service()
    service.learn(log_normal(10, 1))
    service.words = numbered(400)

    with pytest.raises(ValueError, match="another vocabulary"):
        service.score(log_normal(1, 1))


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
