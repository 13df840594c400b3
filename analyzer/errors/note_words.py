"""Notes that people leave at frames of a group of errors: the words in, and the words out.

A frame is known by what the fingerprint knows it by (`frame_name` of `analyzer.errors.frames`: module or file, and
function), never by its line. Fields are added, never renamed.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from analyzer.errors.group_words import ErrorGroup
from analyzer.findings import Nanoseconds, Word
from analyzer.words import shown

NOTE_MAX = 2_000  # characters
FRAME_MAX = 600  # characters; a part of a fingerprint has no more
FRAME_NOTES_MAX = 20  # at one frame of a group
GROUP_NOTES_MAX = 100  # at all frames of a group


class NoteText(Word):
    """What somebody has to say."""

    text: str = Field(min_length=1, max_length=NOTE_MAX)


class NewNote(NoteText):
    """A note to leave at a frame."""

    frame: str = Field(
        min_length=1, max_length=FRAME_MAX, description="a frame of the group's `parts`, or of `frames` of its report"
    )


class FrameNote(Word):
    """One note as it is kept."""

    note_id: str
    group_id: str
    frame: str = Field(description="module or file, and function; no line")
    text: str
    author: str = Field("", description="name of the credential it was written with; empty: none was asked for")
    written_ns: Nanoseconds
    edit: int = Field(1, description="counts from 1; the ETag")
    edited_by: str = Field("", description="as `author`, of the last edit")
    edited_ns: Nanoseconds = Field(0, description="when its words were changed last; 0: never")


class NotedFrame(Word):
    """A frame of a group, and what people left at it."""

    frame: str
    grouped: bool = Field(description="whether the fingerprint of the group goes by it")
    notes: list[FrameNote] = Field([], description="oldest first")


def frames_of(group: ErrorGroup) -> list[str]:
    """Names of the frames that the fingerprint of a group goes by, safe to show, innermost first."""
    return list(dict.fromkeys(shown(part.value) for part in group.parts if part.name == "frame"))


def noted_frames(group: ErrorGroup | None, notes: Sequence[FrameNote]) -> list[NotedFrame]:
    """Put notes beside the frames of their group; those at other frames stand behind. None: the group is not kept."""
    frames = frames_of(group) if group is not None else []
    return [
        NotedFrame(frame=frame, grouped=frame in frames, notes=[note for note in notes if note.frame == frame])
        for frame in dict.fromkeys([*frames, *(note.frame for note in notes)])
    ]


def clean_note(text: str) -> str:
    """Text without characters that steer a terminal or turn a line round; its lines stay, empty ends go."""
    lines = ("".join(letter if letter.isprintable() else " " for letter in line) for line in text.splitlines())
    return "\n".join(line.rstrip() for line in lines).strip("\n")
