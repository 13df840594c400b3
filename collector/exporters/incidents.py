"""An incident as OTLP: one log event for each turn that is of note. Pure: words in, messages out.

In: an `Incident`, what is new about it, the time it was told. Out: at most one `OutboxItem`. The same input gives the
same bytes, for ever.

    <prefix>incident.opened         ERROR
    <prefix>incident.cause_changed  WARN
    <prefix>incident.merged         INFO
    <prefix>incident.closed         INFO

An incident is of many traces, so the events carry no trace context; example trace ids stand among the attributes.
"""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, SeverityNumber

from analyzer.finding_ids import digest
from analyzer.incident_words import Incident
from analyzer.spans import OWN_SCOPE_NAME
from collector.contracts import OutboxItem, Signal
from collector.exporters.attributes import SENTENCE_MAX, Value, key_values, text, unix_ns
from collector.exporters.findings import SERVICE_NAME, ExportSettings

_SEVERITY = {
    "opened": (SeverityNumber.SEVERITY_NUMBER_ERROR, "ERROR"),
    "cause_changed": (SeverityNumber.SEVERITY_NUMBER_WARN, "WARN"),
    "merged": (SeverityNumber.SEVERITY_NUMBER_INFO, "INFO"),
    "closed": (SeverityNumber.SEVERITY_NUMBER_INFO, "INFO"),
}


def incident_exports(incident: Incident, note: str, settings: ExportSettings, told_ns: int) -> list[OutboxItem]:
    """Write one turn of an incident; nothing when it is not of note, or log events are off.

    Parameters
    ----------
    incident : Incident
    note : what is new: opened, cause_changed, merged or closed; anything else is not of note
    settings : ExportSettings
    told_ns : when it was told, Unix nanoseconds

    Returns
    -------
    list of OutboxItem
        Its key is made of incident and revision, so a replay queues nothing twice.
    """
    if note not in _SEVERITY or not settings.log_events:
        return []
    request = ExportLogsServiceRequest()
    resource_logs = request.resource_logs.add()
    resource_logs.resource.attributes.extend(
        key_values({"service.name": SERVICE_NAME, "service.version": incident.engine_version})
    )
    scope_logs = resource_logs.scope_logs.add()
    scope_logs.scope.name, scope_logs.scope.version = OWN_SCOPE_NAME, incident.engine_version
    scope_logs.log_records.append(_record(incident, note, settings, told_ns))
    key = digest(16, "export", "incident", incident.incident_id, str(incident.revision))
    payload = request.SerializeToString(deterministic=True)
    return [OutboxItem(key=key, destination=settings.destination, signal=Signal.LOGS, payload=payload)]


def _record(incident: Incident, note: str, settings: ExportSettings, told_ns: int) -> LogRecord:
    number, word = _SEVERITY[note]
    name = f"{settings.prefix}incident.{note}"
    # It must sort near what it speaks of: the onset, the end.
    at_ns = {"opened": incident.onset_ns, "closed": incident.ended_ns}.get(note) or incident.updated_ns
    record = LogRecord(
        time_unix_nano=unix_ns(at_ns),
        observed_time_unix_nano=unix_ns(told_ns),
        severity_number=number,
        severity_text=word,
        event_name=name,
    )
    record.body.string_value = text(incident.summary, SENTENCE_MAX)
    event_name: dict[str, Value | None] = {"event.name": name} if settings.event_name_attribute else {}
    attributes = {f"{settings.prefix}incident.{key}": value for key, value in _said(incident).items()}
    attributes[f"{settings.prefix}engine.version"] = incident.engine_version
    record.attributes.extend(key_values(event_name | attributes))
    return record


def _said(incident: Incident) -> dict[str, Value | None]:
    first = incident.suspects[0] if incident.suspects and incident.verdict == "cause" else None
    radius = incident.blast_radius
    return {
        "id": incident.incident_id,
        "status": incident.status,
        "verdict": incident.verdict,
        "revision": incident.revision,
        "cause.kind": first.entity.kind if first else None,
        "cause.name": first.entity.name if first else None,
        "cause.service": first.entity.service if first else None,
        "cause.rule": first.rule if first else None,
        "cause.probability": first.probability if first else None,
        "roots": incident.roots or None,
        "candidate_set": incident.candidate_set or None,
        "affected.services": [one.service for one in incident.affected] or None,
        "entry_operations": radius.entry_operations if radius else None,
        "requests": radius.requests if radius else None,
        "failed_requests": radius.failed_requests if radius else None,
        "slow_requests": radius.slow_requests if radius else None,
        "example_trace_ids": incident.example_trace_ids or None,
        "next_probe": incident.next_probe,
    }
