"""Slots of attributes -> columns of a row. The same for spans and log records.

In: which slots were seen, which hold text or a number, and their values in scratch. Out: the columns
that attributes fill. Texts are interned here, once all of them are known, because the best key of a
column may stand behind a worse one.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from analyzer.kernels.hashing import STRING_TABLE, U0, U1, U32, U, intern
from analyzer.kernels.options import ARRAYS_ONLY, INLINED
from analyzer.spans import NO_RPC_STATUS, PeerKind
from collector.wire.scan.tables import (
    DATABASE_SYSTEM,
    ERROR_TYPE,
    FIRST,
    HTTP_STATUS,
    MESSAGING_SYSTEM,
    PEER,
    RESEND,
    RPC_STATUS,
    RPC_SYSTEM,
    VALUES,
)
from collector.wire.scan.text import decimal, rpc_code
from collector.wire.scan.wire import BROKEN, LOW_32

_ERROR_TYPE_FIRST, _HTTP_FIRST, _RPC_FIRST, _RESEND_FIRST = FIRST[0], FIRST[3], FIRST[4], FIRST[5]
_ANY_SYSTEM = DATABASE_SYSTEM | MESSAGING_SYSTEM | RPC_SYSTEM
_HTTP_LIMIT = U(599)
_U17, _U255, _U63 = U(17), U(255), U(1 << 63)
_NO_RPC = U(NO_RPC_STATUS)
_NONE, _SERVICE, _DATABASE, _QUEUE = (
    U(int(kind)) for kind in (PeerKind.NONE, PeerKind.SERVICE, PeerKind.DATABASE, PeerKind.QUEUE)
)


@njit(**INLINED)
def lowest(mask, first):
    """Number of the lowest set bit at or above `first`; the mask has one."""
    slot = first
    while mask >> slot & U1 == U0:
        slot += U1
    return slot


@njit(**INLINED)
def signed(word):
    """The same 64 bits as a signed number, in compiled and interpreted kernels alike."""
    return np.int64(word) if word < _U63 else -np.int64(~word) - np.int64(1)


@njit(**INLINED)
def intern_slot(raw, words, text, work, values, slot):
    """Id of the text a slot holds, `NOT_TEXT_FLAG` beside it."""
    place = values + (slot << U1)
    return intern(words, text, STRING_TABLE, raw, work[place], work[place + U1])


@njit(**ARRAYS_ONLY)
def number_of(raw, work, texts, numbers, first, mask):
    """The first slot of a column that holds an integer, or 1 to 9 digits; `BROKEN` when none does."""
    slot = first
    bits = mask >> first
    while bits != U0:
        place = VALUES + (slot << U1)
        if numbers >> slot & U1 != U0:
            return work[place]
        if texts >> slot & U1 != U0:
            number = decimal(raw, work[place], work[place + U1])
            if number != BROKEN:
                return number
        bits >>= U1
        slot += U1
    return BROKEN


@njit(**ARRAYS_ONLY)
def rpc_status_of(raw, work, texts, numbers):
    """The first RPC status key that holds a code: a number 0 to 16, or a name."""
    slot = _RPC_FIRST
    bits = RPC_STATUS >> _RPC_FIRST
    while bits != U0:
        place = VALUES + (slot << U1)
        code = _NO_RPC
        if numbers >> slot & U1 != U0:
            code = work[place] if work[place] < _U17 else _NO_RPC
        elif texts >> slot & U1 != U0:
            code = rpc_code(raw, work[place], work[place + U1], work)
        if code != _NO_RPC:
            return code
        bits >>= U1
        slot += U1
    return _NO_RPC


@njit(**INLINED)
def write_columns(raw, rows, row, words, text, work, texts, numbers):
    """Fill the columns of row `row` that attributes give.

    Returns
    -------
    uint64
        Not 0 when one of the interned texts was not UTF-8.
    """
    bad_text = U0
    error_type = U0
    if texts & ERROR_TYPE != U0:
        found = intern_slot(raw, words, text, work, VALUES, _ERROR_TYPE_FIRST)
        bad_text |= found >> U32
        error_type = found & LOW_32
    peer = U0
    if texts & PEER != U0:
        found = intern_slot(raw, words, text, work, VALUES, lowest(texts & PEER, FIRST[9]))
        bad_text |= found >> U32
        peer = found & LOW_32
    system = U0
    if texts & _ANY_SYSTEM != U0:
        found = intern_slot(raw, words, text, work, VALUES, lowest(texts & _ANY_SYSTEM, FIRST[6]))
        bad_text |= found >> U32
        system = found & LOW_32

    if texts & DATABASE_SYSTEM != U0:
        peer_kind = _DATABASE
    elif texts & MESSAGING_SYSTEM != U0:
        peer_kind = _QUEUE
    elif texts & (PEER | RPC_SYSTEM) != U0:
        peer_kind = _SERVICE
    else:
        peer_kind = _NONE

    known = texts | numbers
    http = U0
    if known & HTTP_STATUS != U0:
        http = number_of(raw, work, texts, numbers, _HTTP_FIRST, HTTP_STATUS)
        if http > _HTTP_LIMIT:  # BROKEN and negative numbers as well
            http = U0
    rpc = _NO_RPC
    if known & RPC_STATUS != U0:
        rpc = rpc_status_of(raw, work, texts, numbers)
    resend = U0
    if known & RESEND != U0:
        resend = number_of(raw, work, texts, numbers, _RESEND_FIRST, RESEND)
        # Negative numbers are 2**63 and more as an unsigned word; so is BROKEN.
        resend = U0 if resend >= _U63 else min(resend, _U255)

    rows[row]["error_type"] = error_type
    rows[row]["peer"] = peer
    rows[row]["system"] = system
    rows[row]["http_status"] = http
    rows[row]["rpc_status"] = rpc
    rows[row]["peer_kind"] = peer_kind
    rows[row]["resend_count"] = resend
    return bad_text
