"""A small SQLite file with a writer of its own, beside what the engine owns: how it is opened, locked and mended.

In: a path and a schema. Out: a connection, one user at a time; SQLite's troubles in our words. Any thread.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collector.errors import OverloadedError
from collector.store.database import Schema, connect, error_code, is_corrupt, put_aside

CACHE_KIB = 512


class OwnFile:
    """Opened when it is first used; a damaged one is put aside and begun anew."""

    def __init__(self, path: Path, schema: Schema) -> None:
        self.path = path
        self._schema = schema
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        """Hold the lock.

        Raises
        ------
        OverloadedError
            The disk is full, or does not read or write; try again.
        """
        with self._lock:
            try:
                yield self._open()
            except sqlite3.DatabaseError as error:
                if is_corrupt(error):
                    self._let_go()
                    put_aside(self.path, error)
                reason = "disk_full" if error_code(error) == sqlite3.SQLITE_FULL else "store_failed"
                raise OverloadedError(f"{self.path} cannot be used now: {error}", reason) from error
            except OSError as error:
                raise OverloadedError(f"{self.path} cannot be used now: {error}", "store_failed") from error

    def close(self) -> None:
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._db = connect(self.path, self._schema, read_only=False, cache_kib=CACHE_KIB)
            assert self._db is not None  # a writer makes the file
        return self._db
