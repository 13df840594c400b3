"""Texts that are read for what they say: error messages, code names, tracestate.

In: the place of a text. Out: a class, a code, a threshold. One pass each, no backtracking.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from analyzer import error_classes
from analyzer.kernels.hashing import READ_BYTES, U0, U1, U2, U3, U4, U7, U8, U63, U
from analyzer.kernels.options import ARRAYS_ONLY, INLINED
from collector.wire.scan.tables import PAIR_FILTER, RPC_TEXT, RPC_WORDS, WORD_FIRST, WORD_RECORDS
from collector.wire.scan.wire import BROKEN

_MESSAGE_BYTES = U(error_classes.MESSAGE_SCAN_BYTES)
_RPC_COUNT = U(len(error_classes.RPC_NAMES))
_RPC_WORDS = U(RPC_WORDS)
_NO_CODE = U(255)
_U6, _U31, _U32, _U255, _U1023 = U(6), U(31), U(32), U(255), U(1023)
_UPPER_A, _UPPER_Z, _LOWER_A, _LOWER_Z = U(ord("A")), U(ord("Z")), U(ord("a")), U(ord("z"))
_ZERO, _NINE, _LOWER_F = U(ord("0")), U(ord("9")), U(ord("f"))
_COMMA, _SEMICOLON, _EQUALS, _COLON = U(ord(",")), U(ord(";")), U(ord("=")), U(ord(":"))
_O, _T, _H, _SPACE, _TAB = U(ord("o")), U(ord("t")), U(ord("h")), U(ord(" ")), U(ord("\t"))
_THRESHOLD_DIGITS = U(14)
_DIGITS_MAX = U(9)
_ONE = U(1 << 56)

_WORK = types.uint64[::1]


@njit(**INLINED)
def lower(byte):
    """Small letter of an ASCII capital."""
    return byte + _U32 if byte >= _UPPER_A and byte <= _UPPER_Z else byte


@njit(types.uint64(READ_BYTES, types.uint64, types.uint64, _WORK), **ARRAYS_ONLY)
def message_class(raw, start, length, work):
    """Class of a message by its words: `error_classes.message_class`, the first row of the list wins.

    Two letters decide by one bit whether any word may begin here; then only the words of that first
    letter, and only those before the best row so far, are compared.
    """
    head = min(length, _MESSAGE_BYTES)
    if head < U2:
        return U0
    best = BROKEN
    result = U0
    first = lower(U(raw[start]))
    for i in range(U0, head - U1):
        here = start + U(i)
        second = lower(U(raw[here + U1]))
        bit = first * _U31 + second & _U1023
        if work[PAIR_FILTER + (bit >> _U6)] >> (bit & U63) & U1 != U0:
            word = work[WORD_FIRST + first]
            while word != U0 and word < best:
                record = WORD_RECORDS + (word - U1) * U3
                about = work[record + U1]
                size = about >> U8
                if U(i) + size <= head:
                    text = work[record + U2]
                    k = U2
                    while k < size and lower(U(raw[here + k])) == work[text + (k >> U3)] >> ((k & U7) << U3) & _U255:
                        k += U1
                    # The filter knows pairs, not words: the second letter is compared as well.
                    if k == size and work[text] >> U8 & _U255 == second:
                        best = word
                        result = about & _U255
                word = work[record]
        first = second
    return result


@njit(types.uint64(READ_BYTES, types.uint64, types.uint64), **ARRAYS_ONLY)
def decimal(raw, start, length):
    """Number written as 1 to 9 digits; `BROKEN` when it is something else."""
    if length == U0 or length > _DIGITS_MAX:
        return BROKEN
    number = U0
    for k in range(length):
        byte = U(raw[start + U(k)])
        if byte < _ZERO or byte > _NINE:
            return BROKEN
        number = number * U(10) + (byte - _ZERO)
    return number


@njit(types.uint64(READ_BYTES, types.uint64, types.uint64, _WORK), **ARRAYS_ONLY)
def rpc_code(raw, start, length, work):
    """gRPC code of a name in any case (ASCII), or of 1 to 9 digits below 17; 255: neither."""
    number = decimal(raw, start, length)
    if number < _RPC_COUNT:
        return number
    for code in range(_RPC_COUNT):
        record = RPC_TEXT + U(code) * _RPC_WORDS
        if work[record] == length:
            k = U0
            while k < length:
                byte = U(raw[start + k])
                if byte >= _LOWER_A and byte <= _LOWER_Z:
                    byte -= _U32
                if byte != work[record + U1 + (k >> U3)] >> ((k & U7) << U3) & _U255:
                    break
                k += U1
            if k == length:
                return U(code)
    return _NO_CODE


@njit(**ARRAYS_ONLY)
def _find(raw, p, end, byte):
    while p < end and U(raw[p]) != byte:
        p += U1
    return p


@njit(**ARRAYS_ONLY)
def _hex_digits(raw, p, end):
    """1 to 14 lower-case hex digits, padded with zeros to 56 bits; `BROKEN` when they are not."""
    count = end - p
    if count == U0 or count > _THRESHOLD_DIGITS:
        return BROKEN
    value = U0
    while p < end:
        byte = U(raw[p])
        if byte >= _ZERO and byte <= _NINE:
            digit = byte - _ZERO
        elif byte >= _LOWER_A and byte <= _LOWER_F:
            digit = byte - _LOWER_A + U(10)
        else:
            return BROKEN
        value = value << U4 | digit
        p += U1
    return value << ((_THRESHOLD_DIGITS - count) << U2)


@njit(types.float64(READ_BYTES, types.uint64, types.uint64), **ARRAYS_ONLY)
def sampling_weight(raw, start, end):
    """1 / probability of tracestate `ot=th:<hex>`; 0.0 when it does not say.

    Source: OpenTelemetry, "TraceState: Probability Sampling": rejection threshold T of 2**56,
    probability 1 - T / 2**56.
    """
    member = start
    while member < end:
        stop = _find(raw, member, end, _COMMA)
        p = member
        q = stop
        while p < q and (U(raw[p]) == _SPACE or U(raw[p]) == _TAB):
            p += U1
        while p < q and (U(raw[q - U1]) == _SPACE or U(raw[q - U1]) == _TAB):
            q -= U1
        if q - p > U3 and U(raw[p]) == _O and U(raw[p + U1]) == _T and U(raw[p + U2]) == _EQUALS:
            pair = p + U3
            while pair < q:
                pair_end = _find(raw, pair, q, _SEMICOLON)
                if pair_end - pair > U3:
                    named = U(raw[pair]) == _T and U(raw[pair + U1]) == _H and U(raw[pair + U2]) == _COLON
                    if named:
                        threshold = _hex_digits(raw, pair + U3, pair_end)
                        if threshold != BROKEN:
                            return np.float64(_ONE) / np.float64(_ONE - threshold)
                pair = pair_end + U1
        member = stop + U1
    return 0.0
