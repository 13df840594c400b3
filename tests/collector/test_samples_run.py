"""The samples of docs/samples run: the correlation id is read, made, echoed, passed on and logged."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
import pytest

from analyzer.errors.log_schema import faults_of

SAMPLES = Path(__file__).parents[2] / "docs" / "samples"
NODE = shutil.which("node")
FLASK = importlib.util.find_spec("flask")


@contextmanager
def node(**environment: str) -> Iterator[tuple[str, IO[str]]]:
    """The Node sample on a free port: its address, and its log."""
    assert NODE is not None
    process = subprocess.Popen(
        [NODE, str(SAMPLES / "node" / "server.mjs")],
        env=os.environ | {"PORT": "0"} | environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        port = json.loads(process.stdout.readline())["context"]["port"]
        yield f"http://127.0.0.1:{port}", process.stdout
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def ask(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers={name.replace("_", "-"): text for name, text in headers.items()}, trust_env=False)


def lines(log: IO[str], count: int) -> list[dict[str, Any]]:
    return [json.loads(log.readline()) for _ in range(count)]


@pytest.mark.skipif(NODE is None and "CI" not in os.environ, reason="node is not installed here; CI has it")
def test_the_node_sample_carries_the_id_through_two_services():
    with node(SERVICE="payment") as (behind, payment_log), node(SERVICE="gateway", NEXT_URL=behind) as (url, log):
        sent = ask(url, x_correlation_id="req-7f3b2a1c-4d5e-6f7g", traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
        made = ask(url)
        said, said_behind = lines(log, 4), lines(payment_log, 4)

    assert sent.headers["x-correlation-id"] == "req-7f3b2a1c-4d5e-6f7g"
    assert sent.json() == {"seen": "req-7f3b2a1c-4d5e-6f7g", "from": "gateway"}
    assert re.fullmatch(r"[0-9a-f-]{36}", made.headers["x-correlation-id"])
    assert made.json()["seen"] == made.headers["x-correlation-id"]
    assert [faults_of(line) for line in (*said, *said_behind)] == [[]] * 8
    assert {line["correlation_id"] for line in (*said[:2], *said_behind[:2])} == {"req-7f3b2a1c-4d5e-6f7g"}
    assert said[0]["trace_id"] == "a" * 32


@pytest.mark.skipif(NODE is None and "CI" not in os.environ, reason="node is not installed here; CI has it")
def test_the_node_sample_tells_of_a_failure_under_the_id():
    with node() as (url, log):
        answer = ask(f"{url}/broken", x_correlation_id="order-42")
        _, failed = lines(log, 2)

    assert (answer.status_code, answer.headers["x-correlation-id"]) == (500, "order-42")
    assert (failed["correlation_id"], failed["error"]["type"]) == ("order-42", "TypeError")
    assert faults_of(failed) == []


@pytest.mark.skipif(FLASK is None, reason="Flask is no dependency of ours; install it to run its sample")
def test_the_flask_sample_reads_makes_echoes_and_logs_the_id():
    program = """
import app
client = app.app.test_client()
for path, headers in (("/", {"X-Correlation-ID": "order-42"}), ("/", {}), ("/broken", {"X-Correlation-ID": "order-43"})):
    answer = client.get(path, headers=headers)
    print("echo", answer.headers["X-Correlation-ID"], flush=True)
app.log.info("outside of a request")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=SAMPLES / "flask", capture_output=True, text=True, timeout=60, check=True
    )

    echoed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("echo ")]
    logged = [json.loads(line) for line in done.stdout.splitlines() if not line.startswith("echo ")]
    assert (echoed[0], echoed[2]) == ("order-42", "order-43")
    assert re.fullmatch(r"[0-9a-f-]{36}", echoed[1])
    assert [faults_of(line) for line in logged] == [[]] * len(logged)
    assert [line["correlation_id"] for line in logged][:2] == ["order-42"] * 2
    assert any(line["level"] == "ERROR" and line["error"]["type"] == "LookupError" for line in logged)
    assert logged[-1]["correlation_id"] == ""
