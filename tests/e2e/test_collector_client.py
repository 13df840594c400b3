"""The real Collector and its load generator as clients: what they were given is delivered, and answered."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.drawing import Drawing, draw
from tests.support.otelcol import collecting
from tests.support.running import Server, again, environment, serving, write_configuration
from tests.support.tools import built

pytestmark = [pytest.mark.e2e, pytest.mark.go, pytest.mark.timeout(240)]

FAILING = """
frontend POST /checkout 0..100 ERROR http.response.status_code=500
  frontend CLIENT POST 5..95 ERROR server.address=payment http.response.status_code=500
    payment POST /charge 10..90 ERROR http.response.status_code=500 log!CardError: "terminal 7 does not answer"
"""
PLANTED = 40


def patient(exporter: str, endpoint: str, compression: str, folder: Path) -> dict[str, Any]:
    """Configure a Collector that keeps what it could not deliver on disk, and tries again until it can."""
    return {
        "extensions": {"file_storage": {"directory": str(folder), "create_directory": True}},
        "exporters": {
            exporter: {
                "endpoint": endpoint,
                "tls": {"insecure": True},
                "compression": compression,
                "sending_queue": {"storage": "file_storage", "queue_size": 10_000},
                "retry_on_failure": {"initial_interval": "100ms", "max_interval": "1s", "max_elapsed_time": "0s"},
            }
        },
    }


def whole(server: Server, trace_id: bytes) -> dict[str, Any]:
    """The answer that knows all spans."""

    def look() -> dict[str, Any] | None:
        answer = server.root_cause(trace_id, wait_s=60)
        spans = (answer["completeness"] or {"span_count": 0})["span_count"]
        return answer if spans == 3 else None

    found: dict[str, Any] = server.until(look, "an answer from spans", 90)
    return found


@pytest.mark.parametrize(
    ("protocol", "compression"),
    [
        ("grpc", "gzip"),
        ("http", "none"),
        pytest.param("grpc", "none", marks=pytest.mark.deep),
        pytest.param("http", "gzip", marks=pytest.mark.deep),
    ],
)
def test_what_the_collector_took_while_we_were_down_is_answered(tmp_path: Path, protocol: str, compression: str):
    """Traces and logs in separate requests, acknowledged by the Collector only; it restarts, then we come up.

    application -> Collector (queue on disk) -x        firstfault is down
                   Collector again           -> firstfault: every trace, every log record
    """
    path, tree, ports = write_configuration(tmp_path / "server")
    endpoint = f"127.0.0.1:{ports['otlp_grpc']}" if protocol == "grpc" else f"http://127.0.0.1:{ports['otlp_http']}"
    drawings = [draw(FAILING, seed=61_000 + i) for i in range(PLANTED)]
    changes = patient(f"otlp_{protocol}", endpoint, compression, tmp_path / "queue")
    with collecting(tmp_path / "otelcol", changes) as collector:
        for drawing in drawings:
            collector.send(*drawing.requests())
        assert collector.stop() == 0, collector.said()
        collector.start()
        collector.until(lambda: "failed" in collector.said().lower(), "a delivery that fails")
        with again(tmp_path / "server", path, tree, ports) as server:
            server.until(lambda: server.metrics().get("receiver_accepted_log_records", 0) >= PLANTED, "logs")
            # Logs and spans wait in queues of their own: whose logs came a second earlier is answered in part first.
            answers = [whole(server, drawing.trace_id) for drawing in drawings]
            metrics = server.metrics()

    assert {answer["status"] for answer in answers} == {"finding"}
    assert {answer["root_causes"][0]["entity"]["service"] for answer in answers} == {"payment"}
    assert {answer["completeness"]["span_count"] for answer in answers} == {3}
    assert metrics["receiver_accepted_spans"] == 3 * PLANTED
    assert metrics["receiver_accepted_log_records"] == PLANTED


def test_an_exception_that_went_through_the_collector_as_a_log_record_is_in_the_answer(tmp_path: Path):
    """The span says only ERROR; batched by the Collector, spans and records come in requests of their own."""
    with serving(tmp_path / "server") as server:
        changes = {
            "processors": {"batch": {"timeout": "100ms"}},
            "exporters": {"otlp_grpc": {"endpoint": server.otlp_grpc, "tls": {"insecure": True}}},
        }
        with collecting(tmp_path / "otelcol", changes) as collector:
            drawing = draw(FAILING, seed=62_001)
            _, logs = drawing.requests()
            collector.send(None, logs)
            for span in drawing.spans:  # one by one, as three services would
                collector.send(Drawing((span,), drawing.trace_id).requests()[0])
            answer = server.until(
                lambda: (said := server.root_cause(drawing.trace_id))["completeness"]["span_count"] == 3 and said,
                "the whole trace",
            )

    assert answer["root_causes"][0]["entity"]["service"] == "payment"
    assert answer["root_causes"][0]["error_message"] == "terminal 7 does not answer"


def telemetrygen(server: Server, service: str, *arguments: str) -> str:
    """Run the Collector's load generator to its end; what it said."""
    program = built("go/telemetrygen", "Go")
    common = ["traces", "--otlp-insecure", "--traces=25", "--rate=0", f"--service={service}", "--status-code=Error"]
    done = subprocess.run(
        [program, *common, *arguments], capture_output=True, text=True, timeout=60, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("protocol", ["grpc", pytest.param("http", marks=pytest.mark.deep)])
def test_telemetrygen_is_answered(tmp_path: Path, protocol: str):
    """25 traces of one service, client and server spans that all failed: 25 findings, none lost, none refused."""
    with serving(tmp_path) as server:
        if protocol == "grpc":
            telemetrygen(server, "shop", f"--otlp-endpoint={server.otlp_grpc}")
        else:
            telemetrygen(server, "shop", "--otlp-http", f"--otlp-endpoint={server.otlp_http.removeprefix('http://')}")
        found = server.until(
            lambda: (
                len(rows := server.get("/api/v1/findings?service=shop&limit=100").json()["findings"]) == 25 and rows
            ),
            "25 findings",
        )
        answers = [server.root_cause(row["trace_id"]) for row in found]
        metrics = server.metrics()

    assert {answer["status"] for answer in answers} == {"finding"}
    assert {answer["completeness"]["complete"] for answer in answers} == {True}
    origins = {answer["root_causes"][0]["origin_spans"][0]["operation"] for answer in answers}
    assert origins == {"okey-dokey-0"}  # the server span below "lets-go"
    assert metrics["receiver_accepted_spans"] == 50
    assert metrics.get("receiver_refused_spans", 0) == 0
