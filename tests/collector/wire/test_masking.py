"""No secret is kept: every place of a request that holds text, and nothing else of it is touched."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from collector.contracts import Signal
from collector.redaction import Redactor
from collector.wire.detail import read_detail
from collector.wire.masking import masked_details, masked_request
from tests.support.doors import request

SECRET = "hunter2hunter2"
TEXT = f"login with password={SECRET} failed"
CLEAN = "login with password=[redacted] failed"


def any_value(kind: str, text: str) -> AnyValue:
    found = AnyValue()
    if kind == "text":
        found.string_value = text
    elif kind == "bytes":
        found.bytes_value = text.encode()
    elif kind == "list":
        found.array_value.values.add().string_value = text
        found.array_value.values.add().int_value = 7
    elif kind == "map":
        found.kvlist_value.values.add(key="inner").value.string_value = text
    else:
        inner = found
        for _ in range(40):
            inner = inner.array_value.values.add()
        inner.string_value = text
    return found


SPAN_PLACES = ("resource", "scope", "name", "status", "attribute", "event name", "event", "link")
LOG_PLACES = ("log resource", "log scope", "log", "body")


def filled(place: str, key: str, value: AnyValue) -> tuple[Signal, Any]:
    """A request with the value in one place, and ordinary words everywhere else."""
    if place in LOG_PLACES:
        logs = ExportLogsServiceRequest()
        group = logs.resource_logs.add()
        scope = group.scope_logs.add()
        record = scope.log_records.add(trace_id=b"t" * 16, span_id=b"s" * 8, time_unix_nano=7, severity_text="ERROR")
        if place == "body":
            record.body.CopyFrom(value)
        else:
            owner = {"log resource": group.resource, "log scope": scope.scope, "log": record}[place]
            owner.attributes.add(key=key).value.CopyFrom(value)
        return Signal.LOGS, logs
    traces = ExportTraceServiceRequest()
    group = traces.resource_spans.add(schema_url="schema")
    scope = group.scope_spans.add()
    span = scope.spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="GET /", trace_state="a=b", kind=3)
    event, link = span.events.add(name="exception", time_unix_nano=9), span.links.add(trace_id=b"l" * 16)
    if place in ("name", "status", "event name"):
        owner, field = {"name": (span, "name"), "status": (span.status, "message"), "event name": (event, "name")}[
            place
        ]
        setattr(owner, field, value.string_value)
    else:
        owners = {"resource": group.resource, "scope": scope.scope, "attribute": span, "event": event, "link": link}
        owners[place].attributes.add(key=key).value.CopyFrom(value)
    return Signal.TRACES, traces


@pytest.mark.parametrize("place", [*SPAN_PLACES, *LOG_PLACES])
@pytest.mark.parametrize("kind", ["text", "list", "map", "deep"])
def test_a_secret_is_masked_wherever_text_stands(place: str, kind: str):
    """And the result is the request with masked text in that place, nothing more."""
    if place in ("name", "status", "event name") and kind != "text":
        kind = "text"
    signal, before = filled(place, "note", any_value(kind, TEXT))
    _, expected = filled(place, "note", any_value(kind, CLEAN))

    found = masked_request(before.SerializeToString(), signal, Redactor())

    assert SECRET.encode() not in found
    assert type(before).FromString(found) == expected


@pytest.mark.parametrize(
    "place", ["resource", "scope", "attribute", "event", "link", "log resource", "log scope", "log"]
)
@pytest.mark.parametrize("kind", ["text", "list", "map", "deep", "bytes"])
def test_a_value_is_masked_whole_when_its_name_says_so(place: str, kind: str):
    """Bytes too, and all that is inside of it."""
    signal, before = filled(place, "http.request.header.authorization", any_value(kind, SECRET))
    _, expected = filled(place, "http.request.header.authorization", any_value(kind, "[redacted]"))

    assert type(before).FromString(masked_request(before.SerializeToString(), signal, Redactor())) == expected


def test_text_that_is_not_utf_8_keeps_nobody_from_being_masked():
    """One SDK's bad byte stays as it is; the secret beside it does not."""
    signal, found = filled("attribute", "note", any_value("text", TEXT))
    whole = found.SerializeToString().replace(b"GET /", b"G\xff\xfe /").replace(b"login", b"lo\xffin")

    masked = masked_request(whole, signal, Redactor())

    assert SECRET.encode() not in masked
    assert b"G\xff\xfe /" in masked
    assert b"lo\xffin with password=[redacted] failed" in masked


def test_fields_that_are_not_known_stay():
    _, found = filled("attribute", "note", any_value("text", TEXT))
    strange = b"\x9a\x06\x03new"

    assert strange in masked_request(found.SerializeToString() + strange, Signal.TRACES, Redactor())


def test_what_cannot_be_read_is_not_kept():
    """It cannot be masked either."""
    assert masked_request(b"\x0a\xffpassword=hunter2", Signal.TRACES, Redactor()) == b""


def test_without_secrets_the_bytes_are_the_same():
    payload = request("a", "b").SerializeToString()

    assert masked_request(payload, Signal.TRACES, Redactor()) is payload
    assert masked_request(b"", Signal.LOGS, Redactor()) == b""


class LooksAtAll(Redactor):
    """Reads every request, whatever its bytes look like."""

    def may_hold_secrets(self, payload: bytes) -> bool:
        return True


PIECES = [
    "a = 'b'",
    "a:'b",
    "x" * 39,
    "'",
    "password=x1y2z3w4",
    "at Shop.main('b')",
    " ",
    "4111 1111 1111 1111",
    "db.statement",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)
KEYS = st.sampled_from(
    ["db.statement", "db.query.text", "exception.stacktrace", "password", "db.query.parameter.1", "x"]
)
PLACES = st.sampled_from([place for place in (*SPAN_PLACES, *LOG_PLACES) if place != "body"])


@given(PLACES, KEYS, st.sampled_from(["text", "list", "map"]), TEXTS, TEXTS)
def test_a_request_that_is_not_read_holds_nothing_to_mask(place: str, key: str, kind: str, text: str, other: str):
    signal, made = filled(place, key, any_value(kind, text))
    groups = made.resource_spans if signal is Signal.TRACES else made.resource_logs
    groups[0].resource.attributes.add(key="db.statement").value.string_value = other.replace("'", "")
    payload = made.SerializeToString()

    assert masked_request(payload, signal, Redactor()) == masked_request(payload, signal, LooksAtAll())


@given(st.binary(max_size=120))
def test_any_bytes_are_masked_or_dropped(payload: bytes):
    found = masked_request(payload + b"password=", Signal.TRACES, Redactor())

    assert masked_request(found, Signal.TRACES, Redactor()) == found


@pytest.mark.parametrize("place", [place for place in (*SPAN_PLACES, *LOG_PLACES) if place not in ("resource", "scope", "log resource", "log scope")])  # fmt: skip
def test_details_say_no_secret(place: str):
    """What is read of a span for its answer."""
    signal, found = filled(place, "note", any_value("text", TEXT))
    is_log = signal is Signal.LOGS
    item = (
        found.resource_logs[0].scope_logs[0].log_records[0]
        if is_log
        else found.resource_spans[0].scope_spans[0].spans[0]
    )
    raw = memoryview(item.SerializeToString())

    plain, masked = read_detail(raw, log=is_log), masked_details(read_detail, Redactor())(raw, log=is_log)

    assert TEXT in repr(plain)
    assert SECRET not in repr(masked)
    assert CLEAN in repr(masked)


def test_details_hide_by_name_inside_too():
    value = any_value("map", SECRET)
    value.kvlist_value.values[0].key = "password"
    _, found = filled("attribute", "login", value)
    raw = memoryview(found.resource_spans[0].scope_spans[0].spans[0].SerializeToString())

    detail = masked_details(read_detail, Redactor())(raw, log=False)

    assert detail.attributes == {"login": {"password": "[redacted]"}}
