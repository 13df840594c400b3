"""Protobuf streams of files, cut into requests; and which request some bytes are.

In: bytes as they come. Out: whole requests of a bounded size with the byte they begin at, or a sentence about what
is broken there. Traces, logs and metrics requests have the same shape down to the record, so the first record of a
resource tells them apart by the wire types of its fields. Never builds a message.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TypeAlias

from collector.contracts import Signal

CHUNK_BYTES = 4 * 2**20  # a request is cut when it has grown to this; its traces are joined again behind
_RECORDS_LOOKED_AT = 16
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES_MAX = 10

Piece: TypeAlias = tuple[str, bytes | str]


def delimited_records(stream: io.BufferedIOBase, bytes_max: int) -> Iterator[Piece]:
    """Read records that have their length before them: 4 bytes, big endian (the Collector's file exporter).

    A length that cannot be true ends the file: where the next record begins is not known any more.
    """
    offset = 0
    while head := stream.read(4):
        place = f"byte {offset}"
        length = int.from_bytes(head, "big")
        if len(head) < 4:
            yield place, "the file ends in the length of a record"
            return
        if length > bytes_max:
            yield place, f"a record says it has {length} bytes, at most {bytes_max} are read; the rest is lost"
            return
        body = stream.read(length)
        if len(body) < length:
            yield place, f"the file ends in a record: {len(body)} of {length} bytes are there"
            return
        offset += 4 + length
        yield place, body


def request_chunks(stream: io.BufferedIOBase, bytes_max: int) -> Iterator[Piece]:
    """Cut one long request (or several after each other) at its resources, into requests of about `CHUNK_BYTES`.

    Resources of another signal begin a new request.
    """
    chunk = bytearray()
    chunk_signal: Signal | None = None
    place, offset = "byte 0", 0
    while tag := stream.read(1):
        here = f"byte {offset}"
        length, length_bytes = _read_varint(stream)
        body = stream.read(length) if tag == b"\x0a" and 0 <= length <= bytes_max else b""
        if tag != b"\x0a":
            fault = f"found the tag 0x{tag.hex()}; expected 0x0a, a resource; the rest is lost"
        elif length > bytes_max:
            fault = f"a resource says it has {length} bytes, at most {bytes_max} are read; the rest is lost"
        elif length < 0 or len(body) < length:
            fault = "the file ends in a resource"
        else:
            fault = ""
        if fault:
            if chunk:
                yield place, bytes(chunk)
            yield here, fault
            return
        offset += 1 + len(length_bytes) + length
        try:
            signal = resource_signal(memoryview(body))
        except ValueError as error:
            yield here, f"a resource is not protobuf: {error}"
            continue
        other = None not in (signal, chunk_signal) and signal != chunk_signal
        if chunk and (other or len(chunk) + length > CHUNK_BYTES):
            yield place, bytes(chunk)
            chunk, chunk_signal = bytearray(), None
        if not chunk:
            place = here
        chunk_signal = chunk_signal if chunk_signal is not None else signal
        chunk += tag + length_bytes + body
    if chunk:
        yield place, bytes(chunk)


def request_signal(payload: bytes) -> Signal:
    """Tell which Export*ServiceRequest it is; a request without records counts as traces.

    Raises
    ------
    ValueError
        The bytes are not protobuf, or have no field of a request.
    """
    for number, wire, resource in _fields(memoryview(payload)):
        if (number, wire) != (1, _LENGTH):
            raise ValueError(f"found field {number} of wire type {wire}; expected field 1, a resource")
        signal = resource_signal(resource)
        if signal is not None:
            return signal
    return Signal.TRACES


def resource_signal(resource: memoryview) -> Signal | None:
    """Tell what a ResourceSpans, ResourceLogs or ResourceMetrics is by its first records; None: it has none.

    Raises
    ------
    ValueError
        The bytes are not protobuf.
    """
    looked = 0
    for number, wire, scope in _fields(resource):
        if (number, wire) != (2, _LENGTH):
            continue
        for inner, inner_wire, record in _fields(scope):
            if (inner, inner_wire) != (2, _LENGTH):
                continue
            looked += 1
            signal = _record_signal(record)
            if signal is not None or looked == _RECORDS_LOOKED_AT:
                return signal
    return None


def _record_signal(record: memoryview) -> Signal | None:
    """Span, LogRecord or Metric, by the fields that only one of them has in that wire type (opentelemetry-proto 1.x).

    Span: 7 and 8 are fixed64 times. LogRecord: 1 and 11 are fixed64 times, 2 is a varint severity. Metric: 1 is a
    name; of a span without times 1 is an id of 16 bytes.
    """
    first = -1
    for number, wire, part in _fields(record):
        if wire == _FIXED64 and number in (7, 8):
            return Signal.TRACES
        if (wire == _FIXED64 and number in (1, 11)) or (wire == _VARINT and number == 2):
            return Signal.LOGS
        if wire == _LENGTH and number == 1:
            first = len(part)
        elif wire == _LENGTH and number == 9 and first < 0 and len(part) == 16:
            return Signal.LOGS  # trace_id of a log record without times
    if first < 0:
        return None
    return Signal.TRACES if first == 16 else Signal.METRICS


def _fields(view: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Walk the fields of one message; numbers and fixed fields have an empty part."""
    empty, place, end = view[:0], 0, len(view)
    while place < end:
        key, place = _varint(view, place)
        number, wire = key >> 3, key & 7
        if number == 0:
            raise ValueError(f"field number 0 at byte {place - 1}")
        part = empty
        if wire == _VARINT:
            _, place = _varint(view, place)
        elif wire == _FIXED64:
            place += 8
        elif wire == _FIXED32:
            place += 4
        elif wire == _LENGTH:
            length, place = _varint(view, place)
            part = view[place : place + length]
            place += length
        else:
            raise ValueError(f"wire type {wire} at byte {place - 1}")
        if place > end:
            raise ValueError(f"field {number} ends {place - end} bytes behind its message")
        yield number, wire, part


def _varint(view: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for i in range(_VARINT_BYTES_MAX):
        if place + i >= len(view):
            raise ValueError("the message ends in a number")
        byte = view[place + i]
        value |= (byte & 0x7F) << (7 * i)
        if byte < 0x80:
            return value, place + i + 1
    raise ValueError(f"a number of more than {_VARINT_BYTES_MAX} bytes at byte {place}")


def _read_varint(stream: io.BufferedIOBase) -> tuple[int, bytes]:
    """Read a number from a stream; -1 when it does not end."""
    value, read = 0, b""
    for i in range(_VARINT_BYTES_MAX):
        byte = stream.read(1)
        if not byte:
            return -1, read
        read += byte
        value |= (byte[0] & 0x7F) << (7 * i)
        if byte[0] < 0x80:
            return value, read
    return -1, read
