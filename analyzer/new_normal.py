"""What became normal after a lasting change, in words.

In: names, numbers. Out: `NewNormal`, `CallGone`. Decides nothing: `analyzer.shifts` and
`analyzer.structure.acceptance` do.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from analyzer.words import named

_WAITING_MAX = 1000  # announcements not taken yet; the newest are kept
_MS = 1e6


@dataclass(frozen=True, slots=True)
class NewNormal:
    """A lasting shift that is normal from now on."""

    service: str
    operation: str
    kind: int
    measure: str  # "own time" or "duration"
    before_ns: float  # medians
    after_ns: float
    since_ns: int  # owner's time at which the shift was first seen

    @property
    def sentence(self) -> str:
        """For people; names are safe to show."""
        return (
            f"{named(self.service, self.operation)}: the usual {self.measure} is {self.after_ns / _MS:.1f} ms now; "
            f"it was {self.before_ns / _MS:.1f} ms."
        )


@dataclass(frozen=True, slots=True)
class CallGone:
    """A call that is not expected any more."""

    service: str
    operation: str
    callee_service: str
    callee_operation: str
    share: float  # of recent executions that did without it
    since_ns: int

    @property
    def sentence(self) -> str:
        """For people; names are safe to show."""
        return (
            f"{named(self.service, self.operation)} is not expected to call "
            f"{named(self.callee_service, self.callee_operation)} any more: "
            f"{100 * self.share:.0f} % of its recent executions did without."
        )


News = TypeVar("News", NewNormal, CallGone)


class Announcements(Generic[News]):
    """What became normal and was not told yet. Owner: the thread of its memory."""

    def __init__(self) -> None:
        self._waiting: list[News] = []

    def add(self, news: Iterable[News]) -> None:
        """Keep for the next `take`; the oldest are given up when nobody takes."""
        self._waiting += news
        del self._waiting[:-_WAITING_MAX]

    def take(self) -> list[News]:
        """Return what waits, and forget it."""
        taken, self._waiting = self._waiting, []
        return taken
