"""Simulated cases on the way out: folders like the real ones, requests that decode, live spans."""

from __future__ import annotations

import gzip
import json
from concurrent import futures
from pathlib import Path

import grpc
import orjson
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from typer.testing import CliRunner

from analyzer.simulator import DIALECTS, CaseSettings, SimulatedCase, simulate_case
from collector.cli import app
from collector.contracts import Signal
from collector.offline import FILE_LIMITS, TraceReader
from collector.receivers.files import read_requests
from collector.simulate import requests_of, send_case, write_case
from collector.wire.otlp_json import translate_json

# case.json of a real case; ours holds more.
REAL_KEYS = [
    "case_id", "system", "fault_type", "window_start_ns", "window_end_ns", "root_cause_services",
    "root_cause_instance", "fault_traces", "baseline_traces", "fault_spans", "baseline_spans",
]  # fmt: skip


def small(archetype: str = "error", dialect: str = "otel_http") -> SimulatedCase:
    settings = CaseSettings(
        services=8,
        baseline_traces=40,
        fault_traces=40,
        late_share=0.1,
        uninstrumented_share=0.0,
        dialect=dialect,
        granularity="service",
    )
    return simulate_case(archetype, 11, settings=settings)


def lines(path: Path) -> list[dict]:  # type: ignore[type-arg]
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def spans_of(request: dict) -> list[dict]:  # type: ignore[type-arg]
    return [s for r in request["resourceSpans"] for scope in r["scopeSpans"] for s in scope["spans"]]


def test_a_folder_is_laid_out_like_a_real_case(tmp_path: Path):
    case = small()
    write_case(case, tmp_path / "case")
    label = json.loads((tmp_path / "case/case.json").read_text())
    fault = lines(tmp_path / "case/fault.jsonl.gz")

    assert sorted(path.name for path in (tmp_path / "case").iterdir()) == [
        "baseline.jsonl.gz", "case.json", "fault.jsonl.gz", "truth.json",
    ]  # fmt: skip
    assert list(label)[: len(REAL_KEYS)] == REAL_KEYS
    assert sum(len(spans_of(line)) for line in fault) == label["fault_spans"] == len(case.fault)
    assert all(len({s["traceId"] for s in spans_of(line)}) == 1 for line in fault)
    first = spans_of(fault[0])[0]
    assert (len(first["traceId"]), len(first["spanId"]), first["traceId"]) == (32, 16, first["traceId"].lower())
    assert isinstance(first["startTimeUnixNano"], str)


def test_the_labels_are_not_in_the_spans(tmp_path: Path):
    write_case(small(), tmp_path / "case")
    text = gzip.decompress((tmp_path / "case/fault.jsonl.gz").read_bytes())

    for word in (b"origin", b"fault", b"root_cause", b"touched"):
        assert word not in text


def test_the_truth_names_spans_that_are_in_the_file(tmp_path: Path):
    case = small()
    write_case(case, tmp_path / "case")
    truth = json.loads((tmp_path / "case/truth.json").read_text())["traces"]
    known = {(s["traceId"], s["spanId"]) for line in lines(tmp_path / "case/fault.jsonl.gz") for s in spans_of(line)}
    named = {(trace, span) for trace, found in truth.items() for span in found["origin_span_ids"]}

    assert named
    assert named <= known
    assert all(found["origin_services"] == case.root_cause_services for found in truth.values())


def test_the_same_case_gives_the_same_bytes(tmp_path: Path):
    for name in ("one", "other"):
        write_case(small(), tmp_path / name)

    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes()


@pytest.mark.parametrize("dialect", ["mixed", *DIALECTS])
def test_requests_decode_without_complaint(dialect: str):
    """Every span arrives, in requests of a usual size."""
    case = small("own_latency", dialect)
    requests, reader = requests_of(case.fault), TraceReader()

    assert sum(reader.add(payload, Signal.TRACES) for payload in requests) == len(case.fault)
    assert reader.batch().trace_count == case.fault.trace_count
    assert len(requests) >= len(case.fault) // 512


def test_the_file_and_the_requests_say_the_same(tmp_path: Path):
    """JSON lines through the file reader, protobuf directly: the same rows."""
    case = small()
    write_case(case, tmp_path / "case")
    from_file, direct = TraceReader(), TraceReader()
    name = str(tmp_path / "case/fault.jsonl.gz")
    for payload, signal in read_requests(name, lambda text, signal: translate_json(text, signal, FILE_LIMITS)):
        from_file.add(payload, signal)
    for payload in requests_of(case.fault):
        direct.add(payload, Signal.TRACES)
    one, other = from_file.batch().rows, direct.batch().rows

    assert len(one) == len(other) == len(case.fault)
    for column in ("trace_id_0", "span_id", "parent_id", "start_ns", "end_ns", "status", "kind"):
        assert sorted(one[column].tolist()) == sorted(other[column].tolist())


class Receiver(TraceServiceServicer):
    """Remembers what came; refuses the first request, as a busy receiver does."""

    def __init__(self) -> None:
        self.spans: list[tuple[bytes, int, int]] = []
        self.refused = 0

    def Export(self, request: ExportTraceServiceRequest, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        if not self.refused:
            self.refused += 1
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self.spans += [(s.span_id, s.start_time_unix_nano, s.end_time_unix_nano) for s in scope.spans]
        return ExportTraceServiceResponse()


@pytest.fixture
def receiver():
    server, found = grpc.server(futures.ThreadPoolExecutor(2)), Receiver()
    add_TraceServiceServicer_to_server(found, server)
    found.port = server.add_insecure_port("127.0.0.1:0")  # type: ignore[attr-defined]
    server.start()
    yield found
    server.stop(None).wait()


@pytest.mark.parametrize("pace", [0.0, 1e6])
def test_live_spans_come_whole_and_now(receiver: Receiver, pace: float):
    """Every span once, the healthy ones first, moved to this year."""
    case = small()

    sent = send_case(case, f"127.0.0.1:{receiver.port}", pace=pace)  # type: ignore[attr-defined]

    assert sent == len(receiver.spans) == len(case.baseline) + len(case.fault)
    assert receiver.refused == 1
    assert {s for s, _, _ in receiver.spans[: len(case.baseline)]} == set(case.baseline.span_id)
    durations = sorted((case.fault.end_ns - case.fault.start_ns).tolist())
    assert sorted(end - start for _, start, end in receiver.spans[len(case.baseline) :]) == durations
    assert min(start for _, start, _ in receiver.spans) > case.window_end_ns


def run(*arguments: object):  # type: ignore[no-untyped-def]
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)], catch_exceptions=False)


def test_the_command_writes_a_folder_a_case(tmp_path: Path):
    result = run(tmp_path, "--cases", 2, "--traces", 20, "--seed", 3, "--archetype", "kill", "--archetype", "healthy")
    folders = sorted(path.name for path in tmp_path.iterdir())
    label = orjson.loads((tmp_path / folders[0] / "case.json").read_bytes())

    assert result.exit_code == 0
    assert {name.split("-")[1] for name in folders} == {"kill", "healthy"}
    assert [name[:5] for name in folders] == ["0000-", "0001-"]
    assert label["case_id"] == folders[0]


def test_the_command_sends_live(receiver: Receiver):
    result = run("--live", f"127.0.0.1:{receiver.port}", "--cases", 1, "--traces", 20, "--archetype", "healthy")  # type: ignore[attr-defined]

    assert result.exit_code == 0
    assert "nothing is wrong" in result.stderr
    assert receiver.spans


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--live HOST:PORT"),
        (("out", "--archetype", "gremlins"), "gremlins"),
        (("out", "--span-loss", 0.5), "span_loss is 0.5; expected 0.0 to 0.2"),
    ],
)
def test_wrong_use_is_told(arguments: tuple[object, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    result = run(*arguments)

    assert result.exit_code == 2
    assert words in result.stderr


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")

    result = run(tmp_path / "file", "--cases", 1, "--traces", 20, "--archetype", "healthy")

    assert result.exit_code == 2
    assert "cannot write" in result.stderr
