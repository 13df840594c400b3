"""What belongs to no hour: rollups, the decision log, incidents, groups, named blobs. One file, `meta.sqlite`.

In: counts, ids, blobs. Out: sums, decisions, blobs. A damaged file is put aside and begun anew: findings
are in the hour files and do not need it. Its owner (`SqliteStore`) calls it under its lock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from collector.contracts import EdgeRollup, Rollup
from collector.store import rollups as minutes
from collector.store.database import (
    NewerFileError,
    connect,
    is_corrupt,
    is_gone,
    put_aside,
    transaction,
    used_bytes,
    wrong_from_the_start,
)
from collector.store.decisions import DecisionLog
from collector.store.groups import GroupTables
from collector.store.incidents import IncidentTables
from collector.store.schema import META, Decision

CACHE_KIB = 4_096  # see `hours`
READ_CACHE_KIB = 2_048
T = TypeVar("T")


class Meta:
    """The tables of one open connection."""

    def __init__(self, connection: sqlite3.Connection, *, read_only: bool) -> None:
        self.connection = connection
        self._decisions = DecisionLog(connection, read_only=read_only)
        self.incidents = IncidentTables(connection, read_only=read_only)
        self.groups = GroupTables(connection, read_only=read_only)

    def add(
        self,
        decided: Mapping[Decision, Sequence[bytes]],
        rollups: Sequence[Rollup],
        edges: Sequence[EdgeRollup],
        now_ns: int,
    ) -> None:
        for decision, trace_ids in decided.items():
            self._decisions.add(decision, trace_ids, now_ns)
        if rollups:
            minutes.add_rollups(self.connection, rollups)
        if edges:
            minutes.add_edges(self.connection, edges)

    def holds(self, decision: Decision, trace_id: bytes) -> bool:
        return self._decisions.holds(decision, trace_id)

    def services(self, from_ns: int, to_ns: int) -> list[Rollup]:
        return minutes.sum_rollups(self.connection, from_ns, to_ns)

    def calls(self, service: str, from_ns: int, to_ns: int) -> dict[int, int]:
        return minutes.sum_minutes(self.connection, service, from_ns, to_ns)

    def edges(self, from_ns: int, to_ns: int) -> list[EdgeRollup]:
        return minutes.sum_edges(self.connection, from_ns, to_ns)

    def save_state(self, name: str, blob: bytes, now_ns: int) -> None:
        self.connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", (name, now_ns, blob))

    def load_state(self, name: str) -> bytes | None:
        row = self.connection.execute("SELECT blob FROM state WHERE name = ?", (name,)).fetchone()
        return bytes(row[0]) if row else None

    def forget(self, now_ns: int, keep_ns: int, bytes_max: int) -> int:
        """Let go of old rollups and decisions, and of more while over `bytes_max`; returns decisions let go."""
        minutes.forget_rollups(self.connection, now_ns - keep_ns)
        minutes.shrink_rollups(self.connection, bytes_max)
        self.incidents.forget(now_ns - keep_ns)
        self.groups.forget(now_ns)
        # An answer's id is remembered as long again as the answer, or nobody could be told it expired.
        return sum(
            self._decisions.forget(decision, now_ns - keep_ns * (2 if decision is Decision.STORED else 1))
            for decision in Decision
        )

    def used_bytes(self) -> int:
        return used_bytes(self.connection)


class MetaFile:
    """Owner of the connection."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self._path = path
        self._read_only = read_only
        self._meta: Meta | None = None
        self._inode = -1
        self._unreadable = -1  # inode a reader has given up on
        self.quarantined = 0
        if not read_only:
            error = wrong_from_the_start(path)
            if error is not None:
                self._give_up(error)
            self.write(lambda meta: None)

    def write(self, work: Callable[[Meta], T]) -> T:
        """Run `work` in one transaction; in a new file when this one turns out to be damaged.

        Raises
        ------
        sqlite3.DatabaseError
            The disk is full, or does not write.
        """
        try:
            return self._in_transaction(work)
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            self._give_up(error)
            return self._in_transaction(work)

    def read(self, work: Callable[[Meta], T], default: T) -> T:
        """Run `work`; `default` when there is no file, or it is damaged."""
        try:
            meta = self._open()
            return work(meta) if meta is not None else default
        except NewerFileError:
            return default
        except sqlite3.DatabaseError as error:
            if is_corrupt(error):
                self._give_up(error)
            elif not (self._read_only and is_gone(error)):
                raise
            return default

    def close(self) -> None:
        if self._meta is not None:
            self._meta.connection.close()
            self._meta = None

    def _in_transaction(self, work: Callable[[Meta], T]) -> T:
        meta = self._open()
        assert meta is not None  # a writer makes the file
        with transaction(meta.connection):
            return work(meta)

    def _open(self) -> Meta | None:
        if self._read_only and self._meta is not None and self._inode != _inode(self._path):
            self.close()  # its writer put it aside and began another
        if self._read_only and self._unreadable == _inode(self._path) != -1:
            return None
        if self._meta is None:
            cache_kib = READ_CACHE_KIB if self._read_only else CACHE_KIB
            connection = connect(self._path, META, read_only=self._read_only, cache_kib=cache_kib)
            if connection is None:
                return None
            try:
                self._meta = Meta(connection, read_only=self._read_only)
            except BaseException:
                connection.close()
                raise
            self._inode = _inode(self._path)
        return self._meta

    def _give_up(self, error: sqlite3.Error) -> None:
        self.close()
        self.quarantined += 1
        if self._read_only:
            self._unreadable = _inode(self._path)
        else:
            put_aside(self._path, error)


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return -1
