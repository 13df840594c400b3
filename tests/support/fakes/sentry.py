"""A Sentry on loopback: takes envelopes over real HTTP and reads them with Sentry's own reader.

with SentrySink() as sentry:
    sentry.plan(429)   # the first is refused with a delay, then it is well
    ... send to sentry.dsn ...
    assert [event["level"] for event in sentry.events] == ["error"]
"""

from __future__ import annotations

import gzip
import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from sentry_sdk.envelope import Envelope

KEY, PROJECT = "abcdef0123456789abcdef0123456789", "42"


class SentrySink:
    """Events that were taken, in order; statuses to give first."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.seen: list[tuple[str, str]] = []  # path, x-sentry-auth of every request
        self._plan: deque[int] = deque()
        self.taken = threading.Condition()
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                status = sink.take(self.path, self.headers.get("x-sentry-auth", ""), body)
                answer = json.dumps({"id": "0" * 32}).encode()
                self.send_response(status)
                if status == 429:
                    self.send_header("Retry-After", "1")
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def dsn(self) -> str:
        return f"http://{KEY}@127.0.0.1:{self._server.server_address[1]}/{PROJECT}"

    def plan(self, *statuses: int) -> None:
        self._plan.extend(statuses)

    def take(self, path: str, auth: str, body: bytes) -> int:
        with self.taken:
            self.seen.append((path, auth))
            if self._plan:
                return self._plan.popleft()
            self.bodies.append(body)
            # Sentry takes an id once.
            event = Envelope.deserialize(body).get_event()
            if event is not None and all(event["event_id"] != known["event_id"] for known in self.events):
                self.events.append(dict(event))
            self.taken.notify_all()
            return 200

    def wait_for(self, count: int, timeout_s: float = 30.0) -> list[dict[str, Any]]:
        with self.taken:
            assert self.taken.wait_for(lambda: len(self.events) >= count, timeout_s), f"{len(self.events)} events came"
            return list(self.events)

    def __enter__(self) -> SentrySink:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
