"""Changes stand in an incident's story: versions that came with it, and what somebody told of."""

from __future__ import annotations

from analyzer.errors.change_words import Change
from tests.support.fakes.clock import EPOCH_NS, SECOND_NS
from tests.support.tracked import CHECKOUT_FAILS, System
from tests.support.traffic import CHECKOUT, PAYMENT_DOWN


def test_a_new_version_stands_in_the_timeline():
    """Version 2 of payment came with the incident."""
    one, two = (text.replace("65 http", "65 @service.version=1 http") for text in (CHECKOUT, CHECKOUT))
    two = PAYMENT_DOWN.replace("22..33 ERROR", "22..33 ERROR @service.version=2")
    system = System()
    for _ in range(60):
        system.minute(one, count=1)
    system.minute(two, alarms=(CHECKOUT_FAILS,))

    assert ("version 2 was seen first", "payment") in [(e.what, e.service) for e in system.incident().timeline]


def test_what_a_new_version_did_stands_in_the_timeline():
    """All requests to version 2 fail by themselves, from its first one on; enough came to tell."""
    one = CHECKOUT.replace("65 http", "65 @service.version=1 http")
    two = PAYMENT_DOWN.replace("22..33 ERROR", "22..33 ERROR @service.version=2")
    system = System()
    for _ in range(60):
        system.minute(one, count=2)
    system.minute(two, alarms=(CHECKOUT_FAILS,), count=40)

    said = [entry.what for entry in system.incident().timeline if entry.service == "payment"]
    assert any(what.startswith("Since payment 2, 40 of 40 requests failed") for what in said)


def test_what_somebody_told_of_stands_in_the_timeline_and_shares_the_suspicion():
    """A flag was turned in the minute of the deployment: neither is blamed alone. What was told yesterday is not shown."""
    one = CHECKOUT.replace("65 http", "65 @service.version=1 http")
    two = PAYMENT_DOWN.replace("22..33 ERROR", "22..33 ERROR @service.version=2")
    system = System()
    for _ in range(60):
        system.minute(one, count=2)
    flag = Change(
        change_id="flag", kind="feature_flag", service="payment", version="new-flow", time_ns=system.now_ns + SECOND_NS
    )
    system.changes = [
        flag,
        flag.model_copy(update={"change_id": "old", "version": "yesterday", "time_ns": EPOCH_NS - 10**14}),
    ]
    system.minute(two, alarms=(CHECKOUT_FAILS,), count=40)

    said = [entry.what for entry in system.incident().timeline if entry.service == "payment"]
    assert "feature flag new-flow, as was told" in said
    assert not any("yesterday" in what for what in said)
    assert any("it may as well be the work of payment new-flow, made at the same time" in what for what in said)
    assert not any(what.startswith("Since payment 2") for what in said)
