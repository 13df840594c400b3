"""A gRPC connection that costs the generator little: prepared bytes into a socket, statuses out of it.

A client library takes about as long to send a request as the server takes to receive it, and in a benchmark both
are paid on the same cores. A real exporter runs on another machine. So this one writes HTTP/2 frames itself: one
request at a time, no copy of the body, and of an answer it reads the `grpc-status` and nothing else. It keeps to
the flow control of both windows, answers settings and pings, and forbids the server a dynamic header table
(RFC 9113, RFC 7541), so that a block of headers means the same wherever it comes.
"""

from __future__ import annotations

import re
import socket
import struct

from tests.support.raw_http2 import frame, literal

DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK, END_STREAM, END_HEADERS = 1, 1, 4
HEADER_TABLE_SIZE, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 4, 5
WINDOW = 65_535
WINDOW_MAX = 2**31 - 1
BUFFERS_MAX = 1024  # of one system call (IOV_MAX)
ANSWERS_BYTES = 1 << 16
STATUS = re.compile(rb"grpc-status.(\d+)", re.DOTALL)
CANCELLED = 1


class Connection:
    """One connection, one request at a time; never blocks.

    Parameters
    ----------
    address : str
        host:port.
    path : str
        The method, such as /package.Service/Method.
    encoding : str
        What `grpc-encoding` says of every message.

    Notes
    -----
    Owned by one thread.
    """

    def __init__(self, address: str, path: str, encoding: str = "identity") -> None:
        host, port = address.rsplit(":", 1)
        self._socket = socket.create_connection((host, int(port)), 20.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": address,
            "content-type": "application/grpc",
            "te": "trailers",
            "grpc-encoding": encoding,
        }
        self._headers = b"".join(literal(name, value) for name, value in headers.items())
        no_table = struct.pack(">HI", HEADER_TABLE_SIZE, 0)
        self._unsent: list[memoryview] = []
        self._say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, no_table))
        self._say(frame(WINDOW_UPDATE, 0, 0, (WINDOW_MAX - WINDOW).to_bytes(4, "big")))
        self._received = b""
        self._stream = -1
        self._body = memoryview(b"")
        self._at = 0
        self._window, self._stream_window = WINDOW, 0
        self._stream_window_first, self._frame_max = WINDOW, 16_384
        self.status: int | None = 0  # of the request before; None while one is under way

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def begin(self, message: memoryview) -> None:
        """Start a request whose message is given with its head of five bytes."""
        assert self.status is not None, "one request at a time"
        self._stream += 2
        self._body, self._at, self.status = message, 0, None
        self._stream_window = self._stream_window_first
        self._say(frame(HEADERS, END_HEADERS, self._stream, self._headers))

    @property
    def waits_to_write(self) -> bool:
        return bool(self._unsent)

    def write(self) -> None:
        """Send what the windows and the socket take."""
        while self._unsent or self._frame():
            buffers = self._unsent[:BUFFERS_MAX]
            try:
                sent = self._socket.sendmsg(buffers)
            except BlockingIOError:
                return
            whole = 0
            for buffer in buffers:
                if sent < len(buffer):
                    break
                sent -= len(buffer)
                whole += 1
            del self._unsent[:whole]
            if whole < len(buffers):
                self._unsent[0] = self._unsent[0][sent:]
                return

    def read(self) -> None:
        """Take all that has come."""
        size = ANSWERS_BYTES
        while size == ANSWERS_BYTES:  # less than asked for: it is empty
            try:
                came = self._socket.recv(ANSWERS_BYTES)
            except BlockingIOError:
                return
            if not came:
                raise ConnectionError("the server closed the connection")
            size = len(came)
            self._parse(self._received + came)

    def _parse(self, data: bytes) -> None:
        at = 0
        while len(data) - at >= 9:
            length = int.from_bytes(data[at : at + 3], "big")
            if len(data) - at - 9 < length:
                break
            stream = int.from_bytes(data[at + 5 : at + 9], "big") & WINDOW_MAX
            self._take(data[at + 3], data[at + 4], stream, data[at + 9 : at + 9 + length])
            at += 9 + length
        self._received = data[at:]

    def _say(self, words: bytes) -> None:
        self._unsent.append(memoryview(words))

    def _frame(self) -> bool:
        """Queue frames of the body that the windows have room for; they are used up with it."""
        body, at, unsent = self._body, self._at, self._unsent
        room = min(len(body) - at, self._window, self._stream_window)
        if room > 0:
            self._window -= room
            self._stream_window -= room
            self._at = end = at + room
            full = self._frame_max
            head = self._head(full, 0)
            while end - at > full:
                unsent.append(head)
                unsent.append(body[at : at + full])
                at += full
            unsent.append(self._head(end - at, END_STREAM if end == len(body) else 0))
            unsent.append(body[at:end])
        return bool(unsent)

    def _head(self, size: int, flags: int) -> memoryview:
        return memoryview(struct.pack(">IBI", size << 8 | DATA, flags, self._stream))

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == HEADERS and stream == self._stream:
            if found := STATUS.search(payload):
                self._end(int(found[1]))
        elif kind == WINDOW_UPDATE:
            more = int.from_bytes(payload, "big") & WINDOW_MAX
            if stream == 0:
                self._window += more
            elif stream == self._stream:
                self._stream_window += more
        elif kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                self._set(name, value)
            self._say(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self._say(frame(PING, ACK, 0, payload))
        elif kind == RESET and stream == self._stream and self.status is None:
            self._end(CANCELLED)
        elif kind == GOAWAY:
            raise ConnectionError(f"the server says good-bye: {payload[8:]!r}")

    def _end(self, status: int) -> None:
        """A server may answer before it has read the whole request: the rest of it is not sent then."""
        if self._at < len(self._body):
            self._at = len(self._body)
            self._say(frame(RESET, 0, self._stream, (8).to_bytes(4, "big")))
        self.status = status

    def _set(self, name: int, value: int) -> None:
        if name == INITIAL_WINDOW_SIZE:
            self._stream_window += value - self._stream_window_first
            self._stream_window_first = value
        elif name == MAX_FRAME_SIZE:
            self._frame_max = value
