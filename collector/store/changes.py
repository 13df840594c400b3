"""Changes on the shelf: deployments, settings and flags that somebody told of. One file of its own, `changes.sqlite`.

In: changes. Out: changes, newest first. It has its own file because its writer is the query process (changes come over
its API), while the engine owns the rest of the directory; SQLite's lock keeps several writers apart. At most
`CHANGES_MAX` are kept, for as long as findings are; the oldest leave. Any thread: one lock, short transactions.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

from pydantic import ValidationError

from analyzer.errors.change_words import Change
from collector.contracts import ChangeQuery, Clock
from collector.errors import BadRequestError
from collector.store.database import Schema, transaction
from collector.store.hours import HOUR_NS
from collector.store.own_file import OwnFile

LIMIT_MAX = 1_000
CHANGES_MAX = 10_000  # under 10 KB each: 100 MB when every text is as long as it may be
FILE_NAME = "changes.sqlite"
SCHEMA = Schema(
    1,
    """
CREATE TABLE change (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    change_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    service TEXT NOT NULL,
    time_ns INTEGER NOT NULL,
    added_ns INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX change_time ON change (time_ns, change_id)
""",
)


class ChangeShelf:
    """`contracts.ChangeLog` on SQLite."""

    def __init__(self, folder: Path, clock: Clock, retention_hours: float = 72.0) -> None:
        self._file = OwnFile(folder / FILE_NAME, SCHEMA)
        self._clock = clock
        self._keep_ns = int(retention_hours * HOUR_NS)
        self._told = 0
        self._forgotten = 0
        self._damaged = 0

    def put_change(self, change: Change) -> bool:
        """Keep one; on disk when it returns. False: its id is kept already, and nothing was changed.

        Raises
        ------
        OverloadedError
            The disk is full or does not write; put it again.
        """
        now_ns = self._clock.now_ns()
        with self._file.use() as db, transaction(db):
            added = db.execute(
                "INSERT OR IGNORE INTO change (change_id, kind, service, time_ns, added_ns, body) VALUES (?,?,?,?,?,?)",
                (change.change_id, change.kind, change.service, change.time_ns, now_ns, change.model_dump_json()),
            ).rowcount
            self._forgotten += _forget(db, now_ns - self._keep_ns)
        self._told += added
        return added > 0

    def changes(self, query: ChangeQuery) -> list[Change]:
        """List changes by their time, newest first; from_ns <= time_ns < to_ns.

        Raises
        ------
        BadRequestError
            The limit cannot be used.
        OverloadedError
            The disk does not read.
        """
        if query.limit < 1:
            raise BadRequestError(f"limit is {query.limit}; expected 1 to {LIMIT_MAX}", "bad_query")
        wanted, values = "added_ns >= ?", [self._clock.now_ns() - self._keep_ns]
        more: list[str] = []
        for column, text in (("kind", query.kind), ("service", query.service)):
            if text is not None:
                wanted += f" AND {column} = ?"
                more.append(text)
        bounds: list[int] = []
        for sign, bound in ((">=", query.from_ns), ("<", query.to_ns)):
            if bound is not None:
                wanted += f" AND time_ns {sign} ?"
                bounds.append(bound)
        with self._file.use() as db:
            rows = db.execute(
                f"SELECT body FROM change WHERE {wanted} ORDER BY time_ns DESC, change_id LIMIT ?",  # noqa: S608
                (*values, *more, *bounds, min(query.limit, LIMIT_MAX)),
            ).fetchall()
        found = []
        for (body,) in rows:
            try:
                found.append(Change.model_validate_json(body))
            except ValidationError:
                self._damaged += 1
        return found

    def snapshot(self) -> dict[str, float]:
        """Counters under the names of the metric table."""
        return {
            "changes_told": self._told,
            "changes_forgotten": self._forgotten,
            "changes_unreadable": self._damaged,
        }

    def close(self) -> None:
        self._file.close()


def _forget(db: sqlite3.Connection, before_ns: int) -> int:
    gone = db.execute("DELETE FROM change WHERE added_ns < ?", (before_ns,)).rowcount
    (held,) = db.execute("SELECT count(*) FROM change").fetchone()
    if held > CHANGES_MAX:
        gone += db.execute(
            "DELETE FROM change WHERE sequence IN (SELECT sequence FROM change ORDER BY sequence LIMIT ?)",
            (held - CHANGES_MAX,),
        ).rowcount
    return gone
