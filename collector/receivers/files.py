"""Files of telemetry -> protobuf requests, whatever they are called.

In: a path or `-` (standard input). Out: (ExportTraceServiceRequest or ExportLogsServiceRequest bytes, signal), and a
complaint for each part that cannot be read; the parts around it live. What it is shows in the first bytes: OTLP/JSON
(lines, or printed over many), OTLP protobuf (plain, or with the 4-byte lengths of the Collector's file exporter),
each also in gzip or zstd. Holds one value at a time, never a file.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import sys
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, cast

from collector.contracts import Signal
from collector.errors import RefusedError
from collector.receivers.file_json import JsonPart, json_requests, json_values
from collector.receivers.file_protobuf import delimited_records, request_chunks, request_signal
from collector.receivers.inflate import inflate

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

VALUE_BYTES_MAX = 64 * 2**20  # one line, document or record; the largest request a receiver takes
COMPLAINTS_MAX = 20  # shown with their place; the rest are counted
_HEAD_BYTES = 512
_BUFFER_BYTES = 1 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_CONTROLS = frozenset(range(0x20)) - frozenset(b"\t\n\r\x1e")
_DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error, zstd.ZstdError)

Translate: TypeAlias = Callable[[bytes, Signal], bytes]


@dataclass(frozen=True, slots=True)
class FileComplaint:
    """What cannot be read, and where. `count` is how many parts it speaks of."""

    file: str
    place: str  # "line 7", "byte 120"; empty: the file as a whole
    message: str
    count: int = 1

    def __str__(self) -> str:
        where = f"{self.file}, {self.place}" if self.place else self.file
        return f"{where}: {self.message}"


Request: TypeAlias = tuple[bytes, Signal]


def read_requests(
    name: str, translate: Translate, *, value_bytes_max: int = VALUE_BYTES_MAX
) -> Iterator[Request | FileComplaint]:
    """Read one file.

    Parameters
    ----------
    name : a path, or "-" for standard input
    translate : OTLP/JSON bytes of one request -> protobuf bytes; raises `RefusedError`
    value_bytes_max : bound of one line, document or record

    Yields
    ------
    (payload, signal), or FileComplaint
        At most `COMPLAINTS_MAX` complaints with their place, then one for the rest.

    Raises
    ------
    OSError
        The file cannot be opened or read.
    """
    shown_name = "standard input" if name == "-" else name
    left_out: Counter[str] = Counter()
    complaints = 0
    with contextlib.nullcontext(_standard_input()) if name == "-" else Path(name).open("rb") as raw:
        for part in _parts(raw, translate, value_bytes_max):
            if not isinstance(part, _Fault):
                yield part
            elif part.common:
                left_out[part.message] += 1
            else:
                complaints += 1
                if complaints <= COMPLAINTS_MAX:
                    yield FileComplaint(shown_name, part.place, part.message)
    if complaints > COMPLAINTS_MAX:
        rest = complaints - COMPLAINTS_MAX
        yield FileComplaint(shown_name, "", f"{rest} more parts cannot be read", rest)
    for message, count in left_out.items():
        yield FileComplaint(shown_name, "", f"{count} x {message}", count)


@dataclass(frozen=True, slots=True)
class _Fault:
    place: str
    message: str
    common: bool = False  # one sentence for all of its kind


def _parts(raw: _Source, translate: Translate, bytes_max: int) -> Iterator[Request | _Fault]:
    head, stream = _peek(raw)
    packed = "gzip" if head.startswith(_GZIP) else "zstd" if head.startswith(_ZSTD) else ""
    if packed:
        opener = gzip.GzipFile(fileobj=stream) if packed == "gzip" else zstd.ZstdFile(stream)
        try:
            head, stream = _peek(opener)
        except _DAMAGE as error:
            yield _Fault("", f"the {packed} data is damaged: {error}")
            return
    try:
        yield from _content(head, stream, translate, bytes_max)
    except _DAMAGE as error:
        yield _Fault("", f"the {packed or 'compressed'} data is damaged or ends early; the rest is lost: {error}")


def _content(
    head: bytes, stream: io.BufferedReader, translate: Translate, bytes_max: int
) -> Iterator[Request | _Fault]:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n\x1e")
    # Protobuf may begin with 0x0A 0x7B, which is also a new line and a brace; but it has a 0x12 before each scope.
    if text[:1] in (b"{", b"[") and (head[0] != 0x0A or not _CONTROLS.intersection(head)):
        yield from _json(stream, translate, bytes_max)
    elif not head.strip():
        yield _Fault("", "nothing is in it; expected OTLP as JSON, JSON lines or protobuf")
    elif head[0] == 0x0A:
        for place, chunk in request_chunks(stream, bytes_max):
            yield _request(place, chunk)
    elif _is_delimited(head, bytes_max):
        for place, record in delimited_records(stream, bytes_max):
            yield from _record(place, record, translate, bytes_max)
    elif head.startswith((b"\xff\xfe", b"\xfe\xff")):
        yield _Fault("byte 0", "this is UTF-16; expected UTF-8 (convert it with iconv)")
    else:
        yield _Fault(
            "byte 0",
            f"it begins with {head[:8].hex(' ')}; expected OTLP as JSON, JSON lines or protobuf, plain, gzip or zstd",
        )


def _json(stream: io.BufferedReader, translate: Translate, bytes_max: int) -> Iterator[Request | _Fault]:
    for line, value in json_values(stream, bytes_max):
        for part in json_requests(value):
            yield _translated(f"line {line}", part, translate)


def _translated(place: str, part: JsonPart, translate: Translate) -> Request | _Fault:
    if part.signal is None:
        return _Fault(place, part.message, part.common)
    try:
        return translate(part.text, part.signal), part.signal
    except RefusedError as error:
        return _Fault(place, str(error))


def _is_delimited(head: bytes, bytes_max: int) -> bool:
    """Four bytes of length (big endian), then the beginning of a request of any form.

    Plain protobuf begins with 0x0A, which as a length would be 160 MiB and more, so the two cannot be confused.
    """
    length = int.from_bytes(head[:4], "big")
    body = head[4:8]
    return 0 < length <= bytes_max and (body[:1] in (b"\x0a", b"{") or body == _ZSTD or body[:2] == _GZIP)


def _record(place: str, record: bytes | str, translate: Translate, bytes_max: int) -> Iterator[Request | _Fault]:
    if isinstance(record, str):
        yield _Fault(place, record)
        return
    # With compression the file exporter packs each record by itself.
    packed = "gzip" if record.startswith(_GZIP) else "zstd" if record.startswith(_ZSTD) else ""
    if packed:
        try:
            record = inflate(record, packed, bytes_max, lambda count: None)
        except RefusedError as error:
            yield _Fault(place, str(error))
            return
    if record.lstrip()[:1] in (b"{", b"["):
        for _, value in json_values(io.BytesIO(record), bytes_max):
            for part in json_requests(value):
                yield _translated(place, part, translate)
    elif record:
        yield _request(place, record)


def _request(place: str, payload: bytes | str) -> Request | _Fault:
    if isinstance(payload, str):
        return _Fault(place, payload)
    try:
        signal = request_signal(payload)
    except ValueError as error:
        return _Fault(place, f"not an OTLP request: {error}")
    if signal == Signal.METRICS:
        return _Fault(place, "request of metrics left out; expected traces or logs", common=True)
    return payload, signal


class _Source(Protocol):
    """A file, a pipe, or something that unpacks one."""

    def read1(self, size: int, /) -> bytes: ...


def _standard_input() -> _Source:
    if sys.stdin is None:  # a program may be started without one
        raise OSError("standard input is closed")
    return cast(_Source, sys.stdin.buffer)


class _Joined(io.RawIOBase):
    """A stream with its first bytes put back; pipes cannot seek."""

    def __init__(self, head: bytes, rest: _Source) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        # read1: what is there before a damaged place, and what a pipe has now, comes through.
        found = self._head[: len(buffer)] or self._rest.read1(len(buffer))
        self._head = self._head[len(buffer) :]
        buffer[: len(found)] = found
        return len(found)


def _peek(raw: _Source) -> tuple[bytes, io.BufferedReader]:
    """Return the first bytes and a stream that still has them."""
    head = b""
    while len(head) < _HEAD_BYTES and (piece := raw.read1(_HEAD_BYTES - len(head))):
        head += piece
    return head, io.BufferedReader(_Joined(head, raw), _BUFFER_BYTES)
