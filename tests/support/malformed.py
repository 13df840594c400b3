"""Malformed OTLP over real connections, well-formed planted traces in between: who answers what.

    with Malformed(server, plan, count=3_000, seed=12) as senders:
        senders.join()
    assert senders.surprises == []

Half goes over gRPC, half over HTTP/1.1 on connections that are kept; what is sent follows from the seed. Each hundredth
request is a well-formed one of the plan, on the same connection, and must be taken.
"""

from __future__ import annotations

import gzip
import random
import socket
import threading
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple

import grpc
import orjson

from collector.contracts import Signal
from tests.support.damage import damaged, damaged_text
from tests.support.otlp_json import REQUESTS, as_json
from tests.support.otlp_seeds import requests_of_every_kind
from tests.support.planted import RETRY_KEYS, Plan
from tests.support.running import LOCAL, Server

PLANTED_EVERY = 100
ANSWER_S = 30.0
PATHS = {Signal.TRACES: "/v1/traces", Signal.LOGS: "/v1/logs", Signal.METRICS: "/v1/metrics"}
_SERVICE = "/opentelemetry.proto.collector.{0}.v1.{1}Service/Export"
METHODS = {
    Signal.TRACES: _SERVICE.format("trace", "Trace"),
    Signal.LOGS: _SERVICE.format("logs", "Logs"),
    Signal.METRICS: _SERVICE.format("metrics", "Metrics"),
}
ODD_METHODS = (
    "/opentelemetry.proto.collector.trace.v1.TraceService/Nope",
    "/Export",
    "/a/b",
    "/grpc.health.v1.Health/Nope",
)
JSON_WORDS = (
    b"null",
    b"1e400",
    b"NaN",
    b"[[",
    b'{"',
    b"\\ud800",
    b"\xff",
    b'"',
    b",",
    b"{" * 99,
    b'"kvlistValue":',
    b"-1",
)
# docs/reliability.md and the response table of OTLP 1.11; UNAVAILABLE and 503 only with a delay.
GRPC_ANSWERS = {"OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED"}
# More than `concurrent_streams_max` calls on a connection that grpcio has not put away yet, which a single busy client
# comes to on a starved machine: RFC 9113 says that nothing of it was processed, OTLP that UNAVAILABLE is tried again.
STREAM_REFUSED = "RST_STREAM with error code 7"
HTTP_ANSWERS = {200, 400, 404, 405, 413, 415}


class _Answer(NamedTuple):
    """What a gRPC call came to."""

    status: str
    says_when: bool  # to come again
    details: str = ""


@dataclass
class Seen:
    """What one sender saw."""

    sent: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    acked: list[int] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)


class Malformed:
    """`count` requests by several senders; ends by itself."""

    def __init__(self, server: Server, plan: Plan, *, count: int, seed: int, senders: int = 4) -> None:
        self._server, self._plan = server, plan
        self._lock, self._next = threading.Lock(), 0
        self.seen = [Seen() for _ in range(senders)]
        self._threads = [
            threading.Thread(
                target=self._run,
                args=(
                    self._http if number % 2 else self._grpc,
                    seen,
                    random.Random(f"{seed}/{number}"),
                    count // senders,
                ),
                daemon=True,
            )
            for number, seen in enumerate(self.seen)
        ]

    def __enter__(self) -> Malformed:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.join()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    @property
    def acked(self) -> list[int]:
        return sorted(number for seen in self.seen for number in seen.acked)

    @property
    def answers(self) -> Counter[str]:
        return sum((seen.answers for seen in self.seen), Counter())

    @property
    def surprises(self) -> list[str]:
        return [surprise for seen in self.seen for surprise in seen.surprises]

    def _run(
        self, send: Callable[[Seen, random.Random, int], None], seen: Seen, rng: random.Random, count: int
    ) -> None:
        try:
            send(seen, rng, count)
        except Exception as error:
            seen.surprises.append(f"a sender ended: {error!r}")
            raise

    def _planted(self) -> tuple[int, bytes]:
        with self._lock:
            number, self._next = self._next, self._next + 1
        return number, self._plan.request([number])[0]

    # -- gRPC --------------------------------------------------------------------------------

    def _grpc(self, seen: Seen, rng: random.Random, count: int) -> None:
        with grpc.insecure_channel(self._server.otlp_grpc, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            calls = {path: channel.unary_unary(path) for path in (*METHODS.values(), *ODD_METHODS)}
            payloads = [payload for payload, _ in requests_of_every_kind()]
            for at in range(count):
                seen.sent += 1
                if at % PLANTED_EVERY == 0:
                    number, payload = self._planted()
                    self._take_answer(seen, _asked(calls[METHODS[Signal.TRACES]], payload, None), number)
                    continue
                payload, signal = rng.choice(requests_of_every_kind())
                path = METHODS[signal] if rng.random() < 0.97 else rng.choice((*METHODS.values(), *ODD_METHODS))
                compression = grpc.Compression.Gzip if rng.random() < 0.1 else None
                answer = _asked(calls[path], damaged(payload, payloads, rng), compression)
                self._take_answer(seen, answer, None)

    def _take_answer(self, seen: Seen, answer: _Answer, number: int | None) -> None:
        status = answer.status
        seen.answers[status] += 1
        if number is not None and status == "OK":
            seen.acked.append(number)
        good = status in GRPC_ANSWERS or (
            status == "UNAVAILABLE" and (answer.says_when or STREAM_REFUSED in answer.details)
        )
        if not good or (number is not None and status not in ("OK", "UNAVAILABLE")):
            seen.surprises.append(f"gRPC {status} at {seen.sent}, planted {number}: {answer.details[:300]}")

    # -- HTTP --------------------------------------------------------------------------------

    def _http(self, seen: Seen, rng: random.Random, count: int) -> None:
        with closing(_Connection(self._server.ports["otlp_http"])) as connection:
            for at in range(count):
                seen.sent += 1
                number, request = self._request(rng, at)
                try:
                    status, head = connection.ask(request)
                except (OSError, ValueError) as error:
                    seen.surprises.append(f"HTTP {error!r}: {request[:300]!r}")
                    continue
                seen.answers[str(status)] += 1
                if number is not None and status == 200:
                    seen.acked.append(number)
                good = status in HTTP_ANSWERS or (status in (429, 503) and b"retry-after" in head)
                if not good or (number is not None and status not in (200, 503)):
                    seen.surprises.append(f"HTTP {status}, planted {number}: {request[:300]!r}")

    def _request(self, rng: random.Random, at: int) -> tuple[int | None, bytes]:
        if at % PLANTED_EVERY:
            return None, _malformed(rng)
        number, body = self._planted()
        return number, _written("POST", PATHS[Signal.TRACES], ["content-type: application/x-protobuf"], body)


def _asked(call: grpc.UnaryUnaryMultiCallable, payload: bytes, compression: grpc.Compression | None) -> _Answer:
    try:
        call(payload, timeout=ANSWER_S, compression=compression)
    except grpc.RpcError as error:
        says_when = bool({key for key, _ in error.trailing_metadata() or ()} & RETRY_KEYS)
        return _Answer(error.code().name, says_when, error.details() or "")
    return _Answer("OK", True)


class _Connection:
    """One kept HTTP/1.1 connection, opened anew when the server ends it."""

    def __init__(self, port: int) -> None:
        self._address = (LOCAL, port)
        self._socket: socket.socket | None = None

    def ask(self, request: bytes) -> tuple[int, bytes]:
        """Send, read one answer: (status, head in lower case). A kept connection may be gone: then once more."""
        kept = self._socket is not None
        try:
            return self._ask(request)
        except (OSError, ValueError):
            self.close()
            if not kept:
                raise
            return self._ask(request)

    def _ask(self, request: bytes) -> tuple[int, bytes]:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, ANSWER_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(ConnectionError):  # refused while it was still sending: the answer is there all the same
            self._socket.sendall(request)
        read = b""
        while (end := read.find(b"\r\n\r\n")) < 0:
            read += self._more()
        head = read[:end].lower()
        status, length = int(head.split(b" ", 2)[1]), 0
        for line in head.split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        while len(read) < end + 4 + length:
            read += self._more()
        if b"connection: close" in head or not request.startswith(b"POST"):
            self.close()
        return status, head

    def _more(self) -> bytes:
        assert self._socket is not None
        piece = self._socket.recv(65536)
        if not piece:
            raise ConnectionError("the connection was closed before its answer")
        return piece

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _malformed(rng: random.Random) -> bytes:
    """One HTTP request with something wrong: in its body, its coding, its type, its path, or as HTTP."""
    payload, signal = rng.choice(requests_of_every_kind())
    path, kind, kinds = PATHS[signal], "application/x-protobuf", rng.random()
    if kinds < 0.3 and signal in REQUESTS:
        kind, body = "application/json", damaged_text(*_as_text(payload, signal), JSON_WORDS, rng)
    else:
        body = damaged(payload, [other for other, _ in requests_of_every_kind()], rng)
    headers = [f"content-type: {kind}"]
    odd = rng.random()
    if odd < 0.2:
        coding, pack = rng.choice(
            (("gzip", gzip.compress), ("deflate", zlib.compress), ("zstd", bytes), ("gzip", bytes))
        )
        body = pack(body)
        if rng.random() < 0.4:
            body = damaged(body, [body], rng)
        headers.append(f"content-encoding: {coding}")
    elif odd < 0.23:
        headers = rng.choice(([], ["content-type: text/plain"], ["content-type: application/x-protobuf; a=b"]))
    elif odd < 0.25:
        headers.append(rng.choice(("content-encoding: br", "content-encoding: \xff", "expect: 100-continue!", "x: \t")))
    elif odd < 0.27:
        path = rng.choice(("/v1/traces/", "/", "//v1/traces", "/v1/traces?x=1", "/v1/%74races", "/../v1/traces"))
    elif odd < 0.28:
        return _written(rng.choice(("GET", "PUT", "DELETE", "OPTIONS", "PATCH")), path, headers, b"")
    elif odd < 0.30:
        return _no_http(rng, body)
    return _chunked(path, headers, body, rng) if rng.random() < 0.05 else _written("POST", path, headers, body)


_texts: dict[bytes, bytes] = {}


def _as_text(payload: bytes, signal: Signal) -> tuple[bytes, list[bytes]]:
    if not _texts:
        for other, kind in requests_of_every_kind():
            if kind in REQUESTS:
                _texts[other] = orjson.dumps(as_json(REQUESTS[kind].FromString(other)))
    return _texts[payload], list(_texts.values())


def _written(method: str, path: str, headers: list[str], body: bytes) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", *headers, f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def _chunked(path: str, headers: list[str], body: bytes, rng: random.Random) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "host: localhost", *headers, "transfer-encoding: chunked", "", ""]
    size = rng.choice((1, 7, 100_000)) if len(body) < 300 else 100_000
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return "\r\n".join(lines).encode("latin-1") + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


def _no_http(rng: random.Random, body: bytes) -> bytes:
    """Not HTTP, or HTTP that contradicts itself; always enough of it to be refused."""
    head = "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\n"
    return rng.choice(
        (
            b"\x16\x03\x01\x02\x00" + rng.randbytes(200) + b"\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            rng.randbytes(40) + b"\r\n\r\n",
            f"{head}content-length: -1\r\n\r\n".encode(),
            f"{head}content-length: 1e3\r\n\r\n".encode(),
            f"{head}content-length: 4\r\ncontent-length: 5\r\n\r\n".encode() + body[:9],
            f"{head}transfer-encoding: chunked\r\n\r\nzz\r\n".encode() + body[:9],
            f"{head}bad header\r\n\r\n".encode(),
            b"POST /v1/traces HTTP/9.9\r\n\r\n",
        )
    )
