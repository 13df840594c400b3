"""The default shelf: SQLite files of one hour each, and one for what belongs to no hour.

In: answers with their bytes and messages, rollups, ids of clean traces. Out: the answer to one trace id,
lists of findings, windows of rollups, due messages. It never analyses, and never deletes what it cannot
read.

Threads and processes: every method takes one lock and holds it for one short transaction, so a writer's
`put*` and `retain` (one thread) and the exporters' `outbox_*` (one thread each) may share an instance.
One process writes a directory, held by `writer.lock`; any number read it through instances of their own.

Order of one `put` (docs/adr/0005): the hour file first, in which answers and their outbox rows are one
transaction on disk; then the meta file. A stop between the two loses the rollups of that put, never a
finding or its message; a put that raised is repeated whole by its caller, and what was already written
is known for what it is.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from collector.contracts import (
    Clock,
    EdgeRollup,
    FindingPage,
    FindingQuery,
    FindingRow,
    Found,
    OutboxItem,
    Rollup,
    StoredTrace,
    StorePosition,
)
from collector.errors import OverloadedError, PermanentError
from collector.store import outbox
from collector.store.counters import StoreCounters
from collector.store.database import error_code, transaction
from collector.store.decided import decided
from collector.store.group_shelf import GroupShelf
from collector.store.hours import HOUR_NS, HourFiles
from collector.store.incident_shelf import IncidentShelf
from collector.store.listing import list_findings, list_namesakes, list_new
from collector.store.meta import MetaFile
from collector.store.ownership import Ownership
from collector.store.packing import Packer, UnreadableBlobError, trace_key, unpack, unpack_answer
from collector.store.retention import Quota, Retention
from collector.store.schema import Decision, OutboxState
from collector.store.writing import HourWriter, Packed
from collector.trace_names import digest_of, text_of

logger = logging.getLogger(__name__)

T = TypeVar("T")


class SqliteStore(IncidentShelf, GroupShelf):
    """`contracts.Store` on SQLite. See the module for threads and processes."""

    def __init__(self, folder: Path, *, read_only: bool, now_ns: Callable[[], int], quota: Quota) -> None:
        self._folder = folder
        self._read_only = read_only
        self._now_ns = now_ns
        self._lock = threading.RLock()
        self._ownership = None if read_only else Ownership(folder)
        self._counters = StoreCounters()
        self._packer = Packer()
        try:
            self._meta = MetaFile(folder / "meta.sqlite", read_only=read_only)
            self._pending: dict[int, int] = {}
            self._files = HourFiles(folder, read_only=read_only, on_lost=self._lose)
            self._writer = HourWriter(self._files, self._counters)
            if not read_only:
                self._files.start()
                for hour in self._files.hours:
                    self._count_pending(hour)
                self._counters.outbox_restored = sum(self._pending.values())
            self._retention = Retention(self._files, self._meta, quota, self._counters, self._pending)
        except BaseException:
            self._unlock()
            raise

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        read_only: bool = False,
        clock: Clock | None = None,
        retention_hours: float = 72.0,
        bytes_max: int = 10 * 2**30,
    ) -> Self:
        """Open a directory; a writer makes it (0700) when it is not there, a reader waits for it to come.

        Raises
        ------
        StoreInUseError
            Another process writes it.
        NewerFileError
            A newer version wrote it; nothing was touched.
        """
        return cls(
            Path(path),
            read_only=read_only,
            now_ns=clock.now_ns if clock is not None else time.time_ns,
            quota=Quota(int(retention_hours * HOUR_NS), bytes_max),
        )

    # -- writing -----------------------------------------------------------------------------

    def put(
        self,
        traces: Sequence[StoredTrace],
        clean_trace_ids: Sequence[bytes] = (),
        rollups: Sequence[Rollup] = (),
        edges: Sequence[EdgeRollup] = (),
        partial_trace_ids: Sequence[bytes] = (),
        untold_trace_ids: Sequence[bytes] = (),
    ) -> None:
        """Keep all of it; on disk when it returns.

        Of one trace the highest revision stays; the same or a lower one is ignored with its messages.

        Raises
        ------
        OverloadedError
            The disk is full or does not write; nothing of it may be taken as kept. Put it again.
        """
        self._require_writer()
        packed = [found for found in (self._pack(trace) for trace in traces) if found is not None]
        now_ns = self._now_ns()
        with self._guard():
            if packed:
                hour = now_ns // HOUR_NS
                added = self._writer.write(hour, packed)
                self._pending[hour] = self._pending.get(hour, 0) + added
            decided = {
                decision: [digest_of(name) for name in names]
                for decision, names in (
                    (Decision.STORED, [trace.name for trace in packed]),
                    (Decision.CLEAN, clean_trace_ids),
                    (Decision.PARTIAL, partial_trace_ids),
                    (Decision.UNTOLD, untold_trace_ids),
                )
            }
            if any(decided.values()) or rollups or edges:
                self._meta.write(lambda meta: meta.add(decided, rollups, edges, now_ns))
            self._counters.clean_traces += len(clean_trace_ids) + len(partial_trace_ids)

    def _pack(self, trace: StoredTrace) -> Packed | None:
        """Compress outside the lock. One trace that cannot be written must not keep its neighbours out."""
        try:
            return Packed(
                trace.name,
                self._packer.columns(trace),
                self._packer.blobs(trace),
                [self._packer.message(item) for item in trace.exports],
            )
        except (ValueError, TypeError, PermanentError):
            self._counters.unpackable_traces += 1
            _log_unpackable(trace.name)
            return None

    def retain(self, now_ns: int) -> None:
        """Let go of what is older than retention, then of the oldest hours until the rest fits `bytes_max`."""
        self._require_writer()
        with self._guard():
            self._retention.run(now_ns)

    def save_state(self, name: str, blob: bytes) -> None:
        self._require_writer()
        now_ns = self._now_ns()
        with self._guard():
            self._meta.write(lambda meta: meta.save_state(name, blob, now_ns))

    # -- the outbox --------------------------------------------------------------------------

    def outbox_take(self, destination: str, limit: int, now_ns: int) -> list[OutboxItem]:
        """Return the oldest rows that are due; they stay until they are settled."""
        items: list[OutboxItem] = []
        with self._guard():
            for hour in sorted(self._pending):
                room = limit - len(items)
                if self._pending[hour] > 0 and room > 0:
                    due = partial(outbox.due, hour=hour, destination=destination, limit=room, now_ns=now_ns)
                    nothing: tuple[list[OutboxItem], list[int]] = ([], [])
                    found, damaged = self._in_hour(hour, due, nothing)
                    items += found
                    if damaged:
                        self._counters.unreadable_rows += len(damaged)
                        self._counters.outbox_dropped += len(damaged)
                        self._settle(damaged, OutboxState.DEAD, "its stored bytes are damaged")
        return items

    def outbox_done(self, row_ids: Iterable[int]) -> None:
        self._settle(row_ids, OutboxState.DONE)

    def outbox_dead(self, row_ids: Iterable[int], reason: str) -> None:
        """Move rows that will never be taken to the dead letters; they leave with their hour."""
        self._settle(row_ids, OutboxState.DEAD, reason)

    def outbox_retry(self, row_ids: Iterable[int], due_ns: int) -> None:
        self._require_writer()
        with self._guard():
            for hour, ids in outbox.by_hour(row_ids).items():
                self._change(hour, partial(outbox.postpone, ids=ids, due_ns=due_ns))

    def outbox_revive(self, destination: str) -> int:
        """Make the dead letters of a destination due again (its token was wrong, say); returns how many."""
        self._require_writer()
        revived = 0
        with self._guard():
            for hour in self._files.hours:
                found = self._change(hour, partial(outbox.revive, destination=destination))
                self._pending[hour] = self._pending.get(hour, 0) + found
                revived += found
        return revived

    def outbox_count(self) -> int:
        """Rows that wait, of all destinations."""
        with self._guard():
            if not self._read_only:
                return sum(self._pending.values())
            return self._count(OutboxState.PENDING)

    def dead_letter_count(self) -> int:
        with self._guard():
            return self._count(OutboxState.DEAD)

    def _settle(self, row_ids: Iterable[int], state: OutboxState, reason: str = "") -> None:
        self._require_writer()
        with self._guard():
            for hour, ids in outbox.by_hour(row_ids).items():
                settled = self._change(hour, partial(outbox.settle, ids=ids, state=state, reason=reason))
                if hour in self._pending:
                    self._pending[hour] -= settled

    def _count(self, state: OutboxState) -> int:
        return sum(self._in_hour(hour, lambda db: outbox.count(db, state), 0) for hour in self._files.scan())

    # -- reading -----------------------------------------------------------------------------

    def find(self, name: bytes) -> Found:
        """Say what is known of a trace by its name (collector.trace_names).

        Raises
        ------
        PermanentError
            The id is not 16 bytes long.
        OverloadedError
            The disk does not read.
        """
        key = trace_key(name)
        with self._guard():
            for hour in self._files.scan():
                rows = self._files.read(
                    hour,
                    "SELECT answer, traces_otlp, logs_otlp FROM trace_result LEFT JOIN trace_blob USING (id)"
                    " WHERE tk = ? AND trace_id = ?",
                    (key, name),
                )
                if rows:
                    return self._unpacked(rows[0])
            return decided(self._meta, name)

    def namesakes(self, trace_id: bytes) -> list[bytes]:
        """Names under which a trace of this id is kept, of whichever tenants; raises as `find` does."""
        with self._guard():
            return list_namesakes(self._files, trace_id)

    def _unpacked(self, row: tuple[bytes, bytes | None, bytes | None]) -> Found:
        try:
            answer = unpack_answer(row[0])
        except UnreadableBlobError as error:
            self._counters.unreadable_rows += 1
            return Found("dropped", reason=str(error))
        blobs: list[bytes | None] = []
        for frame in row[1:]:
            try:
                blobs.append(unpack(frame) if frame is not None else None)
            except UnreadableBlobError:  # the answer is worth more than its spans
                self._counters.unreadable_rows += 1
                blobs.append(None)
        return Found("stored", answer, blobs[0], blobs[1])

    def findings(self, query: FindingQuery) -> FindingPage:
        """List findings by start, newest first. `service` is the culprit's; from_ns <= start_ns < to_ns.

        Raises
        ------
        BadRequestError
            The cursor or the limit cannot be used.
        """
        with self._guard():
            return list_findings(self._files, query)

    def new_findings(self, after: StorePosition | None, limit: int) -> tuple[list[FindingRow], StorePosition]:
        """List what was stored behind a position, in that order; None: nothing, and where the end is now."""
        with self._guard():
            return list_new(self._files, after, limit)

    def services(self, from_ns: int, to_ns: int) -> list[Rollup]:
        """Sum per operation over the minutes that [from_ns, to_ns) touches; busiest first."""
        with self._guard():
            return self._meta.read(lambda meta: meta.services(from_ns, to_ns), [])

    def calls(self, service: str, from_ns: int, to_ns: int) -> dict[int, int]:
        """Calls of a service by Unix minute, of the minutes that [from_ns, to_ns) touches."""
        with self._guard():
            return self._meta.read(lambda meta: meta.calls(service, from_ns, to_ns), {})

    def edges(self, from_ns: int, to_ns: int) -> list[EdgeRollup]:
        """Sum per edge over the minutes that [from_ns, to_ns) touches; busiest first."""
        with self._guard():
            return self._meta.read(lambda meta: meta.edges(from_ns, to_ns), [])

    def load_state(self, name: str) -> bytes | None:
        with self._guard():
            return self._meta.read(lambda meta: meta.load_state(name), None)

    def counters(self) -> dict[str, int]:
        """Return a copy of the counters; any thread."""
        with self._lock:
            self._counters.quarantined_files = self._files.quarantined + self._meta.quarantined
            return asdict(self._counters)

    def close(self) -> None:
        """Fold the WALs in and close. A second call does nothing."""
        with self._lock:
            self._files.close()
            self._meta.close()
            self._unlock()

    # -- inside ------------------------------------------------------------------------------

    def _in_hour(self, hour: int, work: Callable[[sqlite3.Connection], T], default: T) -> T:
        """Run `work` on an hour file; `default` when it is gone or damaged."""
        connection = self._files.connection(hour) if self._files.has(hour) else None
        if connection is None:
            return default
        try:
            return work(connection)
        except sqlite3.DatabaseError as error:
            if not self._files.survives(hour, error):
                raise
            return default

    def _change(self, hour: int, work: Callable[[sqlite3.Connection], int]) -> int:
        """Like `_in_hour`, in a transaction. 0 when the hour has left: what waited in it was counted then."""

        def inside(connection: sqlite3.Connection) -> int:
            with transaction(connection):
                return work(connection)

        return self._in_hour(hour, inside, 0)

    def _lose(self, hour: int) -> None:
        self._counters.outbox_dropped += self._pending.pop(hour, 0)

    def _count_pending(self, hour: int) -> None:
        self._pending[hour] = self._in_hour(hour, lambda db: outbox.count(db, OutboxState.PENDING), 0)

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """Hold the lock; tell SQLite's troubles in our words."""
        with self._lock:
            try:
                yield
            except sqlite3.DatabaseError as error:
                reason = "disk_full" if error_code(error) == sqlite3.SQLITE_FULL else "store_failed"
                raise OverloadedError(f"{self._folder} cannot be used now: {error}", reason) from error
            except OSError as error:
                raise OverloadedError(f"{self._folder} cannot be used now: {error}", "store_failed") from error

    def _require_writer(self) -> None:
        if self._read_only:
            raise PermanentError(
                "this store was opened read only; writing belongs to the engine's process", "read_only"
            )

    def _unlock(self) -> None:
        if self._ownership is not None:
            self._ownership.release()


def _log_unpackable(name: Any) -> None:
    shown = text_of(name) if isinstance(name, bytes) else repr(name)[:64]
    logger.exception("trace %s cannot be written and is left out", shown)
