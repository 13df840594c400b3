"""The hour files of one directory, and the open connections to them.

In: hours (Unix hours). Out: rows. It knows names, connections, damage and disk space; not what is in a
row. Its owner (`SqliteStore`) calls it under its lock.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collector.store.database import (
    SIDE_FILES,
    NewerFileError,
    connect,
    is_corrupt,
    is_gone,
    put_aside,
    wrong_from_the_start,
)
from collector.store.schema import HOUR

HOUR_NS = 3_600_000_000_000
OPEN_MAX = 96  # connections held: 3 descriptors each, well under the usual limit of 1024
READ_CACHE_KIB = 512
WRITE_CACHE_KIB = 4_096  # inner pages and the newest leaves; four times as much saves 3 % of the CPU of a put
SETTLED_NS = 1_000_000_000
_NAME = re.compile(r"^traces-(\d{10})\.sqlite$")


def file_name(hour: int) -> str:
    return f"traces-{datetime.fromtimestamp(hour * 3600, UTC):%Y%m%d%H}.sqlite"


def _hour_of(name: str) -> int | None:
    match = _NAME.match(name)
    if match is None:
        return None
    try:
        return int(datetime.strptime(match[1], "%Y%m%d%H").replace(tzinfo=UTC).timestamp()) // 3600
    except ValueError:  # 2025139924: not one of ours
        return None


@dataclass(slots=True)
class _Open:
    connection: sqlite3.Connection
    inode: int


class HourFiles:
    """Owner of the connections. Not thread-safe: the store's lock is around it."""

    def __init__(self, folder: Path, *, read_only: bool, on_lost: Callable[[int], None]) -> None:
        self._folder = folder
        self._read_only = read_only
        self._on_lost = on_lost
        self._open: OrderedDict[int, _Open] = OrderedDict()
        self._inodes: dict[int, int] = {}
        self._changed_ns: int | None = None
        self._unreadable: set[int] = set()  # inodes a reader has given up on
        self.quarantined = 0
        self.scan()

    def scan(self) -> Sequence[int]:
        """Return the hours that have a file, newest first; sees files that came or went.

        The directory is read again only when its time changed: a look at one trace would cost a stat a file.
        """
        try:
            changed_ns = self._folder.stat().st_mtime_ns
        except FileNotFoundError:
            changed_ns = -1
        if changed_ns == self._changed_ns:
            return self.hours
        # A change in the same tick of the file system's clock would look like no change; so a fresh one is not trusted.
        self._changed_ns = changed_ns if time.time_ns() - changed_ns > SETTLED_NS else None
        found: dict[int, int] = {}
        try:
            entries = list(self._folder.iterdir())
        except FileNotFoundError:
            entries = []
        for entry in entries:
            hour = _hour_of(entry.name)
            if hour is None:
                continue
            try:
                found[hour] = entry.stat(follow_symlinks=False).st_ino
            except FileNotFoundError:
                continue
        for hour in [hour for hour, held in self._open.items() if found.get(hour) != held.inode]:
            self._close(hour)
        self._inodes = found
        return self.hours

    @property
    def hours(self) -> Sequence[int]:
        return sorted(self._inodes, reverse=True)

    def has(self, hour: int) -> bool:
        return hour in self._inodes

    def path(self, hour: int) -> Path:
        return self._folder / file_name(hour)

    def writer(self, hour: int) -> sqlite3.Connection:
        """Open the file of an hour for writing, making it when needed.

        Raises
        ------
        sqlite3.DatabaseError
            The file cannot be opened; one that was damaged is already put aside, so a second call makes a new one.
        """
        connection = self.connection(hour, WRITE_CACHE_KIB)
        if connection is None:
            connection = self.connection(hour, WRITE_CACHE_KIB)
        if connection is None:
            raise sqlite3.DatabaseError(f"{self.path(hour)} cannot be made")
        return connection

    def read(self, hour: int, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """Return the rows; none when the file is gone or cannot be read (then it is put aside)."""
        connection = self.connection(hour, READ_CACHE_KIB)
        if connection is None:
            return []
        try:
            return connection.execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            if not self.survives(hour, error):
                raise
            return []

    def start(self) -> None:
        """Put aside what is no file of ours at all: a writer's first look."""
        for hour in self.hours:
            error = wrong_from_the_start(self.path(hour))
            if error is not None:
                self._give_up(hour, error)

    def release(self, hour: int) -> None:
        """Close the connection of an hour that is over: its WAL is folded in, its cache given back."""
        self._close(hour)

    def survives(self, hour: int, error: sqlite3.Error) -> bool:
        """Put a damaged file aside (a reader: stop reading it). False when the file is not to blame."""
        if is_corrupt(error):
            self._give_up(hour, error)
            return True
        if self._read_only and is_gone(error):
            self._close(hour)
            return True
        return False

    def remove(self, hour: int) -> None:
        """Delete the file of an hour: retention."""
        self._close(hour)
        self._inodes.pop(hour, None)
        for suffix in ("", *SIDE_FILES):
            path = self.path(hour)
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    def disk_bytes(self, hour: int) -> int:
        total = 0
        for suffix in ("", "-wal"):
            path = self.path(hour)
            try:
                total += path.with_name(path.name + suffix).stat().st_size
            except FileNotFoundError:
                continue
        return total

    def close(self) -> None:
        for hour in list(self._open):
            self._close(hour)

    def connection(self, hour: int, cache_kib: int = READ_CACHE_KIB) -> sqlite3.Connection | None:
        held = self._open.get(hour)
        if held is not None:
            self._open.move_to_end(hour)
            return held.connection
        if self._read_only and self._inodes.get(hour) in self._unreadable:
            return None
        try:
            connection = connect(self.path(hour), HOUR, read_only=self._read_only, cache_kib=cache_kib)
        except NewerFileError:
            if self._read_only:
                self._unreadable.add(self._inodes.get(hour, -1))
                return None
            raise
        except sqlite3.DatabaseError as error:
            if not self.survives(hour, error):
                raise
            return None
        if connection is None:
            return None
        inode = self.path(hour).stat().st_ino
        self._inodes[hour] = inode
        self._open[hour] = _Open(connection, inode)
        while len(self._open) > OPEN_MAX:
            self._close(next(iter(self._open)))
        return connection

    def _give_up(self, hour: int, error: sqlite3.Error) -> None:
        self._close(hour)
        self.quarantined += 1
        if self._read_only:
            self._unreadable.add(self._inodes.get(hour, -1))
            return
        self._inodes.pop(hour, None)
        put_aside(self.path(hour), error)
        self._on_lost(hour)

    def _close(self, hour: int) -> None:
        held = self._open.pop(hour, None)
        if held is not None:
            held.connection.close()
