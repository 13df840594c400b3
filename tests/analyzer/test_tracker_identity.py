"""Which incident it is: apart, merged, relapsed, or the same after a restart."""

from __future__ import annotations

import pytest

from tests.support.tracked import CHECKOUT_FAILS, System
from tests.support.traffic import CHECKOUT, HOME, PAYMENT_DOWN, FakeAlarm


def test_what_begins_much_later_elsewhere_is_another_incident():
    system = System()
    system.healthy_hour()
    system.minute(PAYMENT_DOWN, HOME, alarms=(CHECKOUT_FAILS,))
    for _ in range(10):
        system.minute(PAYMENT_DOWN, HOME)
    system.minute(HOME, alarms=(FakeAlarm("search", "latency", system.now_ns),))

    assert system.tracker.open_count == 2


def test_two_incidents_with_one_cause_are_merged():
    """An alarm that began much later elsewhere; the ranking finds the same cause: the older incident goes on."""
    system = System()
    system.healthy_hour()
    first = system.minute(PAYMENT_DOWN, HOME, alarms=(CHECKOUT_FAILS,))[0].incident
    for _ in range(10):
        system.minute(PAYMENT_DOWN, HOME)
    told = system.minute(PAYMENT_DOWN, HOME, alarms=(FakeAlarm("ledger", "latency", system.now_ns),))

    merged = next(one for one in told if one.note == "merged")
    assert merged.incident.status == "closed"
    assert first.incident_id in merged.incident.summary
    assert system.tracker.open_count == 1
    later = system.minute(PAYMENT_DOWN, HOME)[0].incident
    assert later.incident_id == first.incident_id
    assert "ledger" in {one.service for one in later.affected}


def test_a_relapse_before_it_is_closed_is_the_same_incident():
    system = System()
    system.healthy_hour()
    system.minute(PAYMENT_DOWN, alarms=(CHECKOUT_FAILS,))
    system.minute(CHECKOUT, alarms=(CHECKOUT_FAILS.gone(),))
    system.minute(PAYMENT_DOWN, alarms=(CHECKOUT_FAILS,))
    system.minute(PAYMENT_DOWN)

    assert len({one.incident.incident_id for one in system.told}) == 1
    assert (system.incident().status, system.incident().ended_ns) == ("open", None)


def test_an_open_incident_survives_a_restart():
    """What was said of it holds, though nothing is remembered to compare with; it closes as it would have."""
    before = System()
    before.healthy_hour()
    before.minute(PAYMENT_DOWN, HOME, alarms=(CHECKOUT_FAILS,))
    after = System()
    after.traffic.now_ns = before.now_ns
    after.tracker.load(before.tracker.save())

    after.minute(PAYMENT_DOWN)
    after.minute(CHECKOUT, alarms=(CHECKOUT_FAILS.gone(),))
    after.minute(CHECKOUT)
    after.minute(CHECKOUT)

    last = after.incident()
    assert (last.incident_id, last.status, last.verdict) == (before.incident().incident_id, "closed", "cause")
    assert last.suspects == before.incident().suspects
    assert last.revision > before.incident().revision


@pytest.mark.parametrize(
    "blob", [b"[]", b"{}", b'{"version": 9, "cases": []}', b"\xff", b'{"version": 1, "cases": [{}]}']
)
def test_a_state_of_somebody_else_is_refused(blob: bytes):
    system = System()

    with pytest.raises(ValueError):
        system.tracker.load(blob)

    assert system.tracker.open_count == 0
