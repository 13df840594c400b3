"""`python -m tests.support.sdk_program grpc|http ENDPOINT`: an application with the OpenTelemetry SDK, as people write it.

frontend calls payment, payment's card is declined: three spans of two services, the exception recorded
where it was raised. Prints the trace id when everything is acknowledged, else exits 1.
"""

from __future__ import annotations

import sys

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode


class CardError(Exception):
    """The bank's terminal is broken."""


def exporter(protocol: str, endpoint: str) -> SpanExporter:
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

        return Grpc(endpoint=endpoint, insecure=True)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

    return Http(endpoint=f"{endpoint}/v1/traces")


def service(name: str, protocol: str, endpoint: str) -> tuple[TracerProvider, trace.Tracer]:
    provider = TracerProvider(resource=Resource.create({"service.name": name, "service.version": "2.0.1"}))
    provider.add_span_processor(BatchSpanProcessor(exporter(protocol, endpoint)))
    return provider, provider.get_tracer("shop")


def main(protocol: str, endpoint: str) -> int:
    front, frontend = service("frontend", protocol, endpoint)
    back, payment = service("payment", protocol, endpoint)
    with frontend.start_as_current_span("POST /checkout", kind=SpanKind.SERVER) as root:
        with frontend.start_as_current_span(
            "POST", kind=SpanKind.CLIENT, attributes={"server.address": "payment", "http.request.method": "POST"}
        ) as call:
            try:
                with payment.start_as_current_span("POST /charge", kind=SpanKind.SERVER) as charge:
                    charge.set_attribute("http.response.status_code", 500)
                    raise CardError("terminal 7 does not answer")
            except CardError:
                call.set_attribute("http.response.status_code", 500)
                call.set_status(Status(StatusCode.ERROR))
        root.set_attribute("http.response.status_code", 500)
        root.set_status(Status(StatusCode.ERROR))
    for provider in (back, front):
        if not provider.force_flush(10_000):
            sys.stderr.write("not acknowledged\n")
            return 1
        provider.shutdown()
    sys.stdout.write(format(root.get_span_context().trace_id, "032x"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
