"""The words out about many traces: what is said of an incident.

`Incident` is what REST, gRPC, the command line, reports and exports carry. Fields are added, never renamed.
Names in it come from telemetry; sentences are already safe to show.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from analyzer.findings import SCHEMA_VERSION, Entity, EntityKind, Evidence, Judgement, Nanoseconds, Probability, Word

IncidentStatus = Literal["open", "closed"]
IncidentVerdict = Literal["cause", "insufficient_evidence"]
SuspectKind = EntityKind | Literal["zone", "slice", "change", "outside"]
Symptom = Literal["errors", "latency", "traffic_up", "traffic_down", "silence", "structure"]


class Suspect(Word):
    """One candidate cause of an incident."""

    rank: int
    entity: Entity
    finer: Entity | None = None  # the instance, version, host, operation or edge that holds nearly all of it
    probability: Probability  # calibrated P(this is the cause)
    score: float  # natural log units; ties are broken before they are shown
    rule: str  # which family of evidence decided
    sentence: str
    evidence: list[Evidence] = []


class Affected(Word):
    """One service that shows symptoms of the incident."""

    service: str
    symptoms: list[Symptom]
    role: Literal["cause", "victim"]
    failed_share: float = 0.0  # of its entry calls in the window
    slowdown_ms: float = 0.0  # median, against the reference


class TimelineEntry(Word):
    """Something that happened in the incident, in order of time."""

    at_ns: Nanoseconds
    what: str
    service: str = ""


class BlastRadius(Word):
    """Who is hit, in counts that can be checked."""

    services: int
    entry_operations: list[str]
    requests: int
    failed_requests: int
    slow_requests: int


class Incident(Word):
    """What is breaking the system, since when, for whom, why we think so."""

    schema_version: str = SCHEMA_VERSION
    incident_id: str
    status: IncidentStatus = "open"
    verdict: IncidentVerdict
    summary: str
    onset_ns: Nanoseconds
    detected_ns: Nanoseconds
    ended_ns: Nanoseconds | None = None
    updated_ns: Nanoseconds = 0
    suspects: list[Suspect] = []
    candidate_set: list[str] = Field(
        default=[], description="smallest set of entity names that holds the cause with 90 %; empty without a cause"
    )
    roots: list[str] = Field(default=[], description="independent causes, when there is more than one")
    affected: list[Affected] = []
    blast_radius: BlastRadius | None = None
    timeline: list[TimelineEntry] = []
    example_trace_ids: list[str] = []
    coverage: Probability = 1.0  # how much of the called services' spans were seen
    next_probe: str | None = None
    revision: int = 1
    engine_version: str = ""
    severity: Judgement | None = None
    type: Judgement | None = None
    observability: Judgement | None = None
