"""What the OpenTelemetry SDK really sends is what we read."""

from __future__ import annotations

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode

from analyzer.error_classes import ErrorClass
from analyzer.spans import PeerKind, SpanFlag
from tests.collector.wire.facts import decoded, expected


@pytest.fixture(scope="module")
def payload() -> bytes:
    """A checkout that failed in the database, recorded by the SDK."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "shop", "service.version": "1.2"}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("shop.checkout", "0.1")
    with tracer.start_as_current_span("POST /checkout", kind=SpanKind.SERVER) as root:
        root.set_attribute("http.response.status_code", 500)
        try:
            with tracer.start_as_current_span("SELECT orders", kind=SpanKind.CLIENT) as child:
                child.set_attribute("db.system.name", "postgresql")
                child.set_attribute("server.address", "pg-1")
                child.set_attribute("db.query.parameter", ["a", "b"])
                raise TimeoutError("canceling statement due to statement timeout")
        except TimeoutError:
            root.set_status(Status(StatusCode.ERROR, "checkout failed"))
    provider.shutdown()
    return encode_spans(exporter.get_finished_spans()).SerializeToString()


def test_the_sdks_request_is_read_as_protobuf_reads_it(payload):
    """Every column, every byte."""
    assert decoded(payload) == expected(payload)


def test_the_failed_call_is_recognised(payload):
    """Exception, class, peer, parent: all from one real request."""
    child, root = decoded(payload)

    assert (child["trace_id_0"], child["parent_id"]) == (root["trace_id_0"], root["span_id"])
    assert (child["exception_type"], child["message_class"]) == ("TimeoutError", ErrorClass.TIMEOUT)
    assert (child["peer"], child["system"], child["peer_kind"]) == ("pg-1", "postgresql", PeerKind.DATABASE)
    assert SpanFlag.EXCEPTION in SpanFlag(child["flags"])
    assert (root["http_status"], root["service"], root["status"]) == (500, "shop", 2)
