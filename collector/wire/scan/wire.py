"""Protobuf's wire format: varints, lengths, skipping.

In: bytes and positions. Out: positions behind what was read. A position is a uint64 index into
the request's buffer (unsigned, so that no index is ever taken from the end). Something broken
gives `BROKEN`, which lies behind every end: a loop `while p < end` stops by itself, and
`p != end` after it says that the message was broken.

Every function may read up to 16 bytes at a position p <= end; the buffer has that slack.
What is refused follows upb, protobuf's own parser: tags and lengths longer than 5 bytes, varints
longer than 10, lengths of 2**31 and more, field number 0. Groups (wire types 3 and 4) are refused
too: OTLP has none.
"""

from __future__ import annotations

from numba import njit, types

from analyzer.kernels.hashing import READ_BYTES, U0, U1, U2, U3, U4, U5, U7, U8, U
from analyzer.kernels.options import ARRAYS_ONLY, INLINED

BROKEN = U(0xFFFFFFFFFFFFFFFF)
U70, U127, U128 = U(70), U(127), U(128)
LENGTH_LIMIT = U(0x80000000)
LOW_32 = U(0xFFFFFFFF)

_PAIR = types.UniTuple(types.uint64, 2)


@njit(_PAIR(READ_BYTES, types.uint64, types.uint64), **ARRAYS_ONLY)
def long_varint(raw, p, end):
    """Varint of any length -> (value, position behind it)."""
    value = U0
    shift = U0
    while p < end and shift < U70:
        byte = U(raw[p])
        p += U1
        value |= (byte & U127) << shift
        if byte < U128:
            return value, p
        shift += U7
    return U0, BROKEN


@njit(_PAIR(READ_BYTES, types.uint64, types.uint64), **ARRAYS_ONLY)
def long_tag(raw, p, end):
    """Tag or length of up to 5 bytes that fits 32 bits -> (value, position behind it)."""
    value, after = long_varint(raw, p, end)
    if after == BROKEN or after - p > U5 or value > LOW_32:
        return U0, BROKEN
    return value, after


@njit(**INLINED)
def read_varint(raw, p, end):
    """Varint -> (value, position behind it)."""
    byte = U(raw[p])
    if p < end and byte < U128:
        return byte, p + U1
    return long_varint(raw, p, end)


@njit(**INLINED)
def read_tag(raw, p, end):
    """Tag -> (value, position behind it). The caller has checked p < end."""
    byte = U(raw[p])
    if byte < U128:
        return byte, p + U1
    return long_tag(raw, p, end)


@njit(_PAIR(READ_BYTES, types.uint64, types.uint64), **ARRAYS_ONLY)
def long_block(raw, p, end):
    """`read_block` for lengths of more than one byte."""
    length, start = long_tag(raw, p, end)
    if start == BROKEN or length >= LENGTH_LIMIT or length > end - start:
        return BROKEN, BROKEN
    return start, start + length


@njit(**INLINED)
def read_block(raw, p, end):
    """Length-delimited field -> (start, stop) of what it holds; (BROKEN, BROKEN) when it does not fit."""
    length = U(raw[p])
    start = p + U1
    stop = start + length
    if length < U128 and stop <= end:
        return start, stop
    return long_block(raw, p, end)


@njit(types.uint64(READ_BYTES, types.uint64, types.uint64, types.uint64), **ARRAYS_ONLY)
def skip(raw, p, end, tag):
    """Position behind the value of a field nobody reads."""
    wire_type = tag & U7
    if tag >> U3 == U0:
        return BROKEN
    if wire_type == U0:
        _, p = long_varint(raw, p, end)
        return p
    if wire_type == U2:
        _, p = long_block(raw, p, end)
        return p
    if wire_type == U1:
        width = U8
    elif wire_type == U5:
        width = U4
    else:
        return BROKEN
    return p + width if width <= end - p else BROKEN
