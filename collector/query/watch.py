"""New findings to everybody who watches.

In: what was stored since the last look, read again and again by one thread. Out: a bounded queue per watcher; a slow
watcher loses its oldest findings, and is told how many. Nothing is read while nobody watches.

New is what was stored since, whenever its trace began: who dates spans far ahead hides nothing behind them.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from dataclasses import dataclass

from collector.contracts import FindingRow, StorePosition
from collector.errors import OverloadedError
from collector.query.desk import Desk

PAGE_ROWS = 1_000
PAGES_MAX = 5  # of one look; the next goes on where it ended

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a watcher wants to see; None: any."""

    service: str | None = None
    verdict: str | None = None
    rule: str | None = None
    tenant: str | None = None

    def fits(self, row: FindingRow) -> bool:
        return (
            self.service in (None, row.service)
            and self.verdict in (None, row.verdict)
            and self.rule in (None, row.rule)
            and self.tenant in (None, row.tenant)
        )


class Watcher:
    """Findings on their way to one reader. The hub puts, the reader's thread takes."""

    def __init__(self, wanted: Wanted, queue_max: int) -> None:
        self.wanted = wanted
        self.dropped_count = 0  # in all
        self._queue: deque[FindingRow] = deque()
        self._queue_max = queue_max
        self._untold = 0
        self._closed = False
        self._changed = threading.Condition()

    def put(self, row: FindingRow) -> None:
        with self._changed:
            if len(self._queue) >= self._queue_max:
                self._queue.popleft()
                self._untold += 1
                self.dropped_count += 1
            self._queue.append(row)
            self._changed.notify()

    def take(self) -> tuple[FindingRow, int] | None:
        """Wait for the next finding; also how many were dropped before it. None: closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            if self._closed:
                return None
            untold, self._untold = self._untold, 0
            return self._queue.popleft(), untold

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()


class WatchHub:
    """Reads new findings and hands them out. One polling thread; `start` and `stop` belong to one owner thread."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._watchers: list[Watcher] = []
        self._position: StorePosition | None = None
        self._lock = threading.Lock()  # of the watchers and of how far was read
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self.dropped_count = 0  # of watchers that have left
        self.failed_polls = 0

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="query-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        with self._lock:
            for watcher in self._watchers:
                watcher.close()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def enter(self, wanted: Wanted) -> Watcher:
        """Begin to watch: what is stored from now on is new.

        Raises
        ------
        OverloadedError
            There are as many watchers as are allowed, or the server is stopping.
        """
        settings = self._desk.settings
        watcher = Watcher(wanted, settings.watch_queue_max)
        with self._lock:
            if self._stopping.is_set():
                raise OverloadedError("this firstfault is stopping; watch another one", "draining")
            if len(self._watchers) >= settings.watchers_max:
                raise OverloadedError(f"{settings.watchers_max} watchers are here; that is the bound", "watchers")
            own_max = max(1, settings.watchers_max // 2)  # one tenant does not keep the others out
            if wanted.tenant and sum(one.wanted.tenant == wanted.tenant for one in self._watchers) >= own_max:
                raise OverloadedError(f"{own_max} watchers of this tenant are here; that is the bound", "watchers")
            if self._watchers:
                self._poll()  # what is there now is old to this watcher, and new only to the others
            else:
                _, self._position = self._desk.store.new_findings(None, 0)
            self._watchers.append(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        watcher.close()
        with self._lock:
            if watcher in self._watchers:
                self._watchers.remove(watcher)
                self.dropped_count += watcher.dropped_count

    def _run(self) -> None:
        failing = False
        while not self._stopping.wait(self._desk.settings.watch_poll_s):
            try:
                with self._lock:
                    if self._watchers:
                        self._poll()
                failing = False
            except Exception:
                self.failed_polls += 1
                if not failing:  # once, not at every poll
                    log.exception("new findings cannot be read; watchers wait")
                failing = True

    def _poll(self) -> None:
        """Hand out what was stored since, the oldest first. The caller holds the lock."""
        for _ in range(PAGES_MAX):
            rows, self._position = self._desk.store.new_findings(self._position, PAGE_ROWS)
            for row in rows:
                for watcher in self._watchers:
                    if watcher.wanted.fits(row):
                        watcher.put(row)
            if len(rows) < PAGE_ROWS:
                return
