"""The oracle itself: what it plants is known, and is what the analyzer sees; the rest is clean."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.contracts import Signal
from collector.offline import analyze_bytes
from tests.support.planted import EVERY, Plan


def test_a_seed_is_a_plan():
    assert Plan(1).request(range(60)) == Plan(1).request(range(60))
    assert Plan(1).trace_id(0) != Plan(2).trace_id(0)
    assert [n for n in range(3 * EVERY) if Plan(1).fault(n)] == [0, EVERY, 2 * EVERY]


def test_a_request_holds_whole_traces():
    payload, span_count = Plan(3).request(range(40, 60))
    spans = [
        span
        for resource in ExportTraceServiceRequest.FromString(payload).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]

    assert len(spans) == span_count
    assert {span.trace_id for span in spans} == {Plan(3).trace_id(number) for number in range(40, 60)}


def test_the_planted_are_found_and_nobody_else():
    """Without anything learned before: so a server may be asked at once."""
    plan = Plan(5)
    numbers = range(7 * EVERY)
    answers = {answer.trace_id: answer for answer in analyze_bytes(None, [(plan.request(numbers)[0], Signal.TRACES)])}

    for number in numbers:
        answer, fault = answers[plan.trace_id(number).hex()], plan.fault(number)
        if fault is None:
            assert answer.status != "finding", answer.summary
            continue
        first = answer.root_causes[0].origin_spans[0]
        assert f"{first.service} {first.operation}" in fault.origins
