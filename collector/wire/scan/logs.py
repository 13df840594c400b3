"""One LogRecord message -> one row.

In: the place of a LogRecord, the ids of what stands around it. Out: a row of `SPAN_DTYPE` with
`FLAG_LOG`; nothing for records without a trace id. `span_id` of the row is a hash of the record's
bytes with fixed secrets, so that the same record of a retried request is known again anywhere.
"""

from __future__ import annotations

from numba import njit

from analyzer.kernels.hashing import STRING_TABLE, U0, U1, U4, U8, U16, U32, U, hash_bytes, intern, load_64
from analyzer.kernels.options import INLINED
from analyzer.spans import SpanFlag
from collector.wire.scan.attributes import (
    KIND_SHIFT,
    NOT_OURS,
    NUMBER,
    OTHER_KIND,
    SLOT_MASK,
    TEXT,
    any_value,
    read_attribute,
)
from collector.wire.scan.columns import intern_slot, signed, write_columns
from collector.wire.scan.spans import MESSAGE_BROKEN, ROW_SKIPPED, ROW_WRITTEN
from collector.wire.scan.tables import EXCEPTION_MESSAGE, EXCEPTION_TYPE, FIRST, SPAN_SLOTS, VALUES
from collector.wire.scan.text import message_class
from collector.wire.scan.wire import BROKEN, LOW_32, read_block, read_tag, read_varint, skip

_TIME, _SEVERITY, _BODY, _ATTRIBUTES, _FLAGS = U(0x09), U(0x10), U(0x2A), U(0x32), U(0x45)
_TRACE_ID, _SPAN_ID, _OBSERVED_TIME, _EVENT_NAME = U(0x4A), U(0x52), U(0x59), U(0x62)

_SECRET_0, _SECRET_1 = U(0xA0761D6478BD642F), U(0xE7037ED1A0B428DB)  # fixed: the hash must outlive the process
_SEVERITY_ERROR, _SEVERITY_MAX, _NEGATIVE = U(17), U(24), U(1 << 31)
_STATUS_ERROR = U(2)
_U65535 = U(65535)
_TYPE_SLOT, _MESSAGE_SLOT = FIRST[1], FIRST[2]
_EXCEPTION_SLOTS = EXCEPTION_TYPE | EXCEPTION_MESSAGE

_LOG = U(int(SpanFlag.LOG))
_EXCEPTION = U(int(SpanFlag.EXCEPTION))
_SAMPLED = U(int(SpanFlag.SAMPLED))
_BAD_TEXT = U(int(SpanFlag.BAD_TEXT))
_DUPLICATE_KEY = U(int(SpanFlag.DUPLICATE_KEY))


@njit(**INLINED)
def read_log(raw, p, end, rows, row, words, text, work, service, around):
    """Read the LogRecord at raw[p:end] into rows[row]; parameters and outcomes as `read_span`."""
    begin = p
    trace_0, trace_1, parent_id = U0, U0, U0
    time_ns, observed_ns = U0, U0
    severity, wire_flags, attribute_count = U0, U0, U0
    name_start, name_length = U0, U0
    body_kind, body_start, body_length = OTHER_KIND, U0, U0
    flags = around | _LOG
    seen, texts, numbers = U0, U0, U0

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
            trace_0, trace_1 = U0, U0
            if p - start == U16:
                trace_0 = load_64(raw, start)
                trace_1 = load_64(raw, start + U8)
        elif tag == _SPAN_ID:
            start, p = read_block(raw, p, end)
            if p > end:
                return MESSAGE_BROKEN
            parent_id = load_64(raw, start) if p - start == U8 else U0
        elif tag == _TIME:
            time_ns = load_64(raw, p)
            p += U8
        elif tag == _OBSERVED_TIME:
            observed_ns = load_64(raw, p)
            p += U8
        elif tag == _SEVERITY:
            severity, p = read_varint(raw, p, end)
        elif tag == _BODY:
            start, p = read_block(raw, p, end)
            if p > end:
                return MESSAGE_BROKEN
            body_kind, body_start, body_length, after = any_value(raw, start, p, body_kind, body_start, body_length)
            if after != p:
                return MESSAGE_BROKEN
        elif tag == _FLAGS:
            wire_flags = load_64(raw, p) & LOW_32
            p += U4
        elif tag == _EVENT_NAME:
            name_start, p = read_block(raw, p, end)
            name_length = p - name_start
        elif p <= end:
            p = skip(raw, p, end, tag)
    if p != end:
        return MESSAGE_BROKEN
    if trace_0 | trace_1 == U0:
        return ROW_SKIPPED

    bad_text = write_columns(raw, rows, row, words, text, work, texts, numbers)
    exception_type = U0
    error_class = U0
    if texts & _EXCEPTION_SLOTS != U0:
        flags |= _EXCEPTION
    if texts & EXCEPTION_TYPE != U0:
        found = intern_slot(raw, words, text, work, VALUES, _TYPE_SLOT)
        bad_text |= found >> U32
        exception_type = found & LOW_32
    if texts & EXCEPTION_MESSAGE != U0:
        place = VALUES + (_MESSAGE_SLOT << U1)
        error_class = message_class(raw, work[place], work[place + U1], work)
    elif body_kind == TEXT:
        error_class = message_class(raw, body_start, body_length, work)
    name = intern(words, text, STRING_TABLE, raw, name_start, name_length)
    bad_text |= name >> U32
    severity &= LOW_32
    if severity >= _NEGATIVE:
        severity = U0
    if wire_flags & U1 != U0:
        flags |= _SAMPLED
    if bad_text != U0:
        flags |= _BAD_TEXT
    if time_ns == U0:
        time_ns = observed_ns

    rows[row]["trace_id_0"] = trace_0
    rows[row]["trace_id_1"] = trace_1
    rows[row]["span_id"] = max(hash_bytes(raw, begin, end - begin, _SECRET_0, _SECRET_1), U1)
    rows[row]["parent_id"] = parent_id
    rows[row]["start_ns"] = signed(time_ns)
    rows[row]["end_ns"] = signed(time_ns)
    rows[row]["raw_offset"] = begin
    rows[row]["raw_length"] = end - begin
    rows[row]["name"] = name & LOW_32
    rows[row]["service"] = service
    rows[row]["operation"] = U0
    rows[row]["exception_type"] = exception_type
    rows[row]["kind"] = U0
    rows[row]["status"] = _STATUS_ERROR if severity >= _SEVERITY_ERROR else U0
    rows[row]["message_class"] = error_class
    rows[row]["event_count"] = U0
    rows[row]["flags"] = flags
    rows[row]["link_count"] = U0
    rows[row]["attribute_count"] = min(attribute_count, _U65535)
    rows[row]["arrival_ms"] = U0
    rows[row]["next"] = -1
    rows[row]["weight"] = 1.0
    rows[row]["severity"] = min(severity, _SEVERITY_MAX)
    rows[row]["reserved"] = U0
    return ROW_WRITTEN
