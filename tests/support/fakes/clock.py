"""A clock that is moved by hand."""

from __future__ import annotations

EPOCH_NS = 1_760_000_000_000_000_000  # 2025-10-09 08:53:20 UTC
SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS


class ManualClock:
    """`contracts.Clock` for tests; starts at `EPOCH_NS`."""

    def __init__(self, now_ns: int = EPOCH_NS) -> None:
        self._now_ns = now_ns
        self._monotonic_ns = 1_000 * SECOND_NS

    def now_ns(self) -> int:
        return self._now_ns

    def monotonic_ns(self) -> int:
        return self._monotonic_ns

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now_ns += round(seconds * SECOND_NS)
        self._monotonic_ns += round(seconds * SECOND_NS)

    def set_wall(self, now_ns: int) -> None:
        """Let somebody set the wall clock; the monotonic one does not move."""
        self._now_ns = now_ns
