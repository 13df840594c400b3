"""Requests from receiver threads to the engine's thread, in one process."""

from __future__ import annotations

import queue
import threading

from collector.contracts import Signal
from collector.handover import Position
from collector.telemetry import Snapshot


class DirectSource:
    """`NumberedHandover` and `Source` in one process: a bounded queue between receiver threads and the engine's.

    Parameters
    ----------
    name : of the receiver, in journals
    bytes_max : requests that wait, together; a larger one is taken when nothing waits
    """

    def __init__(self, name: str, bytes_max: int) -> None:
        self._name = name
        self._bytes_max = bytes_max
        self._bytes = 0
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[tuple[bytes, Signal, int]] = queue.SimpleQueue()
        self._ready = threading.Event()
        self._head: tuple[bytes, Signal, int] | None = None

    def has_room(self, length: int) -> bool:
        return not self._bytes or self._bytes + length <= self._bytes_max

    def offer(self, payload: bytes, signal: Signal, sequence: int = 0) -> bool:
        with self._lock:
            if not self.has_room(len(payload)):
                return False
            self._bytes += len(payload)
        self._queue.put((payload, signal, sequence))
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
        return self._head[:2]

    def release(self) -> Position:
        assert self._head is not None
        payload, _, sequence = self._head
        with self._lock:
            self._bytes -= len(payload)
        self._head = None
        return self._name, sequence

    def fill(self) -> float:
        return min(1.0, self._bytes / self._bytes_max)

    def snapshot(self) -> Snapshot:
        return {"ring_used_bytes": self._bytes, "ring_capacity_bytes": self._bytes_max}
