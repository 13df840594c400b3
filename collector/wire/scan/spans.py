"""One Span message -> one row.

In: the place of a Span in the request, the ids of what stands around it. Out: a row of `SPAN_DTYPE`.
One pass over the fields in any order; what depends on several fields (the peer, the operation,
the exception) is settled at the end. Truth: tests/support/naive/decode.py.
"""

from __future__ import annotations

from numba import njit

from analyzer.kernels.hashing import (
    OPERATION_TABLE,
    STRING_TABLE,
    U0,
    U1,
    U2,
    U3,
    U4,
    U8,
    U16,
    U32,
    U,
    intern,
    intern_triple,
    load_64,
)
from analyzer.kernels.options import ARRAYS_ONLY, INLINED
from analyzer.spans import NO_RPC_STATUS, SpanFlag
from collector.wire.scan.attributes import KIND_SHIFT, NOT_OURS, NUMBER, SLOT_MASK, TEXT, TRUE, read_attribute
from collector.wire.scan.columns import intern_slot, signed, write_columns
from collector.wire.scan.tables import (
    ESCAPED,
    EVENT_VALUES,
    EXCEPTION_MESSAGE,
    EXCEPTION_TYPE,
    FIRST,
    SPAN_SLOTS,
    VALUES,
)
from collector.wire.scan.text import message_class, sampling_weight
from collector.wire.scan.wire import BROKEN, LOW_32, read_block, read_tag, read_varint, skip

# Outcomes of one message.
MESSAGE_BROKEN, ROW_WRITTEN, ROW_SKIPPED = U0, U1, U2

# Tags: field number << 3 | wire type.
_TRACE_ID, _SPAN_ID, _TRACE_STATE, _PARENT_ID = U(0x0A), U(0x12), U(0x1A), U(0x22)
_NAME, _KIND, _START, _END = U(0x2A), U(0x30), U(0x39), U(0x41)
_ATTRIBUTES, _DROPPED_ATTRIBUTES, _EVENTS, _DROPPED_EVENTS = U(0x4A), U(0x50), U(0x5A), U(0x60)
_LINKS, _DROPPED_LINKS, _STATUS, _FLAGS = U(0x6A), U(0x70), U(0x7A), U(0x85)
_STATUS_MESSAGE, _STATUS_CODE = U(0x12), U(0x18)
_EVENT_NAME, _EVENT_ATTRIBUTES = U(0x12), U(0x1A)

_EXCEPTION_HEAD = U(int.from_bytes(b"exceptio", "little"))
_N = U(ord("n"))
_U9, _U255, _U65535 = U(9), U(255), U(65535)
_KIND_MAX, _STATUS_MAX = U(5), U(2)
_NO_RPC = U(NO_RPC_STATUS)
_SAMPLED_BIT, _REMOTE_BITS = U1, U(0x300)
_TYPE_SLOT, _MESSAGE_SLOT = FIRST[1], FIRST[2]
_EXCEPTION_SLOTS = EXCEPTION_TYPE | EXCEPTION_MESSAGE

_EXCEPTION = U(int(SpanFlag.EXCEPTION))
_ROOT = U(int(SpanFlag.ROOT))
_REMOTE_PARENT = U(int(SpanFlag.REMOTE_PARENT))
_SAMPLED = U(int(SpanFlag.SAMPLED))
_BAD_PARENT_ID = U(int(SpanFlag.BAD_PARENT_ID))
_BAD_TEXT = U(int(SpanFlag.BAD_TEXT))
_NO_NAME = U(int(SpanFlag.NO_NAME))
_THRESHOLD = U(int(SpanFlag.THRESHOLD))
_ESCAPED = U(int(SpanFlag.ESCAPED))
_TRUNCATED = U(int(SpanFlag.TRUNCATED))
_DUPLICATE_KEY = U(int(SpanFlag.DUPLICATE_KEY))


@njit(**ARRAYS_ONLY)
def read_event(raw, p, end, work):
    """One Event; what it says when it is an exception.

    Returns
    -------
    uint64
        `BROKEN`; 0 for another event; else bit 63 set, beside it the slots of `EVENT_VALUES` that hold
        text, and `ESCAPED`.
    """
    named = False
    q = p
    while q < end:
        tag, q = read_tag(raw, q, end)
        if tag == _EVENT_NAME and q <= end:
            start, q = read_block(raw, q, end)
            named = q <= end and q - start == _U9 and load_64(raw, start) == _EXCEPTION_HEAD
            named = named and U(raw[start + U8]) == _N
        elif q <= end:
            q = skip(raw, q, end, tag)
    if q != end:
        return BROKEN
    if not named:
        return U0
    texts = U1 << U(63)
    q = p
    while q < end:
        tag, q = read_tag(raw, q, end)
        if tag != _EVENT_ATTRIBUTES:
            q = skip(raw, q, end, tag)
            continue
        start, q = read_block(raw, q, end)
        code = read_attribute(raw, start, q, work, EVENT_VALUES)
        if code == BROKEN:
            return BROKEN
        if code != NOT_OURS:
            slot = (code & SLOT_MASK) - U1
            bit = U1 << slot
            kind = code >> KIND_SHIFT
            if bit == ESCAPED:
                if kind == TRUE or (kind == TEXT and _is_true(raw, work, slot)):
                    texts |= ESCAPED
            elif kind == TEXT:
                texts |= bit & _EXCEPTION_SLOTS
            else:
                texts &= ~bit
    return texts


@njit(**ARRAYS_ONLY)
def _is_true(raw, work, slot):
    place = EVENT_VALUES + (slot << U1)
    return work[place + U1] == U4 and load_64(raw, work[place]) & LOW_32 == U(0x65757274)  # "true"


@njit(**INLINED)
def read_span(raw, p, end, rows, row, words, text, work, service, around):
    """Read the Span at raw[p:end] into rows[row].

    Parameters
    ----------
    service : uint64
        String id of the resource's service.name.
    around : uint64
        Flags that resource and scope give to every span.

    Returns
    -------
    uint64
        `MESSAGE_BROKEN`, `ROW_WRITTEN`, or `ROW_SKIPPED` (the trace id or span id is not usable).
    """
    begin = p
    trace_0, trace_1, span_id, parent_id = U0, U0, U0, U0
    ids_good = U0  # bit 0: trace id, bit 1: span id; a wrong length may stand behind a right one
    start_ns, end_ns = U0, U0
    name_start, name_length = U0, U0
    message_start, message_length = U0, U0
    span_kind, status, wire_flags = U0, U0, U0
    event_count, link_count, attribute_count = U0, U0, U0
    dropped_attributes, dropped_events, dropped_links = U0, U0, U0
    flags = around
    seen, texts, numbers = U0, U0, U0
    exception_slots = U0  # of the last exception event, whose values are the ones in scratch
    escaped = U0
    weight = 0.0

    while p < end:
        tag, p = read_tag(raw, p, end)
        if tag == _ATTRIBUTES:
            start, p = read_block(raw, p, end)
            if p > end:
                return MESSAGE_BROKEN
            attribute_count += U1
            code = read_attribute(raw, start, p, work, VALUES)
            if code != NOT_OURS:
                if code == BROKEN:
                    return MESSAGE_BROKEN
                bit = U1 << ((code & SLOT_MASK) - U1)
                kind = code >> KIND_SHIFT
                if seen & bit & SPAN_SLOTS != U0:
                    flags |= _DUPLICATE_KEY
                seen |= bit
                texts = texts | bit if kind == TEXT else texts & ~bit
                numbers = numbers | bit if kind == NUMBER else numbers & ~bit
        elif tag == _TRACE_ID:
            start, p = read_block(raw, p, end)
            if p > end:
                return MESSAGE_BROKEN
            ids_good &= U2
            if p - start == U16:
                trace_0 = load_64(raw, start)
                trace_1 = load_64(raw, start + U8)
                ids_good |= U1
        elif tag == _SPAN_ID:
            start, p = read_block(raw, p, end)
            if p > end:
                return MESSAGE_BROKEN
            ids_good &= U1
            if p - start == U8:
                span_id = load_64(raw, start)
                ids_good |= U2
        elif tag == _PARENT_ID:
            start, p = read_block(raw, p, end)
            if p > end:
                return MESSAGE_BROKEN
            parent_id = U0
            flags &= ~_BAD_PARENT_ID
            if p - start == U8:
                parent_id = load_64(raw, start)
            elif p != start:
                flags |= _BAD_PARENT_ID
        elif tag == _NAME:
            name_start, p = read_block(raw, p, end)
            name_length = p - name_start
        elif tag == _KIND:
            span_kind, p = read_varint(raw, p, end)
        elif tag == _START:
            start_ns = load_64(raw, p)
            p += U8
        elif tag == _END:
            end_ns = load_64(raw, p)
            p += U8
        elif tag == _FLAGS:
            wire_flags = load_64(raw, p) & LOW_32
            p += U4
        elif tag == _STATUS:
            q, p = read_block(raw, p, end)
            if p > end:
                return MESSAGE_BROKEN
            while q < p:
                tag, q = read_tag(raw, q, p)
                if tag == _STATUS_CODE and q <= p:
                    status, q = read_varint(raw, q, p)
                elif tag == _STATUS_MESSAGE and q <= p:
                    message_start, q = read_block(raw, q, p)
                    message_length = q - message_start
                elif q <= p:
                    q = skip(raw, q, p, tag)
            if q != p:
                return MESSAGE_BROKEN
        elif tag == _EVENTS:
            start, p = read_block(raw, p, end)
            if p > end:
                return MESSAGE_BROKEN
            event_count += U1
            said = read_event(raw, start, p, work)
            if said == BROKEN:
                return MESSAGE_BROKEN
            if said != U0:
                exception_slots = said
                escaped |= said & ESCAPED
        elif tag == _TRACE_STATE:
            start, p = read_block(raw, p, end)
            if p > end:
                return MESSAGE_BROKEN
            weight = sampling_weight(raw, start, p)
        elif tag == _LINKS:
            _, p = read_block(raw, p, end)
            link_count += U1
        elif tag == _DROPPED_ATTRIBUTES:
            dropped_attributes, p = read_varint(raw, p, end)
        elif tag == _DROPPED_EVENTS:
            dropped_events, p = read_varint(raw, p, end)
        elif tag == _DROPPED_LINKS:
            dropped_links, p = read_varint(raw, p, end)
        elif p <= end:
            p = skip(raw, p, end, tag)
    if p != end:
        return MESSAGE_BROKEN
    if ids_good != U3 or trace_0 | trace_1 == U0 or span_id == U0:
        return ROW_SKIPPED

    bad_text = write_columns(raw, rows, row, words, text, work, texts, numbers)
    values = VALUES
    slots = texts
    if texts & _EXCEPTION_SLOTS != U0:
        flags |= _EXCEPTION
    elif exception_slots != U0:
        flags |= _EXCEPTION
        if escaped != U0:
            flags |= _ESCAPED
        values = EVENT_VALUES
        slots = exception_slots
    exception_type = U0
    if slots & EXCEPTION_TYPE != U0:
        found = intern_slot(raw, words, text, work, values, _TYPE_SLOT)
        bad_text |= found >> U32
        exception_type = found & LOW_32
    error_class = U0
    if message_length != U0:
        error_class = message_class(raw, message_start, message_length, work)
    elif slots & EXCEPTION_MESSAGE != U0:
        place = values + (_MESSAGE_SLOT << U1)
        error_class = message_class(raw, work[place], work[place + U1], work)

    name = intern(words, text, STRING_TABLE, raw, name_start, name_length)
    bad_text |= name >> U32
    name &= LOW_32
    span_kind &= LOW_32  # enums are 32 bits wide, whatever was sent
    if span_kind > _KIND_MAX:
        span_kind = U0
    status &= LOW_32
    if status > _STATUS_MAX:
        status = U0
    if parent_id == U0 and flags & _BAD_PARENT_ID == U0:
        flags |= _ROOT
    if wire_flags & _REMOTE_BITS == _REMOTE_BITS:
        flags |= _REMOTE_PARENT
    if wire_flags & _SAMPLED_BIT != U0:
        flags |= _SAMPLED
    if (dropped_attributes | dropped_events | dropped_links) & LOW_32 != U0:
        flags |= _TRUNCATED
    if name_length == U0:
        flags |= _NO_NAME
    if weight != 0.0:
        flags |= _THRESHOLD
    else:
        weight = 1.0
    if bad_text != U0:
        flags |= _BAD_TEXT

    rows[row]["trace_id_0"] = trace_0
    rows[row]["trace_id_1"] = trace_1
    rows[row]["span_id"] = span_id
    rows[row]["parent_id"] = parent_id
    rows[row]["start_ns"] = signed(start_ns)
    rows[row]["end_ns"] = signed(end_ns)
    rows[row]["raw_offset"] = begin
    rows[row]["raw_length"] = end - begin
    rows[row]["name"] = name
    rows[row]["service"] = service
    rows[row]["operation"] = intern_triple(words, OPERATION_TABLE, service, name, span_kind)
    rows[row]["exception_type"] = exception_type
    rows[row]["kind"] = span_kind
    rows[row]["status"] = status
    rows[row]["message_class"] = error_class
    rows[row]["event_count"] = min(event_count, _U255)
    rows[row]["flags"] = flags
    rows[row]["link_count"] = min(link_count, _U65535)
    rows[row]["attribute_count"] = min(attribute_count, _U65535)
    rows[row]["arrival_ms"] = U0
    rows[row]["next"] = -1
    rows[row]["weight"] = weight
    rows[row]["severity"] = U0
    rows[row]["reserved"] = U0
    return ROW_WRITTEN
