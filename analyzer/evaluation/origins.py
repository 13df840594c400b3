"""Answers about single traces, scored against the per-span truth of simulated cases.

In: an `Answer`, and of its trace which spans and services were to blame. Out: one `OriginResult` an answer, and
counts and shares as plain dictionaries, ready for JSON. For scoring only: no label reaches the analyzer.

Only the likeliest cause counts, and of it only the first origin span.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from analyzer.findings import Answer, RootCause

Outcome: TypeAlias = Literal["finding", "abstained", "silent"]


@dataclass(frozen=True, slots=True)
class TraceTruth:
    """What is known of one trace. Span ids are lower-case hex.

    spans, services : where the injected fault began, as far as these spans arrived; whose fault it is
    background_spans, background_services : failures that nobody injected, in the same trace
    """

    spans: frozenset[str] = frozenset()
    services: frozenset[str] = frozenset()
    background_spans: frozenset[str] = frozenset()
    background_services: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class OriginResult:
    """One answer about one trace that a fault touched.

    archetype, case_id, trace_id : what was injected, and where
    family : of the rule of the likeliest cause: error, latency, structure; empty without one
    outcome : finding; abstained (the likeliest cause is too unlikely to be named); silent (nothing wrong was seen)
    service, span : what is named is right
    lost : no origin span arrived, so that no span could be right
    background : what is named is a failure that nobody injected
    """

    archetype: str
    case_id: str
    trace_id: str
    outcome: Outcome
    family: str = ""
    service: bool = False
    span: bool = False
    lost: bool = False
    background: bool = False


def judge(answer: Answer, truth: TraceTruth, archetype: str = "", case_id: str = "") -> OriginResult:
    """Score one answer.

    An error finding that names a background failure of this trace, its span and its service, is right: that did go
    wrong there. A way between two services names both; everybody else is named by the one name of the entity.
    """
    outcome: Outcome = "silent"
    if answer.root_causes and answer.status in ("finding", "unknown"):
        outcome = "finding" if answer.status == "finding" else "abstained"
    if outcome == "silent":
        return OriginResult(archetype, case_id, answer.trace_id, outcome)
    top = answer.root_causes[0]
    family, names = top.rule.partition(".")[0], _names(top)
    span = top.origin_spans[0].span_id if top.origin_spans else ""
    injected = span in truth.spans
    background = family == "error" and not injected and span in truth.background_spans
    background &= not names.isdisjoint(truth.background_services)
    return OriginResult(
        archetype=archetype,
        case_id=case_id,
        trace_id=answer.trace_id,
        outcome=outcome,
        family=family,
        service=background or not names.isdisjoint(truth.services),
        span=background or injected,
        lost=not background and not truth.spans,
        background=background,
    )


def _names(cause: RootCause) -> set[str]:
    entity = cause.entity
    return {entity.caller, entity.callee} if entity.kind == "edge" else {entity.name}


def summarise_origins(results: Sequence[OriginResult]) -> dict[str, Any]:
    """Return counts and shares: overall, by family of the rule that decided, by archetype."""
    findings = [one for one in results if one.outcome == "finding"]
    return {
        "overall": _tally(results),
        "by_family": {key: _tally(found) for key, found in _grouped((one.family, one) for one in findings)},
        "by_archetype": {key: _tally(found) for key, found in _grouped((one.archetype, one) for one in results)},
    }


def _grouped(pairs: Iterable[tuple[str, OriginResult]]) -> list[tuple[str, list[OriginResult]]]:
    found: dict[str, list[OriginResult]] = defaultdict(list)
    for key, result in pairs:
        found[key].append(result)
    return sorted(found.items())


def _tally(results: Sequence[OriginResult]) -> dict[str, Any]:
    """Count answers, and over the findings among them the shares that are right; None: there are none.

    `span` is over all findings: one whose origin span never arrived counts as wrong; `span_seen` leaves those out.
    `service_by_case` and `span_by_case` are means over cases, so that one case with many traces weighs no more.
    """
    findings = [one for one in results if one.outcome == "finding"]
    seen = [one for one in findings if not one.lost]
    cases = [found for _, found in _grouped((one.case_id, one) for one in findings)]
    return {
        "touched": len(results),
        "findings": len(findings),
        "service_right": sum(one.service for one in findings),
        "service_wrong": sum(not one.service for one in findings),
        "abstained": sum(one.outcome == "abstained" for one in results),
        "silent": sum(one.outcome == "silent" for one in results),
        "lost": len(findings) - len(seen),
        "background": sum(one.background for one in findings),
        "service": _share([one.service for one in findings]),
        "span": _share([one.span for one in findings]),
        "span_seen": _share([one.span for one in seen]),
        "cases_with_findings": len(cases),
        "service_by_case": _mean([_share([one.service for one in found]) for found in cases]),
        "span_by_case": _mean([_share([one.span for one in found]) for found in cases]),
    }


def _share(right: Sequence[bool]) -> float | None:
    return sum(right) / len(right) if right else None


def _mean(shares: Sequence[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return sum(known) / len(known) if known else None
