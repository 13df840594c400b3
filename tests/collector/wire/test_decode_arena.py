"""Log records, the arena, and what the decoder refuses."""

from __future__ import annotations

import numpy as np
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource as ResourceMessage
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from analyzer.error_classes import ErrorClass
from analyzer.spans import SPAN_DTYPE
from analyzer.strings import new_vocabulary
from collector.contracts import Signal
from collector.errors import BadRequestError
from collector.wire.decode import Decoder
from tests.collector.wire.building import IDS, put_pair, request_of
from tests.collector.wire.facts import decoded, expected, small_vocabulary
from tests.support.naive.vocabulary import vocabulary


def test_a_resource_may_stand_behind_its_spans_and_in_parts():
    """Legal protobuf: order does not matter, parts are merged."""

    def part(key, value):
        group = ExportTraceServiceRequest().resource_spans.add()
        put_pair(group.resource, key, value)
        return group.SerializeToString()

    spans_only = ExportTraceServiceRequest.FromString(request_of(lambda span: None)).resource_spans[0]
    spans_only.ClearField("resource")
    body = part("host.name", "h") + spans_only.SerializeToString() + part("service.name", "late")
    payload = b"\x0a" + bytes([len(body)]) + body

    (found,) = decoded(payload)
    assert expected(payload) == [found]
    assert found["service"] == "late"
    assert len(ResourceMessage.FromString(found["resource"]).attributes) == 2


def log_request(**fields):
    request = ExportLogsServiceRequest()
    record = request.resource_logs.add().scope_logs.add().log_records.add(**fields)
    record.body.string_value = "upstream timed out"
    return request.SerializeToString()


def test_a_log_record_is_a_row_of_its_trace():
    """Its span is the parent, its severity the status, its body the message."""
    payload = log_request(trace_id=b"\1" * 16, span_id=b"\2" * 8, severity_number=17, observed_time_unix_nano=5)
    (found,) = decoded(payload, Signal.LOGS)

    assert expected(payload, Signal.LOGS) == [found]
    assert tuple(found[column] for column in ("parent_id", "status", "severity", "start_ns")) == (
        0x0202020202020202,
        2,
        17,
        5,
    )
    assert found["message_class"] == ErrorClass.TIMEOUT


def test_a_log_record_without_a_trace_is_no_row():
    """It waits for nobody."""
    assert decoded(log_request(span_id=b"\2" * 8), Signal.LOGS) == []


def test_the_id_of_a_log_row_is_a_hash_of_its_content_in_any_process():
    """The same record of a retried request is found again: the hash does not depend on the secrets."""
    first = log_request(trace_id=b"\1" * 16, time_unix_nano=1)
    second = log_request(trace_id=b"\1" * 16, time_unix_nano=2)
    ids = [
        int(Decoder(new_vocabulary(seed=seed, strings_max=9)).decode(payload, Signal.LOGS).rows["span_id"][0])
        for payload in (first, second)
        for seed in (1, 2)
    ]

    assert ids[0] == ids[1] != ids[2] == ids[3]
    assert 0 not in ids


def test_rows_without_room_are_said_not_written_outside():
    """-1, and the caller brings more rows."""
    payload = request_of(*[lambda span: None] * 3)
    raw = np.frombuffer(payload + bytes(16), np.uint8)
    rows = np.zeros(4, SPAN_DTYPE)
    decoder = Decoder(small_vocabulary())

    assert decoder.decode_into(Signal.TRACES, raw, 0, len(payload), np.zeros(2, SPAN_DTYPE), 0) == -1
    assert decoder.decode_into(Signal.TRACES, raw, 0, len(payload), np.zeros(4, SPAN_DTYPE), 2) == -1
    assert decoder.decode_into(Signal.TRACES, raw, 0, len(payload), rows, 1) == 3
    assert [int(name != 0) for name in rows["name"]] == [0, 1, 1, 1]


def test_offsets_are_absolute_in_the_arena():
    """A request in the middle of a larger buffer; other bytes before and behind."""
    payload = request_of(lambda span: None)
    raw = np.full(100 + len(payload) + 50, 0xFF, np.uint8)
    raw[100 : 100 + len(payload)] = np.frombuffer(payload, np.uint8)
    rows = np.zeros(1, SPAN_DTYPE)

    assert Decoder(small_vocabulary()).decode_into(Signal.TRACES, raw, 100, len(payload), rows, 0) == 1
    offset, length = int(rows["raw_offset"][0]), int(rows["raw_length"][0])
    span = ExportTraceServiceRequest.FromString(payload).resource_spans[0].scope_spans[0].spans[0]
    assert span.SerializeToString() == raw[offset : offset + length].tobytes()


@pytest.mark.parametrize(
    ("offset", "length", "first_row"), [(-1, 4, 0), (0, -1, 0), (0, 5, 0), (5, 0, 0), (0, 4, 2), (0, 4, -1)]
)
def test_a_place_outside_the_arrays_is_refused(offset, length, first_row):
    """Slack included: the scanner may read 16 bytes behind the request."""
    decoder = Decoder(small_vocabulary())

    with pytest.raises(ValueError, match="expected"):
        decoder.decode_into(Signal.TRACES, np.zeros(20, np.uint8), offset, length, np.zeros(1, SPAN_DTYPE), first_row)


def test_bytes_that_cannot_be_read_are_a_bad_request():
    """A broken length inside a span makes the request undecodable."""
    payload = request_of(lambda span: None)
    broken = payload.replace(b"\x2a\x04work", b"\x2a\x7fwork")
    raw = np.frombuffer(broken + bytes(16), np.uint8)

    with pytest.raises(BadRequestError, match="cannot be read"):
        Decoder(small_vocabulary()).decode_into(Signal.TRACES, raw, 0, len(broken), np.zeros(9, SPAN_DTYPE), 0)
    with pytest.raises(BadRequestError, match="expected an OTLP"):
        Decoder(small_vocabulary()).decode(broken, Signal.TRACES)


@pytest.mark.parametrize("field", [b"\xaa\x80\x80\x80\x80\x00\x04name", b"\x2a\x84\x80\x80\x80\x80\x00name"])
def test_tags_and_lengths_of_six_bytes_are_refused_by_the_decoder_too(field):
    """As protobuf does; the decoder rests on the guard, but does not need it."""
    payload = Span(**IDS).SerializeToString() + field
    for tag in (0x12, 0x12, 0x0A):
        payload = bytes([tag, len(payload)]) + payload
    raw = np.frombuffer(payload + bytes(16), np.uint8)

    with pytest.raises(BadRequestError, match="cannot be read"):
        Decoder(small_vocabulary()).decode_into(Signal.TRACES, raw, 0, len(payload), np.zeros(9, SPAN_DTYPE), 0)


def test_metrics_give_no_rows():
    """They are accepted and not analysed."""
    assert len(Decoder(small_vocabulary()).decode(b"", Signal.METRICS).rows) == 0


def test_a_vocabulary_made_by_hand_is_refused():
    """The scanner writes into arrays; dicts have none."""
    with pytest.raises(TypeError, match="new_vocabulary"):
        Decoder(vocabulary())
