"""The words about text that somebody brought: a message, a stack trace, a log file.

`TextAnswer` is what REST and the command line show of it. It says which evidence was there and which was missing, and
what the missing one would add. Sentences are safe to show; other text is as it came, cut to size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from analyzer.findings import Nanoseconds, Word

EvidenceKind = Literal["message", "stack", "log", "trace"]
WOULD_TELL: dict[EvidenceKind, str] = {
    "message": "what the program itself says is wrong",
    "stack": "the line of code it was thrown at, and how the program came there",
    "log": "how often it happens, since when, and to how many users",
    "trace": "which service it began in, and who only passed it on; send the trace, or ask for it by its id",
}


class MissingEvidence(Word):
    """What was not there, and what it would tell."""

    kind: EvidenceKind
    would_tell: str


class EvidenceKinds(Word):
    """Which kinds of evidence a judgement rests on."""

    present: list[EvidenceKind] = Field([])
    missing: list[MissingEvidence] = Field([])


def kinds(present: Sequence[EvidenceKind]) -> EvidenceKinds:
    """Say what is there, and what the rest would tell."""
    left = [kind for kind in WOULD_TELL if kind not in present]
    missing = [MissingEvidence(kind=kind, would_tell=WOULD_TELL[kind]) for kind in left]
    return EvidenceKinds(present=list(present), missing=missing)


class ErrorKind(Word):
    """One kind of error of a log, most frequent first."""

    fingerprint: str
    type: str
    message: str
    count: int
    services: list[str]
    users: int = Field(0, description="different users, estimated; 0 also when no user is named")
    first_ns: Nanoseconds = 0
    last_ns: Nanoseconds = 0
    business: bool = Field(False, description="refused for a business reason; no system failed")
    shape: str = Field("", description="burst, step, leak, steady; empty: too few, or without times")
    period: str = Field("", description="a sentence when they come by the clock")
    example_trace_ids: list[str] = Field([])


class LogSummary(Word):
    """What a log file says as a whole."""

    records: int
    error_records: int = 0
    error_kinds: int = Field(0, description="the most frequent of them are told")
    unreadable: int = 0
    left_out: int = Field(0, description="records over the bound; they were not looked at")
    levels: dict[str, int]
    dialects: dict[str, int]
    conformance: dict[str, float] = Field(description="service -> share of its records that keep the log schema")
    correlation_gaps: list[str] = Field([])


class TextAnswer(Word):
    """What can be said of a text."""

    kind: EvidenceKind
    summary: str
    error_type: str = ""
    error_message: str = ""
    error_class: str = ""
    language: str = ""
    location: str = Field("", description="file:line and function to look at first, when a stack was read")
    call_chain: list[str] = Field([], description="frames of the root cause, where it was thrown first")
    errors: list[ErrorKind] = Field([])
    log: LogSummary | None = None
    evidence: EvidenceKinds
