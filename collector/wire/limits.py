"""The guard: is this request protobuf, and not too much of it?

In: the bytes of a request, its budgets. Out: how many items it has and how many of them are bad by
themselves. Decodes nothing, allocates nothing that grows with the request, stops at the first
budget that is passed: 16 MiB of empty spans cost 100 000 steps. What passes here can be decoded
(`collector.wire.decode`); text is not checked for UTF-8, a bad text must not cost its neighbours.

Owner: none; any thread, any number at once (the kernel releases the GIL).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from numba import njit, types

from analyzer.kernels.hashing import READ_BYTES, U0, U1, U2, U3, U4, U5, U7, U8, U16, U
from analyzer.kernels.options import ARRAYS_ONLY, INLINED
from analyzer.spans import Bytes
from collector.contracts import Signal
from collector.errors import BadRequestError
from collector.wire.request_limits import Prescan, RequestLimits
from collector.wire.scan.wire import BROKEN, LENGTH_LIMIT, LOW_32, U127, U128
from collector.wire.schema import FIELDS_MAX, PACKED_32, PACKED_64, PACKED_VARINT, schema_of

NESTING_MAX = 100  # messages inside messages; protobuf's own parser stops there as well

_WIDTH = U(FIELDS_MAX)
_PACKED_VARINT, _PACKED_32, _PACKED_64 = U(PACKED_VARINT), U(PACKED_32), U(PACKED_64)
_NESTING_MAX = U(NESTING_MAX)
_KEY, _VALUE, _STRING = U(0x0A), U(0x12), U(0x0A)

# The kernel's book: budgets and message types in, counts out, then the stack of open messages.
ITEMS_MAX, MESSAGES_MAX, GROUPS_MAX, DEPTH_MAX, TRACE_ID_FIELD = 0, 1, 2, 3, 4
ROOT, GROUP, ITEM, KEY_VALUE, ANY_VALUE = 5, 6, 7, 8, 9
ITEMS, BAD_TRACE_IDS, BAD_SPAN_IDS, PLACE = 10, 11, 12, 13
STACK = 16
BOOK_WORDS = STACK + 2 * NESTING_MAX
_STACK = U(STACK)
FINE, UNREADABLE, TOO_MANY_ITEMS, TOO_MANY_MESSAGES, TOO_MANY_GROUPS, TOO_DEEP = range(6)


@njit(**INLINED)
def _varint_end(raw, p, end):
    """Position behind a varint of at most 10 bytes; BROKEN when there is none. Reads only below `end`."""
    limit = end if end - p < U(10) else p + U(10)
    while p < limit:
        byte = U(raw[p])
        p += U1
        if byte < U128:
            return p
    return BROKEN


@njit(types.UniTuple(types.uint64, 2)(READ_BYTES, types.uint64, types.uint64), **ARRAYS_ONLY)
def _small_varint(raw, p, end):
    """Varint of at most 5 bytes that fits 32 bits -> (value, position behind); (0, BROKEN) when it does not."""
    value, shift = U0, U0
    limit = end if end - p < U5 else p + U5
    while p < limit:
        byte = U(raw[p])
        p += U1
        value |= (byte & U127) << shift
        if byte < U128:
            return (value, p) if value <= LOW_32 else (U0, BROKEN)
        shift += U7
    return U0, BROKEN


@njit(**INLINED)
def _is_plain_attribute(raw, p, end):
    """Whether raw[p:end] is a KeyValue as nearly all are: a key, then a string or an integer, then nothing."""
    if end - p < U4 or U(raw[p]) != _KEY:
        return False
    value = p + U2 + U(raw[p + U1])
    # A length byte of 128 and more fails here too: what it really means is for the long way.
    if U(raw[p + U1]) >= U128 or value + U4 > end or U(raw[value]) != _VALUE:
        return False
    size = U(raw[value + U1])
    start = value + U2
    if size >= U128:
        more = U(raw[start])
        start += U1
        if more >= U128:
            return False
        size = size & U127 | more << U7
    if start + size != end or size < U2:
        return False
    kind = U(raw[start])
    if kind == _STRING:
        length = U(raw[start + U1])
        text = start + U2
        if length >= U128:
            if text >= end or U(raw[text]) >= U128:
                return False
            length = length & U127 | U(raw[text]) << U7
            text += U1
        return text + length == end
    return kind == U(0x18) and _varint_end(raw, start + U1, end) == end


@njit(**INLINED)
def _is_not_zero(raw, p, end):
    any_bit = U0
    while p < end:
        any_bit |= U(raw[p])
        p += U1
    return any_bit != U0


@njit(**ARRAYS_ONLY)
def _packed_is_whole(raw, p, end, how):
    """Whether a packed list holds whole elements."""
    if how == _PACKED_64:
        return (end - p) & U7 == U0
    if how == _PACKED_32:
        return (end - p) & U3 == U0
    while p < end:
        p = _varint_end(raw, p, end)
    return p == end


@njit(types.int64(READ_BYTES, READ_BYTES, types.uint64[::1]), **ARRAYS_ONLY)
def scan_request(raw, children, book):
    """Walk all messages of a request, without recursion.

    Parameters
    ----------
    raw : uint8[n]        the request; no byte behind it is read
    children : uint8[...]    collector.wire.schema
    book : uint64[BOOK_WORDS]    budgets and message types of the schema in, counts out; the rest is scratch

    Returns
    -------
    int64
        FINE, or why the request is refused; book[PLACE] says where.
    """
    root, group, item = book[ROOT], book[GROUP], book[ITEM]
    key_value, any_value = book[KEY_VALUE], book[ANY_VALUE]
    p = U0
    end = U(len(raw))
    kind = root
    nesting, depth = U0, U0
    items, messages, groups = U0, U0, U0
    bad_trace_ids, bad_span_ids = U0, U0
    trace_id_good, span_id_good = False, False
    trace_id_field = book[TRACE_ID_FIELD]
    messages_max = book[MESSAGES_MAX]
    outcome = FINE
    while True:
        if p == end:
            if kind == item:
                # One reason an item: the counts add up to the rejected ones.
                if not trace_id_good and trace_id_field != U0:
                    bad_trace_ids += U1
                elif not span_id_good and trace_id_field == U1:  # only a span needs one
                    bad_span_ids += U1
            elif kind == any_value:
                depth -= U1
            if nesting == U0:
                break
            nesting -= U1
            end = book[_STACK + (nesting << U1)]
            kind = book[_STACK + (nesting << U1) + U1]
            continue
        tag = U(raw[p])
        if tag < U128:
            p += U1
        else:
            tag, p = _small_varint(raw, p, end)
        if p == BROKEN or tag >> U3 == U0:
            outcome = UNREADABLE
            break
        wire_type = tag & U7
        if wire_type == U2:
            size = U128
            if p < end:
                size = U(raw[p])
            if size < U128:
                p += U1
            else:
                size, p = _small_varint(raw, p, end)
            if p == BROKEN or size >= LENGTH_LIMIT or size > end - p:
                outcome = UNREADABLE
                break
            stop = p + size
            field = tag >> U3
            child = U(children[kind * _WIDTH + field]) if field < _WIDTH else U0
            if child == U0:
                if kind == item:
                    if field == trace_id_field:
                        trace_id_good = size == U16 and _is_not_zero(raw, p, stop)
                    elif field == U2:
                        span_id_good = size == U8 and _is_not_zero(raw, p, stop)
                p = stop
                continue
            if child >= _PACKED_VARINT:
                if not _packed_is_whole(raw, p, stop, child):
                    outcome = UNREADABLE
                    break
                p = stop
                continue
            messages += U1
            if messages > messages_max:
                outcome = TOO_MANY_MESSAGES
                break
            if child == key_value and depth == U0 and _is_plain_attribute(raw, p, stop):
                messages += U1  # its AnyValue
                p = stop
                if messages > messages_max:
                    outcome = TOO_MANY_MESSAGES
                    break
                continue
            if child == item:
                items += U1
                trace_id_good, span_id_good = False, False
                if items > book[ITEMS_MAX]:
                    outcome = TOO_MANY_ITEMS
                    break
            elif child == any_value:
                depth += U1
                if depth > book[DEPTH_MAX]:
                    outcome = TOO_DEEP
                    break
            elif child == group:
                groups += U1
                if groups > book[GROUPS_MAX]:
                    outcome = TOO_MANY_GROUPS
                    break
            if nesting >= _NESTING_MAX:
                outcome = TOO_DEEP
                break
            book[_STACK + (nesting << U1)] = end
            book[_STACK + (nesting << U1) + U1] = kind
            nesting += U1
            end = stop
            kind = child
        elif wire_type == U0:
            p = _varint_end(raw, p, end)
            if p == BROKEN:
                outcome = UNREADABLE
                break
        elif wire_type in (U1, U5):
            width = U8 if wire_type == U1 else U4
            if width > end - p:
                outcome = UNREADABLE
                break
            p += width
        else:
            outcome = UNREADABLE
            break
    book[ITEMS] = items
    book[BAD_TRACE_IDS] = bad_trace_ids
    book[BAD_SPAN_IDS] = bad_span_ids
    book[PLACE] = U0 if p == BROKEN else p
    return outcome


# Span.trace_id and LogRecord.trace_id; a metric has none.
_TRACE_ID_FIELDS = {Signal.TRACES: 1, Signal.LOGS: 9, Signal.METRICS: 0}
_NAMES = {Signal.TRACES: "spans", Signal.LOGS: "log records", Signal.METRICS: "metrics"}


def prescan(payload: bytes, signal: Signal, limits: RequestLimits) -> Prescan:
    """Check the structure of one request against its budgets.

    Spans whose trace id or span id has a wrong length, or is all zeros, are counted; the request is
    still good. Log records may do without: those of no trace are counted apart.

    Raises
    ------
    BadRequestError
        `reason` is "undecodable", "too_many_spans", "too_many_messages", "too_many_resources" or "too_deep".
    """
    children, empty_book = _plan(signal, limits)
    book = empty_book.copy()
    outcome = scan_request(np.frombuffer(payload, np.uint8), children, book)
    if outcome != FINE:
        raise _refusal(int(outcome), signal, limits, len(payload), int(book[PLACE]))
    if signal == Signal.LOGS:
        return Prescan(int(book[ITEMS]), untraced=int(book[BAD_TRACE_IDS]))
    return Prescan(int(book[ITEMS]), int(book[BAD_TRACE_IDS]), int(book[BAD_SPAN_IDS]))


@lru_cache(maxsize=64)
def _plan(signal: Signal, limits: RequestLimits) -> tuple[Bytes, npt.NDArray[np.uint64]]:
    """What the kernel is given beside the bytes; made once, because small requests come often."""
    schema = schema_of(signal)
    book = np.zeros(BOOK_WORDS, np.uint64)
    book[:ITEMS] = (
        limits.spans_max,
        limits.messages_max,
        limits.resources_max,
        limits.depth_max,
        _TRACE_ID_FIELDS[signal],
        schema.root,
        schema.group,
        schema.item,
        schema.key_value,
        schema.any_value,
    )
    return schema.children, book


def _refusal(outcome: int, signal: Signal, limits: RequestLimits, length: int, place: int) -> BadRequestError:
    """Say what was found, what was expected, and what to do."""
    items = _NAMES[signal]
    if outcome == TOO_MANY_ITEMS:
        return BadRequestError(
            f"more than {limits.spans_max} {items} in one request; expected at most that; send smaller batches",
            "too_many_spans",
        )
    if outcome == TOO_MANY_MESSAGES:
        return BadRequestError(
            f"more than {limits.messages_max} messages (attributes, values, events, links, {items}) in one request; "
            "expected at most that; send smaller batches",
            "too_many_messages",
        )
    if outcome == TOO_MANY_GROUPS:
        return BadRequestError(
            f"more than {limits.resources_max} resources in one request; expected at most that; "
            "group by resource, or send smaller batches",
            "too_many_resources",
        )
    if outcome == TOO_DEEP:
        return BadRequestError(
            f"an attribute value nested deeper than {limits.depth_max} at byte {place}; expected at most that; "
            "flatten the value",
            "too_deep",
        )
    return BadRequestError(
        f"{length} bytes are not a protobuf request of {items} (first trouble near byte {place}); "
        "expected an OTLP Export request; check the sender's encoding and compression",
        "undecodable",
    )


def warm() -> None:
    """Compile or load the kernel before the first request."""
    for signal in Signal:
        prescan(b"", signal, RequestLimits())
