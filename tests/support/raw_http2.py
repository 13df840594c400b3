"""A gRPC client made by hand, for requests no gRPC library would send.

Just enough HTTP/2: one stream, literal headers, flow control. Answers the grpc-status.
"""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Mapping

_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_FRAME_MAX = 16_384


def call(
    address: str,
    path: str,
    messages: list[bytes],
    encoding: str = "identity",
    timeout_s: float = 20.0,
    headers: Mapping[str, str] | None = None,
) -> int:
    """Send one unary call whose messages are given with their five-byte head; return the grpc-status."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), timeout_s) as connection:
        return _Stream(connection).call(path, b"".join(messages), encoding, headers or {})


def message(data: bytes, compressed: bool) -> bytes:
    return struct.pack(">BI", compressed, len(data)) + data


class _Stream:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._windows = {0: 65_535, 1: 65_535}
        self._buffer = b""
        self._status: int | None = None

    def call(self, path: str, body: bytes, encoding: str, more: Mapping[str, str]) -> int:
        headers = {
            ":method": "POST",
            ":scheme": "http",
            ":path": path,
            ":authority": "localhost",
            "content-type": "application/grpc",
            "te": "trailers",
            "grpc-encoding": encoding,
            **more,
        }
        block = b"".join(literal(name, value) for name, value in headers.items())
        self._connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(_SETTINGS, 0, 0, b""))
        self._connection.sendall(frame(_HEADERS, 4, 1, block))
        while body and self._status is None:
            room = min(self._windows[0], self._windows[1], _FRAME_MAX, len(body))
            if room <= 0:
                self._read()
                continue
            self._connection.sendall(frame(_DATA, int(room == len(body)), 1, body[:room]))
            body = body[room:]
            self._windows[0] -= room
            self._windows[1] -= room
        while self._status is None:
            self._read()
        return self._status

    def _read(self) -> None:
        while len(self._buffer) < 9 or len(self._buffer) < 9 + int.from_bytes(self._buffer[:3], "big"):
            data = self._connection.recv(65_536)
            if not data:
                raise ConnectionError("the server closed the connection without a status")
            self._buffer += data
        length, kind, flags = int.from_bytes(self._buffer[:3], "big"), self._buffer[3], self._buffer[4]
        stream = int.from_bytes(self._buffer[5:9], "big") & 0x7FFFFFFF
        payload, self._buffer = self._buffer[9 : 9 + length], self._buffer[9 + length :]
        if kind == _SETTINGS and not flags & 1:
            self._settings(payload)
        elif kind == _WINDOW:
            self._windows[stream] = self._windows.get(stream, 0) + (int.from_bytes(payload, "big") & 0x7FFFFFFF)
        elif kind == _PING and not flags & 1:
            self._connection.sendall(frame(_PING, 1, 0, payload))
        elif kind == _HEADERS:
            # the first headers of a connection are literals: nothing is in the dynamic table yet
            found = re.search(rb"grpc-status.(\d+)", payload, re.DOTALL)
            if found:
                self._status = int(found[1])
        elif kind in (_RST, _GOAWAY):
            raise ConnectionError(f"the server reset the stream (frame {kind})")

    def _settings(self, payload: bytes) -> None:
        for offset in range(0, len(payload), 6):
            name, value = struct.unpack(">HI", payload[offset : offset + 6])
            if name == 4:  # SETTINGS_INITIAL_WINDOW_SIZE
                self._windows[1] += value - 65_535
        self._connection.sendall(frame(_SETTINGS, 1, 0, b""))


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def literal(name: str, value: str) -> bytes:
    assert len(name) < 127
    assert len(value) < 127
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
