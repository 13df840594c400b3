"""The store's writer: one thread, one bounded queue, batches in order.

`put` waits when the queue is full: the engine then stops taking requests and receivers refuse, which is
the honest answer to a disk that is too slow. A batch the store refuses is tried again without limit of
tries (the disk may be full for an hour); while it waits nothing overtakes it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from analyzer.errors.group_words import ErrorGroup
from collector.contracts import Clock, EdgeRollup, OutboxItem, Rollup, Store, StoredIncident, StoredTrace

logger = logging.getLogger(__name__)

BATCHES_MAX = 64
RETRY_S = 1.0
RETAIN_S = 60.0


@dataclass(frozen=True, slots=True)
class _Batch:
    traces: Sequence[StoredTrace]
    clean_trace_ids: Sequence[bytes]
    rollups: Sequence[Rollup]
    edges: Sequence[EdgeRollup]
    partial_trace_ids: Sequence[bytes]
    untold_trace_ids: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class _Incidents:
    incidents: Sequence[StoredIncident]


@dataclass(frozen=True, slots=True)
class _Groups:
    groups: Sequence[ErrorGroup]
    messages: Sequence[OutboxItem]


@dataclass(frozen=True, slots=True)
class _State:
    name: str
    blob: bytes


class ShelfWriter:
    """Owner of every `put` of one store. `put*` and `save_state` from the engine's thread only."""

    def __init__(self, store: Store, clock: Clock, on_stored: Callable[[], None] = lambda: None) -> None:
        self._store = store
        self._clock = clock
        self._on_stored = on_stored
        self._queue: queue.Queue[_Batch | _Incidents | _Groups | _State | None] = queue.Queue(BATCHES_MAX)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shelf", daemon=True)
        self.stored_traces = 0
        self.failed_puts = 0
        self.lost_batches = 0
        self.handed = 0
        self.written = 0

    def start(self) -> None:
        self._thread.start()

    def put(
        self,
        traces: Sequence[StoredTrace],
        clean_trace_ids: Sequence[bytes],
        rollups: Sequence[Rollup],
        edges: Sequence[EdgeRollup],
        partial_trace_ids: Sequence[bytes] = (),
        untold_trace_ids: Sequence[bytes] = (),
    ) -> None:
        if traces or clean_trace_ids or rollups or edges or partial_trace_ids or untold_trace_ids:
            self._hand(_Batch(traces, clean_trace_ids, rollups, edges, partial_trace_ids, untold_trace_ids))

    def put_incidents(self, incidents: Sequence[StoredIncident]) -> None:
        if incidents:
            self._hand(_Incidents(incidents))

    def put_groups(self, groups: Sequence[ErrorGroup], messages: Sequence[OutboxItem] = ()) -> None:
        if groups or messages:
            self._hand(_Groups(groups, messages))

    def save_state(self, name: str, blob: bytes) -> None:
        self._hand(_State(name, blob))

    def _hand(self, item: _Batch | _Incidents | _Groups | _State) -> None:
        self.handed += 1
        self._queue.put(item)

    @property
    def queued(self) -> int:
        return self._queue.qsize()

    def stop(self, timeout_s: float) -> bool:
        """Write what is queued; False when the time ran out (the rest is counted as lost)."""
        deadline = time.monotonic() + timeout_s
        with suppress(queue.Full):  # a store that refuses for long leaves no room even for this
            self._queue.put(None, timeout=timeout_s / 2)
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._stopping.set()
        return not self._thread.is_alive()

    def _run(self) -> None:
        next_retain_ns = self._clock.monotonic_ns()
        while True:
            with suppress(queue.Empty):
                item = self._queue.get(timeout=RETRY_S)
                if item is None:
                    return
                self._write(item)
                self.written += not self.lost_batches  # behind a lost one none counts: order is the promise
            now = self._clock.monotonic_ns()
            if now >= next_retain_ns:
                next_retain_ns = now + int(RETAIN_S * 1e9)
                self._guarded(lambda: self._store.retain(self._clock.now_ns()))

    def _write(self, item: _Batch | _Incidents | _Groups | _State) -> None:
        if isinstance(item, _State):
            self._guarded(lambda: self._store.save_state(item.name, item.blob))
            return
        if isinstance(item, _Groups):
            if self._kept(lambda: self._store.put_groups(item.groups, item.messages)) and item.messages:
                self._on_stored()
            return
        if isinstance(item, _Incidents):
            if self._kept(lambda: self._store.put_incidents(item.incidents)) and any(
                one.exports for one in item.incidents
            ):
                self._on_stored()
            return
        if self._kept(
            lambda: self._store.put(
                item.traces,
                item.clean_trace_ids,
                item.rollups,
                item.edges,
                item.partial_trace_ids,
                item.untold_trace_ids,
            )
        ):
            self.stored_traces += len(item.traces)
            if any(trace.exports for trace in item.traces):
                self._on_stored()

    def _kept(self, put: Callable[[], None]) -> bool:
        """Try until the store takes it; False when it is time to stop."""
        while not self._guarded(put):
            if self._stopping.wait(RETRY_S):
                self.lost_batches += 1
                return False
        return True

    def _guarded(self, work: Callable[[], None]) -> bool:
        try:
            work()
        except Exception:
            self.failed_puts += 1
            logger.exception("the store refused; it is tried again in %.0f s", RETRY_S)
            return False
        return True
