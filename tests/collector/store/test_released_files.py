"""Files that an earlier version wrote are read, added to, and read by their version's rules again (reliability.md, R20).

`released/N` holds those of schema N as SQL, as the last program before its release wrote them.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from collector.contracts import ChangeQuery, FindingQuery
from collector.store.changes import ChangeShelf
from collector.store.notes import NoteShelf
from collector.store.runbooks import RunbookShelf
from collector.store.schema import META
from collector.store.sqlite import SqliteStore
from tests.contract.change_suite import change
from tests.contract.note_suite import note
from tests.contract.runbook_suite import RUNBOOK, edits
from tests.support.answers import checkout, error_group, incident, message, stored, trace_id
from tests.support.fakes.clock import ManualClock
from tests.support.released_files import CLEAN, MINUTE, PARTIAL, UNTOLD, fill, restore, tables

RELEASED = Path(__file__).with_name("released")
VERSIONS = sorted(int(folder.name) for folder in RELEASED.iterdir())


def test_every_version_of_the_schema_has_its_files():
    assert list(range(1, META.version + 1)) == VERSIONS


@pytest.fixture(params=VERSIONS)
def before(request: pytest.FixtureRequest, folder: Path) -> Path:
    restore(RELEASED / str(request.param), folder)
    return folder


def test_all_of_it_is_found(before: Path, clock: ManualClock):
    store = SqliteStore.open(before, clock=clock)

    found = store.find(trace_id(1))
    assert found.answer is not None
    assert found.answer.root_causes[0].sentence == checkout(1).root_causes[0].sentence
    assert found.trace_otlp == b"spans of trace 1"
    states = [store.find(trace_id(number)).status for number in (2, CLEAN, PARTIAL, UNTOLD, 99)]
    assert states == ["stored", "clean", "partial", "dropped", "unknown"]
    assert len(store.findings(FindingQuery()).rows) == 2
    assert [item.key for item in store.outbox_take("otlp", 10, clock.now_ns())] == [message(1).key]
    assert store.services(MINUTE * 60 * 10**9, (MINUTE + 1) * 60 * 10**9)[0].count == 5
    assert store.edges(MINUTE * 60 * 10**9, (MINUTE + 1) * 60 * 10**9)[0].callee == "payment"
    assert store.incident(incident(1).incident_id) is not None
    assert store.group(error_group(1).group_id) is not None
    assert store.load_state("baselines") == b"learned"
    store.close()


def test_what_people_wrote_is_found(before: Path, clock: ManualClock):
    changes, notes, runbooks = ChangeShelf(before, clock), NoteShelf(before), RunbookShelf(before)

    assert [one.change_id for one in changes.changes(ChangeQuery())] == [change(1).change_id]
    assert [one.text for one in notes.listed(10)] == [note(1).text]
    found = runbooks.edits(RUNBOOK)
    assert found is not None
    assert found.sections[0].text == edits(1, "call the gateway").sections[0].text
    for shelf in (changes, notes, runbooks):
        shelf.close()


def test_work_goes_on_in_them(before: Path, clock: ManualClock):
    """A later revision of an old answer, new ones, messages settled; and again after the next start."""
    store = SqliteStore.open(before, clock=clock)
    store.put([stored(1, answer=checkout(1, service="ledger", revision=2)), stored(6)], [trace_id(7)])
    store.outbox_done([item.row_id for item in store.outbox_take("otlp", 10, clock.now_ns())])
    store.close()

    again = SqliteStore.open(before, clock=clock)

    assert {row.service for row in again.findings(FindingQuery()).rows} >= {"ledger", "bank"}
    assert [again.find(trace_id(number)).status for number in (1, 6, 7, CLEAN)] == [
        "stored",
        "stored",
        "clean",
        "clean",
    ]
    assert again.outbox_count() == 0
    again.close()


def test_nobody_changed_the_tables_without_a_new_version(tmp_path: Path):
    """A change of the schema raises its version, and keeps files of the version before."""
    then, now = tmp_path / "then", tmp_path / "now"
    restore(RELEASED / str(VERSIONS[-1]), then)
    fill(now)

    assert {path.name: tables(path) for path in sorted(then.glob("*.sqlite"))} == {
        path.name: tables(path) for path in sorted(now.glob("*.sqlite"))
    }


def test_they_are_whole(before: Path):
    for path in before.glob("*.sqlite"):
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA quick_check").fetchone() == ("ok",)
