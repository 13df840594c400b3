"""Traces that are planted: a few lines of spans, made into what an application would send.

In: `PlannedSpan`s, in milliseconds from the start. Out: a request with new ids, and the ids by the spans' keys.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

SERVER, CLIENT = Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT
_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class PlannedSpan:
    """One span.

    key : names it within its trace
    parent : key of its parent; "" for the root
    exception : type and message of an exception event; none when empty
    """

    key: str
    parent: str
    service: str
    name: str
    kind: Span.SpanKind.ValueType
    start_ms: float
    end_ms: float
    attributes: Mapping[str, str | int]
    error: bool = False
    exception: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class PlantedTrace:
    """A trace as it is sent; `span_ids` by the keys of its plan, hexadecimal."""

    trace_id: str
    span_ids: Mapping[str, str]
    request: ExportTraceServiceRequest = field(repr=False)


def plant(spans: Sequence[PlannedSpan], end_ns: int, stretch: float = 1.0) -> PlantedTrace:
    """Make a trace of its plan; its ids are new each time.

    Parameters
    ----------
    spans : sequence of PlannedSpan
        The root first.
    end_ns : int
        When the root ended.
    stretch : float
        All times are multiplied by it.
    """
    trace_id = secrets.token_bytes(16)
    ids = {span.key: secrets.token_bytes(8) for span in spans}
    begin_ns = end_ns - round(spans[0].end_ms * stretch * _MS)
    request = ExportTraceServiceRequest()
    for plan in spans:
        resource = request.resource_spans.add()
        _set(resource.resource.attributes.add(), "service.name", plan.service)
        span = resource.scope_spans.add().spans.add(
            trace_id=trace_id,
            span_id=ids[plan.key],
            parent_span_id=ids[plan.parent] if plan.parent else b"",
            name=plan.name,
            kind=plan.kind,
            start_time_unix_nano=begin_ns + round(plan.start_ms * stretch * _MS),
            end_time_unix_nano=begin_ns + round(plan.end_ms * stretch * _MS),
            status=Status(code=Status.STATUS_CODE_ERROR if plan.error else Status.STATUS_CODE_UNSET),
        )
        for key, value in plan.attributes.items():
            _set(span.attributes.add(), key, value)
        if plan.exception is not None:
            thrown = span.events.add(name="exception", time_unix_nano=span.end_time_unix_nano)
            _set(thrown.attributes.add(), "exception.type", plan.exception[0])
            _set(thrown.attributes.add(), "exception.message", plan.exception[1])
    return PlantedTrace(trace_id.hex(), {key: value.hex() for key, value in ids.items()}, request)


def _set(pair: KeyValue, key: str, value: str | int) -> None:
    pair.key = key
    if isinstance(value, int):
        pair.value.int_value = value
    else:
        pair.value.string_value = value
