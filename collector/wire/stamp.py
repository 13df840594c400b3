"""Writes the tenant of a credential into a request, where attributes of a resource stand.

In: a request that the guard has passed. Out: the same with two more attributes at the end of every resource: of equal
keys the last wins, so what a client says there itself does not count. `tenant.id` is for people; `firstfault.tenant`,
which nobody has by accident, keeps traces apart. Nothing else is decoded or moved.
"""

from __future__ import annotations

from collections.abc import Iterator

from analyzer.spans import RESOURCE_KEYS
from analyzer.strings import BLOB_LENGTH_MAX
from collector.errors import BadRequestError

TENANT_KEYS = (RESOURCE_KEYS["tenant"][0], RESOURCE_KEYS["owner"][0])
_GROUP, _RESOURCE, _ATTRIBUTE, _LENGTHS = 1, 1, 0x0A, 2  # ResourceSpans and ResourceLogs have the same numbers


def stamp_tenant(payload: bytes, tenant: str) -> bytes:
    """Return the request with the tenant in every resource.

    Raises
    ------
    BadRequestError
        It is not protobuf (the guard lets none such through), or a resource is larger than the engine reads: it would
        be nobody's there.
    """
    value = _message(0x12, _message(0x0A, tenant.encode()))
    stamp = b"".join(_message(_ATTRIBUTE, _message(0x0A, key.encode()) + value) for key in TENANT_KEYS)
    whole = memoryview(payload)
    pieces: list[bytes | memoryview] = []
    for number, kind, start, body, end in _fields(whole):
        if number == _GROUP and kind == _LENGTHS:
            pieces.append(_message(0x0A, _group(whole[body:end], stamp)))
        else:
            pieces.append(whole[start:end])
    return b"".join(pieces)


def _group(group: memoryview, stamp: bytes) -> bytes:
    """Stamp one ResourceSpans or ResourceLogs; one without a resource gets one."""
    pieces: list[bytes | memoryview] = []
    found = False
    for number, kind, start, body, end in _fields(group):
        if number == _RESOURCE and kind == _LENGTHS:
            if end - body + len(stamp) > BLOB_LENGTH_MAX:
                room = BLOB_LENGTH_MAX - len(stamp)
                raise BadRequestError(
                    f"a resource has {end - body} bytes; expected at most {room}, with fewer attributes on it",
                    "resource_too_large",
                )
            pieces.append(_message(0x0A, bytes(group[body:end]) + stamp))
            found = True
        else:
            pieces.append(group[start:end])
    if not found:
        pieces.insert(0, _message(0x0A, stamp))
    return b"".join(pieces)


def _fields(raw: memoryview) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield (field number, wire type, start of the tag, start of the body, end) of each field."""
    p, end = 0, len(raw)
    while p < end:
        start = p
        tag, p = _varint(raw, p)
        kind, body = tag & 7, p
        if kind == 0:
            _, p = _varint(raw, p)
        elif kind == 1:
            p += 8
        elif kind == _LENGTHS:
            length, body = _varint(raw, p)
            p = body + length
        elif kind == 5:
            p += 4
        else:
            raise BadRequestError("a group of the old kind of protobuf; expected OTLP")
        if p > end:
            raise BadRequestError("the request ends inside a field")
        yield tag >> 3, kind, start, body, p


def _varint(raw: memoryview, p: int) -> tuple[int, int]:
    value = shift = 0
    for place in range(p, min(p + 10, len(raw))):
        byte = raw[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise BadRequestError("the request ends inside a number")


def _message(tag: int, body: bytes) -> bytes:
    length, size = len(body), bytearray([tag])
    while length > 0x7F:
        size.append(length & 0x7F | 0x80)
        length >>= 7
    size.append(length)
    return bytes(size) + body
