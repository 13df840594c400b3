"""Spans and logs of one trace from several places, put together: each once.

In: ExportTraceServiceRequest and ExportLogsServiceRequest bytes, the best part first. Out: one request of each. What
belongs to another trace is left out, whoever sent it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, slots=True)
class Union:
    """One trace again. `added_counts`: spans that each part brought and no part before it had."""

    spans: bytes
    logs: bytes | None
    added_counts: list[int]


def union(trace_id: bytes, parts: Sequence[tuple[bytes, bytes | None]]) -> Union:
    """Put parts together. Of two spans with the same id the one of the earlier part is kept.

    Raises
    ------
    google.protobuf.message.DecodeError
        A part cannot be read.
    """
    spans, logs = ExportTraceServiceRequest(), ExportLogsServiceRequest()
    seen_ids: set[bytes] = set()
    seen_records: set[bytes] = set()
    added_counts = []
    for part_spans, part_logs in parts:
        before = len(seen_ids)
        whole = ExportTraceServiceRequest.FromString(part_spans)
        for resource_spans in whole.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                kept = [one for one in scope_spans.spans if one.trace_id == trace_id and one.span_id not in seen_ids]
                kept = list({one.span_id: one for one in reversed(kept)}.values())[::-1]
                seen_ids.update(one.span_id for one in kept)
                del scope_spans.spans[:]
                scope_spans.spans.extend(kept)
        spans.MergeFrom(whole)
        added_counts.append(len(seen_ids) - before)
        if part_logs:
            logs.MergeFrom(_new_logs(trace_id, ExportLogsServiceRequest.FromString(part_logs), seen_records))
    return Union(spans.SerializeToString(), logs.SerializeToString() or None, added_counts)


def _new_logs(trace_id: bytes, whole: ExportLogsServiceRequest, seen: set[bytes]) -> ExportLogsServiceRequest:
    """Leave out records that came before: they have no ids, so all of their bytes must be the same."""
    for resource_logs in whole.resource_logs:
        for scope_logs in resource_logs.scope_logs:
            kept = []
            for record in scope_logs.log_records:
                body = record.SerializeToString(deterministic=True)
                if record.trace_id == trace_id and body not in seen:
                    seen.add(body)
                    kept.append(record)
            del scope_logs.log_records[:]
            scope_logs.log_records.extend(kept)
    return whole
