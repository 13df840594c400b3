"""Rows -> OTLP requests, from the bytes the spans came with.

In: one trace of a `TraceBatch`. Out: a serialised ExportTraceServiceRequest or
ExportLogsServiceRequest with its spans or log records, grouped under the resource and scope they came
with. Never decodes a span and never changes one: unknown fields, odd values and field order stay.

Not carried: `schema_url` of resources and scopes, which the rows do not keep.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

from analyzer.spans import FLAG_LOG, Rows, TraceBatch

# Field heads (number << 3 | 2). Trace and log requests number these alike (opentelemetry-proto 1.x):
# request.resource_* = 1; resource_*.resource = 1, .scope_* = 2; scope_*.scope = 1, .spans / .log_records = 2.
_RESOURCE_GROUP = b"\x0a"
_RESOURCE = b"\x0a"
_SCOPE_GROUP = b"\x12"
_SCOPE = b"\x0a"
_ITEM = b"\x12"
_SPAN_ATTRIBUTE = b"\x4a"  # Span.attributes = 9

_Parts: TypeAlias = list[bytes | memoryview]


def encode_traces(traces: TraceBatch, index: int) -> bytes:
    """Write the spans of trace `index` as an ExportTraceServiceRequest; empty when it has none.

    Resources and scopes stand in the order of their ids, spans in the order of the rows.
    """
    return _encode(traces, index, logs=False)


def encode_logs(traces: TraceBatch, index: int) -> bytes:
    """Write the log records of trace `index` as an ExportLogsServiceRequest; empty when it has none."""
    return _encode(traces, index, logs=True)


def append_attributes(span: bytes | memoryview, key_values: Iterable[bytes]) -> bytes:
    """Add attributes to a serialised Span without reading it.

    Repeated fields may stand anywhere in a message (protobuf encoding, "Last One Wins" does not apply
    to them), so appending fields is appending attributes.

    Parameters
    ----------
    span : bytes
        A serialised Span.
    key_values : iterable of bytes
        Serialised KeyValue messages, at the end in this order.

    Examples
    --------
    >>> append_attributes(b"", [b"\\x0a\\x01k"])
    b'J\\x03\\n\\x01k'
    """
    return b"".join([span, *(part for pair in key_values for part in (_SPAN_ATTRIBUTE, _varint(len(pair)), pair))])


def _encode(traces: TraceBatch, index: int, *, logs: bool) -> bytes:
    rows = traces.rows[int(traces.trace_ptr[index]) : int(traces.trace_ptr[index + 1])]
    rows = rows[((rows["flags"] & FLAG_LOG) != 0) == logs]
    rows = rows[np.lexsort((rows["scope"], rows["resource"]))]
    raw = traces.raw.data
    request: _Parts = []
    for resource, of_resource in _runs(rows, "resource"):
        inner: _Parts = []
        for scope, of_scope in _runs(of_resource, "scope"):
            parts = _field(_SCOPE, traces.vocabulary.scopes.raw(scope))
            starts = of_scope["raw_offset"].tolist()
            lengths = of_scope["raw_length"].tolist()
            for start, length in zip(starts, lengths, strict=True):
                parts += (_ITEM, _varint(length), raw[start : start + length])
            inner += _message(_SCOPE_GROUP, parts)
        request += _message(_RESOURCE_GROUP, _field(_RESOURCE, traces.vocabulary.resources.raw(resource)) + inner)
    return b"".join(request)


def _runs(rows: Rows, column: str) -> Iterable[tuple[int, Rows]]:
    """Split sorted rows into runs of one value of `column`."""
    if len(rows) == 0:
        return
    cuts = np.flatnonzero(np.diff(rows[column])) + 1
    for start, stop in zip([0, *cuts], [*cuts, len(rows)], strict=True):
        yield int(rows[column][start]), rows[start:stop]


def _field(head: bytes, message: bytes) -> _Parts:
    """A length-delimited field, left out when the message was never sent."""
    return [head, _varint(len(message)), message] if message else []


def _message(head: bytes, parts: _Parts) -> _Parts:
    body = b"".join(parts)
    return [head, _varint(len(body)), body]


def _varint(value: int) -> bytes:
    if value < 0x80:
        return _SHORT[value]
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


_SHORT = [bytes([value]) for value in range(0x80)]
