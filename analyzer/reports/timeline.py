"""What happened when in one trace, over all services, on one clock.

In: a measured trace, its answer and facts. Out: `Timeline`. Times are those of the forest: clocks that disagree were
moved where one offset explains it, and each moment says by how much; where that was not possible a warning stands.
"""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.analysis import Analysis
from analyzer.errors.model import ExceptionFact
from analyzer.findings import Answer
from analyzer.reports.clock_text import utc
from analyzer.reports.model import Moment, Timeline
from analyzer.reports.observed import node_of
from analyzer.words import named, shown

MOMENTS_MAX = 60
_SKEW = ("skew_adjusted", "skew_inconsistent", "negative_duration", "no_time", "time_out_of_range", "missing_parent")


def timeline_of_trace(
    answer: Answer, facts: Sequence[ExceptionFact], analysis: Analysis | None = None, trace: int = 0
) -> Timeline:
    """Put the moments of a trace in order; the earliest `MOMENTS_MAX` are kept."""
    moments: list[Moment] = []
    if answer.end_ns > answer.start_ns:
        entry = named(answer.root_service, answer.root_operation)
        moments.append(_moment(answer.start_ns, f"{entry} began", answer.root_service))
        moments.append(_moment(answer.end_ns, "the last span of the trace ended"))
    for step in answer.causal_chain:
        span = step.span
        moments.append(
            _moment(
                span.start_ns + span.duration_ns,
                f"{step.effect.replace('_', ' ')}: {step.sentence}",
                span.service,
                span.span_id,
                _moved(analysis, trace, span.span_id, span.start_ns),
            )
        )
    if not answer.causal_chain:
        for cause in answer.root_causes[:1]:
            for span in cause.origin_spans[:5]:
                what = f"{named(span.service, span.operation)}, where the trouble is, began"
                moved = _moved(analysis, trace, span.span_id, span.start_ns)
                moments.append(_moment(span.start_ns, what, span.service, span.span_id, moved))
    told = {step.span.span_id for step in answer.causal_chain}
    for fact in facts:
        if not fact.type and fact.span_id in told:
            continue
        moved = _moved(analysis, trace, fact.span_id)
        what = f"{named(fact.service, fact.operation)} wrote {shown(fact.type)}"
        if not fact.type:
            what = f"{named(fact.service, fact.operation)} failed"
        moments.append(_moment(fact.time_ns + moved, what, fact.service, fact.span_id, moved))
    known = list(dict.fromkeys(sorted(moments, key=lambda one: (one.at_ns, one.what))))
    warnings = [
        shown(f"{one.message} ({one.count} times)" if one.count > 1 else one.message)
        for one in (answer.completeness.warnings if answer.completeness else [])
        if one.code in _SKEW
    ]
    return Timeline(moments=known[:MOMENTS_MAX], warnings=warnings, left_out=max(0, len(known) - MOMENTS_MAX))


def _moment(at_ns: int, what: str, service: str = "", span_id: str = "", moved_ns: int = 0) -> Moment:
    return Moment(
        at_ns=at_ns, at=utc(at_ns, 3), what=what, service=shown(service), span_id=span_id, corrected_ns=moved_ns
    )


def _moved(analysis: Analysis | None, trace: int, span_id: str, start_ns: int | None = None) -> int:
    """By how much the clock of a span was moved.

    start_ns : as the answer has it; an explanation that puts lost spans back may move clocks further than the forest
    """
    if analysis is None or not span_id:
        return 0
    node = node_of(analysis, trace, span_id)
    if node is None:
        return 0
    shown_ns = int(analysis.forest.start_ns[node]) if start_ns is None else start_ns
    return shown_ns - int(analysis.traces.rows[analysis.forest.row[node]]["start_ns"])
