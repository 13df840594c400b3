"""The OpenTelemetry SDK for Python sends through both doors, and keeps the delay it is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from grpc import Compression as GrpcCompression
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression as HttpCompression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from collector.errors import BadRequestError, OverloadedError, TooLargeError
from tests.support.doors import Doors, open_doors


@pytest.fixture(scope="module")
def shared_doors() -> Iterator[Doors]:
    with open_doors() as doors:
        yield doors


@pytest.fixture
def doors(shared_doors: Doors) -> Doors:
    shared_doors.handover.taken.clear()
    shared_doors.handover.faults.clear()
    return shared_doors


@pytest.fixture(scope="module")
def spans() -> list[ReadableSpan]:
    """A failing span inside another."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("GET /checkout"), tracer.start_as_current_span("Charge") as span:
        span.record_exception(ValueError("declined"))
    return list(memory.get_finished_spans())


def _exporter(kind: str, doors: Doors, compressed: bool = False) -> SpanExporter:
    if kind == "grpc":
        return GrpcExporter(
            endpoint=f"http://{doors.grpc_address}",
            insecure=True,
            timeout=8,
            compression=GrpcCompression.Gzip if compressed else GrpcCompression.NoCompression,
        )
    return HttpExporter(
        endpoint=f"{doors.http_address}/v1/traces",
        timeout=8,
        compression=HttpCompression.Gzip if compressed else HttpCompression.NoCompression,
    )


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", ["grpc", "http"])
def test_spans_arrive(doors: Doors, spans: list[ReadableSpan], kind: str, compressed: bool):
    exporter = _exporter(kind, doors, compressed)

    result = exporter.export(spans)
    exporter.shutdown()

    assert (result, doors.handover.spans()) == (SpanExportResult.SUCCESS, ["Charge", "GET /checkout"])


@pytest.mark.parametrize("kind", ["grpc", "http"])
def test_the_client_waits_as_long_as_it_is_told(doors: Doors, spans: list[ReadableSpan], kind: str):
    """Its own first wait would be 0.8 to 1.2 s; it was told 2 s."""
    doors.handover.faults.append(OverloadedError("full", retry_after_s=2.0))
    arrived: list[float] = []
    offer = doors.handover.offer
    doors.handover.offer = lambda payload, signal: (arrived.append(time.monotonic()), offer(payload, signal))[1]  # type: ignore[method-assign]
    exporter = _exporter(kind, doors)

    result = exporter.export(spans)
    exporter.shutdown()
    del doors.handover.offer

    assert (result, len(arrived)) == (SpanExportResult.SUCCESS, 2)
    assert arrived[1] - arrived[0] >= 1.95
    assert doors.handover.spans() == ["Charge", "GET /checkout"]


@pytest.mark.parametrize("fault", [BadRequestError("no"), TooLargeError("no")])
@pytest.mark.parametrize("kind", ["http"])
def test_the_client_does_not_send_again_what_would_fail_again(
    doors: Doors, spans: list[ReadableSpan], kind: str, fault: Exception
):
    doors.handover.faults.append(fault)
    exporter = _exporter(kind, doors)

    result = exporter.export(spans)
    exporter.shutdown()

    assert (result, doors.handover.taken) == (SpanExportResult.FAILURE, [])


def test_the_grpc_client_does_not_send_bad_data_again(doors: Doors, spans: list[ReadableSpan]):
    """INVALID_ARGUMENT. (It does send RESOURCE_EXHAUSTED again, against the specification.)"""
    doors.handover.faults.append(BadRequestError("no"))
    exporter = _exporter("grpc", doors)

    result = exporter.export(spans)
    exporter.shutdown()

    assert (result, doors.handover.taken) == (SpanExportResult.FAILURE, [])


@pytest.mark.parametrize("kind", ["grpc", "http"])
def test_data_survives_a_start(spans: list[ReadableSpan], kind: str):
    """Refused while starting, taken once the gate is open: nothing is lost."""
    with open_doors(started=False) as doors:
        exporter = _exporter(kind, doors)
        refused = threading.Event()
        delay = doors.gate._delay_s
        doors.gate._delay_s = lambda: (refused.set(), min(delay(), 1.0))[1]  # type: ignore[method-assign]
        opener = threading.Thread(target=lambda: (refused.wait(10), doors.gate.open()))
        opener.start()

        result = exporter.export(spans)
        opener.join()
        exporter.shutdown()

        assert (result, doors.handover.spans()) == (SpanExportResult.SUCCESS, ["Charge", "GET /checkout"])
        assert doors.counts()[f"receiver_refused_spans|otlp|{kind}|starting"] == 2
