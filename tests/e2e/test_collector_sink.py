"""The real Collector takes our findings: its file holds exactly the records that are meant, and the loop stays shut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analyzer.version import __version__
from tests.support.drawing import EPOCH_NS, MS, Drawing, draw, healthy
from tests.support.otelcol import Collector, collecting
from tests.support.otlp_lines import log_records, spans
from tests.support.running import Server, free_port, serving

pytestmark = [pytest.mark.e2e, pytest.mark.go, pytest.mark.timeout(240)]

FAILING = """
frontend POST /checkout 0..100 ERROR http.response.status_code=500
  frontend CLIENT POST 5..95 ERROR server.address=payment http.response.status_code=500
    payment POST /charge 10..90 ERROR http.response.status_code=500 !CardError: "terminal 7 does not answer"
"""
QUICK = """
frontend GET /stock 0..40 http.response.status_code=200
  frontend CLIENT GET 5..35 server.address=inventory http.response.status_code=200
    inventory GET /stock 10..30 http.response.status_code=200
"""
SLOW = """
frontend GET /stock 0..840 http.response.status_code=200
  frontend CLIENT GET 5..835 server.address=inventory http.response.status_code=200
    inventory GET /stock 10..830 http.response.status_code=200
"""
OWN = {
    "resource": {"attributes": {"service.name": "firstfault", "service.version": __version__}},
    "scope": {"name": "firstfault", "version": __version__},
}
SHARED = {
    "firstfault.affected.services": ["payment", "frontend"],
    "firstfault.trace.complete": True,
    "firstfault.engine.version": __version__,
    "firstfault.revision": 1,
}
PATH = ["payment POST /charge", "frontend POST", "frontend POST /checkout"]
CAUSE = {
    "firstfault.kind": "root_cause",
    "firstfault.rank": 1,
    "firstfault.confidence": "high",
    "firstfault.rule": "error.origin.local",
    "firstfault.entity.kind": "service",
    "firstfault.entity.name": "payment",
    "firstfault.service": "payment",
    "firstfault.operation": "POST /charge",
    "firstfault.path": PATH,
    "error.type": "CardError",
    **SHARED,
}
SENTENCE = "payment failed in POST /charge (CardError: terminal 7 does not answer)."


@dataclass(frozen=True)
class House:
    """A firstfault that writes to a Collector, which writes to a file and to its log."""

    server: Server
    collector: Collector
    file: Path

    def told(self, drawing: Drawing, *, logs: int, annotations: int) -> tuple[list[dict], list[dict]]:
        """Wait for so many records of a trace; they are (log records, spans)."""

        def look() -> Any:
            found = self.of_trace(drawing)
            return (len(found[0]), len(found[1])) >= (logs, annotations) and found

        return self.server.until(look, f"{logs} log records and {annotations} spans in {self.file.name}", 40)

    def of_trace(self, drawing: Drawing) -> tuple[list[dict], list[dict]]:
        trace_id = drawing.trace_id.hex()
        return (
            [one for one in log_records(self.file) if one.get("traceId") == trace_id],
            [one for one in spans(self.file) if one["traceId"] == trace_id],
        )


def keeping(folder: Path) -> dict[str, Any]:
    """Exporters that keep what comes: a file, and the log."""
    file = {"path": str(folder / "findings.jsonl"), "flush_interval": "50ms"}
    return {"exporters": {"file": file, "debug": {"verbosity": "detailed"}}}


@pytest.fixture(scope="module", params=["grpc", pytest.param("http", marks=pytest.mark.deep)])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Both protocols that the exporter speaks."""
    folder = tmp_path_factory.mktemp("sink")
    with collecting(folder / "otelcol", keeping(folder)) as collector:
        endpoint = collector.otlp_grpc if request.param == "grpc" else collector.otlp_http.removeprefix("http://")
        changes = {"exporters": {"otlp": {"protocol": request.param}}}
        with serving(folder / "server", exporter=endpoint, changes=changes) as server:
            yield House(server, collector, folder / "findings.jsonl")


def sampled(drawing: Drawing) -> bytes:
    """Its spans as a request, with the flags of a sampled trace whose parents are known to be local."""
    request = ExportTraceServiceRequest.FromString(drawing.requests()[0])
    for group in request.resource_spans:
        for scope in group.scope_spans:
            for span in scope.spans:
                span.flags = 0x101
    return request.SerializeToString()


def at(ms: float) -> str:
    return str(EPOCH_NS + round(ms * MS))


def own(records: list[dict[str, Any]], *names: str) -> list[dict[str, Any]]:
    """Take out what cannot be known before; it is looked at by itself."""
    return [
        {key: value for key, value in record.items() if key not in ("attributes", "observedTimeUnixNano")}
        | {"attributes": {key: value for key, value in record["attributes"].items() if key not in names}}
        for record in records
    ]


def test_the_log_events_of_a_failure(house: House):
    """One ERROR for the origin, one WARN for each span that passed it on, one INFO for the trace; nothing else.

    frontend POST /checkout 500   <- failing_span, trace_summary's root
      frontend POST 500           <- failing_span
        payment POST /charge 500  <- root_cause; trace_summary hangs here too
    """
    drawing = draw(FAILING, seed=51_001 + house.server.ports["rest"])
    house.server.send(sampled(drawing))
    answer = house.server.root_cause(drawing.trace_id)

    records, _ = house.told(drawing, logs=4, annotations=1)

    entry, client, culprit = drawing.spans

    def event(kind, span, number, severity, body, attributes):
        return OWN | {
            "timeUnixNano": at(span.end_ms),
            "severityNumber": number,
            "severityText": severity,
            "eventName": f"firstfault.{kind}",
            "body": {"stringValue": body},
            "attributes": attributes,
            "traceId": drawing.trace_id.hex(),
            "spanId": span.span_id.hex(),
            "flags": 1,
        }

    def passed_on(span, operation):
        says = {
            "firstfault.kind": "failing_span",
            "firstfault.role": "propagated",
            "firstfault.service": "frontend",
            "firstfault.operation": operation,
            "firstfault.error.class": "internal",
        }
        body = f"frontend {operation} failed; its role in the trace is propagated."
        return event("failing_span", span, 13, "WARN", body, says | SHARED)

    summary = {
        "firstfault.kind": "trace_summary",
        "firstfault.verdict": "error",
        "firstfault.confidence": "high",
        "firstfault.service": "payment",
        "firstfault.operation": "POST /charge",
        "firstfault.path": PATH,
        "firstfault.root.service": "frontend",
        "firstfault.root.operation": "POST /checkout",
        "firstfault.user_visible": True,
        "firstfault.severity": "high",
        "firstfault.type": "runtime",
        "firstfault.observability": answer["observability"]["value"],
        "firstfault.omitted.count": 0,
    }
    cause = CAUSE | {"exception.message": "terminal 7 does not answer"}
    assert own(records, "firstfault.finding.id", "firstfault.score") == [
        event("root_cause", culprit, 17, "ERROR", SENTENCE, cause),
        passed_on(entry, "POST /checkout"),
        passed_on(client, "POST"),
        event("trace_summary", culprit, 9, "INFO", SENTENCE, summary | SHARED),
    ]
    scores = {r["attributes"].get("firstfault.score") for r in records}
    assert scores == {answer["root_causes"][0]["probability"], None}
    assert len({r["attributes"]["firstfault.finding.id"] for r in records}) == 4
    assert len({r["observedTimeUnixNano"] for r in records}) == 1
    assert int(records[0]["observedTimeUnixNano"]) > EPOCH_NS


def test_the_annotation_span_of_a_failure(house: House):
    """Child of the culprit over exactly its time, INTERNAL, status UNSET, linked to what failed because of it."""
    drawing = draw(FAILING, seed=52_001 + house.server.ports["rest"])
    house.server.send(sampled(drawing))
    answer = house.server.root_cause(drawing.trace_id)

    records, annotations = house.told(drawing, logs=4, annotations=1)

    entry, client, culprit = drawing.spans
    trace_id = drawing.trace_id.hex()
    links = [
        {"traceId": trace_id, "spanId": span.span_id.hex(), "attributes": {"firstfault.link.type": "propagated"}}
        for span in (client, entry)
    ]
    assert own(annotations, "firstfault.finding.id", "firstfault.score", "firstfault.analyzed_at", "spanId") == [
        OWN
        | {
            "traceId": trace_id,
            "spanId": annotations[0]["spanId"],
            "parentSpanId": culprit.span_id.hex(),
            "flags": 1,
            "name": "firstfault root_cause",
            "kind": 1,
            "startTimeUnixNano": at(10),
            "endTimeUnixNano": at(90),
            "attributes": CAUSE,
            "links": links,
            "status": {},
        }
    ]
    says = annotations[0]["attributes"]
    analyzed_at = datetime.fromisoformat(says["firstfault.analyzed_at"].replace("Z", "+00:00"))
    assert annotations[0]["spanId"] not in {span.span_id.hex() for span in drawing.spans}
    assert says["firstfault.finding.id"] == records[0]["attributes"]["firstfault.finding.id"]
    assert says["firstfault.score"] == answer["root_causes"][0]["probability"]
    assert abs(analyzed_at.timestamp() - int(records[0]["observedTimeUnixNano"]) / 1e9) < 1e-3


def test_the_log_events_of_a_slow_trace(house: House):
    """Where nothing failed: the origin, and a WARN for the span that took longer than its baseline explains."""
    port = house.server.ports["rest"]
    drawing = draw(SLOW, seed=53_001 + port)
    learned = house.server.metrics().get("analyzer_analysed_traces", 0)
    usual = healthy(draw(QUICK, seed=port), 300)
    house.server.send(b"".join(one.requests()[0] for one in usual))  # requests one after the other are one request
    house.server.until(lambda: house.server.metrics()["analyzer_analysed_traces"] >= learned + 300, "learning", 40)
    house.server.send(sampled(drawing))
    answer = house.server.root_cause(drawing.trace_id)

    records, annotations = house.told(drawing, logs=3, annotations=1)

    _, _, culprit = drawing.spans
    (outlier,) = [one for one in records if one["eventName"] == "firstfault.latency_outlier"]
    (excess,) = [one for one in answer["latency"]["excess"] if one["excess_ns"] > 0]
    assert {one["eventName"] for one in records} == {
        f"firstfault.{kind}" for kind in ("root_cause", "latency_outlier", "trace_summary")
    }
    assert (outlier["severityNumber"], outlier["severityText"]) == (13, "WARN")
    assert (outlier["spanId"], outlier["timeUnixNano"], outlier["flags"]) == (culprit.span_id.hex(), at(830), 1)
    assert outlier["attributes"] | SHARED | {"firstfault.finding.id": ""} == {
        "firstfault.finding.id": "",
        "firstfault.kind": "latency_outlier",
        "firstfault.score": pytest.approx(1 - excess["p_value"]),
        "firstfault.service": "inventory",
        "firstfault.operation": "GET /stock",
        "firstfault.excess_ms": pytest.approx(excess["excess_ns"] / 1e6),
        "firstfault.observed_ms": pytest.approx(820),
        "firstfault.expected_ms": pytest.approx(excess["expected_ns"] / 1e6),
        "firstfault.p_value": excess["p_value"],
        "firstfault.excess.kind": excess["kind"],
        **SHARED,
    }
    assert (annotations[0]["parentSpanId"], annotations[0]["status"]) == (culprit.span_id.hex(), {})


def test_the_collector_reads_what_we_meant(house: House):
    """Its own words for our records, in its log: event names, context, kind, status and links."""
    drawing = draw(FAILING, seed=54_001 + house.server.ports["rest"])
    house.server.send(sampled(drawing))
    house.told(drawing, logs=4, annotations=1)

    trace_id, culprit = drawing.trace_id.hex(), drawing.spans[2].span_id.hex()
    written = house.collector.log.read_text()
    (span,) = [part for part in written.split("\nSpan #")[1:] if f"Trace ID       : {trace_id}" in part]
    records = [part for part in written.split("\nLogRecord #")[1:] if f"Trace ID: {trace_id}" in part]

    said = [line.strip() for line in span.splitlines()]
    for line in (f"Parent ID      : {culprit}", "Kind           : Internal", "Status code    : Unset", "SpanLink #1"):
        assert line in said
    assert sum("EventName: firstfault.root_cause" in part and f"Span ID: {culprit}" in part for part in records) == 1


def test_ids_are_the_same_in_another_house(tmp_path: Path):
    """Two servers with nothing in common but the trace: the same findings under the same ids, the same annotation."""
    drawing = draw(FAILING, seed=55_001)
    told = []
    for name in ("one", "other"):
        folder = tmp_path / name
        folder.mkdir()
        with (
            collecting(folder / "otelcol", keeping(folder)) as collector,
            serving(folder / "server", exporter=collector.otlp_grpc) as server,
        ):
            server.send(sampled(drawing))
            house = House(server, collector, folder / "findings.jsonl")
            records, annotations = house.told(drawing, logs=4, annotations=1)
            told.append(own(records) + own(annotations, "firstfault.analyzed_at"))

    assert told[0] == told[1]
    assert told[0][4]["spanId"]


def test_a_collector_that_feeds_us_our_own_findings_makes_no_loop(tmp_path: Path):
    """Everything that the Collector takes goes to a file and to us; our findings come back, are counted and dropped.

    application -> Collector -> firstfault
                      ^             |
                      +- findings --+
    """
    port = free_port()
    changes = keeping(tmp_path)
    changes["exporters"]["otlp_grpc"] = {"endpoint": f"127.0.0.1:{port}", "tls": {"insecure": True}}
    at_port = {"receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{port}"}}}}}
    with (
        collecting(tmp_path / "otelcol", changes) as collector,
        serving(tmp_path / "server", exporter=collector.otlp_grpc, changes=at_port) as server,
    ):
        house = House(server, collector, tmp_path / "findings.jsonl")
        answers = []
        for round_ in (1, 2, 3):
            drawing = draw(FAILING, seed=56_000 + round_)
            collector.send(*drawing.requests())
            answers.append((drawing, server.root_cause(drawing.trace_id)))
            house.told(drawing, logs=4, annotations=4)  # the trace's own three spans pass there too
            # four log events and one annotation span of each round came back; a loop would bring more
            server.until(
                lambda count=5 * round_: server.metrics().get("assembly_dropped_spans|own_scope", 0) >= count,
                "our own findings to come back",
            )

        assert server.metrics()["assembly_dropped_spans|own_scope"] == 15
        for drawing, answer in answers:
            assert [len(found) for found in house.of_trace(drawing)] == [4, 4]
            assert server.root_cause(drawing.trace_id) == answer
            assert answer["revision"] == 1
