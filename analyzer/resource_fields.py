"""The words of a Resource message, read straight from its bytes.

In: the bytes of an OTLP Resource (proto/resource/v1). Out: `Resource`. Only string attributes
count, the last of equal keys wins; an `owner` that can be nobody's name is none. Never raises: of broken bytes it gives
what could be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from analyzer.spans import RESOURCE_KEYS, TENANT_PATTERN, Resource

_ATTRIBUTES = 1  # Resource.attributes
_KEY, _VALUE = 1, 2  # KeyValue
_STRING_VALUE = 1  # AnyValue; fields 1 to 8 are one oneof
_ONEOF_LAST = 8
_OWNER = re.compile(TENANT_PATTERN, re.ASCII)
_FIELDS_OF = {keys: name for name, keys in RESOURCE_KEYS.items()}


def read_resource(raw: bytes) -> Resource:
    """Read the attributes named in `RESOURCE_KEYS`; empty text where one is missing."""
    values: dict[bytes, bytes] = {}
    for number, pair in _fields(raw):
        if number == _ATTRIBUTES and isinstance(pair, bytes):
            key, text = _pair(pair)
            values[key] = text
    found: dict[str, str] = {}
    for keys, name in _FIELDS_OF.items():
        texts = (values.get(key.encode(), b"") for key in keys)
        found[name] = next((text for text in texts if text), b"").decode("utf-8", "replace")
    if not _OWNER.fullmatch(found["owner"]):
        found["owner"] = ""
    return Resource(**found)


def _pair(raw: bytes) -> tuple[bytes, bytes]:
    key, text = b"", b""
    for number, field in _fields(raw):
        if number == _KEY and isinstance(field, bytes):
            key = field
        elif number == _VALUE and isinstance(field, bytes):
            for kind, value in _fields(field):
                if kind == _STRING_VALUE and isinstance(value, bytes):
                    text = value
                elif kind <= _ONEOF_LAST:
                    text = b""
    return key, text


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, varint or bytes) until the end, or until something cannot be read."""
    p = 0
    while p < len(raw):
        tag, p = _varint(raw, p)
        wire_type = tag & 7
        if wire_type == 0:
            value, p = _varint(raw, p)
            yield tag >> 3, value
        elif wire_type == 2:
            length, p = _varint(raw, p)
            if p + length > len(raw):
                return
            yield tag >> 3, raw[p : p + length]
            p += length
        elif wire_type in (1, 5):
            p += 8 if wire_type == 1 else 4
        else:
            return


def _varint(raw: bytes, p: int) -> tuple[int, int]:
    value = shift = 0
    while p < len(raw) and shift < 70:
        byte = raw[p]
        p += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, p
        shift += 7
    return value, len(raw)
