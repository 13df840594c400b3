"""The load generator of the benchmarks, against a server of the gRPC library: what it counts is what came."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.benchmarks.http2_connection import Connection
from tests.benchmarks.load_client import METHOD, prepare
from tests.support.raw_http2 import message

pytestmark = pytest.mark.e2e

SERVICE, NAME = METHOD[1:].split("/")
Answer = Callable[[bytes, grpc.ServicerContext], bytes]


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    doors = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", 64 * 2**20)])
    handler = grpc.unary_unary_rpc_method_handler(answer)
    doors.add_registered_method_handlers(SERVICE, {NAME: handler})
    port = doors.add_insecure_port("127.0.0.1:0")
    doors.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        doors.stop(None).wait()


def exchange(connection: Connection, payload: bytes) -> int:
    """Send one request and wait for its status."""
    connection.begin(memoryview(message(payload, False)))
    connection.write()
    with select.epoll() as poll:
        poll.register(connection.fileno())
        while connection.status is None:
            wanted = select.EPOLLIN | select.EPOLLOUT * connection.waits_to_write
            poll.modify(connection.fileno(), wanted)
            assert poll.poll(20.0), "nothing came for 20 s"
            connection.read()
            connection.write()
    return connection.status


@pytest.mark.parametrize("size", [0, 1, 16_384 - 5, 16_384, 65_535, 65_536, 8_000_000])
def test_what_is_sent_is_what_comes(size: int) -> None:
    came: list[bytes] = []

    def keep(request: bytes, context: grpc.ServicerContext) -> bytes:
        came.append(request)
        return b""

    payload = bytes(range(251)) * (size // 251 + 1)
    sent = [payload[:size], payload[-size:] if size else b"", b"after it"]
    with server(keep) as target:
        connection = Connection(target, METHOD)
        assert [exchange(connection, one) for one in sent] == [0, 0, 0]
        connection.close()
    assert came == sent


def test_each_request_has_its_own_status() -> None:
    """The dynamic table of headers would answer the second `14` with a number of its own."""
    codes = iter([grpc.StatusCode.UNAVAILABLE, None, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INVALID_ARGUMENT] * 3)

    def refuse(request: bytes, context: grpc.ServicerContext) -> bytes:
        if code := next(codes):
            context.abort(code, "not now")
        return b"\x0a\x00"

    with server(refuse) as target:
        connection = Connection(target, METHOD)
        assert [exchange(connection, b"x" * 100_000) for _ in range(12)] == [14, 0, 14, 3] * 3
        connection.close()


def test_a_refused_request_is_sent_again_until_it_is_taken(tmp_path: Path) -> None:
    came: list[bytes] = []
    calls = iter(range(10**9))

    def every_third(request: bytes, context: grpc.ServicerContext) -> bytes:
        if next(calls) % 3 == 0:
            context.abort(grpc.StatusCode.UNAVAILABLE, "full")
        came.append(request)
        return b""

    data = prepare(tmp_path / "requests", 20, "gateway", traces=30)
    with server(every_third) as target:
        command = [sys.executable, "-m", "tests.benchmarks.load_client", target, "--data", str(data), "--seconds", "1"]
        told = json.loads(subprocess.run(command, input="\n", capture_output=True, text=True, check=True).stdout[6:])
    assert told["failed_calls"] == 0
    assert told["refused_calls"] > 0
    assert sum(map(spans_of, came)) == told["acked_spans"] > 0
    assert len(set(came)) == len(came), "a round has trace ids of its own, and nothing is sent twice"


def spans_of(payload: bytes) -> int:
    request = ExportTraceServiceRequest.FromString(payload)
    return sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
