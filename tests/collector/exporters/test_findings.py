"""What is written back says who it was, under the span it speaks of, and never repeats a span."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from analyzer.finding_ids import finding_id
from analyzer.findings import Answer, SpanRole
from collector.contracts import OutboxItem, Signal
from collector.exporters.findings import ExportSettings, finding_exports
from tests.support.answers import MS, checkout, slow
from tests.support.fakes.clock import EPOCH_NS, SECOND_NS

ANALYZED_NS = EPOCH_NS + 7 * SECOND_NS + 123_456_789
SETTINGS = ExportSettings()


def logs(answer: Answer, settings: ExportSettings = SETTINGS) -> list[LogRecord]:
    items = [item for item in finding_exports(answer, settings, ANALYZED_NS) if item.signal == Signal.LOGS]
    (resource_logs,) = ExportLogsServiceRequest.FromString(items[0].payload).resource_logs
    return list(resource_logs.scope_logs[0].log_records)


def spans(answer: Answer, settings: ExportSettings = SETTINGS) -> list[Span]:
    items = [item for item in finding_exports(answer, settings, ANALYZED_NS) if item.signal == Signal.TRACES]
    return [
        span
        for item in items
        for resource_spans in ExportTraceServiceRequest.FromString(item.payload).resource_spans
        for span in resource_spans.scope_spans[0].spans
    ]


def said(record: LogRecord | Span) -> dict[str, object]:
    """Attributes as plain values."""
    found: dict[str, object] = {}
    for pair in record.attributes:
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, str(kind))
        found[pair.key] = [item.string_value for item in value.values] if kind == "array_value" else value
    return found


def test_an_error_is_told_in_four_events():
    """The culprit, the two that failed because of it, and the trace."""
    records = logs(checkout())

    assert [(record.event_name, record.severity_text) for record in records] == [
        ("firstfault.root_cause", "ERROR"),
        ("firstfault.failing_span", "WARN"),
        ("firstfault.failing_span", "WARN"),
        ("firstfault.trace_summary", "INFO"),
    ]
    assert [record.severity_number for record in records] == [17, 13, 13, 9]


def test_the_root_cause_event_stands_at_the_culprit():
    """Its context, its end, one sentence."""
    answer = checkout()
    record = logs(answer)[0]

    assert record.trace_id.hex() == answer.trace_id
    assert record.span_id.hex() == answer.root_causes[0].origin_spans[0].span_id
    assert record.time_unix_nano == EPOCH_NS + 90 * MS
    assert record.observed_time_unix_nano == ANALYZED_NS
    assert record.body.string_value == "bank Authorize failed with CardError."


def test_the_root_cause_event_says_all():
    answer = checkout()

    assert said(logs(answer)[0]) == {
        "firstfault.finding.id": finding_id("", answer.trace_id, "error.origin.local", "0000000000000001"),
        "firstfault.kind": "root_cause",
        "firstfault.rank": 1,
        "firstfault.score": 0.9,
        "firstfault.confidence": "high",
        "firstfault.rule": "error.origin.local",
        "firstfault.entity.kind": "operation",
        "firstfault.entity.name": "bank Authorize",
        "firstfault.service": "bank",
        "firstfault.operation": "Authorize",
        "firstfault.path": ["bank Authorize", "payment Charge", "gateway GET /checkout"],
        "firstfault.affected.services": ["bank", "payment", "gateway"],
        "firstfault.trace.complete": True,
        "firstfault.engine.version": "0.1.0",
        "firstfault.revision": 1,
        "error.type": "CardError",
        "exception.message": "declined by bank",
    }


def test_a_slow_span_is_told_as_an_outlier():
    record = logs(slow())[1]

    assert (record.event_name, record.severity_number) == ("firstfault.latency_outlier", 13)
    assert record.time_unix_nano == EPOCH_NS + 420 * MS
    assert record.body.string_value == (
        "stock Reserve took 380 ms longer than usual: 400 ms of its own, where 20 ms are expected."
    )
    attributes = said(record)
    assert (attributes["firstfault.excess_ms"], attributes["firstfault.p_value"]) == (380.0, 0.001)


def test_a_failing_span_says_its_role():
    payment = logs(checkout())[1]

    assert payment.span_id.hex() == "0000000000000002"
    assert payment.time_unix_nano == EPOCH_NS + 95 * MS
    assert said(payment)["firstfault.role"] == "propagated"


def test_the_summary_says_what_came_in():
    record = logs(checkout())[-1]

    assert record.body.string_value == "bank Authorize failed with CardError."
    attributes = said(record)
    assert attributes["firstfault.verdict"] == "error"
    assert attributes["firstfault.root.service"] == "gateway"
    assert attributes["firstfault.omitted.count"] == 0


def test_the_annotation_span_hangs_on_the_culprit():
    """A new span, child of the culprit, over its very time, quiet in every statistic."""
    answer = checkout()
    (span,) = spans(answer)

    assert span.trace_id.hex() == answer.trace_id
    assert span.parent_span_id.hex() == "0000000000000001"
    assert span.name == "firstfault root_cause"
    assert span.kind == Span.SPAN_KIND_INTERNAL
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (EPOCH_NS + 50 * MS, EPOCH_NS + 90 * MS)
    assert span.status == Status()
    assert len(span.events) == 0
    assert said(span)["firstfault.analyzed_at"] == "2025-10-09T08:53:27.123456Z"
    assert said(span)["error.type"] == "CardError"
    assert not [key for key in said(span) if key.startswith("exception.")]


def test_the_annotation_span_links_to_who_suffered():
    (span,) = spans(checkout())

    assert [(link.span_id.hex(), said(link)) for link in span.links] == [  # type: ignore[arg-type]
        ("0000000000000002", {"firstfault.link.type": "propagated"}),
        ("0000000000000003", {"firstfault.link.type": "propagated"}),
    ]


def test_no_span_of_the_trace_is_sent_again():
    answer = checkout()
    known = {"0000000000000001", "0000000000000002", "0000000000000003"}

    assert not known & {span.span_id.hex() for span in spans(answer)}


def test_a_later_revision_is_another_span():
    """The one before is at the backend and says something else."""
    assert spans(checkout())[0].span_id != spans(checkout(revision=2))[0].span_id


def test_scope_and_resource_are_ours():
    """The receiver drops this scope: our own findings are never analysed."""
    for item in finding_exports(checkout(), SETTINGS, ANALYZED_NS):
        if item.signal == Signal.LOGS:
            (resource,) = ExportLogsServiceRequest.FromString(item.payload).resource_logs
            scope = resource.scope_logs[0].scope
        else:
            (resource,) = ExportTraceServiceRequest.FromString(item.payload).resource_spans  # type: ignore[assignment]
            scope = resource.scope_spans[0].scope  # type: ignore[attr-defined]
        assert (scope.name, scope.version) == ("firstfault", "0.1.0")
        assert said(resource.resource)["service.name"] == "firstfault"  # type: ignore[arg-type]


def test_annotations_may_inherit_the_culprits_service():
    (item,) = finding_exports(checkout(), ExportSettings(annotation_service="inherit", log_events=False), ANALYZED_NS)
    (resource,) = ExportTraceServiceRequest.FromString(item.payload).resource_spans

    assert said(resource.resource) == {"service.name": "bank"}  # type: ignore[arg-type]
    assert resource.scope_spans[0].scope.name == "firstfault"


def test_flags_are_the_culprits():
    answer = checkout()
    cause = answer.root_causes[0]
    sampled = cause.origin_spans[0].model_copy(update={"trace_flags": 1})
    answer = answer.model_copy(update={"root_causes": [cause.model_copy(update={"origin_spans": [sampled]})]})

    assert (logs(answer)[0].flags, spans(answer)[0].flags) == (1, 1)


def test_the_prefix_is_a_choice():
    settings = ExportSettings(prefix="rca.", event_name_attribute=True)
    record = logs(checkout(), settings)[0]

    assert record.event_name == "rca.root_cause"
    assert said(record)["event.name"] == "rca.root_cause"
    assert said(record)["rca.kind"] == "root_cause"
    assert spans(checkout(), settings)[0].name == "rca root_cause"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (SETTINGS, [Signal.LOGS, Signal.TRACES]),
        (ExportSettings(annotation_spans=False), [Signal.LOGS]),
        (ExportSettings(log_events=False), [Signal.TRACES]),
        (ExportSettings(log_events=False, annotation_spans=False), []),
    ],
)
def test_each_signal_can_be_turned_off(settings: ExportSettings, expected: list[Signal]):
    assert [item.signal for item in finding_exports(checkout(), settings, ANALYZED_NS)] == expected


@pytest.mark.parametrize("status", ["clean", "in_progress", "partial", "unknown"])
def test_only_findings_are_told(status: str):
    """A guess below the threshold stays with us."""
    assert finding_exports(checkout().model_copy(update={"status": status}), SETTINGS, ANALYZED_NS) == []


def test_the_same_answer_gives_the_same_bytes():
    """Also when it has been to the store and back."""
    answer = checkout()
    again = Answer.model_validate_json(answer.model_dump_json())

    assert finding_exports(answer, SETTINGS, ANALYZED_NS) == finding_exports(again, SETTINGS, ANALYZED_NS)


def test_keys_tell_trace_revision_signal_and_tenant_apart():
    def keys(answer: Answer) -> list[bytes]:
        return [item.key for item in finding_exports(answer, SETTINGS, ANALYZED_NS)]

    every = keys(checkout(1)) + keys(checkout(2)) + keys(checkout(1, revision=2))
    every += keys(checkout(1).model_copy(update={"tenant": "a"}))

    assert len(set(every)) == len(every) == 8
    assert keys(checkout(1)) == [item.key for item in finding_exports(checkout(1), SETTINGS, ANALYZED_NS + SECOND_NS)]


def test_a_culprit_without_a_span_is_told_without_one():
    """The engine can name a peer that sent nothing and that no span of the trace calls."""
    answer = checkout()
    cause = answer.root_causes[0].model_copy(update={"origin_spans": []})
    answer = answer.model_copy(update={"root_causes": [cause], "causal_chain": []})

    record = logs(answer)[0]

    assert spans(answer) == []
    assert (record.span_id, record.time_unix_nano) == (b"", answer.end_ns)
    assert said(record)["firstfault.path"] == ["bank Authorize"]


def test_a_story_of_ten_thousand_failures_is_cut_and_says_so():
    answer = checkout()
    many = [SpanRole(span_id=f"{n:016x}", service="s", operation="o", role="victim") for n in range(100, 10_100)]
    answer = answer.model_copy(update={"roles": [*answer.roles, *many]})

    records = logs(answer)

    assert len(records) == 1 + 32 + 1
    assert said(records[-1])["firstfault.omitted.count"] == 10_002 - 32
    (span,) = spans(answer)
    assert (len(span.links), span.dropped_links_count) == (64, 10_002 - 64)


def test_long_text_is_cut():
    answer = checkout(summary="x" * 5000)
    cause = answer.root_causes[0].model_copy(update={"error_message": "m" * 5000, "error_type": "t" * 5000})
    answer = answer.model_copy(update={"root_causes": [cause]})

    first, *_, last = logs(answer)

    assert len(last.body.string_value) == 1024
    assert len(str(said(first)["exception.message"])) == 1024
    assert len(str(said(first)["error.type"])) == 256


@given(
    service=st.text(),
    start=st.integers(-(2**63), 2**63 - 1),
    span_id=st.text(max_size=20),
    sentence=st.text(max_size=2000),
)
def test_nothing_in_an_answer_can_stop_the_export(service: str, start: int, span_id: str, sentence: str):
    """Whatever telemetry held: the request is made, and can be read."""
    answer = checkout(service=service, summary=sentence)
    cause = answer.root_causes[0]
    anchor = cause.origin_spans[0].model_copy(update={"span_id": span_id, "start_ns": start})
    answer = answer.model_copy(
        update={
            "root_causes": [cause.model_copy(update={"origin_spans": [anchor]})],
            "start_ns": start,
            "end_ns": start,
        }
    )

    items: list[OutboxItem] = finding_exports(answer, SETTINGS, ANALYZED_NS)

    records = logs(answer)
    assert (records[0].event_name, records[-1].event_name) == ("firstfault.root_cause", "firstfault.trace_summary")
    assert items == finding_exports(answer, SETTINGS, ANALYZED_NS)
