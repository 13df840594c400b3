"""What every log of notes at frames promises. A backend's test file subclasses it."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.errors.note_words import FRAME_NOTES_MAX, GROUP_NOTES_MAX, FrameNote
from collector.contracts_people import NoteLog, NotesFullError
from tests.support.fakes.clock import EPOCH_NS

GROUP = "5f1d8c0a9b3e7742"
FRAME = "acme.Charge:authorize"


def note(number: int, text: str = "", **other: Any) -> FrameNote:
    """The numbered note at a frame; each is written a nanosecond after the one before."""
    words = {"group_id": GROUP, "frame": FRAME, "author": "alice", "written_ns": EPOCH_NS + number} | other
    return FrameNote(note_id=f"{number:016x}", text=text or f"note {number}", **words)


def changed(before: FrameNote, text: str, edit: int) -> FrameNote:
    return before.model_copy(
        update={"text": text, "edit": edit, "edited_by": "bob", "edited_ns": before.written_ns + edit}
    )


class NoteContract:
    """Bring a fixture `log`."""

    def test_nothing_is_there_before_the_first(self, log: NoteLog):
        assert (log.notes(GROUP), log.note(f"{1:016x}"), log.listed(10)) == ([], None, [])
        assert not log.remove_note(f"{1:016x}", 1)
        assert not log.put_note(note(1))

    def test_notes_of_a_group_are_found_oldest_first(self, log: NoteLog):
        """Whatever their frame; those of other groups do not meet them."""
        other = note(4, group_id="0" * 16)
        for one in (note(3), note(1), other, note(2, frame="acme.Web:post")):
            assert log.add_note(one) == one

        assert log.notes(GROUP) == [note(1), note(2, frame="acme.Web:post"), note(3)]
        assert log.notes("0" * 16) == [other]
        assert log.note(other.note_id) == other

    def test_notes_of_all_groups_are_listed_by_when_they_were_written(self, log: NoteLog):
        kept = [log.add_note(note(number, group_id=f"{number:016x}")) for number in (1, 2, 3)]

        assert log.listed(10) == kept[::-1]
        assert log.listed(2, oldest=True) == kept[:2]

    def test_the_same_words_of_the_same_author_at_the_same_frame_are_kept_once(self, log: NoteLog):
        first = log.add_note(note(1, "see the wiki"))

        assert log.add_note(note(2, "see the wiki")) == first
        assert log.notes(GROUP) == [first]
        for number, other in enumerate(({"author": "bob"}, {"frame": "acme.Web:post"}, {"group_id": "0" * 16}), 3):
            assert log.add_note(note(number, "see the wiki", **other)).note_id == f"{number:016x}"

    def test_of_two_changes_of_the_same_edit_the_first_is_kept(self, log: NoteLog):
        first = log.add_note(note(1))

        assert log.put_note(changed(first, "faster", 2))
        assert not log.put_note(changed(first, "slower", 2))
        assert not log.put_note(changed(first, "from the future", 4))
        assert log.notes(GROUP) == [changed(first, "faster", 2)]

    def test_only_what_was_read_is_taken_away(self, log: NoteLog):
        first = log.add_note(note(1))
        log.put_note(changed(first, "other words", 2))

        assert not log.remove_note(first.note_id, 1)
        assert log.remove_note(first.note_id, 2)
        assert not log.remove_note(first.note_id, 2)
        assert not log.put_note(changed(first, "too late", 3))
        assert log.notes(GROUP) == []

    def test_a_frame_has_a_bound(self, log: NoteLog):
        """What is there can be changed and taken away; that makes room."""
        kept = [log.add_note(note(number)) for number in range(FRAME_NOTES_MAX)]

        with pytest.raises(NotesFullError, match="the frame has 20 notes") as full:
            log.add_note(note(99))
        assert (full.value.bound, full.value.held) == ("frame", FRAME_NOTES_MAX)
        assert log.add_note(note(98, kept[0].text)) == kept[0]  # it is said already
        assert log.put_note(changed(kept[0], "other words", 2))
        assert log.remove_note(kept[1].note_id, 1)
        assert log.add_note(note(99)) == note(99)

    def test_a_group_has_a_bound(self, log: NoteLog):
        for number in range(GROUP_NOTES_MAX):
            log.add_note(note(number, frame=f"acme.Web:post{number // FRAME_NOTES_MAX}"))

        with pytest.raises(NotesFullError, match="the group has 100 notes") as full:
            log.add_note(note(999))
        assert full.value.bound == "group"
        assert log.add_note(note(999, group_id="0" * 16)).note_id == f"{999:016x}"

    def test_hostile_text_comes_back(self, log: NoteLog):
        text = "'; DROP TABLE note; -- \x00 \u202e <script> 100% ?"
        hostile = note(1, text, author=text, frame=text, group_id=text)
        log.add_note(hostile)
        log.put_note(changed(hostile, text * 2, 2))

        assert log.notes(text) == [changed(hostile, text * 2, 2)]
