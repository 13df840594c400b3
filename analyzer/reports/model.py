"""The words of a report: eight deliverables, always all eight, each claim with what it rests on.

In a report, text is of two kinds. A `Claim` speaks of the input: its ids are ids of the input, its numbers stand in
`numbers` or in the answer. Advice is what the library knows of such failures: it is the same whatever the input.
Names in claims come from telemetry and are safe to show; renderers still escape them. Fields are added, never renamed.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from analyzer.errors.note_words import FrameNote
from analyzer.findings import Entity, Nanoseconds, Probability, Word

REPORT_SCHEMA_VERSION = "1"

Subject = Literal["trace", "incident", "group"]
Level = Literal["measured", "inferred", "needs people"]
MitigationVerdict = Literal["worked", "worked in part", "did not work", "cannot tell yet"]
Source = Literal["answer", "exception", "stack trace", "log", "pattern", "incident", "change"]


class Claim(Word):
    """Something said of the input, and what it rests on."""

    text: str
    level: Level = "measured"
    evidence: list[str] = Field(default=[], description="ids of `Report.evidence`")
    trace_ids: list[str] = []
    span_ids: list[str] = []
    numbers: dict[str, float] = {}


class EvidenceItem(Word):
    """One piece of evidence; every id in it is an id of the input."""

    id: str = Field(description="E1, E2, ...: what claims refer to")
    source: Source
    claim: str
    trace_id: str = ""
    span_ids: list[str] = []
    log_ids: list[str] = []
    numbers: dict[str, float] = {}
    text: str = Field(default="", description="a stack trace or message as it came, cut")


class SourceCommit(Word):
    """A commit that touched the lines of an excerpt; who to ask, not who is guilty."""

    commit_id: str
    at: str
    author: str
    subject: str


class SourceExcerpt(Word):
    """Lines around a frame of the origin, from a mounted checkout; the checkout may be of another version."""

    location: str = Field(description="file:line as the stack trace has it, after source maps")
    function: str = ""
    path: str = Field(default="", description="of the file below the checkout")
    line: int = 0
    first_line: int = Field(default=0, description="number of the first of `lines`")
    lines: list[str] = []
    commits: list[SourceCommit] = Field(default=[], description="made before the failure, newest first")
    missing: str = Field(default="", description="why there are no lines")
    commits_missing: str = Field(default="", description="why there are no commits")


class Variable(Word):
    """What stood in a local variable; cut, secrets masked."""

    name: str
    value: str


class VariablesAt(Word):
    """Local variables of one frame of the exception at the origin, as the program sent them."""

    location: str = Field(description="file:line, as the program has it")
    function: str = ""
    span_id: str = ""
    variables: list[Variable] = []
    left_out: int = Field(default=0, description="variables for which there was no room")


class FrameAt(Word):
    """A frame of the stack at the origin, and what people left at it."""

    frame: str = Field(description="module or file, and function: what notes are kept under; no line")
    location: str = Field(default="", description="file:line in the stack of this trace")
    grouped: bool = Field(default=False, description="the fingerprint of a stack goes by it")
    absent: bool = Field(default=False, description="not in this stack: only a note of the group knows it")
    notes: list[FrameNote] = Field(default=[], description="oldest first")


class Summary(Word):
    """Deliverable 1: what happened, when, to whom."""

    what: Claim
    started_ns: Nanoseconds
    ended_ns: Nanoseconds | None = None
    when: str
    scope: list[Claim]
    severity: str = ""
    type: str = ""
    observability: str = ""


class Cause(Word):
    """Deliverable 2: why it happened."""

    claim: Claim
    entity: Entity | None = None
    service: str = Field(default="", description="whose spans show it, so the one to watch; empty: none was named")
    rule: str = ""
    probability: Probability | None = None
    location: str = Field(default="", description="file:line to look at")
    patterns: list[str] = Field(default=[], description="ids of the pattern library, the surest first")
    mechanism: str = Field(default="", description="advice: what such a failure usually is")
    next_probe: str = Field(default="", description="what to look at to decide between the suspects")
    alternatives: list[Claim] = []
    refuted: list[Claim] = []


class Fix(Word):
    """Deliverable 4: what to change now."""

    action: str
    location: str = ""
    confidence: Probability
    pattern: str = ""
    patch: str = Field(default="", description="only where the pattern makes it certain")
    effect: Literal["high", "medium", "low"] = "medium"
    effort: Literal["high", "medium", "low"] = "medium"


class Expectation(Word):
    """What `firstfault analyze` must answer for the fixture as long as the failure is in it."""

    status: str
    verdict: str
    rule: str = ""
    origin_span_id: str = ""
    needs_baseline: bool = Field(description="healthy traces must be given too: the finding is against what is usual")


class Fixture(Word):
    """The trace, anonymised: ids numbered anew, times moved to a fixed day, attribute values dropped or hashed."""

    otlp: dict[str, Any]
    span_count: int
    expects: Expectation
    reproduces: bool | None = Field(default=None, description="whether it was seen to be answered so; null: not tried")
    dropped: list[str] = Field(description="what was left out or changed")


class TestingStrategy(Word):
    """Deliverable 5: how to see that the fix works."""

    __test__ = False  # not a test, whatever its name says to pytest

    steps: list[str]
    reproduce: list[str]
    fixture: Fixture | None = None
    fixture_missing: str = Field(default="", description="why there is none")


class Monitor(Word):
    """Deliverable 7: one thing to watch."""

    name: str
    why: str
    expression: str = Field(default="", description="PromQL; empty when it is only said in words")
    for_s: int = 300


class ByHand(Word):
    """That people wrote a section, and what would stand there else. Who they are is not known."""

    edit: int = Field(description="number of the edit that gave the section its words")
    edited_ns: Nanoseconds
    edited_at: str
    newer: bool = Field(False, description="the generated text is another than when the section was edited")
    title: str = Field(default="", description="of the generated section; empty: none is generated under this name")
    text: str = ""
    commands: list[str] = []


class RunbookStep(Word):
    """One step of a runbook."""

    number: int
    section: str = Field(default="", description="its name, the same in every version: what an edit refers to")
    title: str
    text: str
    commands: list[str] = []
    generated_version: str = Field(default="", description="of the generated words; empty: none are generated")
    by_hand: ByHand | None = Field(default=None, description="null: generated")


class Runbook(Word):
    """Deliverable 8: what to do when it happens again."""

    runbook_id: str
    version: str = Field(description="changes when the text changes, by us or by hand")
    title: str
    steps: list[RunbookStep]
    edit: int = Field(default=0, description="number of the last edit by hand; 0: there was none")


class Why(Word):
    """One question of the five whys."""

    question: str
    because: str
    level: Level
    span_ids: list[str] = []
    numbers: dict[str, float] = {}
    pattern: str = ""


class FiveWhys(Word):
    """Whys as far as telemetry goes, and why it goes no further."""

    whys: list[Why]
    ended: str


class Moment(Word):
    """Something that happened, in order of time; clocks repaired as far as they can be."""

    at_ns: Nanoseconds
    at: str
    what: str
    service: str = ""
    span_id: str = ""
    corrected_ns: Nanoseconds = Field(default=0, description="by how much the clock of that span was moved")


class Timeline(Word):
    """What happened when."""

    moments: list[Moment]
    warnings: list[str] = []
    left_out: int = 0


class Messages(Word):
    """Texts to send. What is not known is marked, never made up."""

    channel: str = Field(description="a name for the chat channel")
    initial: str
    mitigation: str


class ActionItems(Word):
    """What to do afterwards, by head."""

    prevent: list[str]
    detect: list[str]
    mitigate: list[str]
    communicate: list[str]


class Review(Word):
    """A draft for the review after the incident."""

    due: str
    first_hypothesis: str
    final_hypothesis: str
    time_to_detect_ns: Nanoseconds | None = None
    time_to_recover_ns: Nanoseconds | None = None
    contributing: list[Claim]
    actions: ActionItems
    questions: list[str]


class Mitigation(Word):
    """Something that was done against an incident, and whether fewer calls of the one who is blamed failed after it."""

    what: str
    at_ns: Nanoseconds
    verdict: MitigationVerdict
    claim: Claim = Field(description="exact counts before the onset, until it and after it stand in `numbers`")
    before_share: float | None = Field(default=None, description="of calls that failed before; null: no calls")
    after_share: float | None = Field(default=None, description="of calls that failed after it; null: no calls")


class Report(Word):
    """Everything that is said of a trace, an incident or a group, for people."""

    schema_version: str = REPORT_SCHEMA_VERSION
    subject: Subject
    subject_id: str
    title: str
    revision: int = 0
    engine_version: str = ""
    available: list[str] = Field(description="kinds of evidence that were there")
    missing: list[str] = Field(description="kinds of evidence that were not, and what that means")
    summary: Summary
    root_cause: Cause
    evidence: list[EvidenceItem]
    sources: list[SourceExcerpt] = Field(default=[], description="code at the origin; empty: no checkout is mounted")
    variables: list[VariablesAt] = Field(default=[], description="at frames of the origin; empty: none were sent")
    frames: list[FrameAt] = Field(default=[], description="of the stack at the origin, innermost first; bounded")
    immediate_fix: list[Fix]
    testing: TestingStrategy
    prevention: list[str]
    monitoring: list[Monitor]
    runbook: Runbook
    five_whys: FiveWhys
    timeline: Timeline
    messages: Messages
    review: Review
    correlation_id: str = Field(default="", description="of the trace, or of the example; empty: none was seen")
    group_id: str = Field(default="", description="of its errors, or of those of the example; empty: in none")
    mitigations: list[Mitigation] = Field(default=[], description="of an incident, in order of time")
    mitigation_missing: str = Field(default="", description="of an incident: why none is judged")


def report_schema() -> dict[str, object]:
    """JSON Schema of `Report`."""
    return Report.model_json_schema()
