"""One incident while it is worked on: its alarms, what was said of its cause, and when.

In: alarms, rankings, times. Out: nothing; `tracker` moves it and `story` puts it into words. It can be written down
as JSON and read again, so that a restart does not lose an open incident.
"""

from __future__ import annotations

from typing import TypeAlias

from pydantic import BaseModel, ConfigDict

from analyzer.finding_ids import digest
from analyzer.incident_words import Affected, BlastRadius, IncidentStatus, Suspect, Symptom, TimelineEntry
from analyzer.incidents.ports import Alarm

AlarmKey: TypeAlias = tuple[str, str, str, str, str, str]
E_VALUE_MAX = 1e300  # JSON knows no infinity
ALARMS_MAX = 256  # of one incident; further ones are counted
TURNS_MAX = 16  # changes of the first suspect that stand in the timeline


class Trouble(BaseModel):
    """One alarm of an incident."""

    model_config = ConfigDict(extra="forbid")

    entity_kind: str
    service: str
    operation: str
    callee: str
    instance: str
    symptom: Symptom
    onset_ns: int
    e_value: float = 0.0
    cleared_ns: int | None = None


class Turn(BaseModel):
    """When another cause was named first; empty: none could be."""

    model_config = ConfigDict(extra="forbid")

    at_ns: int
    cause: str


class Case(BaseModel):
    """An open incident, or one that was just closed."""

    model_config = ConfigDict(extra="forbid")

    incident_id: str
    onset_ns: int
    detected_ns: int
    joined_ns: int  # the last new alarm
    status: IncidentStatus = "open"
    quiet_ns: int | None = None  # since when no alarm is raised
    ended_ns: int | None = None
    merged_into: str = ""
    troubles: list[Trouble] = []
    left_out_alarms: int = 0
    ranked_ns: int | None = None
    next_rank_ns: int = 0
    why_not: str = ""  # why no cause is named
    suspects: list[Suspect] = []
    candidate_set: list[str] = []
    roots: list[str] = []
    coverage: float = 1.0
    next_probe: str | None = None
    turns: list[Turn] = []
    affected: list[Affected] = []
    blast_radius: BlastRadius | None = None
    happened: list[TimelineEntry] = []  # what only the spans know: first error, new versions
    example_trace_ids: list[str] = []
    revision: int = 0
    note: str = "opened"  # what the next telling is about; empty: nothing of note
    changed: bool = True

    @property
    def cause(self) -> str:
        """Name of the first suspect, when one is named; else empty."""
        return self.turns[-1].cause if self.turns else ""

    @property
    def raised(self) -> bool:
        """Whether any alarm is still raised."""
        return any(trouble.cleared_ns is None for trouble in self.troubles)

    @property
    def services(self) -> set[str]:
        """Services that show symptoms, by alarms and by spans."""
        return {trouble.service for trouble in self.troubles} | {one.service for one in self.affected}

    def find(self, key: AlarmKey) -> Trouble | None:
        return next((trouble for trouble in self.troubles if key_of(trouble) == key), None)


def trouble_of(alarm: Alarm) -> Trouble:
    """What is noted of an alarm."""
    entity = alarm.entity
    return Trouble(
        entity_kind=entity.kind,
        service=entity.service,
        operation=entity.operation,
        callee=entity.callee,
        instance=entity.instance,
        symptom=alarm.symptom,
        onset_ns=alarm.onset_ns,
        e_value=min(alarm.e_value, E_VALUE_MAX),
    )


def key_of(trouble: Trouble) -> AlarmKey:
    """What makes two alarms the same one."""
    one = trouble
    return one.entity_kind, one.service, one.operation, one.callee, one.instance, one.symptom


def name_incident(trouble: Trouble) -> str:
    """The id of the incident that an alarm opens: the same alarm names the same incident, also after a replay."""
    return digest(16, "incident", *key_of(trouble), str(trouble.onset_ns)).hex()
