"""Frames of a report, and the notes that people left at them.

In: an answer and its exceptions; notes as they are kept. Out: `FrameAt`s of the stack at the origin; the report with
the notes beside their frames. A line that moved changes nothing: frames are known by module or file, and function. At
another name nobody can tell which frame it was: the note is shown as one at a frame that this stack does not have.
"""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.errors.fingerprint import fact_at_origin
from analyzer.errors.frames import application_frames, frame_name, way_out
from analyzer.errors.model import ExceptionFact, Frame
from analyzer.errors.note_words import FrameNote
from analyzer.findings import Answer
from analyzer.reports.clock_text import utc
from analyzer.reports.model import FrameAt, Report
from analyzer.words import shown

FRAMES_MAX = 40  # of libraries too; those the fingerprint goes by stand there in any case


def frames_at(answer: Answer, facts: Sequence[ExceptionFact]) -> list[FrameAt]:
    """Name the frames of the stack at the origin, innermost first, each once; empty when there is no stack."""
    fact = fact_at_origin(answer, facts)
    if fact is None or fact.stack is None:
        return []
    grouped = frozenset(application_frames(fact.stack))
    found: dict[str, FrameAt] = {}
    for frame in way_out(fact.stack):
        name = frame_name(frame)
        known = shown(name)
        if known and known not in found and (name in grouped or len(found) < FRAMES_MAX):
            found[known] = FrameAt(frame=known, location=_location(frame), grouped=name in grouped)
    return list(found.values())


def with_notes(report: Report, notes: Sequence[FrameNote]) -> Report:
    """Put notes beside their frames; those of frames that are not in the stack stand behind."""
    if not notes:
        return report
    known = {one.frame for one in report.frames}
    others = dict.fromkeys(note.frame for note in notes if note.frame not in known)
    frames = [*report.frames, *(FrameAt(frame=frame, absent=True) for frame in others)]
    beside = [one.model_copy(update={"notes": [note for note in notes if note.frame == one.frame]}) for one in frames]
    return report.model_copy(update={"frames": beside})


def shown_frames(report: Report) -> list[FrameAt]:
    """The frames a page shows: those with notes, between those of the application; none when there are no notes."""
    if not any(one.notes for one in report.frames):
        return []
    return [one for one in report.frames if one.notes or one.grouped]


def note_head(note: FrameNote) -> str:
    """Who left a note, and when; who changed it, and when."""
    by = f"{shown(note.author)}, " if note.author else ""
    head = f"{by}{utc(note.written_ns)}"
    if not note.edited_ns:
        return head
    who = f" by {shown(note.edited_by)}" if note.edited_by and note.edited_by != note.author else ""
    return f"{head}, changed{who} {utc(note.edited_ns)}"


def _location(frame: Frame) -> str:
    return shown(f"{frame.file}:{frame.line}" if frame.file and frame.line else frame.file)
