"""The fifty hostile shapes of input, each as bytes on the wire: what the guard, the decoder and the answer make of it.

Numbers are those of the project's list of shapes. The forest's view of them is in
tests/analyzer/test_hostile_shapes.py, assembly's in tests/collector/assembly/test_hostile.py; large ones
are `deep` there. What is judged here is what a user sees.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analyzer.engine import Analyzer
from analyzer.findings import Answer
from collector.contracts import Signal
from collector.errors import BadRequestError
from collector.offline import TraceReader
from collector.wire.limits import prescan
from collector.wire.otlp_json import translate_json
from collector.wire.request_limits import RequestLimits

NOW = 1_760_000_000_000_000_000
MS = 1_000_000
TRACE = bytes(range(1, 17))
Build = Callable[[], bytes]


def id8(number: int) -> bytes:
    return number.to_bytes(8, "big") if number else b""


def span(number: int, parent: int = 0, start: int = 0, end: int = 100, **fields: Any) -> dict[str, Any]:
    """A span in words; times in milliseconds from NOW."""
    return {
        "trace_id": TRACE,
        "span_id": id8(number),
        "parent_span_id": id8(parent),
        "name": "work",
        "kind": 1,
        "start_time_unix_nano": NOW + start * MS,
        "end_time_unix_nano": NOW + end * MS,
        **fields,
    }


def request(*spans: dict[str, Any], service: Any = "shop", scope: str = "", repeat: int = 1) -> bytes:
    """One ExportTraceServiceRequest; `service` None leaves service.name out, b"" makes it bytes."""
    message = ExportTraceServiceRequest()
    for _ in range(repeat):
        resource = message.resource_spans.add()
        if service is not None:
            value = resource.resource.attributes.add(key="service.name").value
            if isinstance(service, bytes):
                value.bytes_value = service
            else:
                value.string_value = service
        scope_spans = resource.scope_spans.add()
        scope_spans.scope.name = scope
        for words in spans:
            _fill(scope_spans.spans.add(), words)
    return message.SerializeToString()


def _fill(message: Any, words: dict[str, Any]) -> None:
    for key, value in words.items():
        if key == "status":
            message.status.code, message.status.message = value
        elif key == "attributes":
            for name, text in value:
                message.attributes.add(key=name).value.string_value = text
        elif key == "events":
            for name, pairs in value:
                event = message.events.add(name=name, time_unix_nano=message.end_time_unix_nano)
                for label, text in pairs:
                    event.attributes.add(key=label).value.string_value = text
        elif key == "links":
            for trace_id, span_id in value:
                message.links.add(trace_id=trace_id, span_id=span_id)
        else:
            setattr(message, key, value)


def bad_name(raw: bytes) -> bytes:
    """A request whose span name is `raw`, UTF-8 or not."""
    whole = request(span(1, name="x" * len(raw)))
    return whole.replace(b"x" * len(raw), raw)


def nested(depth: int) -> bytes:
    message = ExportTraceServiceRequest.FromString(request(span(1)))
    value = message.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="deep").value
    for _ in range(depth):
        value = value.array_value.values.add()
    return message.SerializeToString()


@dataclass(frozen=True)
class Shape:
    """warnings: codes of the answer's completeness block with their counts, all of them."""

    numbers: str
    name: str
    build: Build
    warnings: dict[str, int] = field(default_factory=dict)
    status: str = "clean"
    spans: int | None = None
    rejected: int = 0
    check: Callable[[Answer], bool] = lambda answer: True


EXCEPTION = ("exception", [("exception.type", "Boom"), ("exception.message", "boom")])
FAILED = (2, "boom")
SHAPES = [
    Shape("1", "a span that is its own parent", lambda: request(span(1, 1)), {"self_parent": 1}, spans=1),
    Shape("2", "two spans that are each other's parent", lambda: request(span(1, 2), span(2, 1)), {"cycle": 1, "rootless": 1}, "partial", 2),
    Shape("3", "a circle with a tail beside a good root", lambda: request(span(9), span(1, 2), span(2, 1), span(3, 1)), {"cycle": 1}, spans=4),
    Shape("4", "no root at all", lambda: request(span(1, 7), span(2, 1)), {"rootless": 1, "missing_parent": 1}, "partial", 2),
    Shape("5", "two roots", lambda: request(span(1), span(2)), {"multi_root": 2}, spans=2),
    Shape("6", "an orphan", lambda: request(span(1), span(2, 7)), {"missing_parent": 1}, "partial", 2),
    Shape("7", "a parent in another trace", lambda: request(span(1), span(2, 7), {**span(7), "trace_id": bytes(15) + b"\2"}), {"missing_parent": 1}, "partial", 2),
    Shape("8", "the same span twice", lambda: request(span(1), repeat=2), {"duplicate": 1}, spans=1),
    Shape("9", "one id, two spans", lambda: request(span(1), span(2, 1, 10, 20), span(2, 1, 30, 40, name="other")), {"dup_span_id": 1}, spans=3),
    Shape("9, 50", "client and server share an id, as Zipkin does", lambda: request(span(1), span(2, 1, 10, 20, kind=3), span(2, 1, 11, 19, kind=2), span(3, 2, 12, 13)), {}, spans=4),
    Shape("10", "two hundred spans of one id", lambda: request(span(1), *[span(5, 1, i, i + 1) for i in range(200)]), {"dup_span_id": 199}, spans=201),
    Shape("11", "trace ids of wrong length, and all zero", lambda: request(span(1), *[{**span(i + 2, 1), "trace_id": raw} for i, raw in enumerate((b"", b"\1", bytes(8), bytes(15), b"\1" * 17, b"\1" * 24, bytes(16)))]), spans=1, rejected=7),
    Shape("12", "span ids of wrong length, and all zero", lambda: request(span(1), *[{**span(1, 1), "span_id": raw} for raw in (b"", b"\1", b"\1" * 7, b"\1" * 9, bytes(8))]), spans=1, rejected=5),
    Shape("13", "an all-zero parent id is none", lambda: request({**span(1), "parent_span_id": bytes(8)}), spans=1),
    Shape("13", "a parent id of odd length is a missing parent", lambda: request(span(1), {**span(2), "parent_span_id": b"\1\2\3"}), {"bad_parent_id": 1, "missing_parent": 1}, "partial", 2),
    Shape("17", "a fan of a thousand", lambda: request(span(1), *[span(i, 1, i % 90, i % 90 + 1, name=f"n{i}") for i in range(2, 1002)]), spans=1001),
    Shape("16", "a chain of a thousand", lambda: request(*[span(i, i - 1) for i in range(1, 1001)]), spans=1000),
    Shape("19", "spans of no duration", lambda: request(span(1, 0, 5, 5), span(2, 1, 5, 5)), spans=2),
    Shape("20", "an end before the start", lambda: request(span(1), span(2, 1, 50, 20)), {"negative_duration": 1}),
    Shape("21", "no times", lambda: request(span(1), {**span(2, 1), "start_time_unix_nano": 0, "end_time_unix_nano": 0}), {"no_time": 1}),
    Shape("22", "times of the year 2554", lambda: request(span(1), {**span(2, 1), "start_time_unix_nano": 2**64 - 2, "end_time_unix_nano": 2**64 - 1}), {"no_time": 1, "time_out_of_range": 1}),
    Shape("23, 24", "a server two seconds before its client", lambda: request(span(1, 0, 0, 100, kind=3), service="a") + request(span(2, 1, -1500, -1450, kind=2), service="b"), {"skew_adjusted": 1}, spans=2),
    Shape("29", "no service name", lambda: request(span(1), service=None), {"missing_service": 1}, check=lambda answer: answer.root_service == "unknown_service"),
    Shape("29", "an empty service name", lambda: request(span(1), service=""), {"missing_service": 1}, check=lambda answer: answer.root_service == "unknown_service"),
    Shape("29", "a service name that is not text", lambda: request(span(1), service=b"\1"), {"missing_service": 1}, check=lambda answer: answer.root_service == "unknown_service"),
    Shape("30", "one trace, two resources that disagree", lambda: request(span(1), service="a") + request(span(2, 1, 1, 2), service="b"), spans=2, check=lambda answer: answer.completeness is not None and answer.completeness.service_count == 2),
    Shape("31", "no span name", lambda: request(span(1, name="")), {"missing_name": 1}, check=lambda answer: answer.root_operation == "(no name)"),
    Shape("31", "a name of a megabyte", lambda: request(span(1, name="é" * 500_000)), check=lambda answer: 0 < len(answer.root_operation) <= 1024),
    Shape("31", "control characters and changes of direction", lambda: request(span(1, name="a\x00\x1b[31m‮b", status=FAILED, kind=2)), status="finding", check=lambda answer: answer.summary.isprintable()),
    Shape("32", "a name that is not UTF-8", lambda: bad_name(b"ab\xff\xfecd"), {"bad_text": 1}, check=lambda answer: "�" in answer.root_operation),
    Shape("33", "ten thousand attributes", lambda: request(span(1, attributes=[(f"k{i}", "v") for i in range(10_000)])), spans=1),
    Shape("33", "a value of ten megabytes, an empty key", lambda: request(span(1, attributes=[("k", "v" * 10_000_000), ("", "x")])), spans=1),
    Shape("33", "values nested thirty deep", lambda: nested(30), spans=1),
    Shape("34", "ten thousand events, an exception among them", lambda: request(span(1, kind=2, status=FAILED, events=[("tick", [])] * 5000 + [EXCEPTION] + [("tick", [])] * 5000)), status="finding", check=lambda answer: answer.root_causes[0].error_type == "Boom"),
    Shape("34", "a stack trace of five megabytes", lambda: request(span(1, kind=2, status=FAILED, events=[("exception", [("exception.type", "Boom"), ("exception.stacktrace", "at x\n" * 1_000_000)])])), status="finding"),
    Shape("35", "links to itself, to nowhere, of zero, ten thousand of them", lambda: request(span(1, links=[(TRACE, id8(1)), (bytes(16), bytes(8)), *[(TRACE, id8(i)) for i in range(10_000)]])), spans=1),
    Shape("36", "kinds and codes nobody knows", lambda: request(span(1, kind=77), span(2, 1, 1, 2, kind=-3)), spans=2),
    Shape("37", "an exception under status OK is no failure", lambda: request(span(1, kind=2, status=(1, ""), events=[EXCEPTION])), spans=1),
    Shape("37", "ERROR without a message", lambda: request(span(1, kind=2, status=(2, ""))), status="finding"),
    Shape("37", "the root says OK, a child failed", lambda: request(span(1, kind=2, status=(1, "")), span(2, 1, 10, 20, status=FAILED)), status="finding", check=lambda answer: not answer.user_visible),
    Shape("38", "envelopes without spans", lambda: request() + request(span(1)) + request(), spans=1),
    Shape("39", "a trace state of a hundred kilobytes", lambda: request(span(1, trace_state="a=" + "b" * 100_000)), spans=1),
    Shape("39", "a trace state that makes no sense", lambda: request(span(1, trace_state="ot=th:zz;;,,=,ot")), spans=1),
    Shape("46", "all times the same", lambda: request(span(1, 0, 5, 5), span(3, 1, 5, 5), span(2, 1, 5, 5)), spans=3),
    Shape("47", "five hundred siblings at once", lambda: request(span(1), *[span(i, 1, 1, 99, name=f"n{i}") for i in range(2, 502)]), spans=501),
    Shape("48", "durations that would overflow in sum", lambda: request(span(1), *[{**span(i, 1), "start_time_unix_nano": 1, "end_time_unix_nano": 7 * 10**18} for i in range(2, 12)]), spans=11),
    Shape("49", "an interior span was sampled away", lambda: request(span(1, trace_state="ot=th:8"), span(3, 2, 10, 20, trace_state="ot=th:8")), {"missing_parent": 1}, "partial", 2, check=lambda answer: answer.completeness is not None and answer.completeness.sampled),
    Shape("50", "whole microseconds, a 64-bit trace id padded with zeros", lambda: request({**span(1), "trace_id": bytes(8) + b"\1" * 8}), spans=1),
]  # fmt: skip


def ask(payload: bytes, trace_id: bytes = TRACE) -> Answer:
    reader = TraceReader()
    reader.add(payload, Signal.TRACES)
    traces = reader.batch()
    analyzer = Analyzer()
    verdicts = analyzer.analyse(traces)
    ids = [verdicts.trace_id(index) for index in range(traces.trace_count)]
    return analyzer.explain(verdicts, ids.index(trace_id) if trace_id in ids else 0)


@pytest.mark.parametrize("shape", SHAPES, ids=[f"{shape.numbers}: {shape.name}" for shape in SHAPES])
def test_a_hostile_shape_is_repaired_and_said(shape: Shape):
    """Never an exception; every span once; each defect a warning; no number that is not a number."""
    payload = shape.build()

    assert prescan(payload, Signal.TRACES, RequestLimits()).rejected == shape.rejected
    answer = ask(payload)
    assert answer.completeness is not None
    assert {warning.code: warning.count for warning in answer.completeness.warnings} == shape.warnings
    assert answer.status == shape.status
    if shape.spans is not None:
        assert answer.completeness.span_count == shape.spans
    assert shape.check(answer)
    assert _finite(answer.model_dump())


def _finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_finite(item) for item in value.values())
    if isinstance(value, list):
        return all(_finite(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)


def test_33_values_nested_too_deep_are_refused_not_followed():
    """No recursion: 90 levels are over the budget of 32, and say so."""
    with pytest.raises(BadRequestError) as caught:
        prescan(nested(90), Signal.TRACES, RequestLimits())

    assert caught.value.reason == "too_deep"


def test_14_a_request_over_its_budget_of_spans_is_refused():
    with pytest.raises(BadRequestError) as caught:
        prescan(request(*[span(i + 1) for i in range(101)]), Signal.TRACES, RequestLimits(spans_max=100))

    assert caught.value.reason == "too_many_spans"


def test_38_a_length_that_runs_past_the_end_is_refused():
    with pytest.raises(BadRequestError):
        prescan(request(span(1)) + b"\x1a\xff\xff\xff\x7f", Signal.TRACES, RequestLimits())


def test_31_a_lone_surrogate_in_json_does_not_pass_unseen():
    """JSON can say what UTF-8 cannot; it is refused with its place, or replaced: never an exception of ours."""
    text = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"%s","spanId":"%s","name":"\\ud800"}]}]}]}'
    payload = text % (TRACE.hex().encode(), id8(1).hex().encode())

    with pytest.raises(BadRequestError) as caught:
        translate_json(payload, Signal.TRACES, RequestLimits())

    assert "JSON" in str(caught.value)
