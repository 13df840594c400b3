"""What leaves, and when: age first, then room.

In: the time. Out: fewer files. The oldest hour leaves whole (an unlink; deleting half of a 1 GB file took
3.3 s, ecosystem.md 2.2). Only when the current hour alone is over the quota are rows of it deleted, so
that their pages are used again. Messages that were not delivered leave with their hour, counted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Protocol

from collector.store.database import transaction, used_bytes
from collector.store.hours import HOUR_NS, HourFiles
from collector.store.meta import MetaFile

META_SHARE = 0.25  # of the quota: rollups and decisions may not push the answers out
TRIM_SHARE = 0.1  # of the current hour's rows a step: each step is one transaction of some 100 ms
TRIM_STEPS_MAX = 10


@dataclass(frozen=True, slots=True)
class Quota:
    """How much is kept."""

    keep_ns: int
    bytes_max: int


class Counters(Protocol):
    """The counters this room moves."""

    expired_files: int
    expired_traces: int
    expired_decisions: int
    outbox_dropped: int


class Retention:
    """Lets go. `pending` counts undelivered messages an hour; it is the store's and kept true here."""

    def __init__(
        self,
        files: HourFiles,
        meta: MetaFile,
        quota: Quota,
        counters: Counters,
        pending: MutableMapping[int, int],
    ) -> None:
        self._files = files
        self._meta = meta
        self._quota = quota
        self._counters = counters
        self._pending = pending

    def run(self, now_ns: int) -> None:
        meta_max = int(self._quota.bytes_max * META_SHARE)
        self._counters.expired_decisions += self._meta.write(
            lambda meta: meta.forget(now_ns, self._quota.keep_ns, meta_max)
        )
        current = now_ns // HOUR_NS
        for hour in reversed(self._files.scan()):
            if hour != current and (hour + 1) * HOUR_NS + self._quota.keep_ns <= now_ns:
                self._leave(hour)
        for hour in [hour for hour in self._pending if not self._files.has(hour)]:
            self._counters.outbox_dropped += self._pending.pop(hour)  # somebody else removed the file
        sizes = {hour: self._files.disk_bytes(hour) for hour in self._files.hours}
        total = sum(sizes.values()) + self._meta.read(lambda meta: meta.used_bytes(), 0)
        for hour in sorted(sizes):
            if total <= self._quota.bytes_max:
                return
            if hour != current:
                self._leave(hour)
                total -= sizes[hour]
        if total > self._quota.bytes_max and current in sizes:
            self._trim(current, self._quota.bytes_max - (total - sizes[current]))

    def _leave(self, hour: int) -> None:
        # count(*) walks the smallest index, and an hour leaves once.
        rows = self._files.read(hour, "SELECT count(*) FROM trace_result")
        self._counters.expired_files += 1
        self._counters.expired_traces += rows[0][0] if rows else 0
        self._counters.outbox_dropped += self._pending.pop(hour, 0)
        self._files.remove(hour)

    def _trim(self, hour: int, bytes_max: int) -> None:
        """Delete the oldest rows of the hour that is being written until the rest fits."""
        for _ in range(TRIM_STEPS_MAX):
            db = self._files.connection(hour)
            if db is None or used_bytes(db) <= bytes_max:
                return
            with transaction(db):
                if not self._trim_traces(db) and not self._trim_outbox(db, hour):
                    return

    def _trim_traces(self, db: sqlite3.Connection) -> bool:
        first, last = db.execute("SELECT min(id), max(id) FROM trace_result").fetchone()
        if first is None:
            return False
        upto = first + int((last - first) * TRIM_SHARE)
        gone = db.execute("DELETE FROM trace_result WHERE id <= ?", (upto,)).rowcount
        db.execute("DELETE FROM trace_blob WHERE id <= ?", (upto,))
        self._counters.expired_traces += gone
        return True

    def _trim_outbox(self, db: sqlite3.Connection, hour: int) -> bool:
        first, last = db.execute("SELECT min(id), max(id) FROM outbox").fetchone()
        if first is None:
            return False
        upto = first + int((last - first) * TRIM_SHARE)
        (waiting,) = db.execute("SELECT count(*) FROM outbox WHERE id <= ? AND state = 0", (upto,)).fetchone()
        db.execute("DELETE FROM outbox WHERE id <= ?", (upto,))
        self._counters.outbox_dropped += waiting
        self._pending[hour] = self._pending.get(hour, 0) - waiting
        return True
