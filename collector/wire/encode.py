"""Rows -> OTLP requests, from the bytes the spans came with.

In: one trace of a `TraceBatch`. Out: a serialised ExportTraceServiceRequest or
ExportLogsServiceRequest with its spans or log records, grouped under the resource and scope they came
with. Never decodes a span and never changes one: unknown fields, odd values and field order stay.

Not carried: `schema_url` of resources and scopes, which the rows do not keep.
"""

from __future__ import annotations

from collections.abc import Iterable

from analyzer.spans import TraceBatch
from collector.wire.grouped import grouped

_SPAN_ATTRIBUTE = b"\x4a"  # Span.attributes = 9


def encode_traces(traces: TraceBatch, index: int) -> bytes:
    """Write the spans of trace `index` as an ExportTraceServiceRequest; empty when it has none.

    Resources and scopes stand in the order of their ids, spans in the order of the rows.
    """
    return grouped(traces, index, logs=False)


def encode_logs(traces: TraceBatch, index: int) -> bytes:
    """Write the log records of trace `index` as an ExportLogsServiceRequest; empty when it has none."""
    return grouped(traces, index, logs=True)


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


def _varint(value: int) -> bytes:
    written = bytearray()
    while value >= 0x80:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)
