"""Bytes of one span or log record -> the words a reader sees.

In: the Span or LogRecord message as it was sent. Out: `SpanDetail`. Only for traces that
are shown; the hot path never comes here. Bad text is shown with U+FFFD, never raised.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from analyzer.spans import AttributeValue, EventDetail, LinkDetail, SpanDetail

DEPTH_MAX = 8  # reliability.md shape 33: nested values deeper than this are shown as "..."
ATTRIBUTES_MAX = 128
EVENTS_MAX = 128
LINKS_MAX = 128
TEXT_MAX = 65_536


def read_detail(raw: memoryview, *, log: bool) -> SpanDetail:
    """Read one Span (or LogRecord) message.

    Bytes that protobuf itself refuses (bad UTF-8) give an empty detail rather than an error:
    the columns of the row still hold what the decoder could read.
    """
    try:
        return _log(LogRecord.FromString(bytes(raw))) if log else _span(Span.FromString(bytes(raw)))
    except DecodeError:
        return SpanDetail()


def _span(span: Span) -> SpanDetail:
    return SpanDetail(
        name=span.name,
        status_message=span.status.message[:TEXT_MAX],
        trace_state=span.trace_state[:512],
        attributes=_attributes(span.attributes),
        events=tuple(
            EventDetail(event.name, _signed(event.time_unix_nano), _attributes(event.attributes))
            for event in _shown_events(span)
        ),
        links=tuple(
            LinkDetail(link.trace_id.hex(), link.span_id.hex(), _attributes(link.attributes))
            for link in span.links[:LINKS_MAX]
        ),
    )


def _shown_events(span: Span) -> list[Any]:
    """Keep the first and last events and every exception among the ones over the limit."""
    events = list(span.events)
    if len(events) <= EVENTS_MAX:
        return events
    half = EVENTS_MAX // 2
    middle = [event for event in events[half:-half] if event.name == "exception"]
    return events[:half] + middle[:EVENTS_MAX] + events[-half:]


def _log(record: LogRecord) -> SpanDetail:
    return SpanDetail(
        name=record.event_name,
        attributes=_attributes(record.attributes),
        body=any_value(record.body),
        severity_text=record.severity_text,
    )


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _attributes(items: Any) -> dict[str, AttributeValue]:
    found: dict[str, AttributeValue] = {}
    for item in items[:ATTRIBUTES_MAX]:
        pair: KeyValue = item
        found[pair.key] = any_value(pair.value)
    return found


def any_value(value: AnyValue, depth: int = 0) -> AttributeValue:
    """Turn an AnyValue into plain Python; nothing nested deeper than `DEPTH_MAX`."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "string_value":
        return value.string_value[:TEXT_MAX]
    if kind == "bool_value":
        return value.bool_value
    if kind == "int_value":
        return value.int_value
    if kind == "double_value":
        return value.double_value
    if kind == "bytes_value":
        return value.bytes_value[:TEXT_MAX]
    if depth >= DEPTH_MAX:
        return "..."
    if kind == "array_value":
        return [any_value(item, depth + 1) for item in value.array_value.values[:ATTRIBUTES_MAX]]
    if kind == "kvlist_value":
        return {pair.key: any_value(pair.value, depth + 1) for pair in value.kvlist_value.values[:ATTRIBUTES_MAX]}
    return None  # a kind newer than our opentelemetry-proto
