"""A journal as a server that was killed leaves it: written by the real writer, with nothing decided.

spans = fill(folder / "store" / "journal", plan, length=2**20)
"""

from __future__ import annotations

from pathlib import Path

from collector.contracts import Signal
from collector.journal.writer import GroupCommit, JournalSettings
from tests.support.planted import Plan

RECEIVER = "receiver-0"  # there is one of this name whatever the number of processes


class _Nobody:
    """`NumberedHandover` to an engine that was killed before it decided anything."""

    def has_room(self, length: int) -> bool:
        return True

    def offer(self, payload: bytes, signal: Signal, sequence: int = 0) -> bool:
        return True


def fill(
    root: Path, plan: Plan, length: int, traces: int = 200, *, first: int = 0, segment_bytes: int = 64 * 2**20
) -> tuple[int, int]:
    """Have requests of `traces` whole traces acknowledged until they are `length` bytes -> (next trace, spans)."""
    writer = GroupCommit(root / RECEIVER, _Nobody(), JournalSettings(segment_bytes=segment_bytes))
    number = first
    spans = written = 0
    while written < length:
        payload, count = plan.request(range(number, number + traces))
        assert writer.offer(payload, Signal.TRACES)
        number += traces
        spans += count
        written += len(payload)
    return number, spans
