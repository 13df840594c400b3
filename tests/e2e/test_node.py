"""An application in another language: the OpenTelemetry SDK for Node.js sends, firstfault answers by trace id."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.running import ROOT, Server, environment, serving

CLIENT = ROOT / "tests" / "node"

pytestmark = [pytest.mark.e2e, pytest.mark.node, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def node() -> str:
    """Where node is, with the client installed. In CI it must be there; elsewhere the reason is told."""
    program = shutil.which("node")
    if program and (CLIENT / "node_modules" / ".installed").exists():
        return program
    reason = "the client is not installed; run tests/node/install.sh" if program else "node is not installed"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def server(node: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("node")) as server:
        yield server


@pytest.mark.parametrize("protocol", ["grpc", "proto", "json"])
def test_a_trace_of_node_is_answered(node: str, server: Server, protocol: str):
    """frontend -> payment, where the card is declined: payment is named, with the message of its error."""
    endpoint = f"http://{server.otlp_grpc}" if protocol == "grpc" else server.otlp_http
    sent = subprocess.run(
        [node, "send.mjs", protocol, endpoint, "gzip"],
        cwd=CLIENT,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
        check=False,
    )
    assert (sent.returncode, sent.stderr) == (0, "")

    answer = server.root_cause(sent.stdout.strip())

    cause = answer["root_causes"][0]
    assert (answer["status"], answer["completeness"]["span_count"]) == ("finding", 3)
    assert (cause["entity"]["service"], cause["entity"]["operation"]) == ("payment", "Charge")
    assert (cause["entity"]["version"], cause["error_type"]) == ("1.2.3", "CardError")
    assert "declined by bank" in cause["sentence"]
