"""Local variables from the wire to the report: shown where it began, and no secret of theirs anywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from analyzer.engine import Analyzer
from collector.contracts import Signal
from collector.offline import TraceReader, masked_reader
from collector.redaction import Redactor
from collector.reporting import Page, page_of_trace
from collector.wire.masking import masked_request
from tests.support.drawing import EPOCH_NS, MS, draw

SECRETS = ("hunter2hunter2", "8675309", "nested-swordfish", "eyJhbGciOi.eyJzdWIiOi")
HOSTILE = "<script>alert(1)</script> `tick` ```\n\x1b[2J\u202e"
FRAMES = [
    {"function": "main", "filename": "app.py", "lineno": 3, "vars": {"argv": "serve"}},
    {
        "function": "charge",
        "filename": "shop/pay.py",
        "lineno": 42,
        "vars": {
            "amount": 1200,
            "password": SECRETS[0],
            "pwd": int(SECRETS[1]),
            "credentials": {"raw": [SECRETS[2]]},
            "header": f"x {SECRETS[3]}",
            "note": HOSTILE,
        },
    },
]
STACK = 'Traceback (most recent call last):\n  File "/srv/shop/pay.py", line 42, in charge\n    pay()\nCardError: no\n'
CHARGE = draw("""
    gateway  GET /checkout  0..100  ERROR
      gateway  CLIENT Charge  45..95  ERROR  peer.service=payment
        payment  Charge  50..90  ERROR  !CardError: "no"
""")


def any_value(value: Any) -> AnyValue:
    found = AnyValue()
    if isinstance(value, dict):
        found.kvlist_value.SetInParent()
        for name, inner in value.items():
            found.kvlist_value.values.add(key=name).value.CopyFrom(any_value(inner))
    elif isinstance(value, list):
        found.array_value.SetInParent()
        for inner in value:
            found.array_value.values.add().CopyFrom(any_value(inner))
    elif isinstance(value, int):
        found.int_value = value
    else:
        found.string_value = value
    return found


def with_frames(key: str, value: Any) -> bytes:
    """The failing trace; the exception's event has a stack and frames."""
    traces = ExportTraceServiceRequest.FromString(CHARGE.requests()[0])
    for group in traces.resource_spans:
        for event in group.scope_spans[0].spans[0].events:
            event.attributes.add(key="exception.stacktrace").value.string_value = STACK
            event.attributes.add(key=key).value.CopyFrom(any_value(value))
    return traces.SerializeToString()


def in_a_log(value: Any) -> bytes:
    """A record of the same span whose body is what Sentry sends."""
    logs = ExportLogsServiceRequest()
    span = CHARGE.find("payment Charge")
    group = logs.resource_logs.add()
    group.resource.attributes.add(key="service.name").value.string_value = "payment"
    record = group.scope_logs.add().log_records.add(trace_id=CHARGE.trace_id, span_id=span.span_id, severity_number=17)
    record.time_unix_nano = EPOCH_NS + 90 * MS
    record.body.CopyFrom(any_value({"exception": {"type": "CardError", "message": "no", "values": value}}))
    return logs.SerializeToString()


def told(reader: TraceReader, traces: bytes, logs: bytes = b"") -> tuple[str, Page, bytes]:
    """Answer, report and kept bytes, as the server makes them."""
    reader.add(traces, Signal.TRACES)
    if logs:
        reader.add(logs, Signal.LOGS)
    analyzer = Analyzer()
    answer = analyzer.explain(analyzer.analyse(reader.batch()), 0)
    redactor = Redactor()
    kept = [masked_request(traces, Signal.TRACES, redactor), masked_request(logs, Signal.LOGS, redactor)]
    return answer.model_dump_json(), page_of_trace(answer, *kept), b"".join(kept)


SHAPES: dict[str, tuple[bytes, bytes]] = {
    "values": (with_frames("exception.frames", FRAMES), b""),
    "json": (with_frames("exception.frames", json.dumps(FRAMES)), b""),
    "json in a list": (with_frames("frames", [json.dumps(frame) for frame in FRAMES]), b""),
    "sentry": (with_frames("exception.values", [{"stacktrace": {"frames": FRAMES}}]), b""),
    "log": (CHARGE.requests()[0], in_a_log([{"stacktrace": {"frames": FRAMES}}])),
    "json in a log": (CHARGE.requests()[0], in_a_log(json.dumps([{"stacktrace": {"frames": FRAMES}}]))),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_they_are_shown_where_it_began_without_their_secrets(shape: str):
    answer, page, kept = told(masked_reader(Redactor()), *SHAPES[shape])

    (first, second) = page.report.variables
    assert (first.location, first.function) == ("shop/pay.py:42", "charge")
    assert (second.location, second.function) == ("app.py:3", "main")
    shown = {one.name: one.value for one in first.variables}
    assert (shown["amount"], shown["password"], shown["pwd"]) == ("1200", "[redacted]", "[redacted]")
    assert "local variables at shop/pay.py:42: amount = 1200, password = [redacted]" in answer
    pages = [page.write(format) for format in ("json", "markdown", "html")]
    for secret in SECRETS:
        assert secret.encode() not in kept
        assert all(secret not in text for text in (answer, *pages))


def test_hostile_values_break_no_page():
    """A value cannot leave its block, nor steer a screen."""
    _, page, _ = told(masked_reader(Redactor()), *SHAPES["values"])

    html, markdown = page.write("html"), page.write("markdown")

    assert "note = &lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script>" not in html
    assert "````text" in markdown  # its fence is longer than the ticks in it
    assert all(sign not in html + markdown for sign in ("\x1b", "\u202e"))


@pytest.mark.parametrize("text", ['[{"vars": {"cookie": "hunter2', "[" * 60_000, '[{"a": "' + "x" * 70_000 + '"}]'])
def test_json_that_cannot_be_read_is_not_kept(text: str):
    """Cut by a limit of the SDK, too deep, too long: what stands under which name cannot be told."""
    answer, page, kept = told(masked_reader(Redactor()), with_frames("exception.frames", text))

    assert page.report.variables == []
    assert "hunter2" not in answer
    assert text.encode() not in kept
    assert b"[redacted]" in kept


def test_numbers_outside_of_records_stay():
    """A count of tokens is no token; a variable called so is."""
    traces = ExportTraceServiceRequest()
    span = traces.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    span.attributes.add(key="llm.token").value.int_value = 7

    assert masked_request(traces.SerializeToString(), Signal.TRACES, Redactor()) == traces.SerializeToString()


def test_without_variables_nothing_is_said():
    answer, page, _ = told(masked_reader(Redactor()), CHARGE.requests()[0])

    assert page.report.variables == []
    assert "local variables" not in answer
    assert "Local variables" not in page.write("markdown") + page.write("html")
