"""Applications in Java under the OpenTelemetry agent: nothing is instrumented by hand, the exception's cause is found."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest

from tests.support.running import ROOT, Server, environment, free_port, serving
from tests.support.tools import built

SOURCES = ROOT / "tests" / "java" / "shop"
START_S = 90.0  # two virtual machines under an agent, on a busy machine

pytestmark = [pytest.mark.e2e, pytest.mark.java, pytest.mark.timeout(240)]


@contextmanager
def virtual_machine(server: Server, service: str, protocol: str, program: str, *ports: int) -> Iterator[None]:
    """Run a program under the agent, which sends to the server; end it whatever happens."""
    endpoint = f"http://{server.otlp_grpc}" if protocol == "grpc" else server.otlp_http
    settings = {
        "OTEL_SERVICE_NAME": service,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_BSP_SCHEDULE_DELAY": "200",
        "OTEL_BLRP_SCHEDULE_DELAY": "200",
    }
    agent, classes = (
        built("java/opentelemetry-javaagent.jar", "Java and Maven"),
        built("java/classes", "Java and Maven"),
    )
    log = server.folder / f"{service}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["java", f"-javaagent:{agent}", "-XX:TieredStopAtLevel=1", "-cp", classes, program, *map(str, ports)],
            stdout=out,
            stderr=out,
            env=environment() | settings,
        )
    try:
        yield
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait(10)


def line_of(file: str, words: str) -> str:
    """Where the source says so: `Ledger.java:7`."""
    (number,) = [n for n, line in enumerate((SOURCES / file).read_text().splitlines(), 1) if words in line]
    return f"{file}:{number}"


@pytest.mark.parametrize("protocol", ["grpc", pytest.param("http/protobuf", marks=pytest.mark.deep)])
def test_the_line_where_the_exception_began_is_named(tmp_path: Path, protocol: str):
    """Frontend asks payment over HTTP; payment's ledger throws, and the exception is wrapped three times on its way.

    frontend  GET /checkout   500  IllegalStateException <- IOException: payment answered 500
      frontend  POST          500
        payment   POST /charge  500  IllegalStateException <- ChargeException <- IllegalStateException
                                     <- IllegalArgumentException at Ledger.java   <- where it began
    """
    frontend_port, payment_port = free_port(), free_port()
    with (
        serving(tmp_path) as server,
        virtual_machine(server, "payment", protocol, "shop.Payment", payment_port),
        virtual_machine(server, "frontend", protocol, "shop.Frontend", frontend_port, payment_port),
    ):

        def order() -> int:
            return httpx.get(f"http://127.0.0.1:{frontend_port}/checkout", timeout=40, trust_env=False).status_code

        for port in (payment_port, frontend_port):
            server.until(lambda port=port: answers(port), f"the service on {port}", START_S)
        statuses = [order(), order()]
        (found,) = server.until(
            lambda: server.get("/api/v1/findings?service=payment").json()["findings"], "the finding", 40
        )
        answer = server.root_cause(found["trace_id"])
        report = server.get(f"/api/v1/traces/{found['trace_id']}/report").json()

    cause = answer["root_causes"][0]
    assert statuses == [204, 500]
    assert (answer["status"], answer["verdict"], answer["user_visible"]) == ("finding", "error", True)
    assert (answer["completeness"]["span_count"], answer["completeness"]["complete"]) == (3, True)
    assert (cause["entity"]["service"], cause["entity"]["operation"]) == ("payment", "POST /charge")
    assert [step["span"]["operation"] for step in answer["causal_chain"]] == ["POST /charge", "POST", "GET /checkout"]
    assert report["root_cause"]["location"] == line_of("Ledger.java", "begins here")


def answers(port: int) -> bool:
    """Whether somebody listens: any path but the one that counts."""
    return httpx.get(f"http://127.0.0.1:{port}/", timeout=40, trust_env=False).status_code == 404
