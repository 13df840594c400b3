"""What was told in brief reaches the backend too: what is wrong and where it came in, not where it began."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from analyzer.findings import NOT_EXPLAINED, Answer, SpanRef
from collector.contracts import Signal
from collector.exporters.briefs import brief_exports
from collector.exporters.findings import ExportSettings, finding_exports
from tests.support.answers import MS, checkout, span
from tests.support.fakes.clock import EPOCH_NS, SECOND_NS

TOLD_NS = EPOCH_NS + 7 * SECOND_NS
SETTINGS = ExportSettings()
ENTRY = span(3, "gateway", "GET /checkout", 0, 100)


def brief(revision: int = 1, verdict: str = "error") -> Answer:
    """The checkout, for whose explanation there was no time."""
    return Answer(
        trace_id=checkout().trace_id,
        status="unknown",
        status_reason=NOT_EXPLAINED,
        verdict=verdict,
        summary=f"Something is wrong ({verdict}), but {NOT_EXPLAINED}.",
        root_service="gateway",
        root_operation="GET /checkout",
        start_ns=EPOCH_NS,
        end_ns=EPOCH_NS + 100 * MS,
        revision=revision,
        engine_version="0.1.0",
    )


def told(entry: SpanRef | None = ENTRY, settings: ExportSettings = SETTINGS) -> tuple[list[LogRecord], list[Span]]:
    records: list[LogRecord] = []
    spans: list[Span] = []
    for item in brief_exports(brief(), entry, settings, TOLD_NS):
        if item.signal is Signal.LOGS:
            records += ExportLogsServiceRequest.FromString(item.payload).resource_logs[0].scope_logs[0].log_records
        else:
            spans += ExportTraceServiceRequest.FromString(item.payload).resource_spans[0].scope_spans[0].spans
    return records, spans


def said(told: LogRecord | Span) -> dict[str, object]:
    return {pair.key: getattr(pair.value, str(pair.value.WhichOneof("value"))) for pair in told.attributes}


def test_the_event_is_the_summary_that_every_told_trace_has():
    """Who counts summaries counts this trace too, and can tell that it is brief."""
    (record,), _ = told()

    assert (record.event_name, record.severity_text) == ("firstfault.trace_summary", "INFO")
    assert (record.trace_id.hex(), record.span_id.hex()) == (brief().trace_id, ENTRY.span_id)
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (brief().end_ns, TOLD_NS)
    assert record.body.string_value.startswith("Something is wrong (error), but more traces")
    assert {key: value for key, value in said(record).items() if key != "firstfault.finding.id"} == {
        "firstfault.kind": "trace_summary",
        "firstfault.brief": True,
        "firstfault.verdict": "error",
        "firstfault.status_reason": NOT_EXPLAINED,
        "firstfault.root.service": "gateway",
        "firstfault.root.operation": "GET /checkout",
        "firstfault.engine.version": "0.1.0",
        "firstfault.revision": 1,
    }


def test_the_annotation_hangs_on_the_entry():
    """A new span over exactly its time, quiet in every statistic."""
    _, (found,) = told()

    assert (found.name, found.parent_span_id.hex()) == ("firstfault brief", ENTRY.span_id)
    assert (found.start_time_unix_nano, found.end_time_unix_nano) == (EPOCH_NS, EPOCH_NS + 100 * MS)
    assert (found.kind, found.status.code) == (Span.SPAN_KIND_INTERNAL, Status.STATUS_CODE_UNSET)
    assert (said(found)["firstfault.kind"], said(found)["firstfault.brief"]) == ("brief", True)


def test_an_explanation_later_is_beside_it_and_continues_its_finding():
    """Another revision has other keys and another span, and its summary is the same finding."""
    full = finding_exports(checkout(revision=2), SETTINGS, TOLD_NS)
    summary = ExportLogsServiceRequest.FromString(full[0].payload).resource_logs[0].scope_logs[0].log_records[-1]
    (record,), (found,) = told()
    annotation = ExportTraceServiceRequest.FromString(full[1].payload).resource_spans[0].scope_spans[0].spans[0]

    assert said(summary)["firstfault.finding.id"] == said(record)["firstfault.finding.id"]
    assert {item.key for item in full}.isdisjoint(item.key for item in brief_exports(brief(), ENTRY, SETTINGS, TOLD_NS))
    assert annotation.span_id != found.span_id


def test_one_revision_has_one_set_of_keys_whether_explained_or_not():
    """A replay may tell in full what was told in brief before: nothing is queued twice."""
    assert [item.key for item in brief_exports(brief(), ENTRY, SETTINGS, TOLD_NS)] == [
        item.key for item in finding_exports(checkout(), SETTINGS, TOLD_NS + 1)
    ]


def test_nothing_found_is_not_told():
    assert brief_exports(brief(verdict="none"), ENTRY, SETTINGS, TOLD_NS) == []


def test_without_a_span_there_is_only_the_event():
    """A trace may be logs and nothing else."""
    (record,), spans = told(entry=None)

    assert (record.span_id, spans) == (b"", [])
    assert record.trace_id.hex() == brief().trace_id


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (SETTINGS, [Signal.LOGS, Signal.TRACES]),
        (ExportSettings(annotation_spans=False), [Signal.LOGS]),
        (ExportSettings(log_events=False), [Signal.TRACES]),
    ],
)
def test_each_signal_can_be_turned_off(settings: ExportSettings, expected: list[Signal]):
    assert [item.signal for item in brief_exports(brief(), ENTRY, settings, TOLD_NS)] == expected


def test_prefix_and_service_are_those_of_findings():
    settings = ExportSettings(prefix="rca.", annotation_service="inherit", event_name_attribute=True)
    items = brief_exports(brief(), ENTRY, settings, TOLD_NS)
    (resource_spans,) = ExportTraceServiceRequest.FromString(items[1].payload).resource_spans
    (record,), _ = told(settings=settings)

    assert resource_spans.resource.attributes[0].value.string_value == "gateway"
    assert resource_spans.scope_spans[0].spans[0].name == "rca brief"
    assert said(record)["event.name"] == "rca.trace_summary"
