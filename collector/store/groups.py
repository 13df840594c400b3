"""Groups of errors on the shelf: each as it is now, found by id, status and service.

In: packed groups. Out: their bytes. They live in `meta.sqlite`: a group goes on over weeks. Its owner (`Meta`) calls it
inside its transactions. The tables are made when a writer opens the file, so that a file of an earlier version has them
too.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from collector.contracts import GROUP_SORTS, GroupQuery

LIMIT_MAX = 10_000  # all there are: the engine reads them when it starts
GROUPS_MAX = 10_000  # some 2 KB each, packed; the longest unseen leave first, those people decided about last
KEPT_NS = 90 * 86_400 * 1_000_000_000  # since it was seen last: a fix is believed after a season

_TABLES = """
CREATE TABLE IF NOT EXISTS error_group (
    group_id TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    status TEXT NOT NULL,
    decided INTEGER NOT NULL,
    count INTEGER NOT NULL,
    users INTEGER NOT NULL,
    first_ns INTEGER NOT NULL,
    last_ns INTEGER NOT NULL,
    body BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS error_group_last ON error_group (last_ns);
CREATE TABLE IF NOT EXISTS error_group_service (
    service TEXT NOT NULL,
    group_id TEXT NOT NULL,
    PRIMARY KEY (service, group_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS error_group_spiking (
    group_id TEXT PRIMARY KEY
) WITHOUT ROWID
"""
_ORDERS = {
    "last_seen": "last_ns DESC",
    "first_seen": "first_ns DESC",
    "count": "count DESC",
    "users": "users DESC",
}
assert set(_ORDERS) == set(GROUP_SORTS)


@dataclass(frozen=True, slots=True)
class PackedGroup:
    """One group, ready to be written."""

    group_id: str
    revision: int
    status: str
    decided: bool
    count: int
    users: int
    first_ns: int
    last_ns: int
    services: Sequence[str]
    body: bytes
    spiking: bool = False


class GroupTables:
    """Reads and writes the tables in one connection; the store's lock is around it."""

    def __init__(self, connection: sqlite3.Connection, *, read_only: bool) -> None:
        self._db = connection
        if not read_only:
            for statement in _TABLES.split(";"):
                connection.execute(statement)

    def put(self, groups: Iterable[PackedGroup]) -> None:
        """Keep the highest revision of each."""
        for one in groups:
            row = self._db.execute("SELECT revision FROM error_group WHERE group_id = ?", (one.group_id,)).fetchone()
            if row is not None and int(row[0]) >= one.revision:
                continue
            self._db.execute("DELETE FROM error_group_service WHERE group_id = ?", (one.group_id,))
            self._db.execute(
                "INSERT OR REPLACE INTO error_group VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    one.group_id,
                    one.revision,
                    one.status,
                    int(one.decided),
                    one.count,
                    one.users,
                    one.first_ns,
                    one.last_ns,
                    one.body,
                ),
            )
            self._db.execute("DELETE FROM error_group_spiking WHERE group_id = ?", (one.group_id,))
            if one.spiking:
                self._db.execute("INSERT INTO error_group_spiking VALUES (?)", (one.group_id,))
            self._db.executemany(
                "INSERT OR IGNORE INTO error_group_service VALUES (?, ?)",
                [(service, one.group_id) for service in one.services],
            )

    def find(self, group_id: str) -> bytes | None:
        row = self._db.execute("SELECT body FROM error_group WHERE group_id = ?", (group_id,)).fetchone()
        return bytes(row[0]) if row else None

    def listed(self, query: GroupQuery) -> list[bytes]:
        wanted, values = "1", []
        if query.status is not None:
            wanted += " AND status = ?"
            values.append(query.status)
        if query.service is not None:
            wanted += " AND group_id IN (SELECT group_id FROM error_group_service WHERE service = ?)"
            values.append(query.service)
        if query.spiking is not None:
            wanted += " AND " if query.spiking else " AND NOT "
            wanted += "group_id IN (SELECT group_id FROM error_group_spiking)"
        rows = self._db.execute(
            f"SELECT body FROM error_group WHERE {wanted} ORDER BY {_ORDERS[query.sort]}, group_id LIMIT ?",  # noqa: S608
            (*values, min(query.limit, LIMIT_MAX)),
        )
        return [bytes(row[0]) for row in rows]

    def forget(self, now_ns: int) -> int:
        """Let go of what was not seen for a season, and of the longest unseen over `GROUPS_MAX`; return how many."""
        gone = self._db.execute("DELETE FROM error_group WHERE last_ns < ?", (now_ns - KEPT_NS,)).rowcount
        (held,) = self._db.execute("SELECT count(*) FROM error_group").fetchone()
        if held > GROUPS_MAX:
            gone += self._db.execute(
                "DELETE FROM error_group WHERE group_id IN"
                " (SELECT group_id FROM error_group ORDER BY decided, last_ns, group_id LIMIT ?)",
                (held - GROUPS_MAX,),
            ).rowcount
        if gone:
            for table in ("error_group_service", "error_group_spiking"):
                self._db.execute(f"DELETE FROM {table} WHERE group_id NOT IN (SELECT group_id FROM error_group)")  # noqa: S608
        return gone
