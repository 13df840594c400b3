"""Questions over REST: path, query, headers and body of every route, down to the real store.

The first byte chooses a route (with its method), the second an odd method or path; the rest is the query string, a line end,
and the body. Oracle: one answer, a documented status, JSON that can be read, never a 500.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from collector.contracts import StoredTrace
from collector.query.desk import QuerySettings
from collector.query.rest import create_app
from collector.store.sqlite import SqliteStore
from tests.collector.query.answers import TRACE, full
from tests.fuzz.target import Target
from tests.support.damage import damaged_text
from tests.support.fakes.clock import ManualClock
from tests.support.fakes.store import FakeOpenTraces

# Those of the API's own description, and 304 (nothing new), 405 (not this method), 431, 501 (not here).
STATUSES = {200, 201, 202, 204, 304, 400, 404, 405, 406, 409, 410, 412, 413, 414, 415, 422, 431, 501}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "\x7f")
WORDS = (
    *(b"&", b"=", b"%00", b"%ff", b"%", b"+", b"?", b"/", b"..", b"limit=", b"cursor=", b"from=", b"to=", b"wait=", b"service="),
    *(b"status=", b"verdict=", b"sort=", b"format=", b"9" * 30, b"-1", b"1e400", b"nan", b"inf", b"null", b"[]", b"{}", b'"'),
    *(b"2026-11-27T10:00:00Z", b"2026-99-99", b"now", b"-15m", b"\n", b"\xc2\xb2", b"\xed\xa0\x80", b"' OR 1=1 --", b"<svg>"),
)  # fmt: skip
QUERIES = (
    b"limit=10&cursor=AAAA&service=shop&verdict=error", b"from=2026-11-27T10:00:00Z&to=1780000000000000000", b"wait=0&format=json",
    b"status=open&sort=count&spiking=true", b"window=1h&step=60", b"",
)  # fmt: skip
BODIES = (
    b"", b'{"status": "resolved", "note": "x"}', b'{"resourceSpans": []}',
    b'{"kind": "deploy", "service": "shop", "version": "1.2", "time": "2026-11-27T10:00:00Z"}',
    b'{"steps": [{"text": "a"}], "expected_revision": 1}',
)  # fmt: skip


class _Room:
    def __init__(self) -> None:
        store = SqliteStore.open(Path(tempfile.mkdtemp(prefix="fuzz-")))
        store.put([StoredTrace(TRACE, full(), None)])
        settings = QuerySettings(wait_max_s=0.0)
        self.app = create_app(store, FakeOpenTraces(), settings, clock=ManualClock())
        self.app.state.stopping.set()  # streams end at once
        self.loop = asyncio.new_event_loop()
        paths = self.app.openapi()["paths"]
        self.routes = sorted((method.upper(), path) for path, operations in paths.items() for method in operations)
        logging.getLogger("collector").setLevel(logging.CRITICAL)

    def ask(self, method: str, path: str, query: bytes, body: bytes) -> list[Any]:
        sent: list[Any] = []
        left = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return left.pop(0) if left else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": unquote(path), "raw_path": path.encode("utf-8", "surrogateescape"), "query_string": query, "root_path": "",
            "headers": [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"last-event-id", query[:9])],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
        }  # fmt: skip
        self.loop.run_until_complete(self.app(scope, receive, send))
        return sent


@cache
def _room() -> _Room:
    return _Room()


def check(data: bytes) -> None:
    room, head = _room(), data[:2].ljust(2, b"\0")
    query, _, body = data[2:].partition(b"\n")
    method, path = room.routes[head[0] % len(room.routes)]
    path = path.format(trace_id=TRACE.hex(), incident_id=TRACE.hex(), group_id="ab" * 8, note_id="cd" * 8)
    if head[1] & 8:
        method = METHODS[head[1] & 7]
    if head[1] & 16:
        path = path[: head[1] % 40] + query[:20].decode("latin-1")

    sent = room.ask(method, path if path.startswith("/") else "/" + path, query, body)

    start = sent[0]
    assert start["type"] == "http.response.start"
    assert start["status"] in STATUSES, f"{method} {path} {start['status']}"
    answer = b"".join(message.get("body", b"") for message in sent[1:])
    if b"json" in dict(start["headers"]).get(b"content-type", b"") and answer:
        json.loads(answer)


def seeds() -> list[bytes]:
    count = len(_room().routes)
    return [bytes([n, 0]) + QUERIES[n % len(QUERIES)] + b"\n" + BODIES[n % len(BODIES)] for n in range(2 * count)]


def change(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    head = bytes([rng.randrange(256), rng.choice((0, 0, 0, rng.randrange(256)))]) if rng.random() < 0.3 else data[:2]
    return head + damaged_text(data[2:], [other[2:] for other in others], WORDS, rng)


FOUND = {"a refusal survives a query that is not UTF-8": b"\0\0\xff"}
TARGET = Target("query", check, seeds, change, WORDS, FOUND)
