"""What is written from rows is what was sent, byte for byte, under the same resource and scope."""

from __future__ import annotations

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.wire.encode import append_attributes, encode_logs, encode_traces
from tests.support.drawing import Drawing, batch, draw

SHOP = """
    gateway   GET /checkout    0..100  ERROR
      payment   Charge          10..90  ERROR  !CardError: "declined" log: "card declined" log!CardError: "no money"
        payment   CLIENT SELECT    20..30  db.system=postgresql
      cart      Reserve         91..95  @host.name=h1
"""


def spans_of(payload: bytes, request_type=ExportTraceServiceRequest) -> list[tuple[bytes, bytes, bytes]]:
    """(resource, scope, span or record) of a request, sorted."""
    request = request_type.FromString(payload)
    found = []
    for group in request.resource_spans if request_type is ExportTraceServiceRequest else request.resource_logs:
        for scope in group.scope_spans if request_type is ExportTraceServiceRequest else group.scope_logs:
            for item in scope.spans if request_type is ExportTraceServiceRequest else scope.log_records:
                parts = (group.resource, scope.scope, item)
                found.append(tuple(part.SerializeToString() for part in parts))
    return sorted(found)


def test_spans_come_back_as_they_were_sent():
    drawing = draw(SHOP)

    assert spans_of(drawing.requests()[0]) == spans_of(encode_traces(batch(drawing), 0))


def test_logs_come_back_as_they_were_sent():
    drawing = draw(SHOP)

    written = encode_logs(batch(drawing), 0)

    assert spans_of(drawing.requests()[1], ExportLogsServiceRequest) == spans_of(written, ExportLogsServiceRequest)


def test_each_trace_of_a_batch_is_written_by_itself():
    drawings = [draw(SHOP), draw(SHOP, seed=2), draw("bank   Authorize   0..5")]
    traces = batch(drawings)

    assert [spans_of(drawing.requests()[0]) for drawing in drawings] == [
        spans_of(encode_traces(traces, index)) for index in range(3)
    ]


def test_spans_of_one_resource_and_scope_share_a_group():
    """Two payment spans came in two groups and leave in one."""
    request = ExportTraceServiceRequest.FromString(encode_traces(batch(draw(SHOP)), 0))

    expected = [1, 2, 1]
    assert expected == [len(group.scope_spans[0].spans) for group in request.resource_spans]


def test_a_trace_without_logs_is_an_empty_request():
    assert not encode_logs(batch(draw("gateway   GET /   0..1")), 0)


def test_scopes_and_unknown_fields_stay():
    """A field newer than our protocol buffers is still there, and so is the scope."""
    drawing = draw("gateway   GET /   0..1")
    request = ExportTraceServiceRequest.FromString(drawing.requests()[0])
    scope_spans = request.resource_spans[0].scope_spans[0]
    scope_spans.scope.name, scope_spans.scope.version = "http", "2.1"
    unknown = b"\xfa\x3f\x05hello"  # field 1023
    span = Span.FromString(scope_spans.spans[0].SerializeToString() + unknown)
    scope_spans.spans[0].CopyFrom(span)
    payload = request.SerializeToString()

    written = encode_traces(batch(_Sent(drawing.spans, drawing.trace_id, payload)), 0)

    assert payload == written
    assert unknown in written


class _Sent(Drawing):
    """A drawing whose request is given."""

    def __init__(self, spans, trace_id, payload):
        super().__init__(spans, trace_id)
        object.__setattr__(self, "payload", payload)

    def requests(self):
        return self.payload, b""


def test_appended_attributes_are_read_behind_the_others():
    span = Span(name="pay", attributes=[KeyValue(key="a", value=AnyValue(int_value=1))])
    long = KeyValue(key="firstfault.summary", value=AnyValue(string_value="x" * 300))
    pair = KeyValue(key="firstfault.role", value=AnyValue(string_value="origin"))

    longer = append_attributes(span.SerializeToString(), [pair.SerializeToString(), long.SerializeToString()])

    span.attributes.extend([pair, long])
    assert span == Span.FromString(longer)
