"""What incidents may cost and show: so many, so long, ranked only when due, in safe words."""

from __future__ import annotations

import pytest

from analyzer.incidents.case import ALARMS_MAX
from analyzer.incidents.facts import TraceFacts
from analyzer.incidents.story import AFFECTED_MAX
from analyzer.spans import Vocabulary
from tests.support.fakes.clock import EPOCH_NS, SECOND_NS
from tests.support.tracked import CHECKOUT_FAILS, System, notes
from tests.support.traffic import HOME, PAYMENT_DOWN, FakeAlarm, FakeRanking, suspect


def test_open_incidents_have_a_bound():
    """Twenty services alarm far from each other: four incidents, the rest joins the newest, counted."""
    system = System(open_max=4, join_s=1.0)
    for number in range(20):
        system.minute(alarms=(FakeAlarm(f"s{number}", onset_ns=system.now_ns),))

    assert (system.tracker.open_count, system.tracker.counts.opened) == (4, 4)
    assert system.tracker.counts.crowded_alarms == 16


def test_alarms_of_an_incident_have_a_bound():
    system = System()
    system.speak(*(FakeAlarm(f"s{number}", onset_ns=EPOCH_NS) for number in range(ALARMS_MAX + 50)))

    assert system.tracker.counts.crowded_alarms == 50
    assert len(system.incident().affected) == AFFECTED_MAX


def test_an_alarm_that_is_never_taken_back_does_not_keep_it_open_for_ever():
    system = System(age_max_s=3600.0)
    system.speak(CHECKOUT_FAILS)
    system.traffic.now_ns += 3600 * SECOND_NS
    system.speak()

    assert (system.incident().status, system.tracker.open_count) == ("closed", 0)


def test_a_ranking_that_fails_waits_for_its_next_turn():
    def broken(reference: TraceFacts, window: TraceFacts, words: Vocabulary) -> FakeRanking:
        raise RuntimeError("our own bug")

    system = System(rank=broken)
    system.healthy_hour()
    system.minute(PAYMENT_DOWN, HOME)
    system.tracker.take([CHECKOUT_FAILS], system.now_ns)

    with pytest.raises(RuntimeError):
        system.tracker.rank_next(system.traffic.words, system.now_ns)

    assert not system.tracker.is_due(system.now_ns)
    assert system.tracker.is_due(system.now_ns + 30 * SECOND_NS)
    assert notes(system.tracker.tell(system.now_ns)) == ["opened"]


def test_a_rank_that_is_not_due_is_not_made():
    asked: list[int] = []

    def count(reference: TraceFacts, window: TraceFacts, words: Vocabulary) -> FakeRanking:
        asked.append(window.trace_count)
        return FakeRanking([suspect("payment")])

    system = System(rank=count)
    system.healthy_hour()
    system.minute(PAYMENT_DOWN, alarms=(CHECKOUT_FAILS,))
    system.traffic.now_ns += 10 * SECOND_NS
    assert system.speak() == []
    system.traffic.now_ns += 20 * SECOND_NS
    assert notes(system.speak()) == ["updated"]

    assert asked == [2, 2]


def test_hostile_names_are_safe_to_show():
    evil = "pay\x1b[31mment\n" + "x" * 1000
    system = System()
    system.speak(FakeAlarm(evil, onset_ns=EPOCH_NS))

    incident = system.incident()
    shown = [incident.summary, incident.next_probe or "", *(entry.service for entry in incident.timeline)]
    assert all(text.isprintable() and len(text) < 1000 for text in shown)
