"""Requests built by hand, one span at a time, for tests that say one thing."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analyzer.spans import SpanFlag
from tests.collector.wire.facts import decoded, expected

IDS = {"trace_id": b"\1" * 16, "span_id": b"\2" * 8}


def put(holder, **attributes):
    """Add attributes; dots of the key are written as two underscores."""
    for key, value in attributes.items():
        put_pair(holder, key.replace("__", "."), value)


def put_pair(holder, key, value):
    slot = holder.attributes.add(key=key).value
    kinds = {bool: "bool_value", str: "string_value", int: "int_value", float: "double_value", bytes: "bytes_value"}
    setattr(slot, kinds[type(value)], value)


def request_of(*changes, resource=None, scope=""):
    """A request with one span per change."""
    request = ExportTraceServiceRequest()
    group = request.resource_spans.add()
    for key, value in (resource or {"service.name": "shop"}).items():
        put_pair(group.resource, key, value)
    level = group.scope_spans.add()
    level.scope.name = scope
    for change in changes:
        change(level.spans.add(name="work", **IDS))
    return request.SerializeToString()


def one(change=lambda span: None, **around):
    """The row of one span, in words; the plain twin must agree."""
    payload = request_of(change, **around)
    (found,) = decoded(payload)
    assert expected(payload) == [found]
    return found


def flags_of(record):
    return SpanFlag(record["flags"]) & ~SpanFlag.ROOT


def with_attributes(*pairs):
    def change(span):
        for key, value in pairs:
            put_pair(span, key, value)

    return change
