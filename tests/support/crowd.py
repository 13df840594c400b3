"""A crowd of clients that stall: thousands of raw connections, watched by one thread for when they are closed.

with Crowd() as crowd:
    crowd.come("heads", port, 2000, b"POST /v1/traces HTTP/1.1\\r\\nx: ")
    crowd.until_closed("heads", 60)
    assert max(crowd.held_s("heads")) <= 10
"""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

_TICK_S = 0.1
_DRIP_TICK_S = 1.0


@dataclass(eq=False)
class _Client:
    kind: str
    connection: socket.socket
    sent: bytes
    drip_s: float  # a byte so often; 0: never
    began_s: float = field(default_factory=time.monotonic)
    dripped_s: float = 0.0
    open: bool = True


class Crowd:
    """Owner of its sockets is its thread; `come` may be called by the test's."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._clients: set[_Client] = set()
        self._held: dict[str, list[float]] = {}
        self._said: Counter[tuple[str, bytes]] = Counter()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Crowd:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(30)
        for client in list(self._clients):
            self._end(client)

    def come(self, kind: str, port: int, count: int, sent: bytes, *, drip_s: float = 0.0) -> None:
        """Connect so many, send this, and stall."""
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), timeout=30)
            connection.setblocking(False)
            client = _Client(kind, connection, sent, drip_s)
            with suppress(OSError):
                connection.send(sent)
            with self._lock:
                self._clients.add(client)
                self._selector.register(connection, selectors.EVENT_READ, client)

    def leave(self, kind: str) -> None:
        """Go away without a word."""
        with self._lock:
            for client in [one for one in self._clients if one.kind == kind]:
                self._end(client)

    def held_s(self, kind: str) -> list[float]:
        """For how long those were waited for that were closed."""
        with self._lock:
            return list(self._held.get(kind, []))

    def open_count(self, kind: str) -> int:
        with self._lock:
            return sum(one.kind == kind for one in self._clients)

    def said(self, kind: str) -> dict[bytes, int]:
        """First lines of what they were told."""
        with self._lock:
            return {line: count for (name, line), count in self._said.items() if name == kind}

    def until_closed(self, kind: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self.open_count(kind):
            assert time.monotonic() < deadline, f"{self.open_count(kind)} of {kind} are still open"
            time.sleep(_TICK_S)

    def _watch(self) -> None:
        looked_s = 0.0
        while not self._stop.is_set():
            for key, _ in self._selector.select(_TICK_S):
                self._read(key.data)
            now_s = time.monotonic()
            if now_s - looked_s < _DRIP_TICK_S:
                continue
            looked_s = now_s
            with self._lock:
                dripping = [one for one in self._clients if one.drip_s and now_s - one.dripped_s >= one.drip_s]
            for client in dripping:
                client.dripped_s = now_s
                with suppress(OSError):
                    client.connection.send(b"x")

    def _read(self, client: _Client) -> None:
        try:
            piece = client.connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        with self._lock:
            if not client.open:
                return
            if piece:
                self._said[client.kind, piece.partition(b"\r\n")[0][:40]] += 1
                return
            self._held.setdefault(client.kind, []).append(time.monotonic() - client.began_s)
            self._end(client)

    def _end(self, client: _Client) -> None:
        if client.open:
            client.open = False
            self._selector.unregister(client.connection)
            client.connection.close()
            self._clients.discard(client)


class Flood:
    """Connects and closes, some hundred times a second, until it is left."""

    def __init__(self, port: int) -> None:
        self.count = self.failed = 0
        self._address = ("127.0.0.1", port)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Flood:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                socket.create_connection(self._address, timeout=30).close()
            except OSError:
                self.failed += 1
            self.count += 1
            if self.count % 10 == 0:  # the flood is to cost the server, not the interpreter of this test
                self._stop.wait(0.05)
