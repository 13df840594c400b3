"""A circuit breaker: stop calling what does not answer, and find out gently when it does again.

    CLOSED     calls pass; `failures_max` failures in a row open it
    OPEN       no calls; after `open_s` it is half open
    HALF_OPEN  one call at a time; `successes_min` successes in a row close it, one failure opens it again

In: what became of calls. Out: whether the next may be made. It never makes one.
"""

from __future__ import annotations

import threading
from enum import Enum

from collector.contracts import Clock


class BreakerState(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class CircuitBreaker:
    """Any thread. Every call that `allow` let through reports exactly one `success` or `failure`.

    Parameters
    ----------
    clock : Clock
    failures_max : int
        Failures in a row before it opens.
    open_s : float
        Seconds it stays open.
    successes_min : int
        Successes in a row, half open, before it closes.
    """

    def __init__(self, clock: Clock, failures_max: int = 5, open_s: float = 60.0, successes_min: int = 2) -> None:
        if failures_max < 1 or successes_min < 1 or open_s <= 0:
            raise ValueError(
                f"failures_max {failures_max}, successes_min {successes_min}, open_s {open_s}; "
                "expected at least 1, at least 1, above 0"
            )
        self._clock = clock
        self._failures_max = failures_max
        self._open_ns = round(open_s * 1e9)
        self._successes_min = successes_min
        self._lock = threading.Lock()
        self._state = BreakerState.CLOSED
        self._failures = 0
        self._successes = 0
        self._opened_ns = 0
        self._probe_ns: int | None = None  # when the call of the half-open state went out
        self.opened_count = 0

    def allow(self) -> bool:
        """Whether a call may be made now; if so, the caller must report what became of it."""
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            self._age(now_ns)
            if self._state is BreakerState.OPEN:
                return False
            if self._state is BreakerState.HALF_OPEN:
                # A probe nobody reported on (its thread died) does not keep the way shut for ever.
                if self._probe_ns is not None and now_ns - self._probe_ns < self._open_ns:
                    return False
                self._probe_ns = now_ns
            return True

    def success(self) -> None:
        with self._lock:
            self._age(self._clock.monotonic_ns())
            self._failures = 0
            if self._state is not BreakerState.HALF_OPEN:
                return  # open: a call from before it opened; it says nothing of now
            self._probe_ns = None
            self._successes += 1
            if self._successes >= self._successes_min:
                self._state = BreakerState.CLOSED

    def failure(self) -> None:
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            self._age(now_ns)
            if self._state is BreakerState.OPEN:
                return
            self._failures += 1
            if self._state is BreakerState.HALF_OPEN or self._failures >= self._failures_max:
                self._state = BreakerState.OPEN
                self._opened_ns = now_ns
                self._failures = 0
                self._probe_ns = None
                self.opened_count += 1

    @property
    def state(self) -> BreakerState:
        with self._lock:
            self._age(self._clock.monotonic_ns())
            return self._state

    def wait_s(self) -> float:
        """Seconds until `allow` can be worth asking; 0 when it is now."""
        with self._lock:
            now_ns = self._clock.monotonic_ns()
            self._age(now_ns)
            if self._state is not BreakerState.OPEN:
                return 0.0
            return (self._opened_ns + self._open_ns - now_ns) / 1e9

    def _age(self, now_ns: int) -> None:
        if self._state is BreakerState.OPEN and now_ns - self._opened_ns >= self._open_ns:
            self._state = BreakerState.HALF_OPEN
            self._successes = 0
            self._probe_ns = None
