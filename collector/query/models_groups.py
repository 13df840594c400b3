"""Bodies of the REST answers about groups of errors, and the examples that OpenAPI shows."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from analyzer.errors.group_words import ErrorGroup, Lately, Trend
from analyzer.errors.note_words import FrameNote, NotedFrame
from collector.query.models import TRACE_ID

GROUP_ID = "5f1d8c0a9b3e7742"
_SEEN = {"count": 120, "first_seen_ns": 1760000000000000000, "last_seen_ns": 1760003600000000000}
GROUP_EXAMPLE: dict[str, Any] = {
    "schema_version": "1",
    "group_id": GROUP_ID,
    "version": "v1",
    "fine": GROUP_ID,
    "coarse": "c0ffee0a9b3e7742",
    "tier": "stack",
    "parts": [
        {"name": "service", "value": "payment"},
        {"name": "type", "value": "CardError"},
        {"name": "frame", "value": "acme.Charge:authorize"},
    ],
    "type": "CardError",
    "message": "card 4711 declined",
    "location": "Charge.java:45",
    "service": "payment",
    "operation": "POST /charge",
    "error_class": "internal",
    "status": "regressed",
    "status_reason": "seen again in version 1.5.0 after it was resolved",
    "status_ns": 1760003600000000000,
    "decided": True,
    "first_seen_ns": 1760000000000000000,
    "last_seen_ns": 1760003600000000000,
    "count": 120,
    "users": 31,
    "services": [{"name": "payment", **_SEEN}, {"name": "gateway", **_SEEN}],
    "versions": [{"name": "1.5.0", **_SEEN}],
    "example_trace_ids": [TRACE_ID],
    "hours": [{"start": 488889, "count": 120}],
    "regressions": 1,
    "spike": {
        "now": 40,
        "usual": 3.1,
        "ratio": 12.9,
        "p": 2.1e-14,
        "since_ns": 1760003400000000000,
        "window_s": 300,
        "sentence": "CardError in payment: 40 events where 3.1 are usual (the time before, 23 windows): "
        "12.9 times as many (p 2.1e-14)",
    },
    "novel": False,
    "revision": 7,
}
TREND_EXAMPLE = {"last_hour": 40, "usual_hour": 3.5, "direction": "rising", "reason": "40.0 an hour now, 3.5 before"}

LATELY_EXAMPLE = {
    "state": "spike",
    "now": 40,
    "usual": 3.1,
    "p": 2.1e-14,
    "per": "calls",
    "calls": 1200,
    "window_s": 300,
    "sentence": "CardError in payment: 40 events where 3.1 are usual (the time before, 23 windows): 12.9 times as many "
    "(p 2.1e-14); for the 1,200 calls of its service in the window",
}

NOTE_EXAMPLE: dict[str, Any] = {
    "note_id": "8c1f0a6de2b94735",
    "group_id": GROUP_ID,
    "frame": "acme.Charge:authorize",
    "text": "Cards of the old bank: see the wiki, page Declines.",
    "author": "alice",
    "written_ns": 1760000000000000000,
    "edit": 1,
    "edited_by": "",
    "edited_ns": 0,
}


class GroupList(BaseModel):
    """Groups of errors, in the order that was asked for."""

    groups: list[ErrorGroup]


class GroupDetail(BaseModel):
    """One group; why it was grouped stands in `group.parts`."""

    group: ErrorGroup
    why: str = Field(description="one sentence: what its members have in common")
    trend: Trend
    lately: Lately = Field(description="the last five minutes against the two hours before")
    examples: list[str] = Field(description="paths of the answers to example traces")
    notes: list[FrameNote] | None = Field(
        description="left at its frames by people, oldest first; null: they cannot be read now"
    )


class GroupNotes(BaseModel):
    """The frames of a group, and what people left at them."""

    group_id: str
    frames: list[NotedFrame] = Field(description="those of the fingerprint, innermost first; then others with notes")


class NoteList(BaseModel):
    """Notes of all groups."""

    notes: list[FrameNote]


class TopError(BaseModel):
    """One line of a ranking."""

    group_id: str
    fine: str
    type: str
    message: str
    service: str
    status: str
    count: int
    users: int
    last_seen_ns: int


class TopErrors(BaseModel):
    """Fingerprints by the errors counted, and by the users hit."""

    by_count: list[TopError]
    by_users: list[TopError]
