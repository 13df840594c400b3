"""Incidents on the shelf: the last revision of each, found by id, status, service, or by what changed since.

In: packed incidents. Out: incidents. They live in `meta.sqlite`: an incident goes on over the turn of hours. Its
owner (`Meta`) calls it inside its transactions. The tables are made when a writer opens the file, so that a file of
an earlier version has them too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from collector.contracts import IncidentChange, IncidentQuery, OutboxItem
from collector.store.packing import UnreadableBlobError, unpack_incident

LIMIT_MAX = 1_000
INCIDENTS_MAX = 10_000  # some 5 KB each; the oldest closed ones leave first

_TABLES = """
CREATE TABLE IF NOT EXISTS incident (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    incident_id TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    status TEXT NOT NULL,
    onset_ns INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS incident_onset ON incident (onset_ns);
CREATE TABLE IF NOT EXISTS incident_service (
    service TEXT NOT NULL,
    incident_id TEXT NOT NULL,
    PRIMARY KEY (service, incident_id)
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class PackedIncident:
    """One incident, ready to be written."""

    incident_id: str
    revision: int
    status: str
    onset_ns: int
    updated_ns: int
    services: Sequence[str]
    body: bytes
    exports: Sequence[OutboxItem]


class IncidentTables:
    """Reads and writes the tables in one connection; the store's lock is around it."""

    def __init__(self, connection: sqlite3.Connection, *, read_only: bool) -> None:
        self._db = connection
        if not read_only:
            for statement in _TABLES.split(";"):
                connection.execute(statement)

    def revision(self, incident_id: str) -> int:
        """Revision that is kept; -1 when there is none."""
        row = self._db.execute("SELECT revision FROM incident WHERE incident_id = ?", (incident_id,)).fetchone()
        return int(row[0]) if row else -1

    def put(self, incidents: Iterable[PackedIncident]) -> None:
        for one in incidents:
            self._db.execute("DELETE FROM incident_service WHERE incident_id = ?", (one.incident_id,))
            self._db.execute(
                "INSERT OR REPLACE INTO incident (incident_id, revision, status, onset_ns, updated_ns, body)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (one.incident_id, one.revision, one.status, one.onset_ns, one.updated_ns, one.body),
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO incident_service VALUES (?, ?)",
                [(service, one.incident_id) for service in one.services],
            )

    def find(self, incident_id: str) -> bytes | None:
        row = self._db.execute("SELECT body FROM incident WHERE incident_id = ?", (incident_id,)).fetchone()
        return bytes(row[0]) if row else None

    def newest(self, query: IncidentQuery) -> list[bytes]:
        wanted, values = "1", []
        if query.status is not None:
            wanted += " AND status = ?"
            values.append(query.status)
        if query.service is not None:
            wanted += " AND incident_id IN (SELECT incident_id FROM incident_service WHERE service = ?)"
            values.append(query.service)
        rows = self._db.execute(
            f"SELECT body FROM incident WHERE {wanted} ORDER BY onset_ns DESC, incident_id LIMIT ?",  # noqa: S608
            (*values, min(query.limit, LIMIT_MAX)),
        )
        return [bytes(row[0]) for row in rows]

    def changes(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        rows = self._db.execute(
            "SELECT sequence, body FROM incident WHERE sequence > ? ORDER BY sequence LIMIT ?",
            (after, min(limit, LIMIT_MAX)),
        )
        return [(int(sequence), bytes(body)) for sequence, body in rows]

    def last_change(self) -> int:
        (last,) = self._db.execute("SELECT coalesce(max(sequence), 0) FROM incident").fetchone()
        return int(last)

    def forget(self, before_ns: int) -> int:
        """Let go of what was not updated since, and of the oldest over `INCIDENTS_MAX`; return how many."""
        gone = self._db.execute("DELETE FROM incident WHERE updated_ns < ?", (before_ns,)).rowcount
        (held,) = self._db.execute("SELECT count(*) FROM incident").fetchone()
        if held > INCIDENTS_MAX:
            gone += self._db.execute(
                "DELETE FROM incident WHERE sequence IN"
                " (SELECT sequence FROM incident ORDER BY status = 'open', sequence LIMIT ?)",
                (held - INCIDENTS_MAX,),
            ).rowcount
        if gone:
            self._db.execute("DELETE FROM incident_service WHERE incident_id NOT IN (SELECT incident_id FROM incident)")
        return gone


def readable(bodies: Iterable[tuple[int, bytes]]) -> tuple[list[IncidentChange], int]:
    """Unpack what can be read; also how many could not be."""
    found, damaged = [], 0
    for sequence, body in bodies:
        try:
            found.append(IncidentChange(sequence, unpack_incident(body)))
        except UnreadableBlobError:
            damaged += 1
    return found, damaged
