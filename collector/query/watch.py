"""New findings to everybody who watches.

In: the list of findings, read again and again by one thread. Out: a bounded queue per watcher; a slow watcher loses
its oldest findings, and is told how many. Nothing is read while nobody watches.

The shelf has no "since": a poll reads the newest findings and remembers which it has seen. So a finding whose trace
began before the `PAGES_MAX` newest pages is not noticed by a watcher; it is stored and listed all the same.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass

from collector.contracts import FindingQuery, FindingRow
from collector.errors import OverloadedError
from collector.query.desk import Desk

PAGE_ROWS = 1_000
PAGES_MAX = 5
SEEN_MAX = 50_000  # some megabytes; more than all pages of a poll

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
        self._seen: OrderedDict[tuple[bytes, int], None] = OrderedDict()
        self._lock = threading.Lock()  # of the watchers and of what was seen
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
            self._poll()  # what is there now is old to this watcher, and new only to the others
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
        """Hand out what was not seen before, the oldest first. The caller holds the lock."""
        fresh: list[FindingRow] = []
        cursor = None
        for _ in range(PAGES_MAX):
            page = self._desk.store.findings(FindingQuery(limit=PAGE_ROWS, cursor=cursor))
            unseen = [row for row in page.rows if (row.name, row.revision) not in self._seen]
            fresh += unseen
            cursor = page.next_cursor
            if cursor is None or not unseen:
                break
        for row in reversed(fresh):
            self._seen[(row.name, row.revision)] = None
            for watcher in self._watchers:
                if watcher.wanted.fits(row):
                    watcher.put(row)
        while len(self._seen) > SEEN_MAX:
            self._seen.popitem(last=False)
