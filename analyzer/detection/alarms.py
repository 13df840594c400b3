"""What detection says: an entity, what is wrong with it, since when, how strong the evidence is.

In: ids and numbers of one entity. Out: `Alarm`. Decides nothing. Names come from telemetry: `sentence` is safe to show.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from analyzer.incident_words import Symptom
from analyzer.kernels.detection import EDGE, FIRST_CALL, INSTANCE, OPERATION, SERVICE
from analyzer.spans import MISSING_SERVICE, Vocabulary
from analyzer.words import named, shown

EntityKind = Literal["edge", "service", "operation", "instance"]
KINDS: tuple[EntityKind, ...] = ("edge", "service", "operation", "instance")
_LOW = (1 << 31) - 1
_SAID = {
    "errors": "more calls fail than usual",
    "latency": "takes longer than usual",
    "traffic_up": "is called more often than usual",
    "traffic_down": "is called less often than usual",
    "silence": "is silent",
    "structure": "leaves out calls that it usually makes",
}


@dataclass(frozen=True, slots=True)
class EntityName:
    """An entity in ids of the vocabulary and in words; what does not belong to its kind is 0 or empty."""

    kind: EntityKind
    service: str
    service_id: int
    operation: str = ""
    operation_id: int = 0
    callee: str = ""
    callee_id: int = 0
    instance: str = ""
    version: str = ""
    resource_id: int = 0

    @property
    def text(self) -> str:
        """For people; safe to show."""
        if self.kind == "edge":
            return f"{shown(self.service)} -> {shown(self.callee)}"
        if self.kind == "operation":
            asked = f" -> {shown(self.callee)}" if self.callee else ""
            return named(self.service, self.operation) + asked
        if self.kind == "instance":
            return f"{shown(self.service)} instance {shown(self.instance or self.version or str(self.resource_id))}"
        return shown(self.service)


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something is other than usual with one entity, or is no longer (`cleared`).

    e_value : float     evidence against "as usual" when the alarm was raised (or highest so far)
    onset_ns : int      owner's time of the tick in which it began
    at_ns : int         owner's time at which it was raised, or cleared
    ticks : int         ticks behind it, from onset
    calls, observed, expected
                        calls in these ticks; how many of them had the symptom (of a rate: the calls), and how many
                        were expected to
    new_normal : bool   cleared because it lasted: this is usual from now on
    """

    entity: EntityName
    symptom: Symptom
    e_value: float
    onset_ns: int
    at_ns: int
    ticks: int = 0
    calls: int = 0
    observed: float = 0.0
    expected: float = 0.0
    cleared: bool = False
    new_normal: bool = False

    @property
    def sentence(self) -> str:
        """For people; names are safe to show."""
        if self.new_normal:
            return (
                f"{self.entity.text}: what was unusual ({self.symptom.replace('_', ' ')}) has lasted and is normal now."
            )
        if self.cleared:
            return f"{self.entity.text} is as usual again ({self.symptom.replace('_', ' ')})."
        return (
            f"{self.entity.text}: {_SAID.get(self.symptom, 'is unusual')}; {self.observed:.0f} in {self.ticks} ticks, "
            f"{self.expected:.1f} expected."
        )


def entity_name(key: int, vocabulary: Vocabulary) -> EntityName:
    """Say a key of `count_entities` in words."""
    kind, high, low = key >> 62, (key >> 31) & _LOW, key & _LOW
    strings = vocabulary.strings
    if kind == EDGE:
        caller = strings.text(high) or MISSING_SERVICE
        return EntityName("edge", caller, high, callee=strings.text(low) or MISSING_SERVICE, callee_id=low)
    if kind == SERVICE:
        return EntityName("service", strings.text(low) or MISSING_SERVICE, low)
    if kind == OPERATION:
        service, name, _ = vocabulary.operations.key(low)
        text = strings.text(service) or MISSING_SERVICE
        found = EntityName("operation", text, service, operation=strings.text(name), operation_id=low)
        if high < FIRST_CALL:
            return found
        callee, called, _ = vocabulary.operations.key(high - 1)
        asked = strings.text(called) if callee == service else strings.text(callee)
        return replace(found, callee=asked or MISSING_SERVICE, callee_id=callee)
    assert kind == INSTANCE
    resource = vocabulary.resources.resource(low)
    return EntityName(
        "instance",
        resource.service or MISSING_SERVICE,
        strings.intern(resource.service.encode()),
        instance=resource.instance,
        version=resource.version,
        resource_id=low,
    )
