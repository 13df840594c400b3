"""Alarms become incidents: an outage is one, with its cause, its victims and its story in order."""

from __future__ import annotations

import pytest

from tests.support.fakes.clock import EPOCH_NS
from tests.support.tracked import CHECKOUT_FAILS, FRONTEND_FAILS, System, notes
from tests.support.traffic import CHECKOUT, HOME, MINUTE_NS, PAYMENT_DOWN, ids


@pytest.fixture(scope="module")
def outage() -> System:
    """A healthy hour; then payment has no connection left for five minutes; then it is healthy again."""
    system = System()
    system.healthy_hour()
    system.minute(PAYMENT_DOWN, HOME, alarms=(CHECKOUT_FAILS, FRONTEND_FAILS))
    for _ in range(4):
        system.minute(PAYMENT_DOWN, HOME)
    system.minute(CHECKOUT, HOME, alarms=(CHECKOUT_FAILS.gone(), FRONTEND_FAILS.gone()))
    for _ in range(3):
        system.minute(CHECKOUT, HOME)
    return system


def test_a_healthy_hour_is_no_incident():
    system = System()
    system.healthy_hour()

    assert (system.told, system.tracker.open_count) == ([], 0)


def test_an_outage_is_one_incident_with_its_cause(outage: System):
    """Checkout and frontend are alarmed; the cause is payment, which was not."""
    first = outage.told[0].incident

    assert {one.incident.incident_id for one in outage.told} == {first.incident_id}
    assert notes(outage.told)[0] == "opened"
    assert (first.verdict, first.status) == ("cause", "open")
    assert (first.suspects[0].entity.name, first.roots) == ("payment", ["payment"])
    assert "payment fails by itself" in first.summary
    assert first.onset_ns == CHECKOUT_FAILS.onset_ns


def test_victims_are_listed_after_the_cause(outage: System):
    incident = outage.told[3].incident

    assert [(one.service, one.role, one.symptoms) for one in incident.affected] == [
        ("payment", "cause", ["errors"]),
        ("checkout", "victim", ["errors"]),
        ("frontend", "victim", ["errors"]),
    ]
    assert [one.failed_share for one in incident.affected] == [1.0, 1.0, pytest.approx(0.5)]


def test_who_is_hit_can_be_counted(outage: System):
    """Four minutes, two failing checkouts each; who asks for /home notices nothing."""
    radius = outage.told[3].incident.blast_radius

    assert radius is not None
    assert radius.entry_operations == ["frontend POST /checkout"]
    assert (radius.requests, radius.failed_requests, radius.slow_requests) == (8, 8, 0)
    assert radius.services == 3


def test_the_timeline_is_in_order(outage: System):
    timeline = outage.incident().timeline

    assert [(entry.what, entry.service) for entry in timeline] == [
        ("errors began", "checkout"),
        ("first error", "payment"),
        ("errors began", "frontend"),
        ("the incident was detected", ""),
        ("likeliest cause: payment", ""),
        ("the last symptom was gone", ""),
    ]
    assert [entry.at_ns for entry in timeline] == sorted(entry.at_ns for entry in timeline)


def test_it_closes_after_recovery(outage: System):
    """Quiet for two minutes: closed, and it ended when the last alarm did."""
    last = outage.incident()

    assert (notes(outage.told)[-1], last.status) == ("closed", "closed")
    assert last.ended_ns == EPOCH_NS + 66 * MINUTE_NS
    assert last.verdict == "cause"
    assert outage.tracker.open_count == 0
    assert [one.incident.revision for one in outage.told] == list(range(1, len(outage.told) + 1))


def test_its_examples_are_failing_traces_through_the_cause(outage: System):
    window = outage.recent.window(CHECKOUT_FAILS.onset_ns, CHECKOUT_FAILS.onset_ns + 5 * MINUTE_NS).facts
    fatal = {one.tobytes() for one in window.trace_id[window.fatal]}

    examples = outage.incident().example_trace_ids

    assert len(examples) == 3
    assert ids(examples) <= fatal


def test_a_replay_names_the_same_incident(outage: System):
    system = System()
    system.healthy_hour()
    system.minute(PAYMENT_DOWN, alarms=(CHECKOUT_FAILS,))

    assert system.incident().incident_id == outage.incident().incident_id
