"""An answer and its exceptions -> the known kinds of failure they show, best first.

How sure a match is: type and message 0.95, a type 0.85, a message 0.75, a response code 0.6, a rule of the answer
0.6 + 0.35 x the probability of the cause, structure and timing as their look says; less when the fact does not stand
at the origin. Never raises on data; the same input gives the same matches.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from analyzer.errors.model import ExceptionFact, PatternMatch
from analyzer.errors.patterns import code, database, messaging, network, protocol, resources, settings, shapes
from analyzer.errors.patterns.pattern import MESSAGE_MAX, Pattern
from analyzer.findings import Answer
from analyzer.words import named, shown

MATCHES_MAX = 8
FACTS_MAX = 500  # of a trace; more are more of the same
EVIDENCE_MAX = 5
SPANS_MAX = 20
TYPE_AND_MESSAGE, TYPE, MESSAGE, CODE = 0.95, 0.85, 0.75, 0.6
ELSEWHERE = 0.6  # factor of a fact that neither stands at the origin nor on the way up from it
ON_THE_WAY = 0.9
ASIDE = 0.3  # of a span that was cancelled, recovered or handled: what it wrote is not what went wrong
CONFIDENCE_MIN = 0.35  # less is not named

LIBRARY: tuple[Pattern, ...] = (
    *code.PATTERNS,
    *resources.PATTERNS,
    *network.PATTERNS,
    *database.PATTERNS,
    *messaging.PATTERNS,
    *protocol.PATTERNS,
    *settings.PATTERNS,
    *shapes.PATTERNS,
)
_ASIDE_ROLES = ("victim", "recovered", "handled", "noise")
_MESSAGES = {pattern.id: tuple(re.compile(text) for text in pattern.messages) for pattern in LIBRARY}


@dataclass(slots=True)
class _Found:
    """What speaks for one pattern."""

    confidence: float = 0.0
    location: str = ""
    evidence: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def add(self, confidence: float, claim: str, span_ids: tuple[str, ...], location: str = "") -> None:
        if confidence > self.confidence:
            self.confidence, self.location = confidence, location or self.location
            self.evidence.insert(0, (claim, span_ids))
        else:
            self.location = self.location or location
            self.evidence.append((claim, span_ids))


def match_patterns(answer: Answer, facts: Sequence[ExceptionFact]) -> list[PatternMatch]:
    """Recognise known kinds of failure.

    Parameters
    ----------
    answer : what is said of the trace
    facts : its exceptions; the first `FACTS_MAX` are looked at

    Returns
    -------
    list[PatternMatch]
        At most `MATCHES_MAX`, the surest first; a broader pattern is left out when a narrower one matched at the
        same place.
    """
    facts = facts[:FACTS_MAX]
    found: dict[str, _Found] = {}
    weights = _weights(answer)
    for pattern in LIBRARY:
        one = _Found()
        for fact in facts:
            _by_fact(pattern, fact, weights.get(fact.span_id, ELSEWHERE) if weights else 1.0, one)
        _by_answer(pattern, answer, facts, one)
        if one.confidence * pattern.weight >= CONFIDENCE_MIN:
            found[pattern.id] = one
    hidden = {
        broader
        for pattern in LIBRARY
        if pattern.id in found
        for broader in pattern.instead_of
        if broader in found and _spans(found[broader]) <= _spans(found[pattern.id])
    }
    order = sorted(
        (pattern for pattern in LIBRARY if pattern.id in found and pattern.id not in hidden),
        key=lambda pattern: -found[pattern.id].confidence * pattern.weight,
    )
    return [_match(pattern, found[pattern.id]) for pattern in order[:MATCHES_MAX]]


def _weights(answer: Answer) -> dict[str, float]:
    """How near to the origin a span stands; empty when no origin is known."""
    if not answer.root_causes:
        return {}
    weights = {role.span_id: ASIDE for role in answer.roles if role.role in _ASIDE_ROLES}
    weights |= {step.span.span_id: ON_THE_WAY for step in answer.causal_chain}
    return weights | {span.span_id: 1.0 for span in answer.root_causes[0].origin_spans}


def _by_fact(pattern: Pattern, fact: ExceptionFact, weight: float, found: _Found) -> None:
    texts = _texts(fact)
    by_type = any(kind in pattern.types for kind in _types(fact))
    by_message = any(rule.search(text) for rule in _MESSAGES[pattern.id] for text in texts)
    if pattern.with_message and by_type and not by_message:
        by_type = False
    if pattern.stack is not None and (fact.stack is None or not pattern.stack(fact.stack)):
        return
    ids = (fact.span_id,) if fact.span_id else ()
    if by_type or by_message:
        sure = TYPE_AND_MESSAGE if by_type and by_message else TYPE if by_type else MESSAGE
        if pattern.stack is not None:
            sure = max(sure, TYPE_AND_MESSAGE)
        said = f'{shown(fact.type)}: "{shown(fact.message)}"' if fact.message else shown(fact.type)
        found.add(sure * weight, f"{named(fact.service, fact.operation)} wrote {said}", ids, location_of(fact))
    elif fact.http_status in pattern.http or fact.rpc_status in pattern.rpc:
        code = f"HTTP {fact.http_status}" if fact.http_status in pattern.http else f"gRPC {fact.rpc_status}"
        found.add(CODE * weight, f"{named(fact.service, fact.operation)} has status {code}", ids, location_of(fact))


def _by_answer(pattern: Pattern, answer: Answer, facts: Sequence[ExceptionFact], found: _Found) -> None:
    seen = pattern.look(answer, facts) if pattern.look is not None else None
    if seen is not None:
        claim, span_ids, sure = seen
        found.add(sure, claim, span_ids)
    if pattern.id == "database.slow_query" and seen is None:
        return  # its rule alone does not say that it was a query
    for cause in answer.root_causes[:1]:
        if cause.rule in pattern.rules:
            ids = tuple(span.span_id for span in cause.origin_spans[:SPANS_MAX])
            found.add(0.6 + 0.35 * cause.probability, f"rule {cause.rule} decided: {cause.sentence}", ids)


def location_of(fact: ExceptionFact) -> str:
    """Return "file:line" of the frame to look at; empty when it is not known."""
    origin = fact.stack.origin if fact.stack is not None else None
    if origin is None or not origin.file:
        return ""
    return shown(f"{origin.file}:{origin.line}" if origin.line else origin.file)


def _types(fact: ExceptionFact) -> Iterable[str]:
    names = [fact.type, *((thrown.type for thrown in fact.stack.chain[:16]) if fact.stack is not None else ())]
    return [re.split(r"[.:$/\\]", name[:300])[-1].lower() for name in names if name]


def _texts(fact: ExceptionFact) -> list[str]:
    texts = [fact.message, *((thrown.message for thrown in fact.stack.chain[:16]) if fact.stack is not None else ())]
    return [text[:MESSAGE_MAX].lower() for text in dict.fromkeys(texts) if text]


def _spans(found: _Found) -> set[str]:
    return {span_id for _, ids in found.evidence for span_id in ids}


def _match(pattern: Pattern, found: _Found) -> PatternMatch:
    return PatternMatch(
        pattern=pattern.id,
        title=pattern.title,
        confidence=round(min(found.confidence * pattern.weight, 0.99), 4),
        cause=pattern.cause,
        fix=pattern.fix,
        test_idea=pattern.test_idea,
        prevention=pattern.prevention,
        monitor=pattern.monitor,
        location=found.location,
        patch=pattern.patch,
        evidence=tuple(found.evidence[:EVIDENCE_MAX]),
    )
