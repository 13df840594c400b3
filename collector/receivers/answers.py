"""What an admitted request is answered: Export*ServiceResponse, empty unless something was rejected.

In: an `Admission`. Out: protobuf bytes or JSON. `partial_success` stays unset on full
success (OTLP 1.11, Full Success).
"""

from __future__ import annotations

import orjson
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsPartialSuccess, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from collector.contracts import Admission, Signal

MESSAGE_MAX = 4096  # OTLP 1.11: shrink the message rather than exceed 4 MiB; nobody reads more than this


def answer_protobuf(admission: Admission, signal: Signal) -> bytes:
    """Serialise the response."""
    if not admission.rejected_count and not admission.message:
        return b""
    message = admission.message[:MESSAGE_MAX]
    if signal is Signal.LOGS:
        logs = ExportLogsPartialSuccess(rejected_log_records=admission.rejected_count, error_message=message)
        return ExportLogsServiceResponse(partial_success=logs).SerializeToString()
    spans = ExportTracePartialSuccess(rejected_spans=admission.rejected_count, error_message=message)
    return ExportTraceServiceResponse(partial_success=spans).SerializeToString()


def answer_json(admission: Admission, signal: Signal) -> bytes:
    """Write the response as OTLP/JSON: 64-bit counts are strings."""
    if not admission.rejected_count and not admission.message:
        return b"{}"
    key = "rejectedLogRecords" if signal is Signal.LOGS else "rejectedSpans"
    partial = {key: str(admission.rejected_count), "errorMessage": admission.message[:MESSAGE_MAX]}
    return orjson.dumps({"partialSuccess": partial})
