"""OTLP/JSON means what the protobuf request means, and nothing else gets through."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.contracts import Signal
from collector.errors import BadRequestError
from collector.wire.limits import prescan
from collector.wire.otlp_json import translate_json
from collector.wire.request_limits import RequestLimits
from tests.support.drawing import draw
from tests.support.otlp_json import as_json

LIMITS = RequestLimits()


def _span(**fields: Any) -> Span:
    """The one span of a request whose JSON has these fields."""
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]}
    raw = translate_json(json.dumps(body).encode(), Signal.TRACES, LIMITS)
    return ExportTraceServiceRequest.FromString(raw).resource_spans[0].scope_spans[0].spans[0]


def _value(value: Any) -> AnyValue:
    return _span(attributes=[{"key": "k", "value": value}]).attributes[0].value


def _refusal(payload: Any, signal: Signal = Signal.TRACES) -> str:
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    with pytest.raises(BadRequestError) as caught:
        translate_json(text, signal, LIMITS)
    return str(caught.value)


def _span_refusal(**fields: Any) -> str:
    found = _refusal({"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]})
    return found.removeprefix("the JSON does not fit OTLP: $.resourceSpans[0].scopeSpans[0].spans[0]")


# equality with requests born as protobuf


def _same(message: Any, signal: Signal) -> bool:
    raw = translate_json(json.dumps(as_json(message)).encode(), signal, LIMITS)
    return type(message).FromString(raw) == message


def test_a_drawn_trace_and_its_logs_are_the_same():
    drawing = draw("""
        gateway   GET /checkout            0..100  ERROR  @service.version=1.2
          gateway   CLIENT payment.Charge    45..95  ERROR  peer.service=payment  http.response.status_code=500
            payment   Charge                   50..90  ERROR  !CardError: "declined by bank"  log: "no luck"
    """)
    traces, logs = drawing.requests()

    assert _same(ExportTraceServiceRequest.FromString(traces), Signal.TRACES)
    assert _same(ExportLogsServiceRequest.FromString(logs), Signal.LOGS)


def test_every_field_of_a_span_is_the_same():
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add(schema_url="https://example.com/1")
    resource.resource.dropped_attributes_count = 1
    resource.resource.entity_refs.add(type="host", id_keys=["a", "b"], description_keys=["c"], schema_url="s")
    scope = resource.scope_spans.add(schema_url="https://example.com/2")
    scope.scope.name, scope.scope.version, scope.scope.dropped_attributes_count = "lib", "1", 2
    scope.scope.attributes.add(key="x").value.bool_value = True
    span = scope.spans.add(trace_id=bytes(range(16)), span_id=bytes(range(8)), parent_span_id=bytes(range(8, 16)))
    span.trace_state, span.flags, span.name, span.kind = "a=b", 2**32 - 1, "näme \U0001f600", 5
    span.start_time_unix_nano, span.end_time_unix_nano = 2**64 - 1, 1
    span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count = 1, 2, 3
    event = span.events.add(name="e", time_unix_nano=5, dropped_attributes_count=6)
    event.attributes.add(key="k").value.double_value = -0.25
    link = span.links.add(trace_id=bytes(16), span_id=b"\xff" * 8, trace_state="c=d", flags=7)
    link.attributes.add(key="k").value.int_value = -(2**63)
    span.status.code, span.status.message = 2, "no"

    assert _same(message, Signal.TRACES)


def _array(items: list[AnyValue]) -> AnyValue:
    found = AnyValue()
    found.array_value.SetInParent()
    found.array_value.values.extend(items)
    return found


def _list(items: list[AnyValue]) -> AnyValue:
    found = AnyValue()
    found.kvlist_value.SetInParent()
    for number, item in enumerate(items):
        found.kvlist_value.values.add(key=f"k{number}").value.CopyFrom(item)
    return found


VALUES = st.recursive(
    st.one_of(
        st.text(max_size=8).map(lambda text: AnyValue(string_value=text)),
        st.booleans().map(lambda truth: AnyValue(bool_value=truth)),
        st.integers(-(2**63), 2**63 - 1).map(lambda number: AnyValue(int_value=number)),
        st.floats(allow_nan=False).map(lambda number: AnyValue(double_value=number)),
        st.binary(max_size=8).map(lambda raw: AnyValue(bytes_value=raw)),
        st.just(AnyValue()),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3).map(_array), st.lists(inner, max_size=3).map(_list)),
    max_leaves=8,
)


@given(VALUES, st.integers(0, 24), st.integers(0, 2**64 - 1))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
def test_any_log_record_is_the_same(value: AnyValue, severity: int, time_ns: int):
    message = ExportLogsServiceRequest()
    record = message.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=time_ns, event_name="e")
    record.severity_number = severity  # type: ignore[assignment]
    record.body.CopyFrom(value)

    assert _same(message, Signal.LOGS)


# the specification, sentence by sentence


@pytest.mark.parametrize("text", ["00112233445566778899aabbccddeeff", "00112233445566778899AABBCCDDEEFF"])
def test_ids_are_hex_of_either_case(text: str):
    assert _span(traceId=text).trace_id == bytes.fromhex(text)


def test_ids_in_base64_are_understood_too():
    """Senders that use the proto3 mapping by mistake; the padding tells it from hex."""
    span = _span(traceId="ABEiM0RVZneImaq7zN3u/w==", spanId="ABEiM0RVZnc=")

    assert (span.trace_id.hex(), span.span_id.hex()) == ("00112233445566778899aabbccddeeff", "0011223344556677")


@pytest.mark.parametrize("text", ["zz", "0", "0011 2233", "é" * 16, "0x" + "0" * 30, "A" * 22 + "==", "=" * 24])
def test_a_bad_id_stays_bad_for_the_guard(text: str):
    """The span is kept; its id has no length an id may have."""
    span = _span(traceId=text, name="kept")

    assert (len(span.trace_id) == 16 and any(span.trace_id), span.name) == (False, "kept")


@pytest.mark.parametrize("number", ["18446744073709551615", 18446744073709551615, "0", 0, "7", 7.0, 1e15])
def test_64_bit_integers_are_text_or_number(number: Any):
    assert _span(startTimeUnixNano=number).start_time_unix_nano == int(number)


@pytest.mark.parametrize("number", ["-9223372036854775808", -9223372036854775808, "9223372036854775807"])
def test_signed_64_bit_integers_reach_both_ends(number: Any):
    assert _value({"intValue": number}).int_value == int(number)


@pytest.mark.parametrize("number", [2**64, "18446744073709551616", -1, "-1", 0.5, 1e19, 1e300, "1.0", "1e3", " 1", ""])
def test_integers_out_of_range_are_refused(number: Any):
    assert _span_refusal(startTimeUnixNano=number).startswith(".startTimeUnixNano is ")


@pytest.mark.parametrize("number", ["\u0663", "\uff11", True, [1], {"a": 1}])
def test_what_is_no_integer_is_refused(number: Any):
    """Digits of other scripts are not digits here."""
    assert "expected an integer from 0 to 18446744073709551615" in _span_refusal(startTimeUnixNano=number)


@pytest.mark.parametrize("kind", ["SPAN_KIND_SERVER", "2", 2.5, True, 2**31])
def test_enums_are_integers_only(kind: Any):
    assert "enums are integers in OTLP/JSON" in _span_refusal(kind=kind)


def test_enum_numbers_of_the_future_are_kept():
    assert _span(kind=99).kind == 99


def test_unknown_keys_are_ignored_at_every_level():
    junk = {"whatever": [1, {"deep": None}], "trace_id": "00" * 16, "TraceId": "x"}

    assert _span(name="a", status={"code": 2} | junk, **junk) == Span(name="a", status={"code": 2})


def test_snake_case_keys_are_unknown():
    assert _span(span_id="00" * 8, start_time_unix_nano=5) == Span()


def test_null_means_not_set():
    assert _span(name=None, attributes=None, status=None) == Span()


@pytest.mark.parametrize(
    ("text", "value"),
    [("NaN", math.nan), ("Infinity", math.inf), ("-Infinity", -math.inf), ("0.5", 0.5), (1, 1.0), (-2.5, -2.5)],
)
def test_doubles(text: Any, value: float):
    found = _value({"doubleValue": text}).double_value

    assert found == value or (math.isnan(found) and math.isnan(value))


@pytest.mark.parametrize("text", ["nan", "inf", "1_0", " 1", "", "0x1", "1e999", True, {}])
def test_what_is_no_double_is_refused(text: Any):
    assert 'expected a number, or "NaN"' in _span_refusal(attributes=[{"key": "k", "value": {"doubleValue": text}}])


@pytest.mark.parametrize("text", ["AP8Q", "AP8=", "AP8", "-_8=", "+/8=", ""])
def test_bytes_are_base64_of_either_alphabet(text: str):
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    assert _value({"bytesValue": text}).bytes_value == base64.b64decode(plain + "=" * (-len(plain) % 4))


@pytest.mark.parametrize("text", ["A", "é", "A A=", "*", 5])
def test_what_is_no_base64_is_refused(text: Any):
    assert "expected a base64 string" in _span_refusal(attributes=[{"key": "k", "value": {"bytesValue": text}}])


def test_of_two_values_the_last_wins():
    """As protobuf does it."""
    assert _value({"stringValue": "a", "intValue": 1}) == AnyValue(int_value=1)


def test_an_empty_array_is_not_no_value():
    assert _value({"arrayValue": {}}).WhichOneof("value") == "array_value"


# wrong types: told with their path, never with their value


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ([], "$ is an array; expected an object"),
        ({"resourceSpans": {}}, "$.resourceSpans is an object; expected an array"),
        ({"resourceSpans": [None]}, "$.resourceSpans[0] is null; expected an object"),
        ({"resourceSpans": [{}, 7]}, "$.resourceSpans[1] is an integer; expected an object"),
        ({"resourceSpans": [{"resource": "x"}]}, "$.resourceSpans[0].resource is a string; expected an object"),
        (
            {"resourceSpans": [{"resource": {"attributes": [{"key": 1.5}]}}]},
            "$.resourceSpans[0].resource.attributes[0].key is a number; expected a string",
        ),
        (
            {"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": 7}]}]}]},
            "$.resourceSpans[0].scopeSpans[0].spans[0].traceId is an integer; expected a hex string",
        ),
        (
            {"resourceSpans": [{"resource": {"attributes": [{"value": {"boolValue": "true"}}]}}]},
            "$.resourceSpans[0].resource.attributes[0].value.boolValue is a string; expected true or false",
        ),
    ],
)
def test_the_path_of_a_wrong_type_is_named(payload: Any, message: str):
    assert _refusal(payload) == f"the JSON does not fit OTLP: {message}"


def test_the_log_table_is_another():
    payload = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"severityNumber": "ERROR"}]}]}]}

    assert _refusal(payload, Signal.LOGS).startswith(
        "the JSON does not fit OTLP: $.resourceLogs[0].scopeLogs[0].logRecords[0].severityNumber is a string"
    )


# hostile texts


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"nul",
        b'{"a":NaN}',
        b'{"a":1e400}',
        b'"\\ud800"',
        b'{"a":"\xff"}',
        b"{}{}",
        b"\x00",
        b"[1,]",
        b"{'a':1}",
    ],
)
def test_what_is_no_json_is_refused(text: bytes):
    assert _refusal(text).startswith("the body is not JSON: ")


@pytest.mark.parametrize("depth", [128, 5000])
def test_deep_texts_are_refused_before_they_are_made(depth: int):
    text = b'{"unknown":' + b'[{"x":' * depth + b"1" + b"}]" * depth + b"}"

    assert _refusal(text) == f"the JSON is nested {2 * depth + 1} brackets deep; expected at most 256"


def _nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"intValue": 1}
    for _ in range(depth):
        value = {"arrayValue": {"values": [value]}}
    return {"resourceSpans": [{"resource": {"attributes": [{"key": "k", "value": value}]}}]}


def test_values_as_deep_as_the_guard_allows_are_read():
    raw = translate_json(json.dumps(_nested(30)).encode(), Signal.TRACES, LIMITS)

    found = ExportTraceServiceRequest.FromString(raw).resource_spans[0].resource.attributes[0].value
    for _ in range(30):
        found = found.array_value.values[0]
    assert found.int_value == 1


def test_deeper_values_are_left_to_the_guard():
    """One limit, the same for protobuf and JSON; the translation itself lives."""
    raw = translate_json(json.dumps(_nested(60)).encode(), Signal.TRACES, LIMITS)

    with pytest.raises(BadRequestError) as caught:
        prescan(raw, Signal.TRACES, LIMITS)
    assert caught.value.reason == "too_deep"


@pytest.mark.parametrize("filler", [b"{},", b"[],", b'"",', b"0,"])
def test_bombs_are_refused_by_their_count(filler: bytes):
    limits = RequestLimits(messages_max=1000)
    text = b'{"x":[' + filler * 5000 + b"0]}"

    with pytest.raises(BadRequestError, match="Send smaller batches") as caught:
        translate_json(text, Signal.TRACES, limits)

    assert caught.value.reason == "too_many_messages"


def test_a_key_that_stands_twice_counts_once():
    text = b'{"resourceSpans":[{"schemaUrl":"a","schemaUrl":"b"}]}'

    found = ExportTraceServiceRequest.FromString(translate_json(text, Signal.TRACES, LIMITS))

    assert found.resource_spans[0].schema_url == "b"


def test_of_metrics_only_the_form_is_looked_at():
    assert translate_json(b'{"resourceMetrics":[{"anything":1}]}', Signal.METRICS, LIMITS) == b""
    assert _refusal(b"[]", Signal.METRICS) == "the JSON does not fit OTLP: $ is an array; expected an object"


JSON_TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "resourceSpans",
                    "scopeSpans",
                    "spans",
                    "attributes",
                    "key",
                    "value",
                    "traceId",
                    "arrayValue",
                    "values",
                    "kind",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(JSON_TREES)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no fault
def test_any_json_is_translated_or_refused(tree: Any):
    """Nothing else comes out, and what comes out is protobuf."""
    try:
        raw = translate_json(json.dumps(tree).encode(), Signal.TRACES, LIMITS)
    except BadRequestError:
        return
    ExportTraceServiceRequest.FromString(raw)
