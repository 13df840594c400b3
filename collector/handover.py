"""From receivers to the engine: who carries admitted bytes, and where they stand in a journal. Promises only."""

from __future__ import annotations

from typing import Protocol

from collector.contracts import Signal


class Handover(Protocol):
    """Carries admitted protobuf bytes to the engine. Any number of threads."""

    def offer(self, payload: bytes, signal: Signal) -> bool:
        """Hand the bytes over; False when there is no room (nothing was taken).

        Raises
        ------
        RetryableError
            It cannot be kept as it was promised: the disk is full, say.
        """


class NumberedHandover(Protocol):
    """Carries bytes that have a number in a journal. One caller thread at a time."""

    def offer(self, payload: bytes, signal: Signal, sequence: int = 0) -> bool: ...

    def has_room(self, length: int) -> bool:
        """Whether a request of this length would find room now."""


Position = tuple[str, int]  # where a request stands: the journal's name, the record's number (0: nowhere)
