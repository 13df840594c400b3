"""Calls around a mitigation, counted from the minutes on the shelf."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzer.errors.change_words import Change
from analyzer.findings import Entity
from analyzer.incident_words import Incident
from collector.contracts import EdgeRollup, Rollup
from collector.mitigations import mitigations_of
from collector.store.sqlite import SqliteStore
from tests.support.answers import incident
from tests.support.fakes.clock import EPOCH_NS, ManualClock
from tests.support.fakes.store import FakeChangeLog

MINUTE_NS = 60_000_000_000
ONSET = EPOCH_NS // MINUTE_NS  # the minute it begins in
SERVER, CLIENT = 2, 3


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    shelf = SqliteStore.open(tmp_path, clock=ManualClock())
    yield shelf
    shelf.close()


def minute(number: int, failed: int, calls: int = 100, service: str = "payment", kind: int = SERVER) -> Rollup:
    return Rollup(ONSET + number, service, "POST /charge", kind, calls, failed, 0, 0)


def outage(until: int, end: int = 40) -> list[Rollup]:
    """An hour in which one of a hundred fails, then half of them until a minute, then one again."""
    return [minute(number, 50 if 0 <= number < until else 1) for number in range(-60, end)]


def told(number: int, kind: str = "rollback", service: str = "payment", version: str = "v2.3.0") -> Change:
    return Change(
        change_id=f"{kind}{number}", kind=kind, service=service, time_ns=(ONSET + number) * MINUTE_NS, version=version
    )


def log_of(*changes: Change) -> FakeChangeLog:
    log = FakeChangeLog()
    for change in changes:
        log.put_change(change)
    return log


def at(number: int) -> int:
    return (ONSET + number) * MINUTE_NS


def broken(status: str = "open") -> Incident:
    return incident(status=status, onset_ns=at(0))


def test_a_rollback_that_helped_is_seen_in_the_calls(store: SqliteStore):
    """Told in minute 10, failures stop with it: 60 minutes before, 11 until it, minute 11 left out, 12 to 28 after."""
    store.put([], rollups=outage(until=11))

    (found,) = mitigations_of(broken(), store, log_of(told(10)), at(30))

    assert (found.verdict, found.what) == ("worked", "rollback v2.3.0 of payment")
    assert {key: found.claim.numbers[key] for key in found.claim.numbers if key.endswith(("_calls", "_failed"))} == {
        "before_failed": 60,
        "before_calls": 6_000,
        "during_failed": 550,
        "during_calls": 1_100,
        "after_failed": 17,
        "after_calls": 1_700,
    }


def test_one_that_did_not_help_and_one_that_did(store: SqliteStore):
    store.put([], rollups=outage(until=21))

    found = mitigations_of(broken(), store, log_of(told(5), told(20, "mitigation", version="")), at(40))

    assert [(one.what, one.verdict) for one in found] == [
        ("rollback v2.3.0 of payment", "did not work"),
        ("mitigation of payment", "worked"),
    ]


def test_right_after_it_nothing_can_be_told(store: SqliteStore):
    store.put([], rollups=outage(until=11, end=13))

    (found,) = mitigations_of(broken(), store, log_of(told(10)), at(12))

    assert found.verdict == "cannot tell yet"
    assert "no calls were counted after it" in found.claim.text


def test_without_a_told_one_the_end_of_the_alarms_is_asked_about(store: SqliteStore):
    """It ended in minute 10."""
    store.put([], rollups=outage(until=9))

    assert mitigations_of(broken(), store, log_of(), at(30)) == []
    (found,) = mitigations_of(broken("closed"), store, log_of(told(-5)), at(30))

    assert (found.what, found.verdict) == ("the end of the alarms", "worked")


def test_what_was_done_to_others_is_only_taken_when_there_is_nothing_else(store: SqliteStore):
    store.put([], rollups=outage(until=11))
    elsewhere = told(10, "mitigation", "gateway", "shed load")

    (alone,) = mitigations_of(broken(), store, log_of(elsewhere), at(30))
    (beside,) = mitigations_of(broken(), store, log_of(elsewhere, told(9)), at(30))

    assert alone.what == "mitigation shed load of gateway"
    assert beside.what == "rollback v2.3.0 of payment"


def test_only_calls_that_enter_the_service_count(store: SqliteStore):
    store.put([], rollups=[*outage(until=11), *(minute(number, 0, kind=CLIENT) for number in range(-60, 40))])

    (found,) = mitigations_of(broken(), store, log_of(told(10)), at(30))

    assert found.claim.numbers["after_calls"] == 1_700


def test_of_a_peer_the_calls_to_it_count(store: SqliteStore):
    """It sends no spans: its callers' edge has the calls."""
    edges = [
        EdgeRollup(ONSET + n, "payment", "bank.example", "peer", "peer_attribute", 50, 40 if 0 <= n < 11 else 0, 0)
        for n in range(-60, 40)
    ]
    store.put([], edges=edges)
    whole = broken()
    bank = Entity(kind="peer", name="bank.example", service="payment", peer="bank.example")
    whole = whole.model_copy(update={"suspects": [whole.suspects[0].model_copy(update={"entity": bank})]})

    (found,) = mitigations_of(whole, store, log_of(told(10, "mitigation")), at(30))

    assert found.verdict == "worked"
    assert found.claim.numbers["during_failed"] == 440


def test_where_nobody_is_blamed_nothing_is_judged(store: SqliteStore):
    nobody = broken().model_copy(update={"verdict": "insufficient_evidence"})

    assert mitigations_of(nobody, store, log_of(told(10)), at(30)) == []
