"""Notes at frames on the shelf. One file of its own, `notes.sqlite`, written by the query process.

In: notes, edits each numbered one above the one before. Out: the notes of a group, oldest first. People wrote them:
nothing leaves by age or with its group (the same error has the same fingerprint when it comes again), and where there
is no room the next one is refused. Any thread: one lock, short transactions.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

from pydantic import ValidationError

from analyzer.errors.note_words import FRAME_NOTES_MAX, GROUP_NOTES_MAX, FrameNote
from collector.contracts_people import NotesFullError
from collector.store.database import Schema, transaction
from collector.store.own_file import OwnFile
from collector.telemetry import Snapshot, sample

NOTES_MAX = 10_000  # of at most 2,000 characters: 80 MB when each is as long as it may be, in the widest script
FILE_NAME = "notes.sqlite"
SCHEMA = Schema(
    1,
    """
CREATE TABLE note (
    note_id TEXT PRIMARY KEY,
    group_id TEXT NOT NULL,
    frame TEXT NOT NULL,
    author TEXT NOT NULL,
    text TEXT NOT NULL,
    written_ns INTEGER NOT NULL,
    edit INTEGER NOT NULL,
    edited_by TEXT NOT NULL,
    edited_ns INTEGER NOT NULL
);
CREATE INDEX note_of_group ON note (group_id, written_ns, note_id);
CREATE INDEX note_by_time ON note (written_ns, note_id)
""",
)
_COLUMNS = ("note_id", "group_id", "frame", "author", "text", "written_ns", "edit", "edited_by", "edited_ns")
_SELECT = "SELECT note_id, group_id, frame, author, text, written_ns, edit, edited_by, edited_ns FROM note "
_OF_GROUP = _SELECT + "WHERE group_id = ? ORDER BY written_ns, note_id"
_OF_ID = _SELECT + "WHERE note_id = ?"
_NEWEST = _SELECT + "ORDER BY written_ns DESC, note_id DESC LIMIT ?"
_OLDEST = _SELECT + "ORDER BY written_ns, note_id LIMIT ?"
_SAME = _SELECT + "WHERE group_id = ? AND frame = ? AND author = ? AND text = ? ORDER BY written_ns"
_INSERT = "INSERT INTO note VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_EDIT = "UPDATE note SET text = ?, edit = ?, edited_by = ?, edited_ns = ? WHERE note_id = ? AND edit = ?"
_REMOVE = "DELETE FROM note WHERE note_id = ? AND edit = ?"
_AT_FRAME = "SELECT count(*) FROM note WHERE group_id = ? AND frame = ?"
_AT_GROUP = "SELECT count(*) FROM note WHERE group_id = ?"
_IN_ALL = "SELECT count(*) FROM note"


class NoteShelf:
    """`contracts_people.NoteLog` on SQLite. Each call raises `OverloadedError` when the disk does not read or write."""

    def __init__(self, folder: Path) -> None:
        self._file = OwnFile(folder / FILE_NAME, SCHEMA)
        self._counts: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()

    def notes(self, group_id: str) -> list[FrameNote]:
        return self._read(_OF_GROUP, (group_id,))

    def note(self, note_id: str) -> FrameNote | None:
        return next(iter(self._read(_OF_ID, (note_id,))), None)

    def listed(self, limit: int, *, oldest: bool = False) -> list[FrameNote]:
        return self._read(_OLDEST if oldest else _NEWEST, (limit,))

    def add_note(self, note: FrameNote) -> FrameNote:
        with self._file.use() as db, transaction(db):
            found = db.execute(_SAME, (note.group_id, note.frame, note.author, note.text)).fetchone()
            if found is not None:
                self._counts["repeated"] += 1
                return _note(found)
            self._require_room(db, note)
            db.execute(_INSERT, [getattr(note, name) for name in _COLUMNS])
        self._counts["kept"] += 1
        return note

    def put_note(self, note: FrameNote) -> bool:
        new = (note.text, note.edit, note.edited_by, note.edited_ns, note.note_id, note.edit - 1)
        return self._changed(_EDIT, new, "edited")

    def remove_note(self, note_id: str, edit: int) -> bool:
        return self._changed(_REMOVE, (note_id, edit), "removed")

    def snapshot(self) -> Snapshot:
        """Counters under the names of the metric table."""
        names = ("kept", "repeated", "edited", "removed", "stale", "unreadable")
        counts = {f"frame_notes_{name}": float(self._counts[name]) for name in names}
        return counts | {sample("frame_notes_refused", bound): float(n) for bound, n in list(self._refused.items())}

    def close(self) -> None:
        self._file.close()

    def _read(self, query: str, values: tuple[object, ...]) -> list[FrameNote]:
        if not self._file.path.exists():  # reading makes no file
            return []
        with self._file.use() as db:
            rows = db.execute(query, values).fetchall()
        found = []
        for row in rows:
            try:
                found.append(_note(row))
            except ValidationError:
                self._counts["unreadable"] += 1
        return found

    def _changed(self, query: str, values: tuple[object, ...], word: str) -> bool:
        with self._file.use() as db, transaction(db):
            done = db.execute(query, values).rowcount == 1
        self._counts[word if done else "stale"] += 1
        return done

    def _require_room(self, db: sqlite3.Connection, note: FrameNote) -> None:
        for bound, most, query, values in (
            ("frame", FRAME_NOTES_MAX, _AT_FRAME, (note.group_id, note.frame)),
            ("group", GROUP_NOTES_MAX, _AT_GROUP, (note.group_id,)),
            ("shelf", NOTES_MAX, _IN_ALL, ()),
        ):
            (held,) = db.execute(query, values).fetchone()
            if held >= most:
                self._refused[bound] += 1
                raise NotesFullError(bound, held)


def _note(row: tuple[object, ...]) -> FrameNote:
    return FrameNote.model_validate(dict(zip(_COLUMNS, row, strict=True)))
