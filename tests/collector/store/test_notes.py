"""Notes on disk: every promise, and what only a file can do."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from collector.contracts_people import NotesFullError
from collector.errors import OverloadedError
from collector.store import notes
from collector.store.notes import FILE_NAME, NoteShelf
from tests.contract.note_suite import GROUP, NoteContract, changed, note
from tests.support.fakes.store import FakeNoteLog

ROOT = Path(__file__).parents[3]
KILLED = """
import os, sys
from pathlib import Path
from collector.store.notes import NoteShelf
from tests.contract.note_suite import changed, note
shelf = NoteShelf(Path(sys.argv[1]))
shelf.add_note(note(1))
shelf.add_note(note(2))
shelf.put_note(changed(note(1), "other words", 2))
shelf.remove_note(note(2).note_id, 1)
os.kill(os.getpid(), 9)
"""


class TestNoteShelf(NoteContract):
    @pytest.fixture
    def log(self, tmp_path: Path) -> Iterator[NoteShelf]:
        shelf = NoteShelf(tmp_path / "shelf")
        yield shelf
        shelf.close()


class TestFakeNoteLog(NoteContract):
    @pytest.fixture
    def log(self) -> FakeNoteLog:
        return FakeNoteLog()


def test_notes_outlive_the_process_and_are_private(tmp_path: Path):
    first = NoteShelf(tmp_path)
    first.add_note(note(1))
    first.close()

    again = NoteShelf(tmp_path)

    assert again.notes(GROUP) == [note(1)]
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    again.close()


def test_what_was_answered_outlives_a_kill(tmp_path: Path):
    """Each call returned before the process was killed: all of it holds."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=ROOT, env=environment, timeout=60)

    shelf = NoteShelf(tmp_path)

    assert done.returncode == -signal.SIGKILL
    assert shelf.notes(GROUP) == [changed(note(1), "other words", 2)]
    shelf.close()


def test_reading_makes_no_file(tmp_path: Path):
    assert NoteShelf(tmp_path).notes(GROUP) == []
    assert not (tmp_path / FILE_NAME).exists()


def test_what_people_wrote_is_not_pushed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Full: the next note is refused, at whatever group, until one is taken away; each refusal is counted."""
    monkeypatch.setattr(notes, "NOTES_MAX", 2)
    shelf = NoteShelf(tmp_path)
    for number in (1, 2):
        shelf.add_note(note(number, group_id=f"{number:016x}"))

    with pytest.raises(NotesFullError, match="the shelf has 2 notes"):
        shelf.add_note(note(3))
    assert len(shelf.listed(10)) == 2
    shelf.remove_note(note(1).note_id, 1)
    assert shelf.add_note(note(3)) == note(3)

    assert shelf.snapshot()["frame_notes_refused|shelf"] == 1
    shelf.close()


def test_what_is_done_is_counted(tmp_path: Path):
    shelf = NoteShelf(tmp_path)
    first = shelf.add_note(note(1))
    shelf.add_note(note(2, first.text))
    shelf.put_note(changed(first, "other words", 2))
    shelf.put_note(changed(first, "late words", 2))
    shelf.remove_note(first.note_id, 2)

    assert shelf.snapshot() == {
        "frame_notes_kept": 1,
        "frame_notes_repeated": 1,
        "frame_notes_edited": 1,
        "frame_notes_removed": 1,
        "frame_notes_stale": 1,
        "frame_notes_unreadable": 0,
    }
    shelf.close()


def test_a_note_that_cannot_be_read_is_counted_and_hides_no_other(tmp_path: Path):
    shelf = NoteShelf(tmp_path)
    shelf.add_note(note(1))
    shelf.add_note(note(2))
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as db, db:
        db.execute("UPDATE note SET edit = 'many' WHERE note_id = ?", (note(1).note_id,))

    assert shelf.notes(GROUP) == [note(2)]
    assert shelf.snapshot()["frame_notes_unreadable"] == 1
    shelf.close()


def test_a_damaged_file_is_put_aside(tmp_path: Path):
    """The first question is refused, the next one finds a new file; nothing is deleted."""
    (tmp_path / FILE_NAME).write_bytes(b"no database at all" * 100)
    shelf = NoteShelf(tmp_path)

    with pytest.raises(OverloadedError):
        shelf.notes(GROUP)
    assert shelf.add_note(note(1)) == note(1)

    assert (tmp_path / f"{FILE_NAME}.corrupt-1").exists()
    shelf.close()
