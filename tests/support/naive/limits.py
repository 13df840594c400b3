"""The plain twin of the guard: recursive, over the protobuf descriptors themselves.

Truth for `collector.wire.limits.prescan`: the same counts, or the same reason for refusing. The walk is in
the order of the bytes, so the first trouble met is the one told.
"""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.contracts import Signal
from collector.wire.request_limits import Prescan, RequestLimits

NESTING_MAX = 100
REQUESTS = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
}
_ITEMS = ("Span", "LogRecord", "Metric")
_GROUPS = ("ResourceSpans", "ResourceLogs", "ResourceMetrics")
_FOUR = (FieldDescriptor.TYPE_FIXED32, FieldDescriptor.TYPE_SFIXED32, FieldDescriptor.TYPE_FLOAT)
_EIGHT = (FieldDescriptor.TYPE_FIXED64, FieldDescriptor.TYPE_SFIXED64, FieldDescriptor.TYPE_DOUBLE)


class Refused(Exception):
    """`reason` as of BadRequestError; `group` when all that is wrong are group wire types."""

    def __init__(self, reason: str, group: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.group = group


@dataclass
class _Count:
    items: int = 0
    messages: int = 0
    groups: int = 0
    bad_trace_ids: int = 0
    bad_span_ids: int = 0
    untraced: int = 0


def prescan(payload: bytes, signal: Signal, limits: RequestLimits) -> Prescan:
    """Count, or raise `Refused`."""
    count = _Count()
    _message(payload, REQUESTS[signal].DESCRIPTOR, 0, 0, count, limits)
    if signal != Signal.TRACES:
        return Prescan(count.items, untraced=count.untraced)
    return Prescan(count.items, count.bad_trace_ids, count.bad_span_ids)


def _message(raw: bytes, kind: Descriptor, nesting: int, depth: int, count: _Count, limits: RequestLimits) -> None:
    trace_id, span_id = b"", b""
    p = 0
    while p < len(raw):
        tag, p = _varint(raw, p, 5)
        number, wire_type = tag >> 3, tag & 7
        if number == 0 or tag >= 1 << 32:
            raise Refused("undecodable")
        if wire_type == 0:
            _, p = _varint(raw, p, 10)
        elif wire_type in (1, 5):
            p += 8 if wire_type == 1 else 4
            if p > len(raw):
                raise Refused("undecodable")
        elif wire_type == 2:
            length, p = _varint(raw, p, 5)
            if length >= 1 << 31 or p + length > len(raw):
                raise Refused("undecodable")
            inside = raw[p : p + length]
            p += length
            field = kind.fields_by_number.get(number)
            if field is None:
                continue
            if field.message_type is not None:
                _enter(inside, field.message_type, nesting, depth, count, limits)
            elif field.is_repeated:
                _packed(inside, field)
            elif field.name == "trace_id":
                trace_id = inside
            elif field.name == "span_id":
                span_id = inside
        else:
            raise Refused("undecodable", group=True)
    if kind.name == "Span":
        if len(trace_id) != 16 or not any(trace_id):
            count.bad_trace_ids += 1
        elif len(span_id) != 8 or not any(span_id):
            count.bad_span_ids += 1
    if kind.name == "LogRecord" and (len(trace_id) != 16 or not any(trace_id)):
        count.untraced += 1


def _enter(inside: bytes, kind: Descriptor, nesting: int, depth: int, count: _Count, limits: RequestLimits) -> None:
    count.messages += 1
    if count.messages > limits.messages_max:
        raise Refused("too_many_messages")
    if kind.name in _ITEMS:
        count.items += 1
        if count.items > limits.spans_max:
            raise Refused("too_many_spans")
    if kind.name in _GROUPS:
        count.groups += 1
        if count.groups > limits.resources_max:
            raise Refused("too_many_resources")
    if kind.name == "AnyValue":
        depth += 1
        if depth > limits.depth_max:
            raise Refused("too_deep")
    if nesting >= NESTING_MAX:
        raise Refused("too_deep")
    _message(inside, kind, nesting + 1, depth, count, limits)


def _packed(inside: bytes, field: FieldDescriptor) -> None:
    if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
        return
    if field.type in _FOUR or field.type in _EIGHT:
        if len(inside) % (4 if field.type in _FOUR else 8):
            raise Refused("undecodable")
        return
    p = 0
    while p < len(inside):
        _, p = _varint(inside, p, 10)


def _varint(raw: bytes, p: int, length_max: int) -> tuple[int, int]:
    value = 0
    for k in range(length_max):
        if p + k >= len(raw):
            break
        value |= (raw[p + k] & 127) << 7 * k
        if raw[p + k] < 128:
            return value, p + k + 1
    raise Refused("undecodable")
