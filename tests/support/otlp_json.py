"""A protobuf message as OTLP/JSON, straight after the specification: the other direction of the product's reader."""

from __future__ import annotations

import base64
import math
from typing import Any

from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.contracts import Signal

REQUESTS: dict[Signal, type[Message]] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
}


def as_json(message: Any) -> Any:
    """Write every field that is set; ids in hex, 64-bit integers as text, enums as numbers."""
    found: dict[str, Any] = {}
    for field, value in message.ListFields():
        items = list(value) if field.is_repeated else [value]
        written = [_item(field, item) for item in items]
        found[field.json_name] = written if field.is_repeated else written[0]
    return found


def _item(field: Any, item: Any) -> Any:
    if field.message_type is not None:
        return as_json(item)
    if isinstance(item, bytes):
        return item.hex() if field.name.endswith("_id") else base64.b64encode(item).decode()
    if field.cpp_type in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64):
        return str(item)
    if isinstance(item, float) and not math.isfinite(item):
        return "NaN" if math.isnan(item) else "Infinity" if item > 0 else "-Infinity"
    return item
