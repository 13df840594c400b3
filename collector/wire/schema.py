"""The shape of OTLP requests as a table, read off the protobuf descriptors.

In: the message types of opentelemetry-proto. Out: `Schema`: for every message type and field number what
stands in a length-delimited field. So a newer opentelemetry-proto teaches the guard its new fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.contracts import Signal

FIELDS_MAX = 32  # numbers below this; OTLP stays below 20
OPAQUE = 0  # text, bytes, or a field we do not know: nothing to look into
PACKED_VARINT, PACKED_32, PACKED_64 = 253, 254, 255
_FIRST_MESSAGE = 1

_ROOTS: dict[Signal, Descriptor] = {
    Signal.TRACES: ExportTraceServiceRequest.DESCRIPTOR,
    Signal.LOGS: ExportLogsServiceRequest.DESCRIPTOR,
    Signal.METRICS: ExportMetricsServiceRequest.DESCRIPTOR,
}
_ITEMS = {Signal.TRACES: "Span", Signal.LOGS: "LogRecord", Signal.METRICS: "Metric"}
_GROUPS = {Signal.TRACES: "ResourceSpans", Signal.LOGS: "ResourceLogs", Signal.METRICS: "ResourceMetrics"}
_FIXED_32 = (FieldDescriptor.TYPE_FIXED32, FieldDescriptor.TYPE_SFIXED32, FieldDescriptor.TYPE_FLOAT)
_FIXED_64 = (FieldDescriptor.TYPE_FIXED64, FieldDescriptor.TYPE_SFIXED64, FieldDescriptor.TYPE_DOUBLE)


@dataclass(frozen=True, slots=True)
class Schema:
    """One signal's request.

    children : uint8[message types * FIELDS_MAX]
        Message type in field f of type t at [t * FIELDS_MAX + f]; `OPAQUE`, or how a packed list is written.
    root, group, item, key_value, any_value : int
        Types of the request, of ResourceSpans (or logs, metrics), of Span (LogRecord, Metric), and of attributes.
    """

    children: npt.NDArray[np.uint8]
    root: int
    group: int
    item: int
    key_value: int
    any_value: int


@cache
def schema_of(signal: Signal) -> Schema:
    """Walk the descriptors of a request."""
    types: list[Descriptor] = [_ROOTS[signal]]
    table: list[np.ndarray] = []
    for message in types:  # grows while it is walked
        row = np.zeros(FIELDS_MAX, np.uint8)
        for field in message.fields:
            if field.number >= FIELDS_MAX:
                raise ValueError(f"{field.full_name} is field {field.number}; expected below {FIELDS_MAX}")
            if field.message_type is not None:
                if field.message_type not in types:
                    types.append(field.message_type)
                row[field.number] = types.index(field.message_type) + _FIRST_MESSAGE
            elif field.is_repeated:
                row[field.number] = _packed(field)
        table.append(row)
    kinds = {message.name: i + _FIRST_MESSAGE for i, message in enumerate(types)}
    nothing = np.zeros(FIELDS_MAX, np.uint8)
    return Schema(
        children=np.concatenate([nothing, *table]),
        root=_FIRST_MESSAGE,
        group=kinds[_GROUPS[signal]],
        item=kinds[_ITEMS[signal]],
        key_value=kinds["KeyValue"],
        any_value=kinds["AnyValue"],
    )


def _packed(field: FieldDescriptor) -> int:
    if field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
        return OPAQUE
    if field.type in _FIXED_32:
        return PACKED_32
    return PACKED_64 if field.type in _FIXED_64 else PACKED_VARINT
