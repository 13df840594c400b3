"""An answer as OTLP: log events (primary) and annotation spans. Pure: answer in, messages out.

In: an `Answer`, the time it was made. Out: at most two `OutboxItem`s, one request of logs and one of
spans. The same answer and time give the same bytes, for ever: no clock, no random id, deterministic
serialisation. It never repeats a span of the trace, not even an annotated copy: backends that key on
(span id, kind) would then show one of the two, by chance (ecosystem.md 7.3).

Log events, all with the trace and span context of the span they speak of:

    <prefix>root_cause       ERROR  one for each candidate culprit, best first
    <prefix>latency_outlier  WARN   a span with more time of its own than its baseline explains
    <prefix>failing_span     WARN   a span that failed because of something else
    <prefix>trace_summary    INFO   one for the trace

Annotation spans: one for each candidate culprit whose span is known; child of that span, over exactly
its time (the time of analysis would stretch the waterfall), INTERNAL (service-graph builders are
quiet about it), status UNSET (ERROR would raise somebody's error rate), linked to the spans that
failed because of it. Scope `firstfault` on both: our own receivers drop what carries it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from analyzer.finding_ids import digest, finding_id
from analyzer.findings import Answer, Excess, RootCause, SpanRef, SpanRole
from analyzer.spans import OWN_SCOPE_NAME
from collector.contracts import OutboxItem, Signal
from collector.exporters.attributes import SENTENCE_MAX, Value, id_bytes, key_values, text, unix_ns

SERVICE_NAME = "firstfault"
CAUSES_MAX = 8
OUTLIERS_MAX = 32
FAILING_MAX = 32  # a fan-out of 10,000 failed calls is one story, not 10,000 records
LINKS_MAX = 64
# Spans that failed, though nothing began with them.
FAILED_ROLES = frozenset({"origin", "propagated", "transformed", "victim", "unseen_dependency"})
DOWNSTREAM_ROLES = frozenset({"propagated", "transformed", "victim"})
CONFIDENCE = ((0.8, "high"), (0.5, "medium"), (0.0, "low"))  # words to filter by; the number is `score`
MS = 1e6


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """How findings are written.

    annotation_service : "self" shows annotation spans under service `firstfault`; "inherit" under the
        culprit's, for backends that draw an edge culprit -> firstfault otherwise
    event_name_attribute : also write `event.name`, for backends that do not know `event_name` yet
    """

    destination: str = "otlp"
    prefix: str = "firstfault."
    log_events: bool = True
    annotation_spans: bool = True
    annotation_service: Literal["self", "inherit"] = "self"
    event_name_attribute: bool = False


def finding_exports(answer: Answer, settings: ExportSettings, analyzed_at_ns: int) -> list[OutboxItem]:
    """Write what is told of one trace; nothing unless its status is `finding`.

    Parameters
    ----------
    answer : Answer
    settings : ExportSettings
    analyzed_at_ns : int
        When the answer was made, Unix nanoseconds. The clock is not asked: a retry must send these bytes again.

    Returns
    -------
    list of OutboxItem
        Keys are made of tenant, trace, revision and signal, so a replay queues nothing twice.
    """
    if answer.status != "finding":
        return []
    story = _Story(answer, settings, analyzed_at_ns)
    items = []
    if settings.log_events:
        items.append(item_of(answer, settings, Signal.LOGS, _logs(story).SerializeToString(deterministic=True)))
    if settings.annotation_spans:
        spans = _annotations(story)
        if spans.resource_spans:
            items.append(item_of(answer, settings, Signal.TRACES, spans.SerializeToString(deterministic=True)))
    return items


def annotation_span_id(trace_id: str, finding: str, revision: int) -> bytes:
    """The id of an annotation span.

    The revision is in it: a later revision says something else, and a changed span under a known id is
    what backends cannot take (ecosystem.md 7.3).
    """
    raw = digest(8, "annotation", trace_id, finding, str(revision))
    return raw if any(raw) else b"\x01" * 8


class _Story:
    """What several records of one answer share."""

    def __init__(self, answer: Answer, settings: ExportSettings, analyzed_at_ns: int) -> None:
        self.answer = answer
        self.settings = settings
        self.analyzed_at_ns = analyzed_at_ns
        self.trace_id = id_bytes(answer.trace_id, 16)
        self.path = [f"{step.span.service} {step.span.operation}" for step in answer.causal_chain]
        failed = [role.service for role in answer.roles if role.role in DOWNSTREAM_ROLES]
        passed = [step.span.service for step in answer.causal_chain]
        self.affected = list(dict.fromkeys(service for service in (*passed, *failed) if service))
        self.causes = answer.root_causes[:CAUSES_MAX]
        anchors = {cause.origin_spans[0].span_id for cause in answer.root_causes if cause.origin_spans}
        excess = answer.latency.excess if answer.latency is not None else []
        outliers = [item for item in excess if item.excess_ns > 0]
        failing = [role for role in answer.roles if role.role in FAILED_ROLES and role.span_id not in anchors]
        failing = list({role.span_id: role for role in failing}.values())
        self.outliers, self.failing = outliers[:OUTLIERS_MAX], failing[:FAILING_MAX]
        told = len(self.causes) + len(self.outliers) + len(self.failing)
        self.omitted_count = len(answer.root_causes) + len(outliers) + len(failing) - told
        self.spans = _spans(answer)

    def finding_id(self, rule: str, anchor: str) -> str:
        return finding_id(self.answer.tenant, self.answer.trace_id, rule, anchor)

    def prefixed(self, attributes: Mapping[str, Value | None]) -> dict[str, Value | None]:
        return {self.settings.prefix + key: value for key, value in attributes.items()}

    def shared(self) -> dict[str, Value | None]:
        """What every record says of its trace."""
        completeness = self.answer.completeness
        return {
            "affected.services": self.affected or None,
            "trace.complete": completeness.complete if completeness is not None else None,
            "engine.version": self.answer.engine_version,
            "revision": self.answer.revision,
            "tenant": self.answer.tenant or None,
        }


def _spans(answer: Answer) -> dict[str, SpanRef]:
    """Every span the answer tells the times of."""
    found: dict[str, SpanRef] = {}
    if answer.latency is not None:
        found |= {item.span.span_id: item.span for item in answer.latency.critical_path}
        found |= {item.span.span_id: item.span for item in answer.latency.excess}
    found |= {step.span.span_id: step.span for step in answer.causal_chain}
    for cause in answer.root_causes:
        found |= {span.span_id: span for span in cause.origin_spans}
    return found


# -- log events ----------------------------------------------------------------------------------


def _logs(story: _Story) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    resource_logs = request.resource_logs.add()
    resource_logs.resource.CopyFrom(resource_of(SERVICE_NAME, story.answer.engine_version))
    scope_logs = resource_logs.scope_logs.add()
    scope_logs.scope.name, scope_logs.scope.version = OWN_SCOPE_NAME, story.answer.engine_version
    scope_logs.log_records.extend(_records(story))
    return request


def _records(story: _Story) -> Iterator[LogRecord]:
    for cause in story.causes:
        anchor = cause.origin_spans[0] if cause.origin_spans else None
        yield _record(
            story, "root_cause", anchor, _ERROR, cause.sentence, _cause_attributes(story, cause, exception=True)
        )
    for excess in story.outliers:
        yield _record(story, "latency_outlier", excess.span, _WARN, *_outlier(story, excess))
    for role in story.failing:
        span = story.spans.get(role.span_id) or SpanRef(
            span_id=role.span_id, service=role.service, operation=role.operation
        )
        yield _record(story, "failing_span", span, _WARN, *_failing(story, role))
    first = story.causes[0].origin_spans[:1] if story.causes else []
    yield _record(
        story, "trace_summary", first[0] if first else None, _INFO, story.answer.summary, _summary_attributes(story)
    )


_ERROR = (SeverityNumber.SEVERITY_NUMBER_ERROR, "ERROR")
_WARN = (SeverityNumber.SEVERITY_NUMBER_WARN, "WARN")
_INFO = (SeverityNumber.SEVERITY_NUMBER_INFO, "INFO")


def _record(
    story: _Story,
    kind: str,
    span: SpanRef | None,
    severity: tuple[SeverityNumber.ValueType, str],
    sentence: str,
    attributes: Mapping[str, Value | None],
) -> LogRecord:
    name = story.settings.prefix + kind
    # When the span's end is not known, the trace's is: the record must sort near what it speaks of.
    ended_ns = span.start_ns + span.duration_ns if span is not None and span.start_ns else story.answer.end_ns
    record = LogRecord(
        time_unix_nano=unix_ns(ended_ns),
        observed_time_unix_nano=unix_ns(story.analyzed_at_ns),
        severity_number=severity[0],
        severity_text=severity[1],
        event_name=name,
        trace_id=story.trace_id,
        span_id=id_bytes(span.span_id, 8) if span is not None else b"",
        flags=span.trace_flags & 0xFF if span is not None else 0,
    )
    record.body.string_value = text(sentence, SENTENCE_MAX)
    event_name = {"event.name": name} if story.settings.event_name_attribute else {}
    record.attributes.extend(key_values({**event_name, **attributes}))
    return record


def _cause_attributes(story: _Story, cause: RootCause, *, exception: bool) -> dict[str, Value | None]:
    anchor = cause.origin_spans[0] if cause.origin_spans else None
    own = f"{cause.entity.service or cause.entity.name} {cause.entity.operation}".strip()
    attributes = story.prefixed(
        {
            "finding.id": story.finding_id(cause.rule, anchor.span_id if anchor else ""),
            "kind": "root_cause",
            "rank": cause.rank,
            "score": cause.probability,
            "confidence": _confidence(cause.probability),
            "rule": cause.rule,
            "entity.kind": cause.entity.kind,
            "entity.name": cause.entity.name,
            "service": cause.entity.service or (anchor.service if anchor else ""),
            "operation": cause.entity.operation or (anchor.operation if anchor else ""),
            # The chain is the first candidate's; of the others only their own place is known.
            "path": story.path if cause.rank == 1 and story.path else [own],
            **story.shared(),
        }
    )
    attributes["error.type"] = cause.error_type
    if exception:
        attributes["exception.message"] = cause.error_message
    return attributes


def _outlier(story: _Story, excess: Excess) -> tuple[str, dict[str, Value | None]]:
    span = excess.span
    sentence = (
        f"{span.service} {span.operation} took {excess.excess_ns / MS:.0f} ms longer than usual: "
        f"{excess.observed_ns / MS:.0f} ms of its own, where {excess.expected_ns / MS:.0f} ms are expected."
    )
    return sentence, story.prefixed(
        {
            "finding.id": story.finding_id("latency_outlier", span.span_id),
            "kind": "latency_outlier",
            "score": 1.0 - excess.p_value,
            "service": span.service,
            "operation": span.operation,
            "excess_ms": excess.excess_ns / MS,
            "observed_ms": excess.observed_ns / MS,
            "expected_ms": excess.expected_ns / MS,
            "p_value": excess.p_value,
            "excess.kind": excess.kind,
            **story.shared(),
        }
    )


def _failing(story: _Story, role: SpanRole) -> tuple[str, dict[str, Value | None]]:
    sentence = f"{role.service} {role.operation} failed; its role in the trace is {role.role.replace('_', ' ')}."
    return sentence, story.prefixed(
        {
            "finding.id": story.finding_id("failing_span", role.span_id),
            "kind": "failing_span",
            "role": role.role,
            "service": role.service,
            "operation": role.operation,
            "error.class": role.error_class,
            **story.shared(),
        }
    )


def _summary_attributes(story: _Story) -> dict[str, Value | None]:
    answer = story.answer
    first = story.causes[0] if story.causes else None
    return story.prefixed(
        {
            "finding.id": story.finding_id("trace_summary", ""),
            "kind": "trace_summary",
            "verdict": answer.verdict,
            "score": first.probability if first else None,
            "confidence": _confidence(first.probability) if first else None,
            "service": first.entity.service if first else None,
            "operation": first.entity.operation if first else None,
            "path": story.path or None,
            "root.service": answer.root_service,
            "root.operation": answer.root_operation,
            "user_visible": answer.user_visible,
            "asked_by": answer.asked_by or None,
            "severity": answer.severity.value if answer.severity is not None else None,
            "type": answer.type.value if answer.type is not None else None,
            "observability": answer.observability.value if answer.observability is not None else None,
            "omitted.count": story.omitted_count,
            **story.shared(),
        }
    )


# -- annotation spans ------------------------------------------------------------------------------


def _annotations(story: _Story) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    inherit = story.settings.annotation_service == "inherit"
    for cause in story.causes:
        anchor = cause.origin_spans[0] if cause.origin_spans else None
        if anchor is None or not id_bytes(anchor.span_id, 8) or not story.trace_id:
            continue  # nothing to hang it on; the log event tells of it
        if inherit or not request.resource_spans:
            resource_spans = request.resource_spans.add()
            service = anchor.service if inherit else SERVICE_NAME
            resource_spans.resource.CopyFrom(resource_of(service, story.answer.engine_version))
            scope_spans = resource_spans.scope_spans.add()
            scope_spans.scope.name, scope_spans.scope.version = OWN_SCOPE_NAME, story.answer.engine_version
        scope_spans.spans.append(_annotation(story, cause, anchor))
    return request


def _annotation(story: _Story, cause: RootCause, anchor: SpanRef) -> Span:
    finding = story.finding_id(cause.rule, anchor.span_id)
    span = Span(
        trace_id=story.trace_id,
        span_id=annotation_span_id(story.answer.trace_id, finding, story.answer.revision),
        parent_span_id=id_bytes(anchor.span_id, 8),
        flags=anchor.trace_flags & 0xFF,
        name=f"{story.settings.prefix.rstrip('.')} root_cause",
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=unix_ns(anchor.start_ns),
        end_time_unix_nano=unix_ns(anchor.start_ns + anchor.duration_ns),
    )
    # No exception.*: error trackers would count the same exception a second time.
    span.attributes.extend(key_values(_cause_attributes(story, cause, exception=False)))
    span.attributes.extend(key_values(story.prefixed({"analyzed_at": _iso(story.analyzed_at_ns)})))
    linked = _links(story, anchor) if cause.rank == 1 else {}
    for span_id, kind in list(linked.items())[:LINKS_MAX]:
        link = span.links.add(trace_id=story.trace_id, span_id=id_bytes(span_id, 8))
        link.attributes.extend(key_values(story.prefixed({"link.type": kind})))
    span.dropped_links_count = max(0, len(linked) - LINKS_MAX)
    return span


def _links(story: _Story, anchor: SpanRef) -> dict[str, str]:
    """Spans that suffered, and how: the chain towards the entry first, then every other that failed."""
    answer = story.answer
    linked = {
        step.span.span_id: str(step.effect) for step in answer.causal_chain if step.effect not in ("began", "handled")
    }
    linked |= {role.span_id: str(role.role) for role in answer.roles if role.role in DOWNSTREAM_ROLES}
    return {span_id: kind for span_id, kind in linked.items() if span_id != anchor.span_id and id_bytes(span_id, 8)}


# -- shared ----------------------------------------------------------------------------------------


def item_of(answer: Answer, settings: ExportSettings, signal: Signal, payload: bytes) -> OutboxItem:
    """Make the message of one revision of one trace."""
    key = digest(16, "export", answer.tenant, answer.trace_id, str(answer.revision), signal.name)
    return OutboxItem(key=key, destination=settings.destination, signal=signal, payload=payload)


def resource_of(service: str, version: str) -> Resource:
    """Say who speaks; the version is ours, so other services have none."""
    resource = Resource()
    own = service == SERVICE_NAME
    resource.attributes.extend(key_values({"service.name": service, "service.version": version if own else None}))
    return resource


def _confidence(probability: float) -> str:
    return next(word for least, word in CONFIDENCE if probability >= least)


def _iso(time_ns: int) -> str:
    """RFC 3339 in UTC, microseconds; empty when the calendar does not reach there."""
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_ns // 1000)
    except OverflowError:
        return ""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
