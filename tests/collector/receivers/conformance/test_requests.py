"""What an OTLP 1.11 request may hold, and what is answered when only some of it is good."""

from __future__ import annotations

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.collector.receivers.conformance.rows import row
from tests.support.doors import PROTOBUF, Doors, request


@row(4)
def test_the_message_of_a_partial_success_is_short(doors: Doors):
    answer = doors.traces.Export(request(*["bad"] * 3000), timeout=10)

    assert answer.partial_success.rejected_spans == 3000
    assert 0 < len(answer.partial_success.error_message) <= 4096


@row(5)
def test_full_success_leaves_partial_success_unset(doors: Doors):
    over_grpc = doors.traces.Export(request("a"), timeout=10)
    over_http = doors.http.post("/v1/traces", content=request("a").SerializeToString(), headers=PROTOBUF)

    assert (over_grpc.HasField("partial_success"), over_http.content) == (False, b"")


@row(5)
@pytest.mark.parametrize("envelopes", ["none", "resource", "scope"])
def test_empty_requests_and_envelopes_succeed(doors: Doors, envelopes: str):
    message = ExportTraceServiceRequest()
    if envelopes != "none":
        resource = message.resource_spans.add()
        if envelopes == "scope":
            resource.scope_spans.add()

    over_grpc = doors.traces.Export(message, timeout=10)
    over_http = doors.http.post("/v1/traces", content=message.SerializeToString(), headers=PROTOBUF)

    assert (over_grpc.SerializeToString(), over_http.status_code) == (b"", 200)
    assert doors.handover.taken == []


@row(6)
def test_one_bad_span_among_good_ones_is_rejected_alone(doors: Doors):
    answer = doors.traces.Export(request("a", "bad", "b"), timeout=10)

    assert answer.partial_success.rejected_spans == 1
    assert (
        answer.partial_success.error_message
        == "1 of 3 spans rejected: 1 with a span id that is not 8 bytes or is all zero; the others were taken"
    )
    assert len(doors.handover.taken) == 1


@row(6)
def test_a_bad_trace_id_is_said_to_be_one(doors: Doors):
    answer = doors.traces.Export(request("a", "b", trace_id=b"short"), timeout=10)

    assert answer.partial_success.rejected_spans == 2
    assert "2 with a trace id that is not 16 bytes" in answer.partial_success.error_message
    assert doors.handover.taken == []


@row(6)
def test_json_tells_partial_success_with_64_bit_counts_as_text(doors: Doors):
    span = {"traceId": "01" * 16, "spanId": "zz", "name": "a"}

    answer = doors.http.post("/v1/traces", json={"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})

    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"


@row(14)
@pytest.mark.parametrize("trace_id", ["0102030405060708090a0b0c0d0e0f10", "0102030405060708090A0B0C0D0E0F10"])
def test_json_ids_are_hex_of_either_case(doors: Doors, trace_id: str):
    """More rows of the JSON encoding: tests/collector/wire/test_otlp_json.py."""
    span = {
        "traceId": trace_id,
        "spanId": "eee19b7ec3c1b174",
        "parentSpanId": "EEE19B7EC3C1B173",
        "name": "a",
        "kind": 2,
        "startTimeUnixNano": "1544712660000000000",
        "endTimeUnixNano": 1544712661000000000,
        "not_in_any_proto": {"ignored": True},
    }

    doors.http.post("/v1/traces", json={"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).raise_for_status()

    sent = ExportTraceServiceRequest.FromString(doors.handover.taken[0][1]).resource_spans[0].scope_spans[0].spans[0]
    assert bytes(range(1, 17)) == sent.trace_id
    assert bytes.fromhex("eee19b7ec3c1b173") == sent.parent_span_id
    assert (
        sent.kind,
        sent.start_time_unix_nano,
        sent.end_time_unix_nano,
    ) == (2, 1544712660000000000, 1544712661000000000)


@row(15)
def test_unknown_protobuf_fields_are_ignored_and_any_value_may_be_anything(doors: Doors):
    message = request("a")
    span = message.resource_spans[0].scope_spans[0].spans[0]
    span.attributes.add(key="empty")
    span.attributes.add(key="bytes").value.bytes_value = b"\x00\xff"
    values = span.attributes.add(key="mixed").value.array_value.values
    values.add(int_value=1)
    values.add(string_value="b")
    values.add().kvlist_value.values.add(key="k").value.double_value = 0.5
    unknown = b"\xf8\x3f\x07" + b"\xfa\x3f\x02hi" + b"\xfd\x3f\0\0\0\0" + b"\xf9\x3f" + bytes(8)
    call = doors.channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")

    answer = call(unknown + message.SerializeToString(), timeout=10)

    assert (answer, len(doors.handover.taken)) == (b"", 1)


@row(15)
@pytest.mark.parametrize("junk", [b"\x0b\x0c", b"\x0c", b"\x0a\x05\x01", b"\x0e", b"\x80" * 11])
def test_groups_bad_wire_types_and_cut_lengths_are_refused(doors: Doors, junk: bytes):
    call = doors.channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")

    with pytest.raises(grpc.RpcError) as caught:
        call(junk, timeout=10)

    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@row(16)
def test_a_request_that_comes_twice_succeeds_twice(doors: Doors):
    """After a lost acknowledgement the client sends again; the assembler de-duplicates."""
    for _ in range(2):
        assert doors.traces.Export(request("a"), timeout=10).SerializeToString() == b""

    assert doors.handover.spans() == ["a", "a"]
