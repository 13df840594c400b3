"""Hand edits of runbooks on the shelf. One file of its own, `runbooks.sqlite`, written by the query process.

In: edits of a runbook, each numbered one above the one before. Out: the last ones. People wrote them: nothing leaves by
age, and when `RUNBOOKS_MAX` are kept the next is refused; only edits that were taken back make room. Any thread: one
lock, short transactions.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from pydantic import ValidationError

from analyzer.reports.hand_edits import HandEdits
from collector.errors import OverloadedError
from collector.store.database import Schema, transaction
from collector.store.own_file import OwnFile

RUNBOOKS_MAX = 1_000  # of at most some 64 KB, what the door takes: 64 MB when each is as long as it may be
FILE_NAME = "runbooks.sqlite"
SCHEMA = Schema(
    1,
    """
CREATE TABLE runbook (
    runbook_id TEXT PRIMARY KEY,
    edit INTEGER NOT NULL,
    edited_ns INTEGER NOT NULL,
    sections INTEGER NOT NULL,
    body TEXT NOT NULL
)
""",
)


class RunbookShelf:
    """`contracts.RunbookLog` on SQLite."""

    def __init__(self, folder: Path) -> None:
        self._file = OwnFile(folder / FILE_NAME, SCHEMA)
        self._kept = 0
        self._stale = 0
        self._damaged = 0

    def edits(self, runbook_id: str) -> HandEdits | None:
        """Return the last edits; None when there never were any.

        Raises
        ------
        OverloadedError
            The disk does not read.
        """
        if not self._file.path.exists():  # reading makes no file
            return None
        with self._file.use() as db:
            row = db.execute("SELECT edit, edited_ns, body FROM runbook WHERE runbook_id = ?", (runbook_id,)).fetchone()
        if row is None:
            return None
        edit, edited_ns, body = row
        try:
            return HandEdits.model_validate_json(body)
        except ValidationError:  # counted; what cannot be read can be written anew
            self._damaged += 1
            return HandEdits(runbook_id=runbook_id, edit=edit, edited_ns=edited_ns)

    def put_edits(self, edits: HandEdits) -> bool:
        """Keep them; on disk when it returns. False: they do not follow the last ones, and nothing was changed.

        Raises
        ------
        OverloadedError
            The disk is full or does not write, or as many runbooks are edited as may be.
        """
        row = (edits.runbook_id, edits.edit, edits.edited_ns, len(edits.sections), edits.model_dump_json())
        with self._file.use() as db, transaction(db):
            found = db.execute("SELECT edit FROM runbook WHERE runbook_id = ?", (edits.runbook_id,)).fetchone()
            if (found[0] if found is not None else 0) + 1 != edits.edit:
                self._stale += 1
                return False
            if found is None:
                _make_room(db)
            db.execute(
                "INSERT INTO runbook (runbook_id, edit, edited_ns, sections, body) VALUES (?,?,?,?,?) "
                "ON CONFLICT (runbook_id) DO UPDATE SET edit = excluded.edit, edited_ns = excluded.edited_ns, "
                "sections = excluded.sections, body = excluded.body",
                row,
            )
        self._kept += 1
        return True

    def snapshot(self) -> dict[str, float]:
        """Counters under the names of the metric table."""
        return {
            "runbook_edits_kept": self._kept,
            "runbook_edits_stale": self._stale,
            "runbook_edits_unreadable": self._damaged,
        }

    def close(self) -> None:
        self._file.close()


def _make_room(db: sqlite3.Connection) -> None:
    """Let go of the edits that were taken back longest ago, when no more fit."""
    (held,) = db.execute("SELECT count(*) FROM runbook").fetchone()
    if held < RUNBOOKS_MAX:
        return
    gone = db.execute(
        "DELETE FROM runbook WHERE runbook_id IN "
        "(SELECT runbook_id FROM runbook WHERE sections = 0 ORDER BY edited_ns LIMIT ?)",
        (held - RUNBOOKS_MAX + 1,),
    ).rowcount
    if held - gone >= RUNBOOKS_MAX:
        raise OverloadedError(
            f"{held} runbooks are edited by hand; that is the bound. Take edits back (DELETE) that are not needed",
            "runbooks_full",
        )
