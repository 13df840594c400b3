"""Deliverable 3: what everything rests on. Each piece has an id that claims refer to; its ids are ids of the input.

In: answers, facts, pattern matches. Out: `EvidenceItem`s in order, numbered E1, E2, ... Bounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from analyzer.errors.model import ExceptionFact, PatternMatch
from analyzer.findings import Answer
from analyzer.reports.model import EvidenceItem, Source
from analyzer.words import named, shown

ITEMS_MAX = 60
SPANS_MAX = 50
FACTS_MAX = 10
TEXT_MAX = 4_000  # characters of one stack trace
_KEPT = frozenset("\n\t")


@dataclass(slots=True)
class Evidences:
    """The list while it grows."""

    items: list[EvidenceItem] = field(default_factory=list)

    def add(
        self,
        source: Source,
        claim: str,
        *,
        trace_id: str = "",
        span_ids: Sequence[str] = (),
        log_ids: Sequence[str] = (),
        numbers: dict[str, float] | None = None,
        text: str = "",
    ) -> list[str]:
        """Add one piece; its id in a list, empty when there is no more room."""
        if len(self.items) >= ITEMS_MAX:
            return []
        item = EvidenceItem(
            id=f"E{len(self.items) + 1}",
            source=source,
            claim=claim,
            trace_id=trace_id,
            span_ids=list(dict.fromkeys(span_ids))[:SPANS_MAX],
            log_ids=list(log_ids)[:SPANS_MAX],
            numbers=dict(numbers or {}),
            text=text,
        )
        self.items.append(item)
        return [item.id]


def answer_evidence(evidences: Evidences, answer: Answer) -> list[str]:
    """What the engine's first cause rests on; the ids of those pieces."""
    ids: list[str] = []
    for cause in answer.root_causes[:1]:
        for one in cause.evidence:
            ids += evidences.add(
                "answer",
                one.claim,
                trace_id=answer.trace_id,
                span_ids=one.span_ids,
                log_ids=one.log_ids,
                numbers=one.numbers,
            )
    return ids


def fact_evidence(evidences: Evidences, facts: Sequence[ExceptionFact]) -> list[str]:
    """Exceptions and stack traces, as they came."""
    ids: list[str] = []
    for fact in [fact for fact in facts if fact.type or fact.message][:FACTS_MAX]:
        where = named(fact.service, fact.operation)
        said = f'{shown(fact.type) or "an error"}: "{shown(fact.message)}"' if fact.message else shown(fact.type)
        source: Source = "stack trace" if fact.stack_text else "log" if fact.sources == ("log",) else "exception"
        ids += evidences.add(
            source,
            f"{where} wrote {said}",
            trace_id=fact.trace_id,
            span_ids=[fact.span_id] if fact.span_id else [],
            text=readable(fact.stack_text),
        )
    return ids


def pattern_evidence(evidences: Evidences, trace_id: str, patterns: Sequence[PatternMatch]) -> list[str]:
    """Why each pattern was recognised."""
    ids: list[str] = []
    for match in patterns[:5]:
        for claim, span_ids in match.evidence[:1]:
            ids += evidences.add(
                "pattern",
                f"{match.title}: {claim}",
                trace_id=trace_id,
                span_ids=span_ids,
                numbers={"confidence": match.confidence},
            )
    return ids


def readable(text: str) -> str:
    """Text of many lines without characters that steer a reader's screen, cut."""
    clean = "".join(letter if letter.isprintable() or letter in _KEPT else " " for letter in text[: TEXT_MAX + 1])
    return clean if len(clean) <= TEXT_MAX else clean[: TEXT_MAX - 4] + "\n..."
