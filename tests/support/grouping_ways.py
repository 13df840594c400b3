"""Ways to group errors: what firstfault does, and what it is measured against."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from analyzer.errors.fingerprint import fact_at_origin, fingerprint_of
from analyzer.errors.frames import application_frames
from analyzer.errors.groups import MERGE_SIMILARITY
from analyzer.errors.templates import similarity, template_of
from analyzer.errors.trace_groups import grouped
from analyzer.findings import Answer, Entity, RootCause, SpanRef
from tests.support.mutations import Report

ANSWER = Answer(
    trace_id="",
    status="finding",
    verdict="error",
    root_causes=[
        RootCause(
            rank=1,
            entity=Entity(kind="service", name="x"),
            origin_spans=[SpanRef(span_id="origin", service="x", operation="y")],
            probability=1.0,
            rule="error.origin.local",
            sentence="",
        )
    ],
)


def fine(report: Report) -> str:
    """The group as firstfault tells it."""
    found = grouped(ANSWER, report.facts).answer.group
    return found.fine if found else ""


def coarse(report: Report) -> str:
    found = grouped(ANSWER, report.facts).answer.group
    return found.coarse if found else ""


def suggested(reports: Sequence[Report]) -> Callable[[Report], str]:
    """Groups after every merge that firstfault suggests was made: same heart, like message."""
    first: dict[str, tuple[str, str]] = {}
    for report in reports:
        fact = fact_at_origin(ANSWER, report.facts)
        assert fact is not None
        message = fact.stack.root.message if fact.stack is not None else fact.message
        first.setdefault(fine(report), (coarse(report), template_of(message)))
    merged: dict[str, str] = {}
    for group, (heart, template) in first.items():
        like = (
            merged[one]
            for one in merged
            if first[one][0] == heart and similarity(first[one][1], template) >= MERGE_SIMILARITY
        )
        merged[group] = next(like, group)
    return lambda report: merged[fine(report)]


def with_wrapper_types(report: Report) -> str:
    """What hashing the whole chain of types would do."""
    fact = report.facts[0]
    if fact.stack is None:
        return fingerprint_of(fact).fine
    return repr((fact.service, [one.type for one in fact.stack.chain], application_frames(fact.stack)))


def type_and_message(report: Report) -> str:
    """What grouping by the words of whoever reported it last does."""
    fact = report.facts[-1]
    return repr((fact.service, fact.type, fact.message))


def type_and_top_frame(report: Report) -> str:
    """Service, outer type and top frame of the innermost report."""
    fact = report.facts[0]
    frame = fact.stack.chain[0].frames[0].function if fact.stack else ""
    return repr((fact.service, fact.type, frame))
