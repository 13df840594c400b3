"""What one connection may cost: uvicorn's protocol with deadlines and bounds.

uvicorn has no deadline for a request's head or body, none for a client that does not read its answer, and no bound on a
head's size (Kludex/uvicorn#157): they are here, and so is the cap on connections. Who comes when the port is full takes
the place of the one that kept us waiting longest: a crowd that stalls keeps nobody out.
"""

from __future__ import annotations

import asyncio
import select
from dataclasses import dataclass
from itertools import islice

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What one port grants its clients.

    head_timeout_s : from the first byte of a request (or the connection) to the end of its head (R13: 10 s); as long
        for a TLS handshake
    body_timeout_s : from the end of the head to the end of the body; None: the application has its own
    head_bytes_max : request line and headers together
    idle_timeout_s : a connection may rest this long between requests
    read_pause_s : who has more to read must read at least `READ_BYTES_MIN` in this time
    connections_max : over it the one that has kept us waiting longest is closed; when none does, the one that came
    young_s : who has kept us waiting no longer than this is let be; a thousand may come in a quarter of a second, and
        while all are young those who come next are turned away
    """

    head_timeout_s: float = 10.0
    body_timeout_s: float | None = 30.0
    head_bytes_max: int = 64 * 1024
    idle_timeout_s: float = 60.0
    read_pause_s: float = 30.0
    connections_max: int = 1024
    young_s: float = 0.05


READ_BYTES_MIN = 16 * 1024
BODY_BYTES_PER_S_MIN = 1024  # who sends no slower is not one that keeps us waiting (R13)
LOOKED_AT_MAX = 256  # of the longest waiting, for each that comes


def guarded(limits: ServerLimits) -> type[HttpToolsProtocol]:
    """Return the protocol for a port with these limits."""

    # Who keeps us waiting, longest first: between requests, in a head or in a body, but not while we work.
    waiting: dict[GuardedProtocol, None] = {}

    class GuardedProtocol(HttpToolsProtocol):
        _since_s = 0.0
        _body_bytes = 0
        _deadline: asyncio.TimerHandle | None = None
        _reader: asyncio.TimerHandle | None = None
        _unread_bytes = 0
        _head_bytes = 0
        _in_head = True

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            if len(self.connections) > limits.connections_max and not self._make_room():
                transport.abort()
            else:
                self._arm(limits.head_timeout_s)
                self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            self._disarm()
            self._stop_watching()
            waiting.pop(self, None)
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._in_head:
                if not self._head_bytes:
                    self._wait()
                self._head_bytes += len(data)
                self._arm(limits.head_timeout_s)
            else:
                self._body_bytes += len(data)
            super().data_received(data)
            if self._in_head and self._head_bytes > limits.head_bytes_max and not self.transport.is_closing():
                self._refuse(b"431 Request Header Fields Too Large")

        def on_headers_complete(self) -> None:
            self._disarm()
            self._in_head, self._body_bytes = False, 0
            self._wait()
            if limits.body_timeout_s is not None:
                self._arm(limits.body_timeout_s)
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            self._disarm()
            waiting.pop(self, None)
            super().on_message_complete()
            self._in_head, self._head_bytes = True, 0

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if self._in_head and not self.pipeline and not self.transport.is_closing():
                self._wait()

        def pause_writing(self) -> None:
            """The client has not read what we sent so far."""
            super().pause_writing()
            if self._reader is None:
                self._watch_reader()

        def resume_writing(self) -> None:
            self._stop_watching()
            super().resume_writing()

        def _wait(self) -> None:
            """From now on it is the client's turn."""
            waiting.pop(self, None)
            waiting[self] = None
            self._since_s = self.loop.time()

        def _make_room(self) -> bool:
            """Close the one that has kept us waiting longest, if there is one."""
            now_s = self.loop.time()
            for one in islice(waiting, LOOKED_AT_MAX):
                waited_s = now_s - one._since_s
                if waited_s < limits.young_s:
                    break
                if (one._in_head or one._body_bytes < BODY_BYTES_PER_S_MIN * waited_s) and not one._has_sent():
                    waiting.pop(one)
                    one._disarm()
                    if one._in_head and not one._head_bytes:
                        one.transport.close()  # between requests nothing needs to be said
                    else:
                        one._refuse(b"408 Request Timeout")
                    return True
            return False

        def _has_sent(self) -> bool:
            """Whether bytes of it are here and not read yet: then it waits for us, not we for it."""
            ours = self.transport.get_extra_info("socket")
            if ours is None or ours.fileno() < 0:  # lost; we hear of it in a moment
                return False
            poll = select.poll()
            poll.register(ours.fileno(), select.POLLIN)
            return bool(poll.poll(0))

        def _watch_reader(self) -> None:
            self._unread_bytes = self.transport.get_write_buffer_size()
            self._reader = self.loop.call_later(limits.read_pause_s, self._look_at_reader)

        def _look_at_reader(self) -> None:
            self._reader = None
            if self._unread_bytes - self.transport.get_write_buffer_size() < READ_BYTES_MIN:
                self.transport.abort()  # who does not read would not read a refusal either
            else:
                self._watch_reader()

        def _stop_watching(self) -> None:
            if self._reader is not None:
                self._reader.cancel()
                self._reader = None

        def _arm(self, timeout_s: float) -> None:
            if self._deadline is None:
                self._deadline = self.loop.call_later(timeout_s, self._late)

        def _disarm(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _late(self) -> None:
            self._deadline = None
            if not self.transport.is_closing():
                self._refuse(b"408 Request Timeout")

        def _refuse(self, status: bytes) -> None:
            self.transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()

    return GuardedProtocol
