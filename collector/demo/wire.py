"""What every service of the shop has: an HTTP server, calls to others, a database, a queue. Instrumented.

Spans follow the stable HTTP, database and messaging conventions, as the usual instrumentation
libraries write them. The fault of a request travels in a plain header, never in a span.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

FAULT_HEADER = "x-demo-fault"
EXPORT_DELAY_MS = 150


class HttpFault(Exception):
    """A handler's answer other than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Request:
    """What a handler gets: the fault to play (or "") and the body."""

    fault: str
    body: dict[str, Any]


Handler = Callable[[Request], dict[str, Any]]


def addresses() -> dict[str, tuple[str, int]]:
    """Where the processes of the shop listen: name -> address, from the environment."""
    found = json.loads(os.environ["DEMO_ADDRESSES"])
    return {name: ("127.0.0.1", int(port)) for name, port in found.items()}


def set_up(service: str) -> trace.Tracer:
    """Install the SDK as an application would."""
    resource = Resource.create(
        {
            "service.name": service,
            "service.version": "1.4.2",
            "service.instance.id": f"{service}-{os.getpid()}",
            "deployment.environment.name": "demo",
        }
    )
    provider = TracerProvider(resource=resource)
    exporter = OTLPSpanExporter(endpoint=os.environ["DEMO_OTLP_ENDPOINT"], insecure=True)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=EXPORT_DELAY_MS))
    trace.set_tracer_provider(provider)
    return trace.get_tracer("demo.shop")


def tracer() -> trace.Tracer:
    return trace.get_tracer("demo.shop")


def fail(span: Span, error: BaseException) -> None:
    """Record an error the way instrumentation does."""
    span.record_exception(error)
    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR, str(error)))


def serve(service: str, routes: dict[str, Handler]) -> None:
    """Answer HTTP on the service's address until the process is told to stop."""
    own = set_up(service)

    class Server(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the demo's screen belongs to the answers."""

        def _answer(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length) or b"{}")
            headers = {key.lower(): value for key, value in self.headers.items()}
            context = propagate.extract(headers)
            name = f"{self.command} {self.path}"
            with own.start_as_current_span(
                name, context, SpanKind.SERVER, record_exception=False, set_status_on_exception=False
            ) as span:
                span.set_attributes(
                    {
                        "http.request.method": self.command,
                        "http.route": self.path,
                        "url.path": self.path,
                        "url.scheme": "http",
                        "server.address": service,
                    }
                )
                status, answer = self._handle(name, Request(headers.get(FAULT_HEADER, ""), body), span)
                span.set_attribute("http.response.status_code", status)
                trace_id = format(span.get_span_context().trace_id, "032x")
            data = json.dumps(answer).encode()
            try:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.send_header("x-trace-id", trace_id)
                self.end_headers()
                self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the caller gave up; that is one of the faults

        def _handle(self, name: str, request: Request, span: Span) -> tuple[int, dict[str, Any]]:
            handler = routes.get(name)
            if handler is None:
                return 404, {"error": f"no route {name}"}
            try:
                return 200, handler(request)
            except HttpFault as fault:
                if fault.status >= 500:
                    fail(span, fault)
                return fault.status, {"error": str(fault)}
            except Exception as error:
                fail(span, error)
                return 500, {"error": str(error)}

    server = ThreadingHTTPServer(addresses()[service], Server)
    server.daemon_threads = True
    server.serve_forever()


def call(
    service: str,
    route: str,
    request: Request,
    *,
    body: dict[str, Any] | None = None,
    timeout_s: float = 5.0,
    cancel: threading.Event | None = None,
    address: tuple[str, int] | None = None,
) -> dict[str, Any]:
    """Call another service under a CLIENT span.

    Raises
    ------
    HttpFault
        It answered 4xx or 5xx.
    OSError
        Refused, reset, or no answer in time.
    """
    method, path = route.split(" ", 1)
    with client_span(method, service, path) as span:
        host, port = address or addresses()[service]
        connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
        headers = {"content-type": "application/json", FAULT_HEADER: request.fault}
        propagate.inject(headers)
        try:
            connection.request(method, path, json.dumps(body or {}), headers)
            if cancel is not None:
                _wait_or_cancel(connection, cancel)
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read() or b"{}")
        finally:
            connection.close()
        span.set_attribute("http.response.status_code", response.status)
        if response.status >= 400:
            span.set_attribute("error.type", str(response.status))
            span.set_status(Status(StatusCode.ERROR))
            raise HttpFault(response.status, f"{service} answered {response.status}: {answer.get('error', '')}")
        return answer


class Cancelled(Exception):
    """The caller no longer wants the answer."""


def _wait_or_cancel(connection: http.client.HTTPConnection, cancel: threading.Event) -> None:
    deadline = time.monotonic() + (connection.timeout or 5.0)
    connection.sock.settimeout(0.01)
    while time.monotonic() < deadline:
        if cancel.is_set():
            raise Cancelled("request cancelled: a sibling failed")
        try:
            if connection.sock.recv(1, socket.MSG_PEEK):
                break
        except TimeoutError:
            continue
    connection.sock.settimeout(connection.timeout)


@contextmanager
def client_span(method: str, service: str, path: str) -> Iterator[Span]:
    """A CLIENT span of an HTTP call; what is raised inside is recorded and raised on."""
    port = addresses().get(service, ("", 80))[1]
    with tracer().start_as_current_span(
        method, kind=SpanKind.CLIENT, record_exception=False, set_status_on_exception=False
    ) as span:
        span.set_attributes(
            {
                "http.request.method": method,
                "server.address": service,
                "server.port": port,
                "url.full": f"http://{service}:{port}{path}",
            }
        )
        try:
            yield span
        except HttpFault:
            raise
        except Exception as error:
            fail(span, error)
            raise


def query(statement: str, table: str, *, took_s: float = 0.002) -> None:
    """Ask the database process; it is not instrumented, so its CLIENT span is all there is."""
    operation = statement.split(" ", 1)[0]
    with tracer().start_as_current_span(f"{operation} {table}", kind=SpanKind.CLIENT) as span:
        span.set_attributes(
            {
                "db.system.name": "postgresql",
                "db.namespace": "shop",
                "db.collection.name": table,
                "db.operation.name": operation,
                "db.query.text": statement,
                "server.address": "shop-db",
                "server.port": 5432,
            }
        )
        with socket.create_connection(addresses()["shop-db"], timeout=5.0) as connection:
            connection.sendall(f"{took_s}\n".encode())
            connection.recv(16)


def publish(topic: str, body: dict[str, Any]) -> None:
    """Hand a message to the broker process, with the context in its headers."""
    with tracer().start_as_current_span(f"{topic} publish", kind=SpanKind.PRODUCER) as span:
        span.set_attributes(
            {
                "messaging.system": "demoq",
                "messaging.destination.name": topic,
                "messaging.operation.type": "send",
                "server.address": "broker",
            }
        )
        headers: dict[str, str] = {}
        propagate.inject(headers)
        message = json.dumps({"headers": headers, "body": body})
        with socket.create_connection(addresses()["broker"], timeout=5.0) as connection:
            connection.sendall(f"PUT {message}\n".encode())
            connection.recv(16)


def consume(service: str, topic: str, handler: Callable[[dict[str, Any]], None]) -> None:
    """Take messages one by one, each under a CONSUMER span of the producer's trace."""
    own = set_up(service)
    while True:
        with socket.create_connection(addresses()["broker"], timeout=60.0) as connection:
            connection.sendall(b"GET\n")
            line = connection.makefile().readline()
        if not line.strip():
            continue
        message = json.loads(line)
        context: Context = propagate.extract(message["headers"])
        with own.start_as_current_span(f"{topic} process", context, SpanKind.CONSUMER) as span:
            span.set_attributes(
                {
                    "messaging.system": "demoq",
                    "messaging.destination.name": topic,
                    "messaging.operation.type": "process",
                    "messaging.consumer.group.name": service,
                }
            )
            handler(message["body"])


@contextmanager
def carried(context: Context) -> Iterator[None]:
    """Use a context in another thread."""
    token = attach(context)
    try:
        yield
    finally:
        detach(token)
