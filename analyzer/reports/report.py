"""Builds the report of one trace.

In: an answer, exceptions, changes; the measured trace when its spans are at hand. Out: `Report`, all eight deliverables
always there; what is not known says so. Finds nothing itself. Incidents and groups have reports of their own, which
take one of these as their example.
"""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.analysis import Analysis
from analyzer.errors.model import ExceptionFact, PatternMatch
from analyzer.errors.patterns import match_patterns
from analyzer.errors.patterns.match import location_of
from analyzer.findings import Answer, Entity, RootCause
from analyzer.reports import advice
from analyzer.reports.clock_text import day, lasted, utc
from analyzer.reports.evidence import Evidences, answer_evidence, fact_evidence, pattern_evidence
from analyzer.reports.five_whys import Changed, five_whys
from analyzer.reports.fixture import fixture_of
from analyzer.reports.frame_notes import frames_at
from analyzer.reports.messages import Notice, messages_of
from analyzer.reports.model import Cause, Claim, Report, Summary, TestingStrategy
from analyzer.reports.observed import Observed, observe
from analyzer.reports.review import Known, review_of
from analyzer.reports.runbook import Case, runbook_of
from analyzer.reports.timeline import timeline_of_trace
from analyzer.reports.variables import variables_at
from analyzer.version import __version__
from analyzer.words import named, shown, who_saw

ALTERNATIVES_MAX = 4
SERVICES_MAX = 20
_SHAPES = {
    "structure.n_plus_one": "makes one call per element",
    "structure.retry_storm": "tries again and again",
    "structure.serialised": "makes calls in a row that could run at once",
    "structure.queue_wait": "waits in a queue",
    "structure.silent_missing_call": "succeeded without all of its calls",
}


def report_of_trace(
    answer: Answer,
    facts: Sequence[ExceptionFact] = (),
    analysis: Analysis | None = None,
    trace: int = 0,
    *,
    changes: Sequence[Changed] = (),
    hash_names: bool = False,
) -> Report:
    """Write the report of one trace.

    Parameters
    ----------
    answer : what is said of it
    facts : its exceptions
    analysis, trace : the measured batch and its number in it; None when the spans are not kept
    changes : releases, settings and flags that were changed lately
    hash_names : hash the names of services and operations in the regression fixture
    """
    patterns = match_patterns(answer, facts)
    observed = observe(analysis, trace, answer) if analysis is not None else Observed()
    evidences = Evidences()
    cause = answer.root_causes[0] if answer.root_causes else None
    mine = answer_evidence(evidences, answer)
    fact_evidence(evidences, facts)
    pattern_evidence(evidences, answer.trace_id, patterns)
    fixture = fixture_of(analysis, trace, answer, hash_names=hash_names) if analysis is not None else None
    location = _location(patterns, facts, answer)
    culprit = _culprit(cause)
    case = Case(
        title=_title(answer),
        rule=cause.rule if cause else "",
        service=culprit,
        entry=named(answer.root_service, answer.root_operation),
        trace_id=answer.trace_id,
        from_ns=answer.start_ns,
        to_ns=answer.end_ns + 60_000_000_000,
        location=location,
        module=_module(facts),
        language=_language(facts) or observed.language,
        correlation_id=next((fact.correlation_id for fact in facts if fact.correlation_id), ""),
        group_id=answer.group.id if answer.group else "",
    )
    return Report(
        subject="trace",
        subject_id=answer.trace_id,
        title=_title(answer),
        revision=answer.revision,
        engine_version=answer.engine_version or __version__,
        correlation_id=shown(case.correlation_id),
        group_id=case.group_id,
        available=_available(answer, facts, analysis, changes),
        missing=_missing(facts, analysis, changes),
        summary=_summary(answer, mine),
        root_cause=_cause(answer, cause, patterns, location, mine),
        evidence=evidences.items,
        variables=variables_at(answer, facts),
        frames=frames_at(answer, facts),
        immediate_fix=advice.fixes(cause, patterns),
        testing=TestingStrategy(
            steps=advice.test_steps(patterns, fixture.expects if fixture else None),
            reproduce=advice.reproduce(answer),
            fixture=fixture,
            fixture_missing="" if fixture else "the spans of the trace are not at hand, or are too many for a fixture",
        ),
        prevention=advice.prevention(patterns, case.language),
        monitoring=advice.monitors(case.rule, culprit, answer.verdict, patterns),
        runbook=runbook_of(case, patterns),
        five_whys=five_whys(answer, facts, patterns, observed, changes),
        timeline=timeline_of_trace(answer, facts, analysis, trace),
        messages=messages_of(_notice(answer, cause, patterns)),
        review=review_of(
            Known(
                first="(not known: a trace keeps no earlier hypothesis)",
                final=cause.sentence if cause else "(not known: no cause was named)",
                contributing=_contributing(answer, mine),
            ),
            patterns,
        ),
    )


def _title(answer: Answer) -> str:
    entry = named(answer.root_service, answer.root_operation) if answer.root_operation else f"trace {answer.trace_id}"
    words = {
        "error": "failed",
        "mixed": "failed",
        "latency": "was slow",
        "structure": "went wrong",
        "none": "was clean",
    }
    if answer.verdict == "error" and not answer.user_visible:
        return f"{entry} met a failure"
    if answer.verdict == "structure" and answer.root_causes:
        return f"{entry} {_SHAPES.get(answer.root_causes[0].rule, 'went wrong')}"
    return f"{entry} {words[answer.verdict]}"


def _summary(answer: Answer, evidence: list[str]) -> Summary:
    services = list(
        dict.fromkeys(
            shown(name)
            for name in (
                answer.root_service,
                *(step.span.service for step in answer.causal_chain),
                *(role.service for role in answer.roles),
                *(span.service for cause in answer.root_causes[:1] for span in cause.origin_spans),
            )
            if name
        )
    )
    scope = [Claim(text=f"request {named(answer.root_service, answer.root_operation)}", trace_ids=[answer.trace_id])]
    if services:
        text = f"services with a part in it: {', '.join(services[:SERVICES_MAX])}"
        scope.append(Claim(text=text, span_ids=[role.span_id for role in answer.roles[:SERVICES_MAX]]))
    scope.append(Claim(text=who_saw(answer), trace_ids=[answer.trace_id]))
    if answer.tenant:
        scope.append(Claim(text=f"sent by tenant {shown(answer.tenant)}", trace_ids=[answer.trace_id]))
    duration = answer.end_ns - answer.start_ns
    when = f"{utc(answer.start_ns, 3)}, for {lasted(duration)}" if duration > 0 else utc(answer.start_ns, 3)
    return Summary(
        what=Claim(text=answer.summary, evidence=evidence, trace_ids=[answer.trace_id]),
        started_ns=answer.start_ns,
        ended_ns=answer.end_ns or None,
        when=when,
        scope=scope,
        severity=answer.severity.value if answer.severity else "",
        type=answer.type.value if answer.type else "",
        observability=answer.observability.value if answer.observability else "",
    )


def _cause(
    answer: Answer, cause: RootCause | None, patterns: Sequence[PatternMatch], location: str, evidence: list[str]
) -> Cause:
    if cause is None:
        text = answer.status_reason or "No cause was named."
        return Cause(claim=Claim(text=text, level="needs people", trace_ids=[answer.trace_id]))
    ids = [span.span_id for span in cause.origin_spans]
    return Cause(
        claim=Claim(
            text=cause.sentence,
            level="measured" if answer.status == "finding" else "inferred",
            evidence=evidence,
            span_ids=ids,
            numbers={"probability": cause.probability},
        ),
        entity=cause.entity,
        service=_culprit(cause),
        rule=cause.rule,
        probability=cause.probability,
        location=location,
        patterns=[match.pattern for match in patterns],
        mechanism=patterns[0].cause if patterns else "",
        next_probe=answer.next_probe or "",
        alternatives=[
            Claim(
                text=other.sentence,
                level="inferred",
                span_ids=[span.span_id for span in other.origin_spans],
                numbers={"probability": other.probability},
            )
            for other in answer.root_causes[1 : ALTERNATIVES_MAX + 1]
        ],
        refuted=[
            Claim(text=f"not {shown(one.entity.name)}: {one.reason}", span_ids=one.span_ids)
            for one in cause.refuted[:ALTERNATIVES_MAX]
        ],
    )


def _location(patterns: Sequence[PatternMatch], facts: Sequence[ExceptionFact], answer: Answer) -> str:
    """file:line to look at: of the surest pattern, else of an exception at the origin."""
    found = next((match.location for match in patterns if match.location), "")
    origins = {span.span_id for cause in answer.root_causes[:1] for span in cause.origin_spans}
    return found or next((location_of(fact) for fact in facts if fact.span_id in origins and location_of(fact)), "")


def _module(facts: Sequence[ExceptionFact]) -> str:
    return next((fact.stack.origin.module for fact in facts if fact.stack and fact.stack.origin), "")


def _language(facts: Sequence[ExceptionFact]) -> str:
    return next((fact.stack.language for fact in facts if fact.stack), "")


def _culprit(cause: RootCause | None) -> str:
    """Service whose spans show it: of an edge the callee, of a peer the service that uses it."""
    if cause is None:
        return ""
    entity: Entity = cause.entity
    return entity.callee or entity.service or (cause.origin_spans[0].service if cause.origin_spans else entity.name)


def _available(
    answer: Answer, facts: Sequence[ExceptionFact], analysis: Analysis | None, changes: Sequence[Changed]
) -> list[str]:
    found = ["the answer of the engine"]
    found += ["spans"] if analysis is not None else []
    found += ["exceptions"] if any(fact.type for fact in facts) else []
    found += ["stack traces"] if any(fact.stack_text or fact.stack for fact in facts) else []
    found += ["logs"] if any("log" in fact.sources for fact in facts) else []
    found += ["what is usual"] if answer.latency is not None and answer.latency.expected_ns is not None else []
    return found + (["changes"] if changes else [])


def _missing(facts: Sequence[ExceptionFact], analysis: Analysis | None, changes: Sequence[Changed]) -> list[str]:
    found = []
    if analysis is None:
        found.append("spans: they were not kept, so there is no fixture, and times are those of the answer")
    if not any(fact.stack_text or fact.stack for fact in facts):
        found.append("stack traces: no file and line can be named")
    if not changes:
        found.append("changes: whether a release or setting is behind it cannot be told")
    return [*found, "metrics and users: spans say nothing of saturation, nor how many people were hit"]


def _notice(answer: Answer, cause: RootCause | None, patterns: Sequence[PatternMatch]) -> Notice:
    symptoms = [answer.summary]
    if answer.latency is not None and answer.latency.excess_ns > 0 and answer.verdict in ("latency", "mixed"):
        symptoms.append(f"{lasted(answer.latency.excess_ns)} more than usual")
    error = ""
    if cause is not None and cause.error_type:
        error = f"{cause.error_type}: {cause.error_message}" if cause.error_message else cause.error_type
    return Notice(
        title=_title(answer),
        severity=answer.severity.value if answer.severity else "",
        started=utc(answer.start_ns),
        day=day(answer.start_ns),
        about=_culprit(cause) or answer.root_service,
        symptoms=symptoms,
        error=error,
        cause=cause.sentence if cause else "",
        next_steps=[*([answer.next_probe] if answer.next_probe else []), *(match.fix for match in patterns[:1])],
        looked_at=[f"firstfault analysed trace {answer.name}"],
    )


def _contributing(answer: Answer, evidence: list[str]) -> list[Claim]:
    """What made it worse, or harder to see."""
    found = [
        Claim(text=step.sentence, span_ids=[step.span.span_id], evidence=evidence)
        for step in answer.causal_chain
        if step.effect in ("timed_out", "retried", "transformed", "cancelled")
    ]
    done = answer.completeness
    if done is not None and not done.complete:
        text = f"the trace is not complete: {done.missing_parents} parents missing, {done.dropped_spans} spans dropped"
        numbers = {"missing_parents": float(done.missing_parents), "dropped_spans": float(done.dropped_spans)}
        found.append(Claim(text=text, trace_ids=[answer.trace_id], numbers=numbers))
    return found
