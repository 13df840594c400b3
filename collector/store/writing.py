"""Puts answers and their messages into the current hour: one transaction, each trace at its highest revision.

In: packed traces. Out: rows on disk. Its owner (`SqliteStore`) calls it under its lock.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from collector.contracts import OutboxItem
from collector.store import outbox
from collector.store.database import transaction
from collector.store.hours import HourFiles
from collector.store.packing import Columns, trace_key

# Earlier files that are asked for a known trace. A second put of a trace comes from a late span or from
# a replay after a stop; both reach back minutes of running time, so into one earlier file or, over the
# turn of an hour, two.
LOOK_BACK_FILES = 2
KEYS_MAX = 500
_MARKS = ", ".join("?" * 17)


class Counters(Protocol):
    """The counters this room moves."""

    stored_traces: int
    replaced_traces: int
    known_traces: int
    outbox_added: int


@dataclass(frozen=True, slots=True)
class Packed:
    """One trace, ready to be written."""

    name: bytes
    columns: Columns
    blobs: tuple[bytes | None, bytes | None]
    exports: Sequence[OutboxItem]

    @property
    def revision(self) -> int:
        return self.columns[2]


@dataclass(slots=True)
class _Written:
    stored: int = 0
    replaced: int = 0
    known: int = 0
    added: int = 0


class HourWriter:
    """Writes the hour file of now; closes the one before when the hour turns."""

    def __init__(self, files: HourFiles, counters: Counters) -> None:
        self._files = files
        self._counters = counters
        self._hour = -1

    def write(self, hour: int, traces: Sequence[Packed]) -> int:
        """Write all or nothing; returns outbox rows added.

        A file that turns out to be damaged is put aside, and the traces go to a new one.

        Raises
        ------
        sqlite3.DatabaseError
            The disk is full, or does not write.
        """
        if hour != self._hour:
            self._files.release(self._hour)
            self._hour = hour
        try:
            written = self._write(hour, traces)
        except sqlite3.DatabaseError as error:
            if not self._files.survives(hour, error):
                raise
            written = self._write(hour, traces)
        self._counters.stored_traces += written.stored
        self._counters.replaced_traces += written.replaced
        self._counters.known_traces += written.known
        self._counters.outbox_added += written.added
        return written.added

    def post(self, hour: int, items: Sequence[OutboxItem]) -> int:
        """Write messages that belong to no trace; returns how many were new. Raises as `write` does."""
        try:
            return self._post(hour, items)
        except sqlite3.DatabaseError as error:
            if not self._files.survives(hour, error):
                raise
            return self._post(hour, items)

    def _post(self, hour: int, items: Sequence[OutboxItem]) -> int:
        db = self._files.writer(hour)
        with transaction(db):
            added = outbox.insert(db, items)
        self._counters.outbox_added += added
        return added

    def _write(self, hour: int, traces: Sequence[Packed]) -> _Written:
        db = self._files.writer(hour)
        earlier = self._earlier(hour, traces)
        written = _Written()
        with transaction(db):
            (last,) = db.execute("SELECT coalesce(max(id), 0) FROM trace_result").fetchone()
            fresh: dict[bytes, Packed] = {}
            for trace in traces:
                here = _here(db, trace)
                known = [earlier.get(trace.name, -1), *(revision for _, revision in here)]
                if trace.name in fresh:
                    known.append(fresh[trace.name].revision)
                if max(known) >= trace.revision:
                    written.known += 1
                    continue
                written.stored += 1
                written.replaced += max(known) >= 0
                _delete(db, [row_id for row_id, _ in here])
                fresh[trace.name] = trace
            rows = list(fresh.values())
            db.executemany(
                f"INSERT INTO trace_result VALUES ({_MARKS})",  # noqa: S608 - question marks
                [(last + n, *trace.columns) for n, trace in enumerate(rows, 1)],
            )
            db.executemany(
                "INSERT INTO trace_blob VALUES (?, ?, ?)",
                [(last + n, *trace.blobs) for n, trace in enumerate(rows, 1) if any(trace.blobs)],
            )
            sent = self._sent(hour, [trace for trace in rows if trace.name in earlier])
            written.added = outbox.insert(
                db,
                (item for trace in rows for item in trace.exports if (item.destination, item.key) not in sent),
            )
        return written

    def _earlier(self, hour: int, traces: Sequence[Packed]) -> dict[bytes, int]:
        """Highest revision of each trace in the files before."""
        revisions: dict[bytes, int] = {}
        keys = [trace_key(trace.name) for trace in traces]
        for file in self._before(hour):
            for start in range(0, len(keys), KEYS_MAX):
                part = keys[start : start + KEYS_MAX]
                marks = ",".join("?" * len(part))
                for name, revision in self._files.read(
                    file,
                    f"SELECT trace_id, revision FROM trace_result WHERE tk IN ({marks})",  # noqa: S608 - question marks
                    part,
                ):
                    revisions[name] = max(revision, revisions.get(name, -1))
        return revisions

    def _sent(self, hour: int, traces: Iterable[Packed]) -> set[tuple[str, bytes]]:
        """Messages of re-opened traces that an earlier file already holds."""
        sent: set[tuple[str, bytes]] = set()
        for trace in traces:
            for item in trace.exports:
                for file in self._before(hour):
                    sent |= outbox.known_keys(
                        self._files.read(
                            file,
                            "SELECT destination, key FROM outbox WHERE destination = ? AND key = ?",
                            (item.destination, item.key),
                        )
                    )
        return sent

    def _before(self, hour: int) -> Sequence[int]:
        return [found for found in self._files.hours if found != hour][:LOOK_BACK_FILES]


def _here(db: sqlite3.Connection, trace: Packed) -> list[tuple[int, int]]:
    return db.execute(
        "SELECT id, revision FROM trace_result WHERE tk = ? AND trace_id = ?",
        (trace.columns[0], trace.name),
    ).fetchall()


def _delete(db: sqlite3.Connection, ids: Sequence[int]) -> None:
    for row_id in ids:
        db.execute("DELETE FROM trace_result WHERE id = ?", (row_id,))
        db.execute("DELETE FROM trace_blob WHERE id = ?", (row_id,))
