"""Parts of a trace put together: every span and record once, nothing of another trace, the best part first."""

from __future__ import annotations

from dataclasses import replace

import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.query.union import union
from tests.collector.query.answers import OTHER, TRACE
from tests.support.drawing import Drawing, draw

TRACE_OF_THREE = draw(
    """
    gateway   GET /checkout   0..100  ERROR      log: "failed"
      payment   Charge          50..90  ERROR      log: "no money"
        bank      debit           60..80
    """,
    trace_id=TRACE,
)


def part(*numbers: int, trace: Drawing = TRACE_OF_THREE) -> tuple[bytes, bytes]:
    return replace(trace, spans=tuple(trace.spans[number] for number in numbers)).requests()


def names(spans: bytes) -> list[str]:
    whole = ExportTraceServiceRequest.FromString(spans)
    return [span.name for one in whole.resource_spans for scope in one.scope_spans for span in scope.spans]


def texts(logs: bytes | None) -> list[str]:
    whole = ExportLogsServiceRequest.FromString(logs or b"")
    records = [record for one in whole.resource_logs for scope in one.scope_logs for record in scope.log_records]
    return [record.body.string_value for record in records]


def test_one_part_stays_as_it_is():
    together = union(TRACE, [part(0, 1, 2)])

    assert together.spans == part(0, 1, 2)[0]
    assert together.added_counts == [3]


def test_what_both_have_is_there_once():
    together = union(TRACE, [part(0, 1), part(1, 2)])

    assert names(together.spans) == ["GET /checkout", "Charge", "debit"]
    assert texts(together.logs) == ["failed", "no money"]
    assert together.added_counts == [2, 1]


def test_a_span_twice_in_one_part_is_there_once():
    spans, logs = part(0, 1)

    together = union(TRACE, [(spans + spans, logs + logs)])

    assert names(together.spans) == ["GET /checkout", "Charge"]
    assert texts(together.logs) == ["failed", "no money"]


def test_of_two_spans_with_one_id_the_better_parts_is_kept():
    other = replace(TRACE_OF_THREE, spans=(replace(TRACE_OF_THREE.spans[1], operation="forged"),))

    assert names(union(TRACE, [part(1), other.requests()]).spans) == ["Charge"]


def test_another_trace_is_left_out():
    stranger = draw('shop GET / 0..10 log: "strange"', trace_id=OTHER)

    together = union(TRACE, [part(0), stranger.requests()])

    assert names(together.spans) == ["GET /checkout"]
    assert texts(together.logs) == ["failed"]
    assert together.added_counts == [1, 0]


def test_bytes_that_are_no_request_are_refused():
    with pytest.raises(DecodeError):
        union(TRACE, [part(0), (b"\xff\xff\xff", None)])
    with pytest.raises(DecodeError):
        union(TRACE, [(part(0)[0], b"\xff\xff\xff")])
