"""A trace told in brief, as OTLP. Pure: answer and entry in, messages out.

When more traces fail than there is time to explain, the backend still hears of each: that something is wrong, what
kind, and where it came in; not where it began. In: the brief `Answer`, the trace's entry span, the time it was told.
Out: at most two `OutboxItem`s. The same input gives the same bytes, for ever.

    <prefix>trace_summary  INFO  the log event every told trace has once, with <prefix>brief = true; at the entry
    span `firstfault brief`      child of the entry, over exactly its time, INTERNAL, status UNSET

Keys are those of a finding: a later revision that is explained comes beside it, a replay queues nothing twice.
"""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from analyzer.finding_ids import finding_id
from analyzer.findings import Answer, SpanRef
from analyzer.spans import OWN_SCOPE_NAME
from collector.contracts import OutboxItem, Signal
from collector.exporters.attributes import SENTENCE_MAX, Value, id_bytes, key_values, text, unix_ns
from collector.exporters.findings import SERVICE_NAME, ExportSettings, annotation_span_id, item_of, resource_of


def brief_exports(answer: Answer, entry: SpanRef | None, settings: ExportSettings, told_ns: int) -> list[OutboxItem]:
    """Write what is told in brief of one trace; nothing when nothing was found in it.

    Parameters
    ----------
    answer : Answer
        Of `Analyzer.brief`.
    entry : SpanRef or None
        Where the trace came in: the span that is annotated. None: it has logs only, and gets no annotation.
    settings : ExportSettings
    told_ns : int
        When it was told, Unix nanoseconds.

    Returns
    -------
    list of OutboxItem
    """
    if answer.verdict == "none":
        return []
    items = []
    if settings.log_events:
        logs = ExportLogsServiceRequest()
        resource_logs = logs.resource_logs.add()
        resource_logs.resource.CopyFrom(resource_of(SERVICE_NAME, answer.engine_version))
        scope_logs = resource_logs.scope_logs.add()
        scope_logs.scope.name, scope_logs.scope.version = OWN_SCOPE_NAME, answer.engine_version
        scope_logs.log_records.append(_record(answer, entry, settings, told_ns))
        items.append(item_of(answer, settings, Signal.LOGS, logs.SerializeToString(deterministic=True)))
    if settings.annotation_spans and entry is not None and id_bytes(entry.span_id, 8):
        traces = ExportTraceServiceRequest()
        resource_spans = traces.resource_spans.add()
        service = entry.service if settings.annotation_service == "inherit" else SERVICE_NAME
        resource_spans.resource.CopyFrom(resource_of(service, answer.engine_version))
        scope_spans = resource_spans.scope_spans.add()
        scope_spans.scope.name, scope_spans.scope.version = OWN_SCOPE_NAME, answer.engine_version
        scope_spans.spans.append(_annotation(answer, entry, settings))
        items.append(item_of(answer, settings, Signal.TRACES, traces.SerializeToString(deterministic=True)))
    return items


def _record(answer: Answer, entry: SpanRef | None, settings: ExportSettings, told_ns: int) -> LogRecord:
    name = settings.prefix + "trace_summary"
    record = LogRecord(
        time_unix_nano=unix_ns(answer.end_ns),
        observed_time_unix_nano=unix_ns(told_ns),
        severity_number=SeverityNumber.SEVERITY_NUMBER_INFO,
        severity_text="INFO",
        event_name=name,
        trace_id=id_bytes(answer.trace_id, 16),
        span_id=id_bytes(entry.span_id, 8) if entry is not None else b"",
        flags=entry.trace_flags & 0xFF if entry is not None else 0,
    )
    record.body.string_value = text(answer.summary, SENTENCE_MAX)
    if settings.event_name_attribute:
        record.attributes.extend(key_values({"event.name": name}))
    # As a finding's summary: an explained revision continues this finding.
    record.attributes.extend(key_values(_attributes(answer, settings, "trace_summary", "trace_summary", "")))
    return record


def _annotation(answer: Answer, entry: SpanRef, settings: ExportSettings) -> Span:
    span = Span(
        trace_id=id_bytes(answer.trace_id, 16),
        span_id=annotation_span_id(answer.trace_id, _finding_id(answer, "brief", ""), answer.revision),
        parent_span_id=id_bytes(entry.span_id, 8),
        flags=entry.trace_flags & 0xFF,
        name=f"{settings.prefix.rstrip('.')} brief",
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=unix_ns(entry.start_ns),
        end_time_unix_nano=unix_ns(entry.start_ns + entry.duration_ns),
    )
    span.attributes.extend(key_values(_attributes(answer, settings, "brief", "brief", entry.span_id)))
    return span


def _attributes(answer: Answer, settings: ExportSettings, kind: str, rule: str, anchor: str) -> dict[str, Value | None]:
    attributes: dict[str, Value | None] = {
        "finding.id": _finding_id(answer, rule, anchor),
        "kind": kind,
        "brief": True,
        "verdict": answer.verdict,
        "status_reason": answer.status_reason,
        "root.service": answer.root_service,
        "root.operation": answer.root_operation,
        "engine.version": answer.engine_version,
        "revision": answer.revision,
        "tenant": answer.tenant or None,
    }
    return {settings.prefix + key: value for key, value in attributes.items()}


def _finding_id(answer: Answer, rule: str, anchor: str) -> str:
    return finding_id(answer.tenant, answer.trace_id, rule, anchor)
