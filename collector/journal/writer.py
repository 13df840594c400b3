"""Acknowledge what is on disk, nothing else: group commit of one receiver's requests.

In: admitted requests from receiver threads. Out: records on disk, then the same bytes handed to the engine, each
with the number of its record. Whoever comes while a commit runs waits and is part of the next one, so the price
of a sync is shared by all who wait for it.

What the disk refuses is refused: a full disk, a quota that is reached, a sync that failed. After a failed sync
nobody knows what of the segment is on disk (the system drops the pages and says so once), so it is left and a
new one begun.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backports import zstd

from collector.contracts import Signal
from collector.errors import OverloadedError
from collector.handover import Handover, NumberedHandover
from collector.journal.disk import Disk
from collector.journal.folder import segment_path, used_bytes
from collector.journal.records import HEADER_BYTES, PLAIN, ZSTD, record_header, segment_header
from collector.journal.replay import last_sequence
from collector.telemetry import Histogram, Snapshot

logger = logging.getLogger(__name__)

RETRY_AFTER_S = 2.0
PENDING_BYTES_MAX = 256 * 2**20  # requests of threads that wait for a commit; the doors allow far fewer
FULL_WAIT_S = 0.005
FULL_WAITS_MAX = 400  # 2 s: a request that is on disk is worth waiting for; its client waits as long
_ZSTD_LEVEL = 1
_LOOK_NS = 1_000_000_000  # how often the folder is measured while the quota is reached


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """How one journal behaves.

    segment_bytes : a segment is closed when it is this large
    bytes_max : all segments of this journal together; more is refused
    compress : zstd level 1: a sixth of the bytes for about a microsecond a span
    """

    segment_bytes: int = 64 * 2**20
    bytes_max: int = 4 * 2**30
    compress: bool = False


@dataclass(slots=True)
class _Waiting:
    """A request whose thread waits for its commit."""

    payload: bytes
    signal: Signal
    done: bool = False
    error: OverloadedError | None = None


class GroupCommit(Handover):
    """`offer` returns when the request is on disk and with the engine. Any number of threads.

    Raises
    ------
    OSError
        The folder cannot be made or read.
    """

    def __init__(
        self,
        folder: Path,
        engine: NumberedHandover,
        settings: JournalSettings | None = None,
        *,
        disk: Disk | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._folder = folder
        self._engine = engine
        self._settings = settings or JournalSettings()
        self._disk = disk or Disk()
        self._monotonic_ns = monotonic_ns
        self._pause = pause
        self._lock = threading.Lock()  # the list of who waits
        self._turn = threading.Lock()  # who writes: everything below
        self._waiting: list[_Waiting] = []
        self._waiting_bytes = 0
        self._disk.make_folder(folder)
        self._sequence = last_sequence(folder)
        self._descriptor = -1
        self._length = 0
        self._others_bytes = used_bytes(folder)
        self._measured_ns = 0
        self._syncs = Histogram()
        self._records = 0
        self._failures = 0

    def offer(self, payload: bytes, signal: Signal) -> bool:
        """See `Handover.offer`.

        Raises
        ------
        OverloadedError
            The disk did not take it ("journal_full", "disk"), or the engine had no room for what is on disk.
        """
        if not self._engine.has_room(len(payload)):
            return False
        waiting = _Waiting(payload, signal)
        with self._lock:
            if self._waiting_bytes and self._waiting_bytes + len(payload) > PENDING_BYTES_MAX:
                return False
            self._waiting.append(waiting)
            self._waiting_bytes += len(payload)
        with self._turn:
            if not waiting.done:
                self._commit()
        if waiting.error is not None:
            raise waiting.error
        return True

    def snapshot(self) -> Snapshot:
        found = self._syncs.samples("journal_fsync_seconds")
        found["journal_bytes"] = self._others_bytes + self._length
        found["journal_records"] = self._records
        found["journal_failed_commits"] = self._failures
        return found

    # -- with `_turn` held -----------------------------------------------------------------

    def _commit(self) -> None:
        with self._lock:
            batch, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if not batch:
            return
        first = self._sequence + 1
        refusal: OverloadedError | None = None
        try:
            self._write(batch)
        except OSError as error:
            self._failures += 1
            refusal = OverloadedError(
                f"the journal cannot be written: {error.strerror or error}", "disk", RETRY_AFTER_S
            )
        except OverloadedError as error:
            refusal = error
        for number, waiting in enumerate(batch):
            waiting.error = refusal or self._hand_over(waiting, first + number)
            waiting.done = True

    def _write(self, batch: list[_Waiting]) -> None:
        """Append the batch and sync it. All or nothing: what a failed write left is cut off again."""
        buffers: list[bytes] = []
        for number, waiting in enumerate(batch, self._sequence + 1):
            payload, coding = waiting.payload, PLAIN
            if self._settings.compress:
                payload, coding = zstd.compress(payload, _ZSTD_LEVEL), ZSTD
            buffers += (record_header(number, waiting.signal, coding, payload), payload)
        need = sum(map(len, buffers))
        self._require_room(need)
        if self._descriptor < 0 or (self._length > HEADER_BYTES and self._length + need > self._settings.segment_bytes):
            self._next_segment()
        began = self._monotonic_ns()
        try:
            self._disk.write(self._descriptor, buffers)
        except OSError:
            self._take_back()
            raise
        try:
            self._disk.sync(self._descriptor)
        except OSError:
            self._sequence += len(batch)  # they may be there: their numbers are used
            self._leave_segment()
            raise
        self._syncs.observe((self._monotonic_ns() - began) / 1e9)
        self._length += need
        self._sequence += len(batch)
        self._records += len(batch)

    def _require_room(self, need: int) -> None:
        def is_over() -> bool:
            return self._others_bytes + self._length + need > self._settings.bytes_max

        now_ns = self._monotonic_ns()
        if is_over() and now_ns - self._measured_ns >= _LOOK_NS:
            self._measured_ns = now_ns
            self._measure()
        if is_over():
            raise OverloadedError(
                f"the journal is full ({self._settings.bytes_max} bytes); what is decided leaves it",
                "journal_full",
                RETRY_AFTER_S,
            )

    def _measure(self) -> None:
        """The engine deletes segments: count again what is there."""
        self._others_bytes = max(0, used_bytes(self._folder) - self._length)

    def _next_segment(self) -> None:
        self._leave_segment()
        path = segment_path(self._folder, self._sequence + 1)
        if path.exists():  # made, and nothing was written into it
            self._sequence += 1
            path = segment_path(self._folder, self._sequence + 1)
        self._descriptor = self._disk.create(path)
        try:
            self._disk.write(self._descriptor, [segment_header(self._sequence + 1)])
        except OSError:
            self._leave_segment()
            if not self._disk.remove(path):  # a disk that stays full must not fill up with empty segments too
                self._sequence += 1  # its name is taken
            raise
        self._length = HEADER_BYTES

    def _leave_segment(self) -> None:
        if self._descriptor >= 0:
            try:
                self._disk.close(self._descriptor)
            except OSError as error:
                logger.warning("a segment of the journal did not close well: %s", error)
            self._descriptor = -1
        self._length = 0
        self._measure()

    def _take_back(self) -> None:
        try:
            self._disk.cut(self._descriptor, self._length)
        except OSError:
            self._leave_segment()

    def _hand_over(self, waiting: _Waiting, sequence: int) -> OverloadedError | None:
        """Give the engine what is on disk. It had room a moment ago; others may have taken it."""
        for _ in range(FULL_WAITS_MAX):
            if self._engine.offer(waiting.payload, waiting.signal, sequence):
                return None
            self._pause(FULL_WAIT_S)
        return OverloadedError("the engine has no room for the request; send it again", "full", RETRY_AFTER_S)
