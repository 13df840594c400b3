"""Requests from receiver threads to the engine's thread, in one process."""

from __future__ import annotations

import queue
import threading

from collector.contracts import Signal
from collector.telemetry import Snapshot


class DirectSource:
    """`Handover` and `Source` in one process: a bounded queue between receiver threads and the engine's."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[tuple[bytes, Signal]] = queue.SimpleQueue()
        self._ready = threading.Event()
        self._head: tuple[bytes, Signal] | None = None

    def offer(self, payload: bytes, signal: Signal) -> bool:
        with self._lock:
            if self._bytes and self._bytes + len(payload) > self._bytes_max:
                return False
            self._bytes += len(payload)
        self._queue.put((payload, signal))
        self._ready.set()
        return True

    def wait(self, timeout_s: float) -> None:
        if self._head is None and self._queue.empty():
            self._ready.wait(timeout_s)
        self._ready.clear()

    def take(self) -> tuple[bytes, Signal] | None:
        if self._head is None:
            try:
                self._head = self._queue.get_nowait()
            except queue.Empty:
                return None
        return self._head

    def release(self) -> None:
        assert self._head is not None
        with self._lock:
            self._bytes -= len(self._head[0])
        self._head = None

    def snapshot(self) -> Snapshot:
        return {"ring_used_bytes": self._bytes, "ring_capacity_bytes": self._bytes_max}
