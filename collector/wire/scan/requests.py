"""The walk over a request: resources, scopes, and the messages in them.

In: an ExportTraceServiceRequest or ExportLogsServiceRequest inside a larger buffer. Out: rows.
The two requests have the same shape (field 1 of each level is the resource or scope, field 2 the
list), so there is one walk.

A sender may legally write the resource behind the spans, or in two parts that protobuf merges.
Nobody does: the walk takes a head that stands first, and starts the level again, after a look at the
whole of it, when another one follows. Parts are laid side by side in scratch (bytes one after
another are the merged message).
"""

from __future__ import annotations

import numpy as np
from numba import from_dtype, njit, types

from analyzer.kernels.hashing import (
    H_TEXT,
    H_TEXT_BYTES,
    H_TEXT_BYTES_MAX,
    READ_BYTES,
    RESOURCE_TABLE,
    SCOPE_TABLE,
    STRING_TABLE,
    U0,
    U1,
    U32,
    U,
    intern_text,
    load_64,
)
from analyzer.kernels.options import ARRAYS_ONLY
from analyzer.spans import OWN_SCOPE_NAME, SPAN_DTYPE, SpanFlag
from collector.wire.scan.attributes import (
    EMPTY_TEXT,
    KIND_SHIFT,
    SERVICE_NAME_CODE,
    SLOT_MASK,
    TEXT,
    read_attribute,
)
from collector.wire.scan.logs import read_log
from collector.wire.scan.spans import MESSAGE_BROKEN, ROW_WRITTEN, read_span
from collector.wire.scan.tables import FIRST, VALUES
from collector.wire.scan.wire import BROKEN, LOW_32, read_block, read_tag, skip

NO_ROOM, UNDECODABLE = -1, -2

_HEAD, _LIST = U(0x0A), U(0x12)  # Resource or InstrumentationScope; ScopeSpans, ScopeLogs, Span or LogRecord
_SERVICE_SLOT = FIRST[11]
_OWN_LENGTH = U(len(OWN_SCOPE_NAME))
_OWN_FIRST = U(int.from_bytes(OWN_SCOPE_NAME.encode()[:8], "little"))
_OWN_LAST = U(int.from_bytes(OWN_SCOPE_NAME.encode()[-8:], "little"))
_U8 = U(8)
_TEXT = types.uint8[::1]
_WORDS = types.uint64[::1]
_TWO = types.UniTuple(types.uint64, 2)
ROWS = from_dtype(SPAN_DTYPE)[::1]
assert 8 <= len(OWN_SCOPE_NAME) <= 16

_NO_SERVICE = U(int(SpanFlag.NO_SERVICE))
_EMPTY_SERVICE = U(int(SpanFlag.EMPTY_SERVICE))
_SERVICE_NOT_TEXT = U(int(SpanFlag.SERVICE_NOT_TEXT))
_OWN_SCOPE = U(int(SpanFlag.OWN_SCOPE))
_BAD_TEXT = U(int(SpanFlag.BAD_TEXT))


@njit(types.UniTuple(types.uint64, 3)(READ_BYTES, types.uint64, types.uint64), **ARRAYS_ONLY)
def find_heads(raw, p, end):
    """Find the field 1 messages of a level -> (how many, start and stop of the last); (BROKEN, 0, 0): broken."""
    count, start, stop = U0, U0, U0
    while p < end:
        tag, p = read_tag(raw, p, end)
        if p > end:
            return BROKEN, U0, U0
        if tag == _HEAD:
            start, p = read_block(raw, p, end)
            stop = p
            count += U1
        else:
            p = skip(raw, p, end, tag)
    if p != end:
        return BROKEN, U0, U0
    return count, start, stop


@njit(_TWO(READ_BYTES, types.uint64, types.uint64, _WORDS, _TEXT, types.uint64), **ARRAYS_ONLY)
def lay_side_by_side(raw, p, end, words, text, table):
    """Copy all field 1 messages of a level behind the texts of a table -> (start, stop) there.

    `find_heads` has read the level before. When the table has no room nothing is laid: the head is `<other>`.
    """
    begin = words[table + H_TEXT] + words[table + H_TEXT_BYTES]
    limit = words[table + H_TEXT] + words[table + H_TEXT_BYTES_MAX]
    q = begin
    while p < end:
        tag, p = read_tag(raw, p, end)
        if tag == _HEAD:
            start, p = read_block(raw, p, end)
            if p - start > limit - q:
                return begin, begin
            while start < p:
                text[q] = raw[start]
                q += U1
                start += U1
        else:
            p = skip(raw, p, end, tag)
    return begin, q


@njit(_TWO(READ_BYTES, types.uint64, types.uint64, _WORDS, _TEXT, _WORDS), **ARRAYS_ONLY)
def read_resource(raw, p, end, words, text, work):
    """Read the service.name of a Resource -> (string id, flags of its spans); (BROKEN, 0): broken."""
    code = U0
    while p < end:
        tag, p = read_tag(raw, p, end)
        if tag == _HEAD:
            start, p = read_block(raw, p, end)
            if p > end:
                return BROKEN, U0
            found = read_attribute(raw, start, p, work, VALUES)
            if found == BROKEN:
                return BROKEN, U0
            if found & SLOT_MASK == SERVICE_NAME_CODE:
                code = found  # the last one wins; its value stays in scratch
        elif p <= end:
            p = skip(raw, p, end, tag)
    if p != end:
        return BROKEN, U0
    if code == U0:
        return U0, _NO_SERVICE
    kind = code >> KIND_SHIFT
    if kind == EMPTY_TEXT:
        return U0, _EMPTY_SERVICE
    if kind != TEXT:
        return U0, _SERVICE_NOT_TEXT
    place = VALUES + (_SERVICE_SLOT << U1)
    service = intern_text(words, text, STRING_TABLE, raw, work[place], work[place + U1])
    return service & LOW_32, _BAD_TEXT if service >> U32 != U0 else U0


@njit(types.uint64(READ_BYTES, types.uint64, types.uint64), **ARRAYS_ONLY)
def scope_flags(raw, p, end):
    """Flags of an InstrumentationScope: whether it is our own; BROKEN when it cannot be read."""
    flags = U0
    while p < end:
        tag, p = read_tag(raw, p, end)
        if tag == _HEAD:
            start, p = read_block(raw, p, end)
            if p > end:
                return BROKEN
            own = p - start == _OWN_LENGTH and load_64(raw, start) == _OWN_FIRST
            own = own and load_64(raw, p - _U8) == _OWN_LAST
            flags = _OWN_SCOPE if own else U0
        elif p <= end:
            p = skip(raw, p, end, tag)
    return flags if p == end else BROKEN


@njit(types.UniTuple(types.uint64, 3)(READ_BYTES, types.uint64, types.uint64, _WORDS, _TEXT, _WORDS), **ARRAYS_ONLY)
def resource_head(raw, p, end, words, text, work):
    """Resource of a ResourceSpans or ResourceLogs -> (resource id, service id, flags); id BROKEN: broken."""
    count, start, stop = find_heads(raw, p, end)
    if count == BROKEN:
        return BROKEN, U0, U0
    if count > U1:
        start, stop = lay_side_by_side(raw, p, end, words, text, RESOURCE_TABLE)
        service, flags = read_resource(text, start, stop, words, text, work)
        resource = intern_text(words, text, RESOURCE_TABLE, text, start, stop - start)
    else:
        service, flags = read_resource(raw, start, stop, words, text, work)
        resource = intern_text(words, text, RESOURCE_TABLE, raw, start, stop - start)
    return BROKEN if service == BROKEN else resource & LOW_32, service, flags


@njit(_TWO(READ_BYTES, types.uint64, types.uint64, _WORDS, _TEXT), **ARRAYS_ONLY)
def scope_head(raw, p, end, words, text):
    """Scope of a level whose scope stands in an odd place -> (scope id, flags); id BROKEN: broken."""
    count, start, stop = find_heads(raw, p, end)
    if count == BROKEN:
        return BROKEN, U0
    if count > U1:
        start, stop = lay_side_by_side(raw, p, end, words, text, SCOPE_TABLE)
        flags = scope_flags(text, start, stop)
        scope = intern_text(words, text, SCOPE_TABLE, text, start, stop - start)
    else:
        flags = scope_flags(raw, start, stop)
        scope = intern_text(words, text, SCOPE_TABLE, raw, start, stop - start)
    return BROKEN if flags == BROKEN else scope & LOW_32, flags


@njit(_TWO(READ_BYTES, types.uint64, types.uint64, _WORDS, _TEXT), **ARRAYS_ONLY)
def first_scope(raw, start, stop, words, text):
    """Scope that stands first, as it should -> (scope id, flags); id BROKEN: broken."""
    flags = scope_flags(raw, start, stop)
    scope = intern_text(words, text, SCOPE_TABLE, raw, start, stop - start)
    return BROKEN if flags == BROKEN else scope & LOW_32, flags


@njit(
    types.int64(READ_BYTES, types.int64, types.int64, types.boolean, ROWS, types.int64, _WORDS, _TEXT, _WORDS),
    **ARRAYS_ONLY,
)
def read_request(raw, offset, length, log, rows, first_row, words, text, work):
    """Read the request at raw[offset : offset + length] into rows[first_row:].

    Parameters
    ----------
    raw : uint8[...]      `SLACK_BYTES` readable bytes stand behind the request
    log : bool            ExportLogsServiceRequest, else ExportTraceServiceRequest
    rows : SPAN_DTYPE[...]
    words, text : the vocabulary (analyzer.strings.TableBlock)
    work : uint64[...]    tables and scratch (collector.wire.scan.tables)

    Returns
    -------
    int64
        Rows written, or `NO_ROOM`, or `UNDECODABLE`.
    """
    row = U(first_row)
    row_end = U(len(rows))
    p = U(offset)
    end = p + U(length)
    while p < end:
        tag, p = read_tag(raw, p, end)
        if p > end:
            return UNDECODABLE
        if tag != _HEAD:
            p = skip(raw, p, end, tag)
            continue
        group, p = read_block(raw, p, end)
        if p > end:
            return UNDECODABLE
        resource, service, service_flags = resource_head(raw, group, p, words, text, work)
        if resource == BROKEN:
            return UNDECODABLE
        group_end = p
        while group < group_end:
            tag, group = read_tag(raw, group, group_end)
            if tag != _LIST:
                group = skip(raw, group, group_end, tag)
                continue
            level, group = read_block(raw, group, group_end)
            if group > group_end:
                return UNDECODABLE
            level_end = group
            level_start = level
            level_row = row
            scope, flags = U0, service_flags
            merged = False
            if level < level_end and U(raw[level]) == _HEAD:
                start, level = read_block(raw, level + U1, level_end)
                if level > level_end:
                    return UNDECODABLE
                scope, own = first_scope(raw, start, level, words, text)
                flags = service_flags | own
            while level < level_end:
                tag, level = read_tag(raw, level, level_end)
                if tag == _LIST:
                    start, level = read_block(raw, level, level_end)
                    if level > level_end:
                        return UNDECODABLE
                    if row >= row_end:
                        return NO_ROOM
                    if log:
                        outcome = read_log(raw, start, level, rows, row, words, text, work, service, flags)
                    else:
                        outcome = read_span(raw, start, level, rows, row, words, text, work, service, flags)
                    if outcome == MESSAGE_BROKEN:
                        return UNDECODABLE
                    if outcome == ROW_WRITTEN:
                        rows[row]["resource"] = resource
                        rows[row]["scope"] = scope
                        row += U1
                elif tag == _HEAD and not merged:
                    scope, own = scope_head(raw, level_start, level_end, words, text)
                    flags = service_flags | own
                    merged = True
                    row = level_row
                    level = level_start
                elif level <= level_end:
                    level = skip(raw, level, level_end, tag)
                if scope == BROKEN:
                    return UNDECODABLE
            if level != level_end or scope == BROKEN:
                return UNDECODABLE
        if group != group_end:
            return UNDECODABLE
    if p != end:
        return UNDECODABLE
    return np.int64(row) - first_row
