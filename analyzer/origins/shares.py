"""One part of the blame of one span: who, by which named rule, and why."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from analyzer.findings import Entity, Evidence
from analyzer.origins.scene import Scene


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a span's blame. The parts of one span sum to one.

    node : the span where it shows; the origin span of the candidate
    sentence : what happened, without the name of the entity's service in front
    """

    entity: Entity
    node: int
    part: float
    rule: str
    sentence: str
    evidence: tuple[Evidence, ...] = field(default=())

    def times(self, factor: float) -> Share:
        return replace(self, part=self.part * factor)

    def with_evidence(self, *more: Evidence) -> Share:
        return replace(self, evidence=(*self.evidence, *more))


def claim(scene: Scene, text: str, *nodes: int, **numbers: float) -> Evidence:
    """One claim about spans."""
    return Evidence(claim=text, span_ids=[scene.span_id(node) for node in nodes], numbers=numbers)
