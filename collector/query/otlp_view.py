"""Stored spans as a page of OTLP/JSON.

In: ExportTraceServiceRequest bytes, an offset and bounds. Out: `resourceSpans` with hex ids, in the order they are
kept. Spans beyond the page are never turned into Python objects.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_ID_KEYS = ("traceId", "spanId", "parentSpanId")


@dataclass(frozen=True, slots=True)
class Page:
    """Some spans of a trace."""

    resource_spans: list[dict[str, Any]]
    span_ids: list[str]
    span_count: int
    next_offset: int | None


def span_page(trace_otlp: bytes, offset: int, spans_max: int, bytes_max: int) -> Page:
    """Cut a page out of a trace; at least one span when there is one at `offset`.

    Parameters
    ----------
    trace_otlp : a serialised ExportTraceServiceRequest, as the store gave it
    offset : spans to leave out at the beginning
    spans_max, bytes_max : bounds of the page; bytes as protobuf

    Raises
    ------
    google.protobuf.message.DecodeError
        The stored bytes are damaged.
    """
    whole = ExportTraceServiceRequest.FromString(trace_otlp)
    cut = ExportTraceServiceRequest()
    seen = taken = size = 0
    full = False
    for resource_spans in whole.resource_spans:
        into_resource = None
        for scope_spans in resource_spans.scope_spans:
            into_scope = None
            for span in scope_spans.spans:
                seen += 1
                if seen <= offset or full:
                    continue
                size += span.ByteSize()
                if taken == spans_max or (taken and size > bytes_max):
                    full = True
                    continue
                if into_resource is None:
                    into_resource = cut.resource_spans.add(schema_url=resource_spans.schema_url)
                    into_resource.resource.CopyFrom(resource_spans.resource)
                if into_scope is None:
                    into_scope = into_resource.scope_spans.add(schema_url=scope_spans.schema_url)
                    into_scope.scope.CopyFrom(scope_spans.scope)
                into_scope.spans.append(span)
                taken += 1
    written = MessageToDict(cut, use_integers_for_enums=True).get("resourceSpans", [])
    ids = _hex_ids(written)
    following = offset + taken
    return Page(written, ids, seen, following if full else None)


def _hex_ids(resource_spans: list[dict[str, Any]]) -> list[str]:
    """Turn base64 ids into hex, as OTLP/JSON has them (OTLP 1.11, JSON Protobuf Encoding); return the span ids."""
    ids = []
    for group in resource_spans:
        for scope in group.get("scopeSpans", []):
            for span in scope.get("spans", []):
                for holder in (span, *span.get("links", [])):
                    for key in _ID_KEYS:
                        if key in holder:
                            holder[key] = base64.b64decode(holder[key]).hex()
                ids.append(span.get("spanId", ""))
    return ids
