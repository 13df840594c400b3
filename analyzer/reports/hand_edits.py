"""Sections of a runbook that people wrote: put in where they belong, and numbered edit by edit.

In: a generated `Runbook`, edits as they are kept. Out: the runbook as it is shown; the edits to keep next. An edited
section is never overwritten: newer generated words stand beside it. Knows no clock, no shelf, and not who wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, model_validator

from analyzer.findings import Nanoseconds, Word
from analyzer.reports.clock_text import utc
from analyzer.reports.model import ByHand, Runbook, RunbookStep

SECTIONS_MAX = 30  # a runbook of ours has some ten
TITLE_MAX = 200
TEXT_MAX = 8_000
COMMANDS_MAX = 20
COMMAND_MAX = 2_000

_Command = Annotated[str, Field(min_length=1, max_length=COMMAND_MAX)]


class SectionWords(Word):
    """What people write in the place of a section, or as a section of their own."""

    section: str = Field(
        pattern=r"^[a-z][a-z0-9_.]{0,79}$", description="name of a section of the runbook, or a new one"
    )
    title: str = Field("", max_length=TITLE_MAX, description="empty: the generated one, else the name")
    text: str = Field(min_length=1, max_length=TEXT_MAX)
    commands: list[_Command] = Field([], max_length=COMMANDS_MAX)
    seen: str = Field(
        "", max_length=16, description="`generated_version` that was read and is superseded; empty: as it was"
    )


class RunbookWords(Word):
    """All sections that are written by hand; those left out are generated again."""

    sections: list[SectionWords] = Field(min_length=1, max_length=SECTIONS_MAX)

    @model_validator(mode="after")
    def _once(self) -> RunbookWords:
        names = [one.section for one in self.sections]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"section {twice} is given twice; expected each section once")
        return self


class HandSection(Word):
    """One section as it is kept."""

    section: str
    title: str = ""
    text: str
    commands: list[str] = []
    edit: int
    edited_ns: Nanoseconds
    generated_version: str = Field("", description="of the words that were generated then")


class HandEdits(Word):
    """All edits of one runbook as they are kept. Without sections: they were taken back."""

    runbook_id: str
    edit: int = Field(description="counts edits, also those that take back; never goes down")
    edited_ns: Nanoseconds
    sections: list[HandSection] = []


def with_edits(runbook: Runbook, edits: HandEdits | None) -> Runbook:
    """Put what people wrote into a generated runbook.

    Sections whose name is not generated stand at the end, in the order they were given.
    """
    if edits is None:
        return runbook
    kept = {one.section: one for one in edits.sections}
    steps = [_edited(step, kept.pop(step.section, None)) for step in runbook.steps]
    steps += [_edited(None, one) for one in kept.values()]
    version = f"{runbook.version}-hand.{edits.edit}" if edits.sections else runbook.version
    numbered = [step.model_copy(update={"number": number}) for number, step in enumerate(steps, 1)]
    return runbook.model_copy(update={"steps": numbered, "version": version, "edit": edits.edit})


def next_edits(runbook: Runbook, before: HandEdits | None, words: Sequence[SectionWords], now_ns: int) -> HandEdits:
    """Make the edits to keep from those kept before and what is written now.

    Parameters
    ----------
    runbook : as it is shown or generated now; says which generated words an edit stands in the place of
    before : as kept; None: the runbook was never edited
    words : all sections that are written by hand; none takes all edits back

    Returns
    -------
    HandEdits
        A section with the words it had keeps the number and time of its edit.
    """
    edit = (before.edit if before is not None else 0) + 1
    had = {one.section: one for one in before.sections} if before is not None else {}
    generated = {step.section: step.generated_version for step in runbook.steps}
    sections = []
    for one in words:
        old = had.get(one.section)
        told = (one.title, one.text, one.commands)
        if old is not None and (old.title, old.text, old.commands) == told:
            sections.append(old.model_copy(update={"generated_version": one.seen or old.generated_version}))
            continue
        sections.append(
            HandSection(
                section=one.section,
                title=one.title,
                text=one.text,
                commands=one.commands,
                edit=edit,
                edited_ns=now_ns,
                generated_version=one.seen or generated.get(one.section, ""),
            )
        )
    return HandEdits(runbook_id=runbook.runbook_id, edit=edit, edited_ns=now_ns, sections=sections)


def _edited(step: RunbookStep | None, hand: HandSection | None) -> RunbookStep:
    if hand is None:
        assert step is not None
        return step
    version = step.generated_version if step is not None else ""
    return RunbookStep(
        number=0,
        section=hand.section,
        title=_clean(hand.title) or (step.title if step is not None else hand.section),
        text="\n".join(_clean(line) for line in hand.text.splitlines()).strip("\n"),
        commands=["\n".join(_clean(line) for line in command.splitlines()) for command in hand.commands],
        generated_version=version,
        by_hand=ByHand(
            edit=hand.edit,
            edited_ns=hand.edited_ns,
            edited_at=utc(hand.edited_ns),
            newer=version != hand.generated_version,
            title=step.title if step is not None else "",
            text=step.text if step is not None else "",
            commands=step.commands if step is not None else [],
        ),
    )


def _clean(line: str) -> str:
    """A line without characters that steer a terminal or turn the line round."""
    return "".join(letter if letter.isprintable() else " " for letter in line)
