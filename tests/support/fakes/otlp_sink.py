"""An OTLP destination on loopback that does as it is told: real gRPC, real HTTP.

with GrpcSink() as sink:
    sink.plan(Reply.down(), Reply.down())   # then it is well again
    ... send to sink.endpoint ...
    assert sink.payloads == [...]
"""

from __future__ import annotations

import gzip
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.contracts import Signal

_GRPC = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": Signal.TRACES,
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": Signal.LOGS,
}
_HTTP = {"/v1/traces": Signal.TRACES, "/v1/logs": Signal.LOGS}
_HTTP_STATUS = {"UNAVAILABLE": 503, "RESOURCE_EXHAUSTED": 429, "INVALID_ARGUMENT": 400, "UNAUTHENTICATED": 401}


@dataclass(frozen=True)
class Reply:
    """What the sink does with one request."""

    code: str = "OK"
    retry_after_s: float | None = None
    rejected: int = 0
    message: str = ""
    hang: bool = False  # say nothing until the sink is closed
    drip: bool = False  # HTTP: the answer comes a byte at a time and never ends
    cut: bool = False  # HTTP: take the request, then break the connection
    body: bytes | None = None  # this instead of an OTLP answer
    content_type: str = "application/x-protobuf"
    location: str = ""  # HTTP: a redirect

    @classmethod
    def down(cls, retry_after_s: float | None = None) -> Reply:
        return cls("UNAVAILABLE", retry_after_s, message="down")

    @classmethod
    def permanent(cls, message: str = "no") -> Reply:
        return cls("INVALID_ARGUMENT", message=message)

    @classmethod
    def partial(cls, rejected: int, message: str = "some are bad") -> Reply:
        return cls(rejected=rejected, message=message)


@dataclass(frozen=True)
class Request:
    signal: Signal
    payload: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Sink:
    """What both doors share: the plan, and what came."""

    def __init__(self) -> None:
        self._plan: deque[Reply] = deque()
        self._always: Reply | None = None
        self._came = threading.Condition()
        self.requests: list[Request] = []
        self.taken: list[Request] = []  # those that were answered OK
        self.closing = threading.Event()

    @property
    def payloads(self) -> list[bytes]:
        return [request.payload for request in self.requests]

    def plan(self, *replies: Reply) -> None:
        """Do this with the next requests; after them, all is well."""
        self._plan.extend(replies)

    def always(self, reply: Reply | None) -> None:
        """Do this with every request without a plan; None: all is well."""
        self._always = reply

    def wait_for(self, count: int, timeout_s: float = 20.0) -> None:
        """Wait until so many requests have come."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.requests) >= count, timeout_s), (
                f"{len(self.requests)} of {count} requests came in {timeout_s} s"
            )

    def wait_taken(self, count: int, timeout_s: float = 20.0) -> None:
        """Wait until so many requests were answered OK."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.taken) >= count, timeout_s), (
                f"{len(self.taken)} of {count} requests were taken in {timeout_s} s"
            )

    def note(self, request: Request) -> Reply:
        with self._came:
            reply = self._plan.popleft() if self._plan else self._always or Reply()
            self.requests.append(request)
            if reply.code == "OK" and not reply.hang and not reply.cut:
                self.taken.append(request)
            self._came.notify_all()
        return reply

    @staticmethod
    def answer(signal: Signal, reply: Reply) -> bytes:
        if reply.body is not None:
            return reply.body
        if signal == Signal.TRACES:
            traces = ExportTraceServiceResponse()
            if reply.rejected:
                traces.partial_success.rejected_spans = reply.rejected
                traces.partial_success.error_message = reply.message
            return traces.SerializeToString()
        logs = ExportLogsServiceResponse()
        if reply.rejected:
            logs.partial_success.rejected_log_records = reply.rejected
            logs.partial_success.error_message = reply.message
        return logs.SerializeToString()


class GrpcSink(Sink):
    """OTLP/gRPC. `port` to come back at the place where another was."""

    def __init__(self, port: int = 0, tls: tuple[bytes, bytes] | None = None) -> None:
        super().__init__()
        self._pool = ThreadPoolExecutor(8)
        self._server = grpc.server(self._pool, options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((_Handler(self),))
        address = f"127.0.0.1:{port}"
        if tls is None:
            self.port = self._server.add_insecure_port(address)
        else:
            self.port = self._server.add_secure_port(address, grpc.ssl_server_credentials([tls]))
        self.endpoint = f"127.0.0.1:{self.port}" if tls is None else f"localhost:{self.port}"
        self._server.start()

    def close(self) -> None:
        self.closing.set()
        self._server.stop(0).wait(10)
        self._pool.shutdown()

    def __enter__(self) -> GrpcSink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
    def __init__(self, sink: GrpcSink) -> None:
        self._sink = sink

    def service(self, details: Any) -> Any:
        signal = _GRPC.get(details.method)
        if signal is None:
            return None
        headers = {key: value for key, value in details.invocation_metadata if isinstance(value, str)}
        return grpc.unary_unary_rpc_method_handler(
            lambda payload, context: self._call(signal, payload, context, headers)
        )

    def _call(self, signal: Signal, payload: bytes, context: Any, headers: dict[str, str]) -> bytes:
        reply = self._sink.note(Request(signal, payload, headers))
        if reply.hang:
            self._sink.closing.wait(60)
            context.abort(grpc.StatusCode.UNAVAILABLE, "closing")
        if reply.code != "OK":
            if reply.retry_after_s is not None:
                status = Status(code=grpc.StatusCode[reply.code].value[0], message=reply.message)
                whole = int(reply.retry_after_s)
                delay = Duration(seconds=whole, nanos=round((reply.retry_after_s - whole) * 1e9))
                status.details.add().Pack(RetryInfo(retry_delay=delay))
                context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
            context.abort(grpc.StatusCode[reply.code], reply.message)
        return self._sink.answer(signal, reply)


class HttpSink(Sink):
    """OTLP/HTTP with protobuf."""

    def __init__(self, port: int = 0) -> None:
        super().__init__()
        sink = self

        class Handler(_HttpHandler):
            owner = sink

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.endpoint = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def __enter__(self) -> HttpSink:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _HttpHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: HttpSink

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["Content-Length"]))
        payload = gzip.decompress(raw) if self.headers["Content-Encoding"] == "gzip" else raw
        signal = _HTTP[self.path]
        reply = self.owner.note(Request(signal, payload, {key.lower(): value for key, value in self.headers.items()}))
        if reply.hang:
            self.owner.closing.wait(60)
            self.close_connection = True
            return
        if reply.cut:
            self.close_connection = True
            return
        status = 307 if reply.location else 200 if reply.code == "OK" else _HTTP_STATUS[reply.code]
        body = self.owner.answer(signal, reply)
        if reply.code != "OK" and reply.body is None:
            body = Status(message=reply.message).SerializeToString()
        self.send_response(status)
        self.send_header("Content-Type", reply.content_type)
        if reply.location:
            self.send_header("Location", reply.location)
        if reply.retry_after_s is not None:
            self.send_header("Retry-After", str(int(reply.retry_after_s)))
        if reply.drip:
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self._drip()
            return
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except OSError:
            self.close_connection = True

    def _drip(self) -> None:
        self.close_connection = True
        try:
            while not self.owner.closing.wait(0.02):
                self.wfile.write(b"x")
                self.wfile.flush()
        except OSError:
            return
