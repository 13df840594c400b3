"""The breaker opens, tries gently, and shuts again at the first bad sign."""

from __future__ import annotations

import threading

import pytest

from collector.exporters.breaker import BreakerState, CircuitBreaker
from tests.support.fakes.clock import ManualClock

CLOSED, OPEN, HALF_OPEN = BreakerState.CLOSED, BreakerState.OPEN, BreakerState.HALF_OPEN


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def breaker(clock: ManualClock) -> CircuitBreaker:
    return CircuitBreaker(clock)


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        assert breaker.allow()
        breaker.failure()


def opened(breaker: CircuitBreaker) -> CircuitBreaker:
    fail(breaker, 5)
    return breaker


def test_four_failures_are_borne(breaker: CircuitBreaker):
    fail(breaker, 4)

    assert breaker.state is CLOSED


def test_the_fifth_in_a_row_opens_it(breaker: CircuitBreaker):
    fail(breaker, 5)

    assert breaker.state is OPEN
    assert not breaker.allow()
    assert breaker.wait_s() == 60.0


def test_a_success_between_starts_the_count_again(breaker: CircuitBreaker):
    fail(breaker, 4)
    assert breaker.allow()
    breaker.success()
    fail(breaker, 4)

    assert breaker.state is CLOSED


def test_it_stays_open_for_a_minute(breaker: CircuitBreaker, clock: ManualClock):
    opened(breaker)

    clock.advance(59.999)
    assert not breaker.allow()
    clock.advance(0.001)
    assert breaker.state is HALF_OPEN
    assert breaker.wait_s() == 0.0


def test_half_open_lets_one_through_at_a_time(breaker: CircuitBreaker, clock: ManualClock):
    opened(breaker)
    clock.advance(60)

    assert [breaker.allow(), breaker.allow()] == [True, False]
    breaker.success()
    assert breaker.allow()


def test_two_successes_close_it(breaker: CircuitBreaker, clock: ManualClock):
    opened(breaker)
    clock.advance(60)
    states = []
    for _ in range(2):
        assert breaker.allow()
        breaker.success()
        states.append(breaker.state)

    assert states == [HALF_OPEN, CLOSED]


def test_a_failure_after_one_good_probe_opens_it_again(breaker: CircuitBreaker, clock: ManualClock):
    """One failure is enough, for a whole minute; the good probe before it does not help."""
    opened(breaker)
    clock.advance(60)
    assert breaker.allow()
    breaker.success()
    assert breaker.allow()
    breaker.failure()

    assert breaker.state is OPEN
    assert breaker.wait_s() == 60.0


def test_good_probes_of_an_earlier_try_do_not_count(breaker: CircuitBreaker, clock: ManualClock):
    """Success, failure, a minute, success: that is one in a row, not two."""
    opened(breaker)
    clock.advance(60)
    for report in (breaker.success, breaker.failure):
        assert breaker.allow()
        report()
    clock.advance(60)
    assert breaker.allow()
    breaker.success()

    assert breaker.state is HALF_OPEN


def test_closed_again_it_bears_four_failures_again(breaker: CircuitBreaker, clock: ManualClock):
    opened(breaker)
    clock.advance(60)
    for _ in range(2):
        assert breaker.allow()
        breaker.success()
    fail(breaker, 4)

    assert breaker.state is CLOSED


def test_reports_of_calls_from_before_it_opened_change_nothing(breaker: CircuitBreaker, clock: ManualClock):
    """Six calls were out when the fifth failed."""
    opened(breaker)
    clock.advance(30)
    breaker.failure()
    breaker.success()

    assert breaker.state is OPEN
    assert breaker.wait_s() == 30.0


def test_a_probe_nobody_reported_on_is_given_up(breaker: CircuitBreaker, clock: ManualClock):
    opened(breaker)
    clock.advance(60)
    assert breaker.allow()

    clock.advance(60)

    assert breaker.allow()


def test_a_wall_clock_set_back_changes_nothing(breaker: CircuitBreaker, clock: ManualClock):
    opened(breaker)
    clock.set_wall(0)
    clock.advance(60)

    assert breaker.allow()


def test_many_threads_one_probe(breaker: CircuitBreaker, clock: ManualClock):
    """Of sixteen threads that ask at once, one gets through."""
    opened(breaker)
    clock.advance(60)
    gate, answers = threading.Barrier(16), []

    def ask() -> None:
        gate.wait()
        answers.append(breaker.allow())

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == [False] * 15 + [True]


def test_settings_that_cannot_work_are_refused(clock: ManualClock):
    with pytest.raises(ValueError, match="failures_max 0"):
        CircuitBreaker(clock, failures_max=0)
