"""One SQLite file: how it is made, opened, written and put aside.

In: a path. Out: a connection in autocommit mode with our pragmas. It never deletes a file: one that
cannot be read is renamed to `<name>.corrupt-<n>` with its WAL, for whoever wants to look at it.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

logger = logging.getLogger(__name__)

PAGE_BYTES = 8192  # packed answers are 1-2 KiB: four to a page, few overflow pages (ecosystem.md 2.2)
CHECKPOINT_PAGES = 2048  # 16 MiB of WAL before it is folded in: fewer random writes in a burst
WAL_BYTES_MAX = 64 * 2**20  # what stays of a WAL that grew behind a long reader
BUSY_MS = 5000  # only a checkpoint of another process can hold us, for milliseconds
SIDE_FILES = ("-wal", "-shm")
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class NewerFileError(RuntimeError):
    """A file was written by a newer version; it is left as it is."""


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of one kind of file. A change that older code cannot read raises `version`."""

    version: int
    script: str


def connect(path: Path, schema: Schema, *, read_only: bool, cache_kib: int) -> sqlite3.Connection | None:
    """Open one file; a writer makes it when it is not there.

    Returns
    -------
    sqlite3.Connection or None
        None for a reader when the file is gone, or was made but not yet filled by its writer.

    Raises
    ------
    NewerFileError
        The file's schema version is above ours.
    sqlite3.DatabaseError
        The file cannot be read; `is_corrupt` tells whether it should be put aside.
    """
    if not read_only:
        _create_private(path)
    mode = "ro" if read_only else "rw"
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_MS / 1000,
        )
    except sqlite3.OperationalError:
        if read_only and not path.exists():
            return None
        raise
    try:
        found = _prepare(connection, path, schema, read_only=read_only, cache_kib=cache_kib)
    except BaseException:
        connection.close()
        raise
    if not found:
        connection.close()
        return None
    return connection


def _create_private(path: Path) -> None:
    """Make the file ourselves: 0600 from its first moment, and never through a planted link.

    A file that is there is not opened: closing a second descriptor of an SQLite file would drop the
    locks that other connections of this process hold on it (sqlite.org/howtocorrupt.html 2.2).
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        if path.is_symlink():
            raise NewerFileError(f"{path} is a symbolic link; expected a plain file. Remove the link.") from None
        path.chmod(0o600)


def _prepare(connection: sqlite3.Connection, path: Path, schema: Schema, *, read_only: bool, cache_kib: int) -> bool:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > schema.version:
        raise NewerFileError(
            f"{path} has schema version {version}; this program knows {schema.version}. "
            "It was written by a newer firstfault: run that one, or use another storage.path. The file was not touched."
        )
    if read_only and version == 0:
        return False
    if not read_only:
        if version == 0:
            connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX}")
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA cell_size_check = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute(f"PRAGMA cache_size = {-cache_kib}")
    if not read_only and version == 0:
        with transaction(connection):
            for statement in schema.script.split(";"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {schema.version}")
    return True


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; on disk (fsync) when it returns."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A damaged file may refuse the rollback too; the first error is the one that tells.
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


def error_code(error: BaseException) -> int:
    """Primary SQLite result code; 0 when the error is not SQLite's own."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def is_corrupt(error: BaseException) -> bool:
    """Whether the file itself is damaged, so that trying again cannot help."""
    return error_code(error) in _CORRUPT


def is_gone(error: BaseException) -> bool:
    """Whether a reader lost the file: its writer let it go, or has not filled it yet."""
    return error_code(error) == sqlite3.SQLITE_CANTOPEN or "no such table" in str(error)


def wrong_from_the_start(path: Path) -> sqlite3.DatabaseError | None:
    """Say why a file that somebody left us holds nothing, though SQLite would fill it and say no word; None: it may.

    Only for a start: while we run, a file is empty when the disk was full as we made it. A WAL beside it is of a file
    that had a first page once.
    """
    if path.is_dir():
        return sqlite3.DatabaseError("it is a directory")
    if path.exists() and not path.stat().st_size:
        return sqlite3.DatabaseError("it is empty")
    return None


def put_aside(path: Path, error: BaseException) -> Path:
    """Rename a damaged file and its WAL; nothing is deleted. The caller has closed its connections."""
    number = 1
    while (aside := path.with_name(f"{path.name}.corrupt-{number}")).exists():
        number += 1
    for suffix in ("", *SIDE_FILES):
        source = path.with_name(path.name + suffix)
        if source.exists():
            source.rename(aside.with_name(aside.name + suffix))
    logger.error(
        "%s cannot be read (%s); it was renamed to %s and work goes on without it. "
        "`sqlite3 %s .recover` may save some of it.",
        path,
        error,
        aside.name,
        aside,
    )
    return aside


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the pages in use; free pages inside the file are room for what comes next."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    return (int(pages) - int(free)) * PAGE_BYTES
