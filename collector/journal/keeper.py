"""How far the engine is in each journal, and which segments may leave.

A record may leave when no open trace can hold a row of it, and what its traces became is on the shelf. Every row
came into assembly at some moment; the oldest open trace was opened at another. What came before that moment
belongs to traces that were released, and a release is analysed and handed to the shelf in one go. So: note now
and then how far each journal was read (`taken`); ask assembly for its oldest open trace; take the newest note
older than that; wait until the shelf has written what it was given by then; write the number down and delete.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from collector.journal.folder import let_go, read_passed, segments, write_passed
from collector.journal.replay import last_sequence
from collector.telemetry import Snapshot

logger = logging.getLogger(__name__)

NOTE_MS = 100  # notes of a journal are at least this far apart
NOTES_MAX = 2048  # some minutes of them; then neighbours merge and deletion is coarser


@dataclass(slots=True)
class _Progress:
    """One journal: `notes` are (assembly milliseconds, every record up to here was taken by then)."""

    folder: Path
    passed: int
    newest: int = 0
    newest_ms: int = 0
    notes: deque[tuple[int, int]] = field(default_factory=deque)


class Keeper:
    """Owner: the engine's thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._journals: dict[str, _Progress] = {}
        self._waiting: dict[str, int] = {}  # decided, but perhaps not yet on the shelf
        self._waiting_for = 0
        self.deleted_segments = 0
        self.failed_writes = 0

    def taken(self, journal: str, sequence: int, now_ms: int) -> None:
        """Note that assembly took a record; each journal's come in order."""
        progress = self._journals.get(journal)
        if progress is None:
            folder = self._root / journal
            progress = self._journals[journal] = _Progress(folder, read_passed(folder))
        if progress.newest and now_ms > progress.newest_ms:
            self._note(progress)
        progress.newest = max(progress.newest, sequence)
        progress.newest_ms = now_ms

    def snapshot(self) -> Snapshot:
        return {"journal_deleted_segments": self.deleted_segments, "journal_failed_notes": self.failed_writes}

    def _note(self, progress: _Progress) -> None:
        notes = progress.notes
        if len(notes) > 1 and progress.newest_ms - notes[-2][0] < NOTE_MS:
            notes.pop()
        elif len(notes) >= NOTES_MAX:
            progress.notes = notes = deque(list(notes)[1::2])  # fewer notes let go later, never too early
        notes.append((progress.newest_ms, progress.newest))

    def keep_house(self, oldest_ms: int, handed: int, written: int) -> None:
        """Let go of what is decided and written.

        Parameters
        ----------
        oldest_ms : when the oldest open trace was opened, on the clock of `taken`; now, when none is open
        handed : batches given to the shelf so far
        written : batches the shelf has written so far, in order
        """
        if self._waiting and written >= self._waiting_for:
            for name, sequence in self._waiting.items():
                self._pass(self._journals[name], sequence)
            self._waiting = {}
        if self._waiting:
            return
        for name, progress in self._journals.items():
            decided = self._decided(progress, oldest_ms)
            if decided > progress.passed:
                self._waiting[name] = decided
        self._waiting_for = handed

    def clear(self) -> None:
        """Delete journals of which all has passed; their writers are gone. Raw requests must not stay for nothing."""
        for progress in self._journals.values():
            if progress.passed and last_sequence(progress.folder) <= progress.passed:
                for segment in segments(progress.folder):
                    if not segment.damaged:
                        segment.path.unlink(missing_ok=True)

    def _decided(self, progress: _Progress, oldest_ms: int) -> int:
        if progress.newest_ms < oldest_ms:
            progress.notes.clear()
            return progress.newest
        decided = 0
        while progress.notes and progress.notes[0][0] < oldest_ms:
            decided = progress.notes.popleft()[1]
        return decided

    def _pass(self, progress: _Progress, sequence: int) -> None:
        try:
            write_passed(progress.folder, sequence)
            progress.passed = sequence
            self.deleted_segments += let_go(progress.folder, sequence)
        except OSError as error:  # the disk may be full: reading more than needed after a crash is the price
            self.failed_writes += 1
            logger.warning("the journal's progress cannot be noted: %s", error)
