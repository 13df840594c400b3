"""A peer that does not behave: it says given bytes, or nothing, or never stops."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain, repeat


class ScriptedPeer:
    """Answers every connection with the same bytes.

    asked : the head of each request
    says : None: it listens and never answers
    for_ever : after `says`, this again and again until the other side has enough
    """

    def __init__(self, says: bytes | None, for_ever: bytes = b"") -> None:
        self.asked: list[str] = []
        self._says = says
        self._for_ever = for_ever
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads: list[threading.Thread] = []

    def serve(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                connection, _ = self._listener.accept()
                self._open.append(connection)
                thread = threading.Thread(target=self._answer, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head and (piece := connection.recv(65_536)):
                head += piece
            self.asked.append(head.decode("latin-1"))
            if self._says is None:
                connection.recv(1)  # until the other side hangs up
                return
            for piece in chain([self._says], repeat(self._for_ever) if self._for_ever else []):
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
        for connection in self._open:
            connection.close()


@contextmanager
def scripted_peer(says: bytes | None, for_ever: bytes = b"") -> Iterator[ScriptedPeer]:
    """Let it serve; close it at the end."""
    peer = ScriptedPeer(says, for_ever)
    thread = threading.Thread(target=peer.serve, daemon=True)
    thread.start()
    try:
        yield peer
    finally:
        peer.close()
        thread.join(5)


def http(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    """A response."""
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n".encode() + body
