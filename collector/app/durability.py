"""How far an acknowledgement goes: to the disk, or to the engine's memory."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from collector.config import Config
from collector.contracts import Signal
from collector.handover import Handover, NumberedHandover
from collector.journal.writer import GroupCommit, JournalSettings
from collector.telemetry import Snapshot


class InOrder:
    """`Handover` that keeps nothing: one thread after the other hands over."""

    def __init__(self, engine: NumberedHandover) -> None:
        self._engine = engine
        self._lock = threading.Lock()

    def offer(self, payload: bytes, signal: Signal) -> bool:
        with self._lock:
            return self._engine.offer(payload, signal)


def journal_root(config: Config) -> Path | None:
    """Return where the journals are; None when nothing is promised beyond memory."""
    return Path(config.storage.path) / "journal" if config.durability == "journal" else None


def handover(
    config: Config, name: str, engine: NumberedHandover, receivers: int
) -> tuple[Handover, Callable[[], Snapshot]]:
    """Return the way of one receiver's requests, and what is counted on it.

    Raises
    ------
    OSError
        The journal's folder cannot be made.
    """
    root = journal_root(config)
    if root is None:
        return InOrder(engine), dict
    section = config.journal
    commit = GroupCommit(
        root / name,
        engine,
        JournalSettings(section.segment_bytes, section.bytes_max // receivers, section.compression == "zstd"),
    )
    return commit, commit.snapshot
