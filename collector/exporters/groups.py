"""A group of errors as OTLP: one log event for each turn that is news. Pure: words in, messages out.

In: an `ErrorGroup`, what is new about it, the time it was told. Out: at most one `OutboxItem`. The same input gives the
same bytes, for ever.

    <prefix>group.spike      WARN    far above its own past
    <prefix>group.new        WARN    a kind of error that is news for its service
    <prefix>group.regressed  ERROR   seen again after it was resolved

A group is of many traces, so the events carry no trace context; example trace ids stand among the attributes.
"""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber

from analyzer.errors.group_news import Turn
from analyzer.errors.group_words import ErrorGroup
from analyzer.finding_ids import digest
from analyzer.spans import OWN_SCOPE_NAME
from analyzer.version import __version__
from collector.contracts import OutboxItem, Signal
from collector.exporters.attributes import SENTENCE_MAX, Value, key_values, text, unix_ns
from collector.exporters.findings import SERVICE_NAME, ExportSettings
from collector.group_words import news_of

_SEVERITY = {
    "spike": (SeverityNumber.SEVERITY_NUMBER_WARN, "WARN"),
    "new": (SeverityNumber.SEVERITY_NUMBER_WARN, "WARN"),
    "regressed": (SeverityNumber.SEVERITY_NUMBER_ERROR, "ERROR"),
}


def group_exports(group: ErrorGroup, turn: Turn, settings: ExportSettings, told_ns: int) -> list[OutboxItem]:
    """Write one turn of a group; nothing when log events are off.

    Parameters
    ----------
    group : ErrorGroup
    turn : what is new, and since when
    settings : ExportSettings
    told_ns : when it was told, Unix nanoseconds

    Returns
    -------
    list of OutboxItem
        Its key is made of group, what is new and since when, so a replay queues nothing twice.
    """
    if not settings.log_events:
        return []
    request = ExportLogsServiceRequest()
    resource_logs = request.resource_logs.add()
    resource_logs.resource.attributes.extend(key_values({"service.name": SERVICE_NAME, "service.version": __version__}))
    scope_logs = resource_logs.scope_logs.add()
    scope_logs.scope.name, scope_logs.scope.version = OWN_SCOPE_NAME, __version__
    scope_logs.log_records.append(_record(group, turn, settings, told_ns))
    key = digest(16, "export", "group", group.group_id, turn.what, str(turn.at_ns))
    payload = request.SerializeToString(deterministic=True)
    return [OutboxItem(key=key, destination=settings.destination, signal=Signal.LOGS, payload=payload)]


def _record(group: ErrorGroup, turn: Turn, settings: ExportSettings, told_ns: int) -> LogRecord:
    number, word = _SEVERITY[turn.what]
    name = f"{settings.prefix}group.{turn.what}"
    record = LogRecord(
        time_unix_nano=unix_ns(turn.at_ns),  # it must sort near what it speaks of
        observed_time_unix_nano=unix_ns(told_ns),
        severity_number=number,
        severity_text=word,
        event_name=name,
    )
    record.body.string_value = text(news_of(group, turn.what), SENTENCE_MAX)
    event_name: dict[str, Value | None] = {"event.name": name} if settings.event_name_attribute else {}
    attributes = {f"{settings.prefix}group.{key}": value for key, value in _said(group, turn).items()}
    attributes[f"{settings.prefix}engine.version"] = __version__
    record.attributes.extend(key_values(event_name | attributes))
    return record


def _said(group: ErrorGroup, turn: Turn) -> dict[str, Value | None]:
    spike = group.spike if turn.what == "spike" else None
    return {
        "id": group.group_id,
        "type": group.type or None,
        "message": group.message or None,
        "service": group.service or None,
        "operation": group.operation or None,
        "status": group.status,
        "severity": group.severity.value if group.severity is not None else None,
        "count": group.count,
        "users": group.users or None,
        "versions": [one.name for one in group.versions] or None,
        "spike.now": spike.now if spike is not None else None,
        "spike.usual": spike.usual if spike is not None else None,
        "spike.ratio": spike.ratio if spike is not None else None,
        "spike.p": spike.p if spike is not None else None,
        "example_trace_ids": group.example_trace_ids or None,
    }
