"""Where rooms meet over what people write: it is derived from nothing, so nothing takes it away but people.

As `collector.contracts`, which it continues.
"""

from __future__ import annotations

from typing import Protocol

from analyzer.errors.note_words import FrameNote
from analyzer.reports.hand_edits import HandEdits
from collector.errors import PermanentError


class NotesFullError(PermanentError):
    """No room for one more note.

    bound : "frame", "group" or "shelf": which bound it is
    held : how many notes there are
    """

    reason = "notes_full"

    def __init__(self, bound: str, held: int) -> None:
        super().__init__(f"the {bound} has {held} notes, which is the bound")
        self.bound, self.held = bound, held


class RunbookLog(Protocol):
    """Keeps the sections of runbooks that people wrote. Any thread."""

    def edits(self, runbook_id: str) -> HandEdits | None:
        """Return the last edits; None when there never were any."""

    def put_edits(self, edits: HandEdits) -> bool:
        """Keep them; on disk when it returns. False: they do not follow the last ones, and nothing was changed."""

    def close(self) -> None: ...


class NoteLog(Protocol):
    """Keeps notes at frames of groups of errors, whether the group is kept or not. Any thread."""

    def notes(self, group_id: str) -> list[FrameNote]:
        """Return the notes of a group, oldest first."""

    def note(self, note_id: str) -> FrameNote | None: ...

    def listed(self, limit: int, *, oldest: bool = False) -> list[FrameNote]:
        """Return notes of all groups, those written last first."""

    def add_note(self, note: FrameNote) -> FrameNote:
        """Keep one; on disk when it returns. The same words of the same author at the same frame are kept once.

        Returns
        -------
        FrameNote
            What is kept: the note, or the one that said the same before.

        Raises
        ------
        NotesFullError
            The frame, the group or the shelf has as many notes as may be.
        """

    def put_note(self, note: FrameNote) -> bool:
        """Keep an edit. False: it does not follow the last one (or the note is gone), and nothing was changed."""

    def remove_note(self, note_id: str, edit: int) -> bool:
        """Let go of a note. False: that is not its last edit (or it is gone), and nothing was changed."""

    def close(self) -> None: ...
