"""Compressed bodies, opened step by step and never past the limit.

In: the bytes and the Content-Encoding. Out: the bytes inside. A body of 1 MiB may hold 1 GiB of zeros
(GHSA-c74f-6mfw-mm4v): every step is reserved in a budget before it is kept.
"""

from __future__ import annotations

import sys
import threading
import zlib
from collections.abc import Callable

from collector.errors import BadRequestError, OverloadedError, TooLargeError, UnsupportedError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_INPUT_STEP = 64 * 1024
_OUTPUT_STEP = 1024 * 1024
_MEMBERS_MAX = 128  # gzip members or zstd frames in one body; ten thousand empty ones cost quadratic time
_ZSTD_WINDOW_LOG_MAX = 23  # 8 MiB, what RFC 8878 asks decoders to support


class ByteBudget:
    """Bytes held for requests in flight. Any thread.

    The bound of all bodies together, so that many large ones at once are asked to come again
    instead of filling the memory (reliability.md R10: 256 MiB in all).
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._held = 0
        self._lock = threading.Lock()

    @property
    def held_bytes(self) -> int:
        return self._held

    def reserve(self, count: int) -> None:
        """Take `count` bytes.

        Raises
        ------
        OverloadedError
            There is no room; nothing was taken.
        """
        with self._lock:
            if self._held + count > self._bytes_max:
                raise OverloadedError("too many bytes in flight; send it again after the delay", "inflight_bytes")
            self._held += count

    def release(self, count: int) -> None:
        with self._lock:
            self._held -= count


def inflate(payload: bytes, encoding: str, limit_bytes: int, reserve: Callable[[int], None]) -> bytes:
    """Open a compressed body.

    Parameters
    ----------
    payload : the body as it was sent
    encoding : "gzip", "deflate" (zlib or raw), "zlib" or "zstd", lower case
    limit_bytes : of the result
    reserve : called with the size of each piece before it is kept; may raise

    Raises
    ------
    TooLargeError
        More than `limit_bytes` come out.
    BadRequestError
        The stream is damaged, ends early, or has more than 128 members.
    UnsupportedError
        `encoding` is not one of ours.
    """
    make = _decompressor(encoding, payload)
    if not payload:
        return b""
    pieces: list[bytes] = []
    size = 0
    current = make()
    members = 1
    try:
        for offset in range(0, len(payload), _INPUT_STEP):
            data = payload[offset : offset + _INPUT_STEP]
            while data or not current.needs_input:
                if current.eof:
                    members += 1
                    if members > _MEMBERS_MAX:
                        raise BadRequestError(f"the {encoding} body has more than {_MEMBERS_MAX} members")
                    current = make()
                piece, data = current.step(data)
                size += len(piece)
                if size > limit_bytes:
                    raise too_large(limit_bytes)
                if piece:
                    reserve(len(piece))
                    pieces.append(piece)
    except (zlib.error, zstd.ZstdError, EOFError) as error:
        raise BadRequestError(f"the body is not {encoding}: {error}") from None
    if not current.eof:
        raise BadRequestError(f"the {encoding} body ends early")
    return b"".join(pieces)


def too_large(limit_bytes: int) -> TooLargeError:
    """Return the refusal of a body that is over the limit."""
    return TooLargeError(f"the request has more than {limit_bytes} bytes after decompression. Send smaller batches.")


class _Zlib:
    """zlib's way of stepping, made like the others'."""

    def __init__(self, wbits: int) -> None:
        self._inner = zlib.decompressobj(wbits)
        self._full = False  # the last piece was cut at the step: there may be more without further input

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return self._inner.eof or not self._full

    def step(self, data: bytes) -> tuple[bytes, bytes]:
        """Return at most `_OUTPUT_STEP` bytes, and the input that is still to be read."""
        piece = self._inner.decompress(data, _OUTPUT_STEP)
        self._full = len(piece) == _OUTPUT_STEP
        rest = self._inner.unused_data if self._inner.eof else self._inner.unconsumed_tail
        return piece, rest


class _Zstd:
    def __init__(self) -> None:
        options = {int(zstd.DecompressionParameter.window_log_max): _ZSTD_WINDOW_LOG_MAX}
        self._inner = zstd.ZstdDecompressor(options=options)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return self._inner.eof or self._inner.needs_input

    def step(self, data: bytes) -> tuple[bytes, bytes]:
        piece = self._inner.decompress(data, _OUTPUT_STEP)
        return piece, self._inner.unused_data if self._inner.eof else b""


def _decompressor(encoding: str, payload: bytes) -> Callable[[], _Zlib | _Zstd]:
    if encoding == "gzip":
        return lambda: _Zlib(31)
    if encoding in ("deflate", "zlib"):
        wbits = -15 if encoding == "deflate" and not _is_zlib(payload) else 15
        return lambda: _Zlib(wbits)
    if encoding == "zstd":
        return _Zstd
    raise UnsupportedError("the content encoding is not known; expected gzip, deflate, zstd or none")


def _is_zlib(payload: bytes) -> bool:
    """RFC 1950: method 8, and a header that divides by 31. Some clients send raw deflate under the same name."""
    return len(payload) >= 2 and payload[0] & 0x0F == 8 and int.from_bytes(payload[:2], "big") % 31 == 0
