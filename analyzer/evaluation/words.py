"""What a method of the evaluation is: two windows of facts in, scored services out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from analyzer.incidents.facts import TraceFacts
from analyzer.spans import Vocabulary

Scores: TypeAlias = list[tuple[str, float]]
Rank: TypeAlias = Callable[[TraceFacts, TraceFacts, Vocabulary], Scores]


@dataclass(frozen=True, slots=True)
class Ranked:
    """What a method says of a window.

    services : (service, score), best first; empty: it names nobody
    probability : of the first being right; None when the method has none
    insufficient : it says that it cannot tell; the ranking is its best guess all the same
    candidate_set : the smallest set that it thinks holds the cause; None when the method has none
    """

    services: Scores
    probability: float | None = None
    insufficient: bool = False
    candidate_set: tuple[str, ...] | None = None

    @property
    def names_one(self) -> bool:
        """Whether somebody is blamed."""
        return bool(self.services) and not self.insufficient


@dataclass(frozen=True, slots=True)
class Method:
    """One method by its name; `source` is where it is published."""

    name: str
    judge: Callable[[TraceFacts, TraceFacts, Vocabulary], Ranked]
    can_abstain: bool = False
    source: str = ""
