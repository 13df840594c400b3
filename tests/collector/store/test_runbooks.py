"""Hand edits on disk: every promise, and what only a file can do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from collector.errors import OverloadedError
from collector.store import runbooks
from collector.store.runbooks import FILE_NAME, RunbookShelf
from tests.contract.runbook_suite import RUNBOOK, RunbookContract, edits
from tests.support.fakes.store import FakeRunbookLog


class TestRunbookShelf(RunbookContract):
    @pytest.fixture
    def log(self, tmp_path: Path) -> Iterator[RunbookShelf]:
        shelf = RunbookShelf(tmp_path / "shelf")
        yield shelf
        shelf.close()


class TestFakeRunbookLog(RunbookContract):
    @pytest.fixture
    def log(self) -> FakeRunbookLog:
        return FakeRunbookLog()


def test_edits_outlive_the_process_and_are_private(tmp_path: Path):
    first = RunbookShelf(tmp_path)
    first.put_edits(edits(1, "call the gateway"))
    first.close()

    again = RunbookShelf(tmp_path)

    assert again.edits(RUNBOOK) == edits(1, "call the gateway")
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    again.close()


def test_reading_makes_no_file(tmp_path: Path):
    assert RunbookShelf(tmp_path).edits(RUNBOOK) is None
    assert not (tmp_path / FILE_NAME).exists()


def test_what_people_wrote_is_not_pushed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Full: the next runbook is refused until edits are taken back; those make room."""
    monkeypatch.setattr(runbooks, "RUNBOOKS_MAX", 2)
    shelf = RunbookShelf(tmp_path)
    for name in ("a", "b"):
        assert shelf.put_edits(edits(1, "words", runbook_id=name))

    with pytest.raises(OverloadedError, match="2 runbooks are edited by hand"):
        shelf.put_edits(edits(1, "words", runbook_id="c"))
    assert shelf.put_edits(edits(2, "other words", runbook_id="a"))
    assert shelf.put_edits(edits(2, runbook_id="b"))
    assert shelf.put_edits(edits(1, "words", runbook_id="c"))

    assert shelf.edits("b") is None
    assert shelf.edits("a") == edits(2, "other words", runbook_id="a")
    shelf.close()


def test_edits_that_cannot_be_read_are_counted_and_can_be_written_anew(tmp_path: Path):
    shelf = RunbookShelf(tmp_path)
    shelf.put_edits(edits(1, "words"))
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db, db:
        db.execute("UPDATE runbook SET body = '{'")

    found = shelf.edits(RUNBOOK)

    assert found is not None
    assert (found.edit, found.sections) == (1, [])
    assert shelf.put_edits(edits(2, "anew"))
    assert shelf.snapshot() == {"runbook_edits_kept": 2, "runbook_edits_stale": 0, "runbook_edits_unreadable": 1}
    shelf.close()


def test_a_damaged_file_is_put_aside(tmp_path: Path):
    """The first question is refused, the next one finds a new file; nothing is deleted."""
    (tmp_path / FILE_NAME).write_bytes(b"no database at all" * 100)
    shelf = RunbookShelf(tmp_path)

    with pytest.raises(OverloadedError):
        shelf.edits(RUNBOOK)
    assert shelf.put_edits(edits(1, "words"))

    assert (tmp_path / f"{FILE_NAME}.corrupt-1").exists()
    shelf.close()
