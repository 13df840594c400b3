"""Files as a version wrote them, kept as SQL: `python -m tests.support.released_files FOLDER` writes those of this version.

Done once for each version of a schema, before it is released; never again for the same version.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from collector.contracts import EdgeRollup, Rollup, StoredIncident
from collector.store.changes import ChangeShelf
from collector.store.notes import NoteShelf
from collector.store.runbooks import RunbookShelf
from collector.store.sqlite import SqliteStore
from tests.contract.change_suite import change
from tests.contract.note_suite import note
from tests.contract.runbook_suite import edits
from tests.support.answers import error_group, incident, message, slow, stored, trace_id
from tests.support.fakes.clock import EPOCH_NS, ManualClock

PAGE_BYTES = 8192
MINUTE = EPOCH_NS // 60_000_000_000
CLEAN, PARTIAL, UNTOLD = 3, 4, 5  # numbers of traces


def fill(folder: Path) -> None:
    """Some of everything that is kept on disk."""
    store = SqliteStore.open(folder, clock=ManualClock())
    store.put(
        [stored(1, exports=(message(1),)), stored(2, answer=slow(2))],
        [trace_id(CLEAN)],
        [Rollup(MINUTE, "gateway", "GET /checkout", 2, 5, 1, 500, 200)],
        [EdgeRollup(MINUTE, "gateway", "payment", "service", "tree", 5, 1, 400)],
        [trace_id(PARTIAL)],
        [trace_id(UNTOLD)],
    )
    store.put_incidents([StoredIncident(incident(1))])
    store.put_groups([error_group(1)])
    store.save_state("baselines", b"learned")
    store.close()
    for shelf, put in (
        (ChangeShelf(folder, ManualClock()), lambda shelf: shelf.put_change(change(1))),
        (NoteShelf(folder), lambda shelf: shelf.add_note(note(1))),
        (RunbookShelf(folder), lambda shelf: shelf.put_edits(edits(1, "call the gateway"))),
    ):
        put(shelf)
        shelf.close()


def tables(path: Path) -> list[str]:
    """How a file's tables and indexes are made."""
    with closing(sqlite3.connect(path)) as db:
        return [sql for (sql,) in db.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")]


def save(folder: Path, kept: Path) -> None:
    """Write every SQLite file of a folder as SQL."""
    kept.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.glob("*.sqlite")):
        with closing(sqlite3.connect(path)) as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            lines = [*db.iterdump(), f"PRAGMA user_version = {version};"]
        (kept / f"{path.stem}.sql").write_text("\n".join(lines) + "\n")


def restore(kept: Path, folder: Path) -> None:
    """Make the files again."""
    folder.mkdir(mode=0o700)
    for path in sorted(kept.glob("*.sql")):
        with closing(sqlite3.connect(folder / f"{path.stem}.sqlite")) as db:
            db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            db.executescript(path.read_text())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        fill(Path(made))
        save(Path(made), Path(sys.argv[1]))
