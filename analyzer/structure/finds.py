"""What the rules of the structure topic put down: causes, evidence, notes, and the words for them.

In: spans and numbers. Out: `Found`, filled. Decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from analyzer.analysis import Analysis
from analyzer.findings import Entity, Evidence, RootCause
from analyzer.like_calls import Nodes
from analyzer.words import named, service_entity, span_ref

MS = 1_000_000  # nanoseconds
DETAILS_MAX = 32  # spans whose attributes are read for one question
_EVIDENCE_SPANS_MAX = 100


@dataclass(slots=True)
class Found:
    """Candidates as they are found: (probability, cause, span that began it); notes inform only."""

    causes: list[tuple[float, RootCause, int]] = field(default_factory=list)
    notes: list[Evidence] = field(default_factory=list)

    def add(
        self,
        analysis: Analysis,
        rule: str,
        probability: float,
        node: int,
        sentence: str,
        evidence: list[Evidence],
        entity: Entity | None = None,
    ) -> None:
        """Put down a cause; its rank comes last, when all are known."""
        cause = RootCause(
            rank=1,
            entity=entity or service_entity(analysis, node),
            origin_spans=[span_ref(analysis, node)],
            probability=probability,
            rule=rule,
            sentence=sentence,
            evidence=evidence,
        )
        self.causes.append((probability, cause, node))


def evidence_of(analysis: Analysis, claim: str, nodes: Sequence[int] | Nodes, **numbers: float) -> Evidence:
    """A claim with its spans and its numbers; numbers nobody knows (nan) are left out."""
    ids = [span_ref(analysis, int(node)).span_id for node in nodes[:_EVIDENCE_SPANS_MAX]]
    finite = {name: float(value) for name, value in numbers.items() if math.isfinite(value)}
    return Evidence(claim=claim, span_ids=ids, numbers=finite)


def who(analysis: Analysis, node: int) -> str:
    """A span by service and operation."""
    return named(analysis.service(node), analysis.operation(node))
