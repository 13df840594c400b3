"""Several stories about one trace -> one answer.

In: what the topics found (errors, latency, structure). Out: `Answer`. Decides which story leads, merges
candidates so that their probabilities are one list, and says how complete the trace was. Finds nothing
itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from analyzer import judgement
from analyzer.analysis import Analysis
from analyzer.error_classes import ErrorClass
from analyzer.finding_ids import finding_id, trace_name
from analyzer.findings import (
    NOT_EXPLAINED,
    Answer,
    CausalStep,
    Completeness,
    Latency,
    RootCause,
    SpanRole,
    Status,
    VerdictKind,
    Warning_,
)
from analyzer.forest import Defect
from analyzer.spans import ReleaseReason, SpanFlag, hex_id
from analyzer.version import __version__

CANDIDATES_MAX = 5
_THRESHOLD = int(SpanFlag.THRESHOLD)

DEFECT_TEXT: dict[Defect, str] = {
    Defect.SELF_PARENT: "a span names itself as its parent; it is treated as a root",
    Defect.CYCLE: "spans name each other as parents; the circle was cut at its earliest span",
    Defect.ROOTLESS: "no span without a parent was received; the entry of the request was not seen",
    Defect.MULTI_ROOT: "several spans have no parent; each is treated as an entry",
    Defect.MISSING_PARENT: "a span's parent was not received: lost, sampled away, late, or not instrumented",
    Defect.DUPLICATE: "a span was received more than once and counted once",
    Defect.DUP_SPAN_ID: "different spans share one id; all are kept, their children may be misplaced",
    Defect.NEGATIVE_DURATION: "a span ends before it starts; its duration is taken as zero",
    Defect.NO_TIME: "a span has no start or end time; it is not used for latency",
    Defect.TIME_OUT_OF_RANGE: "a time is outside any calendar; it is not used for latency",
    Defect.SKEW_ADJUSTED: "the clocks of two hosts disagree; spans were moved to fit their callers",
    Defect.SKEW_INCONSISTENT: "the clocks of two hosts disagree in contradictory ways; times between them are doubtful",
    Defect.MISSING_SERVICE: "a span has no usable service.name; it is shown as unknown_service",
    Defect.BAD_TEXT: "a text was not UTF-8; the bad bytes are shown as U+FFFD",
    Defect.BAD_PARENT_ID: "a parent id has a wrong length; the span is treated as an orphan",
    Defect.TRUNCATED: "the SDK or a limit dropped attributes, events, links or spans",
    Defect.LOG_WITHOUT_SPAN: "a log record names a span that was not received",
    Defect.OWN_SCOPE: "findings of firstfault came back as input and were left out",
    Defect.MISSING_NAME: "a span has no name",
}


NOTHING_WRONG = "Nothing wrong was found in this trace."


@dataclass(frozen=True, slots=True)
class Story:
    """What one topic has to say of a trace.

    path : ids of the spans from the origin of the first candidate up to its entry
    """

    candidates: Sequence[RootCause] = ()
    roles: Sequence[SpanRole] = ()
    causal_chain: Sequence[CausalStep] = ()
    next_probe: str | None = None
    path: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ErrorFacts:
    """The error topic's judgement of the whole trace."""

    story: Story = Story()
    fatal: bool = False
    user_visible: bool = False
    business: bool = False
    error_class: ErrorClass = ErrorClass.NONE


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was found of one trace, before it is one answer.

    slow : the trace took abnormally long
    error_share, call_count : of recent calls of the origin's operation
    """

    errors: ErrorFacts
    latency: Latency | None
    latency_story: Story
    structure_story: Story
    slow: bool
    error_share: float | None = None
    call_count: int = 0


def compose(analysis: Analysis, trace: int, found: Findings, unknown_below: float) -> Answer:
    """Make the answer of one trace."""
    forest, traces = analysis.forest, analysis.traces
    nodes = forest.nodes(trace)
    reason = ReleaseReason(int(traces.reasons[trace]))
    completeness = _completeness(analysis, trace, reason)
    verdict, leading = _lead(found)
    candidates = _ranked(leading)
    trace_id, tenant = _trace_id(analysis, trace), _tenant(analysis, trace)
    status, status_reason = _status(candidates, completeness, reason, unknown_below)
    if not candidates:
        verdict = "none"
    first = candidates[0] if candidates else None
    facts = judgement.Facts(
        verdict=verdict,
        error_class=found.errors.error_class,
        fatal=found.errors.fatal,
        user_visible=found.errors.user_visible,
        business=found.errors.business,
        rule=first.rule if first else "",
        error_share=found.error_share,
        call_count=found.call_count,
    )
    root = nodes.start if len(nodes) else None
    probes = [story.next_probe for story in leading if story.next_probe]
    name = trace_name(trace_id, tenant)
    return Answer(
        trace_id=trace_id,
        status=status,
        status_reason=status_reason,
        verdict=verdict,
        summary=_summary(status, status_reason, candidates, found),
        user_visible=found.errors.user_visible or (verdict in ("latency", "mixed") and found.slow),
        severity=judgement.severity(facts) if first else None,
        type=judgement.error_type(facts) if first else None,
        observability=judgement.observability(facts) if first else None,
        root_service=analysis.service(root) if root is not None else "",
        root_operation=analysis.operation(root) if root is not None else "",
        start_ns=int(forest.start_ns[nodes.start : nodes.stop].min()) if len(nodes) else 0,
        end_ns=int(forest.end_ns[nodes.start : nodes.stop].max()) if len(nodes) else 0,
        root_causes=candidates,
        causal_chain=[step for story in leading[:1] for step in story.causal_chain],
        roles=list(found.errors.story.roles)
        + [role for story in leading for role in story.roles if story is not found.errors.story],
        latency=found.latency,
        completeness=completeness,
        next_probe=probes[0] if probes else None,
        finding_ids=[
            finding_id(tenant, trace_id, cause.rule, cause.origin_spans[0].span_id if cause.origin_spans else "")
            for cause in candidates
        ]
        if status == "finding"
        else [],
        revision=int(traces.revisions[trace]),
        engine_version=__version__,
        links={
            "self": f"/api/v1/traces/{name}/root-cause",
            "graph": f"/api/v1/traces/{name}/graph",
            "spans": f"/api/v1/traces/{name}/spans",
            "report": f"/api/v1/traces/{name}/report",
        },
        tenant=tenant,
    )


def brief(analysis: Analysis, trace: int, verdict: VerdictKind) -> Answer:
    """Say what was found in a trace, not where it began: for when there is no time to explain it."""
    nodes = analysis.forest.nodes(trace)
    first = nodes.start
    reason = "" if verdict == "none" else NOT_EXPLAINED
    return Answer(
        trace_id=_trace_id(analysis, trace),
        status="clean" if verdict == "none" else "unknown",
        status_reason=reason,
        verdict=verdict,
        summary=f"Something is wrong ({verdict}), but {reason}."
        if reason
        else "Nothing wrong was found in this trace.",
        root_service=analysis.service(first) if len(nodes) else "",
        root_operation=analysis.operation(first) if len(nodes) else "",
        start_ns=int(analysis.forest.start_ns[first : nodes.stop].min()) if len(nodes) else 0,
        end_ns=int(analysis.forest.end_ns[first : nodes.stop].max()) if len(nodes) else 0,
        revision=int(analysis.traces.revisions[trace]),
        engine_version=__version__,
        tenant=_tenant(analysis, trace),
    )


def _trace_id(analysis: Analysis, trace: int) -> str:
    row = analysis.traces.rows[int(analysis.traces.trace_ptr[trace])]
    return hex_id(row["trace_id_0"], row["trace_id_1"])


def _tenant(analysis: Analysis, trace: int) -> str:
    """Whose credential the trace was sent with; all of its rows have the same (collector.assembly)."""
    row = analysis.traces.rows[int(analysis.traces.trace_ptr[trace])]
    return analysis.traces.vocabulary.resources.resource(int(row["resource"])).owner


def _lead(found: Findings) -> tuple[VerdictKind, list[Story]]:
    """Which story leads: what failed, then what is missing or wasteful, then what was slow, then what was handled."""
    errors, structure, latency = found.errors.story, found.structure_story, found.latency_story
    slow = found.slow and bool(latency.candidates)
    latency = replace(latency, candidates=[_why_tried_again(cause, errors) for cause in latency.candidates])
    if found.errors.fatal and errors.candidates:
        if slow and _elsewhere(latency, errors):
            return "mixed", [errors, latency]
        return "error", [errors]
    if structure.candidates:
        return "structure", [structure, latency] if slow else [structure]
    if slow:
        return "latency", [latency, errors] if errors.candidates else [latency]
    if errors.candidates:
        return "error", [errors]
    return "none", [errors]


def _why_tried_again(cause: RootCause, errors: Story) -> RootCause:
    """Time lost in attempts that failed belongs to whoever made them fail, where the error story knows who did."""
    if cause.rule != "latency.retry" or not errors.candidates:
        return cause
    if errors.path.isdisjoint(span.span_id for span in cause.origin_spans):
        return cause
    first = errors.candidates[0]
    sentence = f"{cause.sentence.removesuffix('.')}; the first attempt failed because {first.sentence}"
    update = {"entity": first.entity, "origin_spans": first.origin_spans, "sentence": sentence}
    return cause.model_copy(update=update)


def _elsewhere(latency: Story, errors: Story) -> bool:
    """Whether the lost time began somewhere else than the error, with some certainty."""
    slowest = latency.candidates[0]
    spans = {span.span_id for cause in errors.candidates for span in cause.origin_spans}
    spans |= {step.span.span_id for step in errors.causal_chain}
    services = {cause.entity.service for cause in errors.candidates}
    return (
        slowest.probability >= 0.5
        and slowest.entity.service not in services
        and not spans & {span.span_id for span in slowest.origin_spans}
    )


def _ranked(stories: Sequence[Story]) -> list[RootCause]:
    """Candidates of the leading story first; those of the next one share what probability is left."""
    ranked: list[RootCause] = []
    left = 1.0
    seen: set[tuple[str, str, str]] = set()
    for story in stories:
        room = left
        for cause in sorted(story.candidates, key=lambda cause: -cause.probability):
            key = (cause.entity.kind, cause.entity.name, cause.entity.operation)
            if key in seen or len(ranked) == CANDIDATES_MAX:
                continue
            seen.add(key)
            share = min(cause.probability * room if ranked and room < 1.0 else cause.probability, left)
            left = max(0.0, left - share)
            ranked.append(cause.model_copy(update={"rank": len(ranked) + 1, "probability": round(share, 6)}))
    return ranked


def _status(
    candidates: Sequence[RootCause], completeness: Completeness, reason: ReleaseReason, unknown_below: float
) -> tuple[Status, str]:
    if reason == ReleaseReason.OPEN:
        return "in_progress", "the trace is still open; this is what its spans say so far"
    if candidates:
        if candidates[0].probability < unknown_below:
            return "unknown", (
                f"the likeliest cause has a probability of {candidates[0].probability:.2f}, below {unknown_below:.2f}"
            )
        return "finding", ""
    if completeness.dropped_spans:
        return "partial", f"{completeness.dropped_spans} spans were over a limit and not analysed; the rest is clean"
    if not completeness.root_seen or completeness.missing_parents:
        return "partial", "spans are missing; those received are clean"
    return "clean", ""


def _summary(status: str, status_reason: str, candidates: Sequence[RootCause], found: Findings) -> str:
    if status in ("finding", "in_progress") and candidates:
        return candidates[0].sentence
    if status == "unknown":
        return f"Cannot tell where it began: {status_reason}."
    if status == "clean":
        return NOTHING_WRONG
    return f"{status_reason[:1].upper()}{status_reason[1:]}." if status_reason else ""


def _completeness(analysis: Analysis, trace: int, reason: ReleaseReason) -> Completeness:
    forest, traces = analysis.forest, analysis.traces
    nodes = forest.nodes(trace)
    defects = forest.defects[trace]
    rows = traces.rows[forest.row[nodes.start : nodes.stop]]
    dropped = int(traces.dropped[trace])
    missing = int(defects[Defect.MISSING_PARENT])
    root_seen = len(nodes) > 0 and not int(defects[Defect.ROOTLESS])
    return Completeness(
        complete=root_seen and not missing and not dropped and reason != ReleaseReason.OPEN,
        span_count=len(nodes),
        service_count=len(set(rows["service"].tolist())),
        root_seen=root_seen,
        missing_parents=missing,
        dropped_spans=dropped,
        sampled=bool((rows["flags"] & _THRESHOLD).any()),
        release_reason=reason.name.lower(),
        warnings=[
            Warning_(code=defect.name.lower(), message=DEFECT_TEXT[defect], count=int(defects[defect]))
            for defect in Defect
            if int(defects[defect])
        ],
    )
