"""Real doors on loopback with the real gate, and a handover that remembers.

Fakes stand only behind the gate; everything a client can see is the product.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
import httpx
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from collector.admission import Gate
from collector.contracts import Signal
from collector.receivers.otlp_grpc import Authorize, GrpcReceiver, GrpcSettings
from collector.receivers.otlp_http import HttpReceiver, HttpSettings
from collector.telemetry import Snapshot, merge
from collector.tenant_quotas import TenantQuotas
from collector.tls import ServerTls
from collector.wire.limits import prescan
from collector.wire.otlp_json import translate_json
from collector.wire.request_limits import RequestLimits

TRACE_ID = bytes(range(1, 17))
PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


class RecordingHandover:
    """Remembers what it was offered. `has_room` False: the ring is full. `fault`: raised at the next offers."""

    def __init__(self) -> None:
        self.taken: list[tuple[Signal, bytes]] = []
        self.has_room = True
        self.faults: list[Exception] = []

    def offer(self, payload: bytes, signal: Signal) -> bool:
        if self.faults:
            raise self.faults.pop(0)
        if self.has_room:
            self.taken.append((signal, bytes(payload)))
        return self.has_room

    def spans(self) -> list[str]:
        """Names of the spans that were handed over."""
        return [
            span.name
            for signal, payload in self.taken
            if signal is Signal.TRACES
            for resource in ExportTraceServiceRequest.FromString(payload).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def logs(self) -> list[str]:
        return [
            record.body.string_value
            for signal, payload in self.taken
            if signal is Signal.LOGS
            for resource in ExportLogsServiceRequest.FromString(payload).resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]


@dataclass
class Doors:
    """Both doors, the gate behind them, and clients."""

    gate: Gate
    handover: RecordingHandover
    grpc_door: GrpcReceiver
    http_door: HttpReceiver
    grpc_address: str
    http_address: str
    channel: grpc.Channel
    http: httpx.Client

    @property
    def traces(self) -> TraceServiceStub:
        return TraceServiceStub(self.channel)

    @property
    def logs(self) -> LogsServiceStub:
        return LogsServiceStub(self.channel)

    @property
    def metrics(self) -> MetricsServiceStub:
        return MetricsServiceStub(self.channel)

    def counts(self) -> Snapshot:
        """Every counter that is not zero, without the histograms."""
        found = merge((self.gate.snapshot(), self.grpc_door.snapshot(), self.http_door.snapshot()))
        return {key: value for key, value in found.items() if value and "seconds" not in key}


@contextmanager
def open_doors(
    *,
    grpc_settings: GrpcSettings | None = None,
    http_settings: HttpSettings | None = None,
    limits: RequestLimits | None = None,
    authorize: Authorize | None = None,
    quotas: TenantQuotas | None = None,
    tls: ServerTls | None = None,
    ca: bytes | None = None,
    started: bool = True,
) -> Iterator[Doors]:
    """Start gate and doors on free ports; stop them at the end.

    With `tls` the clients trust `ca` and show no certificate of their own.
    """
    handover = RecordingHandover()
    gate = Gate(
        handover,
        prescan=prescan,
        translate_json=translate_json,
        limits=limits,
        quotas=quotas,
        seed=1,
        pause=lambda _: None,
    )
    credentials, context = (tls.grpc_credentials(), tls.context()) if tls is not None else (None, None)
    grpc_door = GrpcReceiver(gate, "127.0.0.1:0", grpc_settings, credentials=credentials, authorize=authorize)
    http_door = HttpReceiver(gate, "127.0.0.1", 0, http_settings, tls=context, authorize=authorize)
    grpc_address = f"127.0.0.1:{grpc_door.start()}"
    http_address = f"{'http' if tls is None else 'https'}://127.0.0.1:{http_door.start()}"
    if started:
        gate.open()
        grpc_door.set_serving(True)
    try:
        verify = ssl.create_default_context(cadata=ca.decode()) if ca is not None else True
        with (
            grpc.insecure_channel(grpc_address)
            if tls is None
            else grpc.secure_channel(grpc_address, grpc.ssl_channel_credentials(ca)) as channel,
            httpx.Client(base_url=http_address, timeout=60, verify=verify) as http,
        ):
            yield Doors(gate, handover, grpc_door, http_door, grpc_address, http_address, channel, http)
    finally:
        http_door.stop(1.0)
        grpc_door.stop(1.0)


def request(*names: str, trace_id: bytes = TRACE_ID) -> ExportTraceServiceRequest:
    """A request with a good span for each name. A name that begins with "bad" has an unusable span id."""
    found = ExportTraceServiceRequest()
    spans = found.resource_spans.add().scope_spans.add().spans
    for number, name in enumerate(names, 1):
        span = spans.add(trace_id=trace_id, name=name, span_id=number.to_bytes(8, "big"))
        if name.startswith("bad"):
            span.span_id = b"\0" * 8
    return found


def log_request(*texts: str) -> ExportLogsServiceRequest:
    found = ExportLogsServiceRequest()
    records = found.resource_logs.add().scope_logs.add().log_records
    for text in texts:
        records.add(trace_id=TRACE_ID).body.string_value = text
    return found


def refusal(call: grpc.UnaryUnaryMultiCallable, message: Message, **extra: object) -> grpc.RpcError:
    """The error a call ends with."""
    try:
        call(message, timeout=30, **extra)
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call was answered OK; expected a refusal")


def trailers(error: grpc.RpcError) -> dict[str, bytes]:
    found: Sequence[tuple[str, bytes]] = error.trailing_metadata() or ()
    return dict(found)


def detail_names(status: Status) -> list[str]:
    return [detail.TypeName() for detail in status.details]
