"""A tracing backend in a hundred lines: an OTLP/gRPC sink that remembers what firstfault wrote back."""

from __future__ import annotations

import threading
from collections import deque
from concurrent import futures
from dataclasses import dataclass

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import (
    LogsServiceServicer,
    add_LogsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

KEPT_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Received:
    """One annotation span or log event."""

    kind: str  # "span" or "log"
    trace_id: str
    name: str
    text: str


class Sink:
    """Owner of what was received; grpc threads add to it under a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received: deque[Received] = deque(maxlen=KEPT_MAX)
        self._server = grpc.server(futures.ThreadPoolExecutor(2))
        add_TraceServiceServicer_to_server(_Traces(self), self._server)  # type: ignore[no-untyped-call]
        add_LogsServiceServicer_to_server(_Logs(self), self._server)  # type: ignore[no-untyped-call]
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop(0.5).wait()

    def add(self, item: Received) -> None:
        with self._lock:
            self._received.append(item)

    def of_trace(self, trace_id: str) -> list[Received]:
        with self._lock:
            return [item for item in self._received if item.trace_id == trace_id]

    def counts(self) -> tuple[int, int]:
        """Return (spans, logs) received."""
        with self._lock:
            spans = sum(item.kind == "span" for item in self._received)
            return spans, len(self._received) - spans


class _Traces(TraceServiceServicer):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def Export(self, request: ExportTraceServiceRequest, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        for resource_spans in request.resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    self._sink.add(Received("span", span.trace_id.hex(), span.name, span.parent_span_id.hex()))
        return ExportTraceServiceResponse()


class _Logs(LogsServiceServicer):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def Export(self, request: ExportLogsServiceRequest, context: grpc.ServicerContext) -> ExportLogsServiceResponse:
        for resource_logs in request.resource_logs:
            for scope_logs in resource_logs.scope_logs:
                for record in scope_logs.log_records:
                    text = record.body.string_value
                    self._sink.add(Received("log", record.trace_id.hex(), record.event_name, text))
        return ExportLogsServiceResponse()
