"""Interning tables as arrays: bytes -> dense id, triple -> dense id.

In: one block of uint64 words (headers, hash slots, id records of every table), one block of text
bytes, and the bytes to look up. Out: ids. Never allocates, never grows, never raises: a full table
answers with its `<other>` id and counts it.

Layout of a table: `HEADER_WORDS` words at `table`, naming where its slots, its records and its
text stand. A slot is one word: the upper 40 bits of the hash, the lower 24 bits the id plus one
(0: free). A text record is one word: place in the text block, length, and whether it is UTF-8.

The hash is a folded 64 x 64 -> 128 bit multiplication with two secret words (after wyhash, Wang Yi,
2019). The secrets matter: with xor-shift-multiply hashes a flipped top bit travels through every
seed alike, so a stranger could send any number of names that all collide.

Truth: tests/support/naive/vocabulary.py. Owner: one thread writes; ids once given never change,
so any thread may read them.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from analyzer.kernels.options import ARRAYS_ONLY, INLINED

HEADER_WORDS = 16
# Words of a header.
SLOTS, SLOT_MASK, RECORDS, COUNT_MAX, TEXT, TEXT_BYTES_MAX = 0, 1, 2, 3, 4, 5
COUNT, TEXT_BYTES, OVERFLOWS, SECRET_0, SECRET_1, OTHER, LENGTH_MAX, CUT = 6, 7, 8, 9, 10, 11, 12, 13

SLACK_BYTES = 16  # readable bytes that must stand behind every text handed in
ID_BITS = 24

U = np.uint64
U0, U1, U2, U3, U4, U5, U6, U7, U8 = U(0), U(1), U(2), U(3), U(4), U(5), U(6), U(7), U(8)
U16, U24, U32, U40, U48, U56, U63 = U(16), U(24), U(32), U(40), U(48), U(56), U(63)
LOW_32 = U(0xFFFFFFFF)
LOW_31 = U(0x7FFFFFFF)
ID_MASK = U((1 << ID_BITS) - 1)
TAG_MASK = U(0xFFFFFFFFFFFFFFFF ^ ((1 << ID_BITS) - 1))
ALL_BITS = U(0xFFFFFFFFFFFFFFFF)
NOT_TEXT = U(1 << 63)  # of a record: the bytes are not UTF-8
NOT_TEXT_FLAG = U(1 << 32)  # the same, of an answer of `intern`
LENGTH_FACTOR = U(0x9E3779B97F4A7C15)

H_SLOTS, H_SLOT_MASK, H_RECORDS, H_COUNT_MAX, H_TEXT, H_TEXT_BYTES_MAX = U0, U1, U2, U3, U4, U5
H_COUNT, H_TEXT_BYTES, H_OVERFLOWS, H_SECRET_0, H_SECRET_1 = U6, U7, U8, U(9), U(10)
H_OTHER, H_LENGTH_MAX, H_CUT = U(11), U(12), U(13)

# Where the headers of a vocabulary's four tables stand (analyzer.strings makes them).
STRING_TABLE, OPERATION_TABLE, RESOURCE_TABLE, SCOPE_TABLE = (U(i * HEADER_WORDS) for i in range(4))

# Read-only arrays may come in (bytes objects); writable ones convert to this type by themselves.
READ_BYTES = types.Array(types.uint8, 1, "C", readonly=True)


@njit(**INLINED)
def load_64(raw, p):
    """Little-endian word at raw[p : p + 8]. LLVM makes one load of it."""
    return (
        U(raw[p])
        | U(raw[p + U1]) << U8
        | U(raw[p + U2]) << U16
        | U(raw[p + U3]) << U24
        | U(raw[p + U4]) << U32
        | U(raw[p + U5]) << U40
        | U(raw[p + U6]) << U48
        | U(raw[p + U7]) << U56
    )


@njit(**INLINED)
def low_bytes(word, count):
    """Keep the first `count` (below 8) bytes of a little-endian word."""
    return word & ((U1 << (count << U3)) - U1)


@njit(**INLINED)
def fold(a, b):
    """Upper half xor lower half of the 128-bit product, by 32-bit parts: nothing overflows on the way."""
    a_low, a_high = a & LOW_32, a >> U32
    b_low, b_high = b & LOW_32, b >> U32
    low = a_low * b_low
    cross = (low >> U32) + a_high * b_low
    middle = (cross & LOW_32) + a_low * b_high
    upper = a_high * b_high + (cross >> U32) + (middle >> U32)
    return upper ^ (middle << U32 | low & LOW_32)


@njit(**INLINED)
def hash_bytes(raw, start, length, secret_0, secret_1):
    """Hash raw[start : start + length]; up to 8 bytes behind it are read, and ignored."""
    h = secret_1 ^ length
    p = start
    left = length
    while left > U16:
        h = fold(load_64(raw, p) ^ secret_0, load_64(raw, p + U8) ^ h)
        p += U16
        left -= U16
    if left >= U8:
        # The last word overlaps the first when fewer than 16 bytes are left; the length keeps them apart.
        first = load_64(raw, p)
        last = load_64(raw, p + left - U8)
    else:
        first = low_bytes(load_64(raw, p), left)
        last = left
    return fold(fold(first ^ secret_0, last ^ h) ^ secret_0, secret_1 ^ LENGTH_FACTOR)


@njit(**INLINED)
def equal_bytes(a, a_start, b, b_start, length):
    """Whether two texts of the same length are the same; both have slack behind them."""
    p = a_start
    q = b_start
    left = length
    while left >= U8:
        if load_64(a, p) != load_64(b, q):
            return False
        p += U8
        q += U8
        left -= U8
    return low_bytes(load_64(a, p) ^ load_64(b, q), left) == U0


@njit(types.boolean(READ_BYTES, types.uint64, types.uint64), **ARRAYS_ONLY)
def is_utf8(raw, start, stop):
    """Whether raw[start:stop] is well-formed UTF-8 (Unicode 16, table 3-7: no surrogates, no long forms)."""
    p = start
    while p < stop:
        c = U(raw[p])
        p += U1
        if c < U(0x80):
            continue
        low, high = U(0x80), U(0xBF)  # bounds of the second byte
        if U(0xC2) <= c <= U(0xDF):
            more = U1
        elif U(0xE0) <= c <= U(0xEF):
            more = U2
            if c == U(0xE0):
                low = U(0xA0)
            elif c == U(0xED):
                high = U(0x9F)
        elif U(0xF0) <= c <= U(0xF4):
            more = U3
            if c == U(0xF0):
                low = U(0x90)
            elif c == U(0xF4):
                high = U(0x8F)
        else:
            return False
        if p + more > stop:
            return False
        for k in range(more):
            c = U(raw[p + U(k)])
            if c < low or c > high:
                return False
            low, high = U(0x80), U(0xBF)
        p += more
    return True


@njit(**INLINED)
def shown_length(raw, start, length, length_max):
    """Length of a text that is cut at `length_max` bytes, never inside a code point."""
    if length <= length_max:
        return length
    cut = length_max
    for _ in range(3):
        if cut > U0 and U(raw[start + cut]) & U(0xC0) == U(0x80):
            cut -= U1
    return cut


@njit(**ARRAYS_ONLY)
def _add_text(words, text, table, raw, start, length, slot, tag):
    """Write a new text behind the others; the `<other>` id when ids or bytes are used up."""
    count = words[table + H_COUNT]
    used = words[table + H_TEXT_BYTES]
    if count >= words[table + H_COUNT_MAX] or used + length > words[table + H_TEXT_BYTES_MAX]:
        words[table + H_OVERFLOWS] += U1
        return words[table + H_OTHER]
    place = words[table + H_TEXT] + used
    for k in range(length):
        text[place + U(k)] = raw[start + U(k)]
    record = used | length << U32
    answer = count
    if not is_utf8(raw, start, start + length):
        record |= NOT_TEXT
        answer |= NOT_TEXT_FLAG
    words[words[table + H_RECORDS] + count] = record
    words[slot] = tag | (count + U1)
    words[table + H_COUNT] = count + U1
    words[table + H_TEXT_BYTES] = used + length
    return answer


@njit(**INLINED)
def intern(words, text, table, raw, start, length):
    """Id of raw[start : start + length] in a text table.

    Parameters
    ----------
    words : uint64[...]
    text : uint8[...]
    table : uint64
        Where the header of the table stands in `words`.
    raw : uint8[...]
        Must have `SLACK_BYTES` readable bytes behind the text.

    Returns
    -------
    uint64
        The id; `NOT_TEXT_FLAG` is set beside it when the bytes are not UTF-8.
    """
    if length == U0:
        return U0
    shown = length
    if length > words[table + H_LENGTH_MAX]:
        if words[table + H_CUT] == U0:
            words[table + H_OVERFLOWS] += U1
            return words[table + H_OTHER]
        shown = shown_length(raw, start, length, words[table + H_LENGTH_MAX])
    h = hash_bytes(raw, start, shown, words[table + H_SECRET_0], words[table + H_SECRET_1])
    tag = h & TAG_MASK
    mask = words[table + H_SLOT_MASK]
    slots = words[table + H_SLOTS]
    i = h & mask
    while True:
        entry = words[slots + i]
        if entry == U0:
            return _add_text(words, text, table, raw, start, shown, slots + i, tag)
        if entry & TAG_MASK == tag:
            index = (entry & ID_MASK) - U1
            record = words[words[table + H_RECORDS] + index]
            if record >> U32 & LOW_31 == shown:
                place = words[table + H_TEXT] + (record & LOW_32)
                if equal_bytes(raw, start, text, place, shown):
                    return index | record >> U63 << U32
        i = (i + U1) & mask


@njit(**INLINED)
def intern_triple(words, table, service, name, kind):
    """Id of (service, name, kind) in the operation table; two words a record."""
    pair = service << U32 | name
    h = fold(fold(pair ^ words[table + H_SECRET_0], words[table + H_SECRET_1] ^ kind), LENGTH_FACTOR)
    tag = h & TAG_MASK
    mask = words[table + H_SLOT_MASK]
    slots = words[table + H_SLOTS]
    records = words[table + H_RECORDS]
    i = h & mask
    while True:
        entry = words[slots + i]
        if entry == U0:
            count = words[table + H_COUNT]
            if count >= words[table + H_COUNT_MAX]:
                words[table + H_OVERFLOWS] += U1
                return words[table + H_OTHER]
            words[records + (count << U1)] = pair
            words[records + (count << U1) + U1] = kind
            words[slots + i] = tag | (count + U1)
            words[table + H_COUNT] = count + U1
            return count
        if entry & TAG_MASK == tag:
            index = (entry & ID_MASK) - U1
            record = records + (index << U1)
            if words[record] == pair and words[record + U1] == kind:
                return index
        i = (i + U1) & mask


@njit(
    types.uint64(types.uint64[::1], types.uint8[::1], types.uint64, READ_BYTES, types.uint64, types.uint64),
    **ARRAYS_ONLY,
)
def intern_text(words, text, table, raw, start, length):
    """`intern`, to be called from Python."""
    return intern(words, text, table, raw, start, length)


@njit(
    types.uint64(types.uint64[::1], types.uint64, types.uint64, types.uint64, types.uint64),
    **ARRAYS_ONLY,
)
def intern_operation(words, table, service, name, kind):
    """`intern_triple`, to be called from Python."""
    return intern_triple(words, table, service, name, kind)
