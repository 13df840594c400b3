"""Damage done to requests, so that it is met deep inside them.

Bytes turned at random mostly break a length near the beginning, and everything behind goes unseen. Here one field
somewhere in the tree is changed and the lengths around it are written anew. Everything follows from the `Random`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from tests.collector.wire.strategies import mutated

_Field = tuple[int, int, bytes]  # number, wire type, body without its length
_EXTREMES = (0, 1, 127, 128, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
_TEXTS = (b"", b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"\x1b[31m", b"exception", b"service.name", b"e" * 1100)


def damaged(raw: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """A protobuf request damaged once or a few times, blindly or with care; `others` are spliced in."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        kind = rng.random()
        if kind < 0.3:
            raw = mutated(raw, rng)
        elif kind < 0.4:
            raw = _spliced(raw, rng.choice(others), rng)
        else:
            raw = _inside(raw, others, rng)
    return raw


def damaged_text(raw: bytes, others: Sequence[bytes], words: Sequence[bytes], rng: random.Random) -> bytes:
    """A text (JSON, a stack trace, YAML) with bytes turned, pieces of others spliced in, words put anywhere."""
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        kind = rng.random()
        if kind < 0.2:
            raw = mutated(raw, rng)
        elif kind < 0.4:
            raw = _spliced(raw, rng.choice(others), rng)
        else:
            place = rng.randint(0, len(raw))
            raw = (
                raw[:place] + rng.choice(words) * rng.choice((1, 1, 1, 2, 40)) + raw[place + rng.choice((0, 0, 1, 7)) :]
            )
    return raw


def _spliced(raw: bytes, other: bytes, rng: random.Random) -> bytes:
    start, stop = sorted((rng.randint(0, len(other)), rng.randint(0, len(other))))
    place = rng.randint(0, len(raw))
    return raw[:place] + other[start:stop] + raw[place + rng.choice((0, stop - start)) :]


def _inside(raw: bytes, others: Sequence[bytes], rng: random.Random, depth: int = 0) -> bytes:
    """Change one field of the tree; what is around it stays well-formed."""
    fields = _fields(raw)
    if not fields:
        return mutated(raw, rng)
    at = rng.randrange(len(fields))
    number, kind, body = fields[at]
    if kind == 2 and depth < 12 and rng.random() < 0.85 and _fields(body):
        fields[at] = number, kind, _inside(body, others, rng, depth + 1)
    else:
        change = rng.choice(_CHANGES)
        change(fields, at, others, rng)
    return b"".join(_written(field) for field in fields)


def _drop(fields: list[_Field], at: int, others: Sequence[bytes], rng: random.Random) -> None:
    del fields[at]


def _double(fields: list[_Field], at: int, others: Sequence[bytes], rng: random.Random) -> None:
    fields[at:at] = [fields[at]] * rng.choice((1, 2, 30))


def _swap(fields: list[_Field], at: int, others: Sequence[bytes], rng: random.Random) -> None:
    other = rng.randrange(len(fields))
    fields[at], fields[other] = fields[other], fields[at]


def _renumber(fields: list[_Field], at: int, others: Sequence[bytes], rng: random.Random) -> None:
    fields[at] = (rng.choice((*range(1, 20), 31, 32, 2**29 - 1)), *fields[at][1:])


def _retype(fields: list[_Field], at: int, others: Sequence[bytes], rng: random.Random) -> None:
    """Another wire type: 3 and 4 are groups, 6 and 7 do not exist."""
    kind = rng.randrange(8)
    fields[at] = fields[at][0], kind, {0: _varint(rng.choice(_EXTREMES)), 1: b"\xff" * 8, 5: b"\x7f" * 4}.get(kind, b"")


def _rewrite(fields: list[_Field], at: int, others: Sequence[bytes], rng: random.Random) -> None:
    """An extreme value of the same wire type."""
    number, kind, body = fields[at]
    if kind == 0:
        body = _varint(rng.choice(_EXTREMES))
    elif kind in (1, 5):
        body = rng.choice(_EXTREMES).to_bytes(8, "little")[: len(body)]
    else:
        body = rng.choice((*_TEXTS, body[:-1], body + b"\1", bytes(len(body)), mutated(body, rng)))
    fields[at] = number, kind, body


def _graft(fields: list[_Field], at: int, others: Sequence[bytes], rng: random.Random) -> None:
    """A piece of another request, from any level of it."""
    piece = rng.choice(others)
    for _ in range(rng.randint(0, 6)):
        inner = [field for field in _fields(piece) if field[1] == 2]
        if not inner:
            break
        piece = rng.choice(inner)[2]
    fields[at:at] = [(fields[at][0], 2, piece)]


def _nest(fields: list[_Field], at: int, others: Sequence[bytes], rng: random.Random) -> None:
    """The field inside itself, so many times."""
    number, _, body = fields[at]
    for _ in range(rng.choice((1, 5, 31, 33, 70, 120))):
        body = _written((number, 2, body))
    fields[at] = number, 2, body


_CHANGES: tuple[Callable[[list[_Field], int, Sequence[bytes], random.Random], None], ...] = (
    _drop, _double, _swap, _renumber, _retype, _rewrite, _rewrite, _rewrite, _graft, _nest,
)  # fmt: skip


def _fields(raw: bytes) -> list[_Field]:
    """The fields of a message; nothing when it is none."""
    found: list[_Field] = []
    p = 0
    while p < len(raw):
        tag, p = _read(raw, p)
        kind = tag & 7
        if kind == 0:
            start = p
            _, p = _read(raw, p)
            body = raw[start:p]
        elif kind == 2:
            length, p = _read(raw, p)
            body, p = raw[p : p + length], p + length
        elif kind in (1, 5):
            width = 8 if kind == 1 else 4
            body, p = raw[p : p + width], p + width
        else:
            return []
        if not 0 < p <= len(raw) or tag < 8:
            return []
        found.append((tag >> 3, kind, body))
    return found


def _read(raw: bytes, p: int) -> tuple[int, int]:
    """(varint, place behind it); a place behind the end when there is none."""
    value = 0
    for shift in range(0, 70, 7):
        if p >= len(raw):
            break
        value |= (raw[p] & 127) << shift
        p += 1
        if raw[p - 1] < 128:
            return value, p
    return 0, len(raw) + 1


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _written(field: _Field) -> bytes:
    number, kind, body = field
    return _varint(number << 3 | kind) + (_varint(len(body)) if kind == 2 else b"") + body
