"""Attributes: KeyValue and AnyValue messages -> slots.

In: the place of a KeyValue. Out: one code, `slot + 1 | kind << 8`, or `NOT_OURS` for the many keys
nobody asks for; the value itself is left in two words of scratch per slot. What nested values hold
is not looked at: the guard (`collector.wire.limits`) has checked their structure.
"""

from __future__ import annotations

from numba import njit

from analyzer.kernels.hashing import U0, U1, U2, U3, U7, U8, U16, U24, U, load_64
from analyzer.kernels.options import ARRAYS_ONLY, INLINED
from collector.wire.scan.tables import (
    KEY_INDEX,
    KEY_LENGTH_MIN,
    KEY_LENGTH_SPAN,
    KEY_MULTIPLIER,
    KEY_TEXT,
    SERVICE_NAME,
    SLOT_COUNT,
)
from collector.wire.scan.wire import BROKEN, LOW_32, U127, U128, read_block, read_tag, read_varint, skip

NOT_OURS = U0
OTHER_KIND, TEXT, NUMBER, TRUE, EMPTY_TEXT = U0, U1, U2, U3, U(4)
KIND_SHIFT = U8
SLOT_MASK = U(255)
SERVICE_NAME_CODE = U(SLOT_COUNT)  # the last slot, plus one
assert int(SERVICE_NAME) == 1 << (SLOT_COUNT - 1)

_KEY, _VALUE = U(0x0A), U(0x12)  # KeyValue: field 1 and 2, length-delimited
_STRING, _BOOL, _INT, _DOUBLE, _ARRAY, _KVLIST, _BYTES, _STRINDEX = (
    U(0x0A),
    U(0x10),
    U(0x18),
    U(0x21),
    U(0x2A),
    U(0x32),
    U(0x3A),
    U(0x40),
)  # AnyValue: one oneof
_U255, _U5, _U29 = U(255), U(5), U(29)


@njit(**INLINED)
def find_slot(raw, start, length, work):
    """Slot of an attribute key plus one; 0 when the key is not ours."""
    if length < KEY_LENGTH_MIN or length - KEY_LENGTH_MIN > KEY_LENGTH_SPAN:
        return U0
    last = load_64(raw, start + length - U8) if length >= U8 else load_64(raw, start) & U(0x00FFFFFFFFFFFFFF)
    mixed = (last ^ last >> _U29 ^ length) & LOW_32
    found = work[KEY_INDEX + (mixed * work[KEY_MULTIPLIER] >> U24 & _U255)]
    if found == U0:
        return U0
    key = KEY_TEXT + (found - U1) * _U5
    if work[key] != length or work[key + U(4)] != last:
        return U0
    if length > U8 and work[key + U1] != load_64(raw, start):
        return U0
    if length > U16 and work[key + U2] != load_64(raw, start + U8):
        return U0
    if length > U24 and work[key + U3] != load_64(raw, start + U16):
        return U0
    return found


@njit(**ARRAYS_ONLY)
def any_value(raw, p, end, kind, first, second):
    """One AnyValue, whatever stands in it; the last member of the oneof wins.

    `kind, first, second` is what an earlier value field of the same KeyValue left (protobuf merges them).

    Returns
    -------
    (uint64, uint64, uint64, uint64)
        Kind, start (or number), length, position behind (`BROKEN` when it cannot be read).
    """
    while p < end:
        tag, p = read_tag(raw, p, end)
        if p > end:
            break
        if tag in (_STRING, _ARRAY, _KVLIST, _BYTES):
            start, stop = read_block(raw, p, end)
            if stop > end:
                return kind, first, second, BROKEN
            p = stop
            kind = OTHER_KIND if tag != _STRING else TEXT if stop > start else EMPTY_TEXT
            first = start
            second = stop - start
        elif tag == _INT:
            first, p = read_varint(raw, p, end)
            kind = NUMBER
        elif tag == _BOOL:
            first, p = read_varint(raw, p, end)
            kind = TRUE if first != U0 else OTHER_KIND
        elif tag in (_DOUBLE, _STRINDEX):
            p = skip(raw, p, end, tag)
            kind = OTHER_KIND
        else:
            p = skip(raw, p, end, tag)
    return kind, first, second, p


@njit(**ARRAYS_ONLY)
def key_value(raw, p, end, work, values):
    """`read_attribute` for every legal form: any order, fields twice, fields we do not know."""
    found = U0
    kind, first, second = OTHER_KIND, U0, U0
    while p < end:
        tag, p = read_tag(raw, p, end)
        if p > end:
            return BROKEN
        if tag in (_KEY, _VALUE):
            start, stop = read_block(raw, p, end)
            if stop > end:
                return BROKEN
            p = stop
            if tag == _KEY:
                found = find_slot(raw, start, stop - start, work)
            else:
                kind, first, second, after = any_value(raw, start, stop, kind, first, second)
                if after != stop:
                    return BROKEN
        else:
            p = skip(raw, p, end, tag)
    if p != end:
        return BROKEN
    if found == U0:
        return NOT_OURS
    place = values + (found - U1 << U1)
    work[place] = first
    work[place + U1] = second
    return found | kind << KIND_SHIFT


@njit(**INLINED)
def read_attribute(raw, p, end, work, values):
    """One KeyValue -> its code; its value in work[values + 2 * slot :].

    Nearly all senders write key, then value, then nothing: that form is read by hand. The value
    must fill the message exactly, else a later field could change what was read.

    Returns
    -------
    uint64
        `NOT_OURS`, or slot + 1 | kind << 8 (kind: TEXT, a string that is not empty; EMPTY_TEXT; NUMBER; TRUE;
        OTHER_KIND), or `BROKEN`.
    """
    length = U(raw[p + U1])
    value = p + U2 + length
    # The shortest value is two bytes: its tag and its length.
    if p < end and U(raw[p]) == _KEY and length < U128 and value + U2 <= end and U(raw[value]) == _VALUE:
        size = U(raw[value + U1])
        start = value + U2
        if size >= U128:
            more = U(raw[value + U2])
            size = size & U127 | more << U7
            start = value + U(3)
            exact = more < U128 and start + size == end
        else:
            exact = start + size == end
        if exact:
            found = find_slot(raw, p + U2, length, work)
            if found == U0:
                return NOT_OURS
            place = values + (found - U1 << U1)
            kind = U(raw[start])
            if size >= U2 and kind == _STRING:
                text, stop = read_block(raw, start + U1, end)
                if stop == end:
                    work[place] = text
                    work[place + U1] = end - text
                    return found | (TEXT if text < end else EMPTY_TEXT) << KIND_SHIFT
            elif size >= U2 and kind == _INT:
                number, stop = read_varint(raw, start + U1, end)
                if stop == end:
                    work[place] = number
                    work[place + U1] = U1
                    return found | NUMBER << KIND_SHIFT
    return key_value(raw, p, end, work, values)
