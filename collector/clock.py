"""The real clock. Everything else gets time as an argument."""

from __future__ import annotations

import time


class SystemClock:
    """Wall and monotonic time of this machine; any thread."""

    def now_ns(self) -> int:
        return time.time_ns()

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()
