"""What becomes normal: no incident before its time, a lasting shift without errors, the healthy tail."""

from __future__ import annotations

import numpy as np

from tests.support.columns import MS
from tests.support.fed_baselines import SECOND, Service, log_normal


def test_learning_what_it_scored_does_not_make_ever_more_look_rare():
    """The contamination guard must not weed the healthy tail out: p stays calibrated while it runs."""
    service = Service()
    share = []
    for part in range(40):
        values = log_normal(500, part, sigma=0.8)
        share.append(float((service.score(values).p < 0.001).mean()))
        service.learn(values)

    assert float(np.mean(share[-20:])) <= 0.003


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
