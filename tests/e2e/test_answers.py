"""The whole way in the running program: OTLP in, root cause out, written back. In one process and in several."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import httpx
import pytest
from google.protobuf.duration_pb2 import Duration
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analyzer.findings import Answer
from collector.contracts import Signal
from collector.pb.firstfault.v1.root_cause_pb2 import STATUS_FINDING, GetRequest
from collector.pb.firstfault.v1.root_cause_pb2_grpc import RootCauseServiceStub
from tests.support.drawing import Drawing, draw
from tests.support.fakes.otlp_sink import GrpcSink
from tests.support.running import ROOT, Server, environment, firstfault, serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

FAILING = """
frontend POST /checkout 0..100 ERROR http.response.status_code=500
  frontend CLIENT POST 5..95 ERROR server.address=payment http.response.status_code=500
    payment POST /charge 10..90 ERROR http.response.status_code=500 !CardError: "terminal 7 does not answer"
"""
CLEAN = """
frontend GET /home 0..20 http.response.status_code=200
  frontend CLIENT GET 2..18 server.address=cart http.response.status_code=200
    cart GET /items 4..16 http.response.status_code=200
"""


@dataclass(frozen=True)
class House:
    """A server, and the place where it writes back."""

    server: Server
    sink: GrpcSink

    def send(self, text: str, *, logs: bool = True) -> Drawing:
        """Send a drawing under an id of its own."""
        drawing = fresh(text)
        traces, records = drawing.requests()
        self.server.send(traces, records if logs else None)
        return drawing

    def written_back(self, trace_id: bytes) -> list[tuple[Signal, bytes]]:
        """What the sink took about one trace: log events and annotation spans."""
        return [
            (request.signal, request.payload) for request in list(self.sink.taken) if trace_id in _trace_ids(request)
        ]


_count = iter(range(1, 1_000_000))


def fresh(text: str) -> Drawing:
    return draw(text, seed=next(_count) + 7_000_000)


def _trace_ids(request: object) -> set[bytes]:
    signal, payload = request.signal, request.payload  # type: ignore[attr-defined]
    if signal is Signal.LOGS:
        logs = ExportLogsServiceRequest.FromString(payload)
        return {r.trace_id for g in logs.resource_logs for s in g.scope_logs for r in s.log_records}
    traces = ExportTraceServiceRequest.FromString(payload)
    return {r.trace_id for g in traces.resource_spans for s in g.scope_spans for r in s.spans}


@pytest.fixture(
    scope="module", params=[pytest.param(1, marks=pytest.mark.deep), 2], ids=["one process", "several processes"]
)
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("answers")
    # A trace without its root waits long enough to be asked about while it is open.
    changes = {"assembly": {"idle_s": 4.0}}
    with (
        GrpcSink() as sink,
        serving(folder, processes=request.param, exporter=sink.endpoint, changes=changes) as server,
    ):
        yield House(server, sink)
        assert server.stop() == 0, server.said()


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_an_application_with_the_sdk_is_answered(house: House, protocol: str):
    """REST, gRPC and the command line say the same of the trace that a Python SDK sent."""
    server = house.server
    endpoint = f"http://{server.otlp_grpc}" if protocol == "grpc" else server.otlp_http
    program = [sys.executable, "-m", "tests.support.sdk_program", protocol, endpoint]
    sent = subprocess.run(program, capture_output=True, text=True, timeout=40, env=environment(), cwd=ROOT, check=False)
    assert (sent.returncode, sent.stderr) == (0, "")
    trace_id = sent.stdout

    answer = server.root_cause(trace_id)
    with grpc.insecure_channel(f"127.0.0.1:{server.ports['grpc']}") as channel:
        wire = RootCauseServiceStub(channel).Get(GetRequest(trace_id=trace_id, wait=Duration(seconds=10)), timeout=20)
    printed = firstfault("root-cause", trace_id, "--server", server.url)
    as_json = firstfault("root-cause", trace_id, "--server", server.url, "--json")

    cause = answer["root_causes"][0]
    assert (answer["status"], answer["verdict"], answer["user_visible"]) == ("finding", "error", True)
    assert (cause["entity"]["service"], cause["entity"]["operation"]) == ("payment", "POST /charge")
    assert cause["entity"]["version"] == "2.0.1"
    assert "terminal 7 does not answer" in cause["sentence"]
    assert (wire.answer.trace_id, wire.answer.status) == (trace_id, STATUS_FINDING)
    assert wire.answer.root_causes[0].entity.service == "payment"
    assert printed.returncode == as_json.returncode == 0, printed.stderr + as_json.stderr
    assert trace_id in printed.stdout.decode()
    assert json.loads(as_json.stdout) == answer


def test_findings_are_written_back(house: House):
    """An annotation span below the culprit, and log events with its context; scope firstfault on both."""
    drawing = house.send(FAILING)
    culprit = drawing.find("payment POST /charge")
    house.server.root_cause(drawing.trace_id)

    back = house.server.until(
        lambda: len(found := dict(house.written_back(drawing.trace_id))) == 2 and found, "annotation span and logs"
    )
    logs = ExportLogsServiceRequest.FromString(back[Signal.LOGS]).resource_logs[0].scope_logs[0]
    spans = ExportTraceServiceRequest.FromString(back[Signal.TRACES]).resource_spans[0].scope_spans[0]

    told = {record.event_name: record for record in logs.log_records}
    assert {"firstfault.root_cause", "firstfault.trace_summary"} <= set(told)
    assert told["firstfault.root_cause"].span_id == culprit.span_id
    assert (logs.scope.name, spans.scope.name) == ("firstfault", "firstfault")
    assert spans.spans[0].parent_span_id == culprit.span_id
    assert spans.spans[0].status.code == 0
    known = {span.span_id for span in drawing.spans}
    assert not known & {span.span_id for span in spans.spans}


def test_a_report_is_written(house: House):
    """JSON, a page, and the command line; the fixture in it was tried by the running program."""
    server, drawing = house.server, house.send(FAILING)
    trace_id = drawing.trace_id.hex()
    server.root_cause(drawing.trace_id)

    report = server.get(f"/api/v1/traces/{trace_id}/report").json()
    page = server.get(f"/api/v1/traces/{trace_id}/report?format=html")
    printed = firstfault("report", trace_id, "--server", server.url)

    groups = server.until(
        lambda: server.get("/api/v1/groups?service=payment").json()["groups"], "the group of the error"
    )
    of_group = server.get(f"/api/v1/groups/{groups[0]['group_id']}/report").json()

    assert (of_group["subject"], of_group["subject_id"]) == ("group", groups[0]["group_id"])
    assert report["root_cause"]["entity"]["service"] == "payment"
    assert report["testing"]["fixture"]["reproduces"] is True
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert page.text.count("<svg") == 2
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.decode().startswith("# frontend POST /checkout failed\n")


def test_what_we_wrote_is_not_analysed_again(house: House):
    """A Collector that sends everything back to us makes no finding, no revision and no storm."""
    server = house.server
    drawing = house.send(FAILING)
    before = server.root_cause(drawing.trace_id)
    back = server.until(
        lambda: len(found := house.written_back(drawing.trace_id)) == 2 and found, "annotation span and logs"
    )
    dropped = server.metrics().get("assembly_dropped_spans|own_scope", 0)

    for signal, payload in back:
        server.send(payload if signal is Signal.TRACES else None, payload if signal is Signal.LOGS else None)
    server.until(
        lambda: server.metrics().get("assembly_dropped_spans|own_scope", 0) >= dropped + 2, "own spans to be dropped"
    )

    assert server.root_cause(drawing.trace_id) == before
    assert len(house.written_back(drawing.trace_id)) == 2


def test_the_four_states_are_told_apart(house: House):
    """404 never seen, 202 still open, 200 clean, 200 finding."""
    server = house.server
    unknown = server.get(f"/api/v1/traces/{'ab' * 16}/root-cause")
    clean = house.send(CLEAN)
    failing = fresh(FAILING)
    root, *below = failing.spans
    server.send(Drawing(tuple(below), failing.trace_id).requests()[0])
    still_open = server.until(
        lambda: (r := server.get(f"/api/v1/traces/{failing.trace_id.hex()}/root-cause")).status_code != 404 and r,
        "the open trace",
    )
    server.send(Drawing((root,), failing.trace_id).requests()[0])

    assert (unknown.status_code, unknown.headers["content-type"]) == (404, "application/problem+json")
    assert (still_open.status_code, still_open.json()["status"]) == (202, "in_progress")
    assert server.root_cause(clean.trace_id)["status"] == "clean"
    assert server.root_cause(failing.trace_id)["status"] == "finding"


def test_an_exception_that_came_as_a_log_record_is_part_of_the_answer(house: House):
    """The span says ERROR and no more; why stands in a log record of another request. It is one fact, told once."""
    drawing = house.send(
        """
        frontend POST /checkout 0..100 ERROR http.response.status_code=500
          frontend CLIENT POST 5..95 ERROR server.address=payment http.response.status_code=500
            payment POST /charge 10..90 ERROR http.response.status_code=500 log!CardError: "bank line is down"
        """
    )

    answer = house.server.root_cause(drawing.trace_id)

    assert [cause["entity"]["service"] for cause in answer["root_causes"]][:1] == ["payment"]
    assert answer["root_causes"][0]["error_type"] == "CardError"
    assert answer["root_causes"][0]["error_message"] == "bank line is down"
    assert sum(role["role"] == "origin" for role in answer["roles"]) == 1


def test_an_exception_told_three_times_is_one_fact(house: House):
    """As span event, as span attributes and as log record: the same failure is counted once."""
    drawing = house.send(
        """
        frontend POST /checkout 0..100 ERROR http.response.status_code=500
          frontend CLIENT POST 5..95 ERROR server.address=payment http.response.status_code=500
            payment POST /charge 10..90 ERROR http.response.status_code=500 exception.type=CardError exception.message=closed !CardError: "closed" log!CardError: "closed"
        """
    )

    answer = house.server.root_cause(drawing.trace_id)

    assert sum(role["role"] == "origin" for role in answer["roles"]) == 1
    assert sum(cause["entity"]["service"] == "payment" for cause in answer["root_causes"]) == 1


def test_a_late_span_revises_the_whole_trace(house: House):
    """The client gave up and the verdict was spoken; the server's span comes when the server is done, 3 s later."""
    server = house.server
    drawing = fresh(
        """
        frontend POST /checkout 0..320 ERROR http.response.status_code=500
          frontend CLIENT POST 5..305 ERROR server.address=inventory error.type=TimeoutError !TimeoutError: "timed out"
            inventory POST /reserve 8..3100 http.response.status_code=200
        """
    )
    early, late = drawing.spans[:2], drawing.spans[2:]
    server.send(Drawing(early, drawing.trace_id).requests()[0])
    first = server.root_cause(drawing.trace_id)
    said_at = server.metrics()["process_uptime_seconds"]
    server.until(lambda: server.metrics()["process_uptime_seconds"] > said_at + 3.0, "three seconds to pass")

    server.send(Drawing(late, drawing.trace_id).requests()[0])
    second = server.revision(drawing.trace_id, 2)

    assert (first["revision"], first["completeness"]["span_count"]) == (1, 2)
    assert (second["revision"], second["completeness"]["span_count"]) == (2, 3)
    assert second["completeness"]["late_spans"] == 1
    assert second["root_causes"][0]["entity"]["service"] == "inventory"


def test_lists_graphs_and_spans(house: House):
    """Every page of the answer desk about a trace that was sent."""
    server = house.server
    drawing = house.send(FAILING)
    trace_id = drawing.trace_id.hex()
    server.root_cause(trace_id)

    listed = server.get("/api/v1/findings?service=payment&limit=1000").json()
    as_json = server.get(f"/api/v1/traces/{trace_id}/graph").json()
    dot = server.get(f"/api/v1/traces/{trace_id}/graph?format=dot").text
    mermaid = server.get(f"/api/v1/traces/{trace_id}/graph?format=mermaid").text
    spans = server.get(f"/api/v1/traces/{trace_id}/spans").json()

    assert trace_id in [row["trace_id"] for row in listed["findings"]]
    assert {node["name"] for node in as_json["nodes"]} >= {"frontend", "payment"}
    assert dot.startswith("digraph")
    assert mermaid.startswith(("graph", "flowchart"))
    assert spans["span_count"] == 3
    assert set(spans["roles"].values()) >= {"origin", "propagated"}


def test_services_of_the_last_hour(house: House):
    """Sums over all traces come within seconds of them."""
    server = house.server
    house.send(CLEAN)

    def services() -> dict[str, int]:
        lines = server.get("/api/v1/services").json()["services"]
        return {line["service"]: line["count"] for line in lines if line["service"] in ("frontend", "cart")}

    found = server.until(lambda: len(lines := services()) == 2 and lines, "sums of services")
    graph = server.get("/api/v1/service-graph").json()

    names = {node["id"]: node["name"] for node in graph["nodes"]}
    assert min(found.values()) >= 1
    assert ("frontend", "cart") in {(names[edge["caller"]], names[edge["callee"]]) for edge in graph["edges"]}


def test_spans_can_be_analysed_without_being_stored(house: House):
    """POST /analyze answers at once; the trace stays unknown."""
    server = house.server
    drawing = fresh(FAILING)
    headers = {"content-type": "application/x-protobuf"}

    found = httpx.post(
        f"{server.url}/api/v1/analyze", content=drawing.requests()[0], headers=headers, timeout=30, trust_env=False
    )

    answer = Answer.model_validate(found.json()["answers"][0])
    assert found.status_code == 200
    assert (answer.trace_id, answer.status) == (drawing.trace_id.hex(), "finding")
    assert answer.root_causes[0].entity.service == "payment"
    assert server.get(f"/api/v1/traces/{answer.trace_id}/root-cause").status_code == 404


def test_every_span_is_counted_in_one_place(house: House):
    """accepted == analysed + deduped + dropped + open, exactly, when all is quiet; also with duplicates and logs."""
    server = house.server
    drawing = fresh(
        """
        frontend GET /home 0..20 ERROR log!Oops: "once"
          cart GET /items 4..16 ERROR
        """
    )
    traces, logs = drawing.requests()
    server.send(traces + traces, logs)
    server.root_cause(drawing.trace_id)

    def quiet() -> dict[str, float] | None:
        seen = server.metrics()
        return seen if seen["assembly_open_spans"] == 0 else None

    counts = server.until(quiet, "no open spans")
    accepted = counts["receiver_accepted_spans"] + counts["receiver_accepted_log_records"]

    assert counts["assembly_deduped_spans"] >= 2
    assert accepted == counts["assembly_received_spans"]
    assert accepted == (
        counts["assembly_released_spans"]
        + counts["assembly_deduped_spans"]
        + counts.get("assembly_dropped_spans", 0)
        + counts["assembly_open_spans"]
    )
    assert counts["analyzer_failed_traces"] == 0


def test_asking_in_vain(house: House):
    """The command line says what is the matter, in words, with a status."""
    unknown = firstfault("root-cause", "cd" * 16, "--server", house.server.url, "--wait", "0")
    wrong = firstfault("root-cause", "xyz", "--server", house.server.url)

    assert (unknown.returncode, unknown.stdout) == (1, b"")
    assert b"not known" in unknown.stderr
    assert (wrong.returncode, wrong.stdout) == (2, b"")
    assert b"32 hex digits" in wrong.stderr
    assert b"Traceback" not in unknown.stderr + wrong.stderr


def test_the_server_is_quiet(house: House):
    """After all of this there is no error in its log."""
    lines = [line for line in house.server.log.read_text().splitlines() if " error " in line or "Traceback" in line]

    assert lines == []
