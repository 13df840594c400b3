"""The way of an HTTP body: type, coding, decompression, JSON, guard, answer.

The first bytes choose headers and how the body is cut; the rest is the body, as it comes off the wire. Oracle: one answer
with a documented status and a body of its type; nothing is held afterwards; what zlib opens we open alike.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import random
import zlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import orjson
from google.rpc.status_pb2 import Status

from collector.admission import Gate
from collector.errors import RefusedError
from collector.receivers.inflate import inflate, zstd
from collector.receivers.otlp_http import HttpReceiver, HttpSettings
from collector.telemetry import sample
from collector.wire.limits import prescan
from collector.wire.otlp_json import translate_json
from tests.fuzz.protobuf import LIMITS
from tests.fuzz.target import Target
from tests.support.damage import damaged, damaged_text
from tests.support.otlp_json import REQUESTS, as_json
from tests.support.otlp_seeds import requests_of_every_kind

TYPES = (
    b"application/x-protobuf",
    b"application/json",
    b"application/json; charset=utf-8",
    b"text/plain",
    b"",
    b"\xb2",
)
CODINGS = (b"", b"gzip", b"deflate", b"zlib", b"zstd", b"identity", b" GZip ", b"br", b"gzip, gzip", b"\xff")
LENGTHS = (None, b"7", b"999999999", b"\xb2", b"-1", b"1e3")
METHODS = ("POST", "POST", "POST", "POST", "POST", "POST", "GET", "OPTIONS")
PATHS = ("/v1/traces", "/v1/logs", "/v1/metrics", "/v1/traces", "/v1/traces", "/", "/v1/traces/", "/v1\0")
BODY_MAX = 64 * 1024
STATUSES = {200, 400, 404, 405, 413, 415}
HEAD = 4


class _Emptied:
    """A handover that always has room and keeps nothing."""

    def offer(self, payload: bytes, signal: Any) -> bool:
        prescan(payload, signal, LIMITS)
        return True


class _Door:
    def __init__(self) -> None:
        gate = Gate(_Emptied(), prescan=prescan, translate_json=translate_json, limits=LIMITS, seed=1)
        gate.open()
        settings = HttpSettings(message_bytes_max=BODY_MAX, inflight_bytes_max=1 << 20, workers=1)
        self.receiver = HttpReceiver(gate, "127.0.0.1", 0, settings)
        self.receiver.start()
        self.loop = asyncio.new_event_loop()
        self.faults: list[str] = []
        logging.getLogger("collector").addHandler(_Listener(self.faults))

    def ask(self, method: str, path: str, headers: list[tuple[bytes, bytes]], pieces: list[bytes]) -> list[Any]:
        sent: list[Any] = []
        left = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        left.append({"type": "http.request", "body": b"", "more_body": False})

        async def receive() -> Any:
            return left.pop(0) if left else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "headers": headers}
        self.loop.run_until_complete(self.receiver.app(scope, receive, send))
        return sent


class _Listener(logging.Handler):
    def __init__(self, faults: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        self._faults.append(f"{record.getMessage()}: {record.exc_info and record.exc_info[1]!r}")


@cache
def _door() -> _Door:
    return _Door()


def check(data: bytes) -> None:
    head, body = data[:HEAD].ljust(HEAD, b"\0"), data[HEAD:]
    kind, coding = TYPES[head[0] % len(TYPES)], CODINGS[head[1] % len(CODINGS)]
    length = LENGTHS[head[2] % len(LENGTHS)]
    headers = [(b"content-type", kind), (b"content-encoding", coding)]
    if length is not None:
        headers += [(b"content-length", length), (b"expect", b"100-continue")]
    method, path = METHODS[head[3] & 7], PATHS[head[3] >> 3 & 7]
    cut = max(1, head[2] * 7)
    door = _door()

    sent = door.ask(method, path, headers, [body[at : at + cut] for at in range(0, len(body), cut)])

    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    status, answer = sent[0]["status"], sent[1]["body"]
    assert status in STATUSES, f"{status} {answer!r}"
    assert not door.faults, door.faults
    assert door.receiver.snapshot()[_INFLIGHT] == 0
    sent_as = dict(sent[0]["headers"])[b"content-type"]
    if sent_as == b"application/json":
        orjson.loads(answer)
    elif status != 200 and sent_as == b"application/x-protobuf":
        assert Status.FromString(answer).message
    _opens_alike(body, coding.decode("latin-1").strip().lower())


_INFLIGHT = sample("receiver_inflight_bytes", "otlp", "http")


def _opens_alike(body: bytes, coding: str) -> None:
    opens = {"gzip": gzip.decompress, "zlib": zlib.decompress, "zstd": zstd.decompress}.get(coding)
    if opens is None:
        return
    held: list[int] = []
    try:
        found = inflate(body, coding, BODY_MAX, held.append)
    except RefusedError:
        assert sum(held) <= BODY_MAX
        return
    assert sum(held) == len(found) <= BODY_MAX
    if body and len(body) < 4096:
        assert found == opens(body)


def seeds() -> list[bytes]:
    packed = {1: gzip.compress, 2: zlib.compress, 3: zlib.compress, 4: zstd.compress}
    found = []
    for number, (payload, signal) in enumerate(requests_of_every_kind()):
        coding = number % 5
        is_json = signal in REQUESTS and number % 3 == 0
        body = orjson.dumps(as_json(REQUESTS[signal].FromString(payload))) if is_json else payload
        head = bytes([int(is_json), coding, 0, int(signal) << 3])
        found.append(head + packed.get(coding, bytes)(body))
    found.append(bytes([0, 1, 0, 0]) + gzip.compress(bytes(BODY_MAX + 1)))
    found.append(bytes([0, 1, 0, 0]) + gzip.compress(b"") * 130)
    found.append(bytes([0, 4, 0, 0]) + zstd.compress(bytes(BODY_MAX + 1)) * 2)
    return found


def change(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    head, body, rest = bytearray(data[:HEAD].ljust(HEAD, b"\0")), data[HEAD:], [other[HEAD:] for other in others]
    if rng.random() < 0.4:
        head[rng.randrange(HEAD)] = rng.randrange(256)
    if rng.random() < 0.3 and (opened := _opened(body, head[1])) is not None:
        return bytes(head) + _packed(damaged(opened, rest, rng), head[1])  # damage behind a good checksum
    return bytes(head) + (
        damaged_text(body, rest, (b"\0", b"{", b"\x1f\x8b"), rng) if head[0] == 1 else damaged(body, rest, rng)
    )


def _opened(body: bytes, coding: int) -> bytes | None:
    try:
        return {1: gzip.decompress, 2: zlib.decompress, 3: zlib.decompress, 4: zstd.decompress}[coding](body)[:BODY_MAX]
    except (KeyError, OSError, EOFError, zlib.error, zstd.ZstdError):
        return None


def _packed(body: bytes, coding: int) -> bytes:
    return {1: gzip.compress, 2: zlib.compress, 3: zlib.compress, 4: zstd.compress}[coding](body)


FOUND = {
    "a superscript is no Content-Length": bytes([0, 0, 3, 0]),
    "raw deflate is not zlib": b"\xf6!}\0{#n\x03\x08",
}
TARGET = Target("http_body", check, seeds, change, found=FOUND)
