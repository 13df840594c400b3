"""The plain way to find the groups of a request, and the Resource in each: field after field."""

from __future__ import annotations

from collections.abc import Iterator


class BrokenError(Exception):
    """No protobuf, or of a kind that OTLP has not."""


def find_groups(payload: bytes) -> list[list[int]]:
    """Places of each group, in the order of `collector.wire.stamp`."""
    found = []
    for tag, begin, start, end in _fields(payload, 0, len(payload)):
        if tag != 0x0A:
            continue
        heads = [field[1:] for field in _fields(payload, start, end) if field[0] == 0x0A]
        fields = sum(1 for _, head_start, head_end in heads for _ in _fields(payload, head_start, head_end))
        size = sum(head_end - head_start for _, head_start, head_end in heads)
        found.append([begin, start, end, len(heads), *(heads[-1] if heads else (start,) * 3), size, fields])
    return found


def _fields(raw: bytes, p: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (tag, start of the tag, start of the body, end) of each field."""
    while p < end:
        begin = p
        tag, p = _varint(raw, p, end, 5)
        kind = tag & 7
        if tag >> 3 == 0 or tag >= 2**32 or kind in (3, 4, 6, 7):
            raise BrokenError
        start = p
        if kind == 0:
            _, p = _varint(raw, p, end, 10)
        elif kind == 2:
            length, start = _varint(raw, p, end, 5)
            if length >= 2**31:
                raise BrokenError
            p = start + length
        else:
            p += 8 if kind == 1 else 4
        if p > end:
            raise BrokenError
        yield tag, begin, start, p


def _varint(raw: bytes, p: int, end: int, longest: int) -> tuple[int, int]:
    value = 0
    for place in range(p, min(p + longest, end)):
        value |= (raw[place] & 0x7F) << 7 * (place - p)
        if raw[place] < 0x80:
            return value, place + 1
    raise BrokenError
