"""Incidents in SQLite files: files of an earlier version, damaged rows, more incidents than there is room for."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from collector.contracts import IncidentQuery, StoredIncident
from collector.store import incidents
from collector.store.sqlite import SqliteStore
from tests.support.answers import incident
from tests.support.fakes.clock import ManualClock


def change(folder: Path, *statements: str) -> None:
    with sqlite3.connect(folder / "meta.sqlite") as db:
        for statement in statements:
            db.execute(statement)
    db.close()


def test_a_file_of_an_earlier_version_has_no_incidents_yet(tmp_path: Path):
    """A reader finds none; a writer makes the tables."""
    SqliteStore.open(tmp_path, clock=ManualClock()).close()
    change(tmp_path, "DROP TABLE incident", "DROP TABLE incident_service")
    reader = SqliteStore.open(tmp_path, read_only=True)

    assert (reader.incidents(IncidentQuery()), reader.incident("00"), reader.last_incident_change()) == ([], None, 0)

    writer = SqliteStore.open(tmp_path, clock=ManualClock())
    writer.put_incidents([StoredIncident(incident(1))])
    assert reader.incidents(IncidentQuery()) == [incident(1)]
    writer.close()
    reader.close()


def test_a_damaged_incident_is_left_out_and_counted(tmp_path: Path):
    store = SqliteStore.open(tmp_path, clock=ManualClock())
    store.put_incidents([StoredIncident(incident(1)), StoredIncident(incident(2))])
    store.close()
    change(tmp_path, f"UPDATE incident SET body = x'00' WHERE incident_id = '{incident(1).incident_id}'")
    store = SqliteStore.open(tmp_path, clock=ManualClock())

    assert store.incidents(IncidentQuery()) == [incident(2)]
    assert store.incident(incident(1).incident_id) is None
    assert store.counters()["unreadable_rows"] == 2
    store.close()


def test_when_there_are_too_many_closed_ones_leave_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(incidents, "INCIDENTS_MAX", 3)
    clock = ManualClock()
    store = SqliteStore.open(tmp_path, clock=clock)
    for number in range(1, 7):
        status = "open" if number in (1, 2) else "closed"
        store.put_incidents([StoredIncident(incident(number, status=status, updated_ns=clock.now_ns()))])

    store.retain(clock.now_ns())

    assert {int(one.incident_id, 16) for one in store.incidents(IncidentQuery())} == {1, 2, 6}
    store.close()
