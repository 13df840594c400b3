"""What the tracker of incidents is given by its neighbours: alarms of the detector, a ranking of causes.

Promises only, so that either side can be another one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from analyzer.incident_words import Suspect, Symptom
from analyzer.incidents.facts import TraceFacts
from analyzer.spans import Vocabulary


class AlarmedEntity(Protocol):
    """Who an alarm is about; what does not belong to its kind is empty."""

    @property
    def kind(self) -> str: ...

    @property
    def service(self) -> str: ...

    @property
    def operation(self) -> str: ...

    @property
    def callee(self) -> str:
        """Of an edge: the called service."""

    @property
    def instance(self) -> str: ...


class Alarm(Protocol):
    """One symptom of one entity, as the detector raises it (again and again is harmless) and clears it."""

    @property
    def entity(self) -> AlarmedEntity: ...

    @property
    def symptom(self) -> Symptom: ...

    @property
    def onset_ns(self) -> int:
        """When the change began, the detector's time."""

    @property
    def e_value(self) -> float: ...

    @property
    def cleared(self) -> bool: ...


class Ranking(Protocol):
    """Who is likely to have caused the difference between a window and its reference; best first."""

    @property
    def suspects(self) -> Sequence[Suspect]: ...

    @property
    def services(self) -> Sequence[tuple[str, float]]: ...

    @property
    def probability(self) -> float: ...

    @property
    def insufficient(self) -> bool: ...

    @property
    def candidate_set(self) -> Sequence[str]: ...

    @property
    def roots(self) -> Sequence[str]: ...

    @property
    def coverage(self) -> float: ...

    @property
    def next_probe(self) -> str | None: ...


# Reference, window, the vocabulary of both -> ranking.
Rank: TypeAlias = Callable[[TraceFacts, TraceFacts, Vocabulary], Ranking]
