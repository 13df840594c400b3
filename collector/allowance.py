"""A share of the time that passes, saved up to a bound, to be spent on one kind of work."""

from __future__ import annotations

SAVED_NS = 500_000_000  # what a quiet spell saves up: a burst of some hundred failures is told in full


class Allowance:
    """A share of the time that passes, to be spent on one kind of work."""

    def __init__(self, share: float, now_ns: int, saved_ns: int = SAVED_NS) -> None:
        self.share = share
        self._saved_ns = saved_ns
        self._left_ns = float(saved_ns)
        self._at_ns = now_ns

    def is_left(self, now_ns: int, spare_ns: float = 0) -> bool:
        """Whether there is time for one more with `spare_ns` left for others; it may be overdrawn by that one."""
        self._left_ns = min(self._saved_ns, self._left_ns + self.share * (now_ns - self._at_ns))
        self._at_ns = now_ns
        return self._left_ns > spare_ns

    def spend(self, spent_ns: int) -> None:
        self._left_ns -= spent_ns
