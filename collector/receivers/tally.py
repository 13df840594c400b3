"""What a door itself counts: requests, bytes, seconds, and refusals the gate never saw.

Any thread; one short lock, once a request.
"""

from __future__ import annotations

import threading
from collections import Counter

from collector.contracts import Signal
from collector.telemetry import Histogram, Snapshot, sample

RECEIVER = "otlp"


class Tally:
    """Counters of one door. `transport` is the label: "grpc" or "http"."""

    def __init__(self, transport: str) -> None:
        self._labels = (RECEIVER, transport)
        self._counts: Counter[str] = Counter()
        self._seconds = Histogram()
        self._lock = threading.Lock()

    def answered(self, signal: Signal, size_bytes: int, seconds: float) -> None:
        """One request was answered, whatever the answer."""
        name = signal.name.lower()
        with self._lock:
            self._counts[sample("receiver_requests", *self._labels, name)] += 1
            self._counts[sample("receiver_request_bytes", *self._labels, name)] += size_bytes
            self._seconds.observe(seconds)

    def refused(self, reason: str) -> None:
        """A request was refused before it reached the gate."""
        with self._lock:
            self._counts[sample("receiver_refused_requests", *self._labels, reason)] += 1

    def failed(self, reason: str) -> None:
        """A request met a bug of ours outside the gate."""
        with self._lock:
            self._counts[sample("receiver_failed_requests", *self._labels, reason)] += 1

    def snapshot(self) -> Snapshot:
        with self._lock:
            found: Snapshot = dict(self._counts)
            found.update(self._seconds.samples("receiver_request_seconds", *self._labels))
        return found
