"""Masks secrets in what is kept (request bytes) and in what is shown (details of spans).

In: bytes, or a `SpanDetail`. Out: the same kind, masked by what `Mask` says. Strings are read as bytes: one of them
that is not UTF-8 must not keep its neighbours from being masked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.logs.v1 import logs_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

from analyzer.spans import (
    RESOURCE_KEYS,
    TENANT_PATTERN,
    VARIABLES_KEYS,
    AttributeValue,
    DetailReader,
    EventDetail,
    LinkDetail,
    SpanDetail,
)
from collector.contracts import Signal

_OWNER_KEY = RESOURCE_KEYS["owner"][0].encode()
_OWNER = re.compile(TENANT_PATTERN.encode())
_MASKED = b"[redacted]"
# JSON text that is read as values later, by its name; inside a record ("exception": {"values": ...}) by the last part.
_JSON_KEYS = frozenset((*VARIABLES_KEYS, "values"))
_JSON_MAX = 65_536  # characters; longer text is not read
_FILES = (common_pb2, resource_pb2, trace_pb2, logs_pb2, trace_service_pb2, logs_service_pb2)
_REQUESTS = {
    Signal.TRACES: "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest",
    Signal.LOGS: "opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest",
}


class Mask(Protocol):
    """`collector.redaction.Redactor`."""

    def may_hold_secrets(self, payload: bytes) -> bool: ...

    def text(self, text: str) -> str: ...

    def value(self, key: str, text: str) -> str: ...

    def hides(self, key: str) -> bool: ...


def masked_details(read: DetailReader, mask: Mask) -> DetailReader:
    """Return a reader that shows no secret."""

    def read_masked(raw: memoryview, *, log: bool) -> SpanDetail:
        detail = read(raw, log=log)
        return SpanDetail(
            name=mask.text(detail.name),
            status_message=mask.text(detail.status_message),
            trace_state=detail.trace_state,
            attributes=_mapping(detail.attributes, mask),
            events=[
                EventDetail(mask.text(event.name), event.time_ns, _mapping(event.attributes, mask))
                for event in detail.events
            ],
            links=[LinkDetail(link.trace_id, link.span_id, _mapping(link.attributes, mask)) for link in detail.links],
            body=_plain("", detail.body, mask),
            severity_text=detail.severity_text,
        )

    return read_masked


def masked_request(payload: bytes, signal: Signal, mask: Mask) -> bytes:
    """Return a request without secrets, to be kept. What cannot be read cannot be masked, and gives empty bytes."""
    if not payload or not mask.may_hold_secrets(payload):
        return payload
    request = _request_type(signal)()
    try:
        request.ParseFromString(payload)
    except DecodeError:
        return b""
    if signal is Signal.TRACES:
        for group in request.resource_spans:
            _attributes(_said(group.resource), mask)
            for scope in group.scope_spans:
                _attributes(scope.scope.attributes, mask)
                for span in scope.spans:
                    _span(span, mask)
    else:
        for group in request.resource_logs:
            _attributes(_said(group.resource), mask)
            for scope in group.scope_logs:
                _attributes(scope.scope.attributes, mask)
                for record in scope.log_records:
                    _attributes(record.attributes, mask)
                    if record.HasField("body"):
                        _any(record.body, "", mask)
    return bytes(request.SerializeToString())


def _said(resource: Any) -> list[Any]:
    """What the sender said; the tenant is part of what its traces are called, and must stay as it is."""
    return [
        pair
        for pair in resource.attributes
        if pair.key != _OWNER_KEY or not _OWNER.fullmatch(pair.value.string_value or b"")
    ]


def _span(span: Any, mask: Mask) -> None:
    span.name = _bytes("", span.name, mask)
    if span.status.message:
        span.status.message = _bytes("", span.status.message, mask)
    _attributes(span.attributes, mask)
    for event in span.events:
        event.name = _bytes("", event.name, mask)
        _attributes(event.attributes, mask)
    for link in span.links:
        _attributes(link.attributes, mask)


def _attributes(pairs: Any, mask: Mask) -> None:
    for pair in pairs:
        value, key = pair.value, pair.key.decode("utf-8", "replace")
        if value.WhichOneof("value") == "string_value":  # as nearly all that matter are
            text = value.string_value
            if (found := _bytes(key, text, mask)) is not text:
                value.string_value = found
        else:
            _any(value, key, mask)


def _any(value: Any, key: str, mask: Mask) -> None:
    """Mask an AnyValue in its place; inside of lists the name is that of the list.

    A number is masked by its name inside of a record only (a local variable, say): attributes count tokens.
    """
    open_values = [(value, key, False)]
    while open_values:
        value, key, inside = open_values.pop()
        kind = value.WhichOneof("value")
        if kind == "string_value":
            found = _bytes(key, value.string_value, mask)
            if found != value.string_value:
                value.string_value = found
        elif kind == "bytes_value":
            if key and mask.hides(key):
                value.bytes_value = _MASKED
        elif kind == "array_value":
            open_values += [(item, key, inside) for item in value.array_value.values]
        elif kind == "kvlist_value":
            hidden = bool(key) and mask.hides(key)
            for pair in value.kvlist_value.values:
                open_values.append((pair.value, key if hidden else pair.key.decode("utf-8", "replace"), True))
        elif kind is not None and inside and mask.hides(key):
            value.string_value = _MASKED


def _bytes(key: str, text: bytes, mask: Mask) -> bytes:
    shown = text.decode("utf-8", "surrogateescape")
    found = _text(key, shown, mask)
    return text if found == shown else found.encode("utf-8", "surrogateescape")


def _mapping(attributes: Mapping[str, AttributeValue], mask: Mask) -> dict[str, AttributeValue]:
    value_of = mask.value
    return {
        key: value_of(key, value) if type(value) is str and key not in _JSON_KEYS else _plain(key, value, mask)
        for key, value in attributes.items()
    }


def _text(key: str, text: str, mask: Mask) -> str:
    if key in _JSON_KEYS and text[:1] in ("[", "{"):
        return _json(key, text, mask)
    return mask.value(key, text) if key else mask.text(text)


def _json(key: str, text: str, mask: Mask) -> str:
    """Mask inside of JSON text, name by name, and write it anew; what cannot be read cannot be masked inside."""
    if mask.hides(key) or len(text) > _JSON_MAX:
        return _MASKED.decode()
    try:
        return json.dumps(_plain("", json.loads(text), mask))
    except (ValueError, RecursionError):
        return _MASKED.decode()


def _plain(key: str, value: AttributeValue, mask: Mask, inside: bool = False) -> AttributeValue:
    """The same for what was read already; it is not deep (`detail.DEPTH_MAX`)."""
    if isinstance(value, str):
        return _text(key, value, mask)
    if isinstance(value, bytes):
        return _MASKED if key and mask.hides(key) else value
    if isinstance(value, list):
        return [_plain(key, item, mask, inside) for item in value]
    if isinstance(value, dict):
        hidden = bool(key) and mask.hides(key)
        return {name: _plain(key if hidden else name, item, mask, True) for name, item in value.items()}
    if inside and value is not None and mask.hides(key):
        return _MASKED.decode()
    return value


@cache
def _request_type(signal: Signal) -> Any:
    """OTLP's messages with bytes where it has strings: on the wire they are the same, and nothing checks for UTF-8."""
    pool = descriptor_pool.DescriptorPool()
    for module in _FILES:
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        for message in file.message_type:
            _strings_to_bytes(message)
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(_REQUESTS[signal]))


def _strings_to_bytes(message: Any) -> None:
    for field in message.field:
        if field.type == field.TYPE_STRING:
            field.type = field.TYPE_BYTES
    for inner in message.nested_type:
        _strings_to_bytes(inner)
