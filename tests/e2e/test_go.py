"""An application in Go that hands an error back without recording it: the parent is marked, the child began it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import ROOT, Server, environment, serving

PROGRAM = ROOT / ".tools" / "go" / "payment"  # tests/go/payment, built by make

pytestmark = [pytest.mark.e2e, pytest.mark.go, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def program() -> Path:
    """Return where it was built. In CI it must be there; elsewhere the reason is told."""
    if PROGRAM.exists():
        return PROGRAM
    reason = f"{PROGRAM.relative_to(ROOT)} is not built; run make test, with Go installed"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def server(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("go")) as server:
        yield server


def failed_payment(program: Path, server: Server, healthy: int) -> dict[str, Any]:
    """Send payments, the last of which fails, and ask about that one."""
    sent = subprocess.run(
        [program, server.otlp_grpc, str(healthy)],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment(),
        check=False,
    )
    assert (sent.returncode, sent.stderr) == (0, "")
    return server.root_cause(sent.stdout.strip())


@pytest.mark.parametrize("healthy", [0, 60], ids=["the first request", "after healthy ones"])
def test_the_gateway_behind_the_silent_child_is_named(program: Path, server: Server, healthy: int):
    """processPayment is marked as failed, chargeCard is unset: the trouble came through chargeCard, from the gateway.

    processPayment  |========| ERROR  "payment gateway error: connection reset by peer"
      chargeCard      |====|   unset                                <- where it came in
    """
    answer = failed_payment(program, server, healthy)

    cause = answer["root_causes"][0]
    assert (answer["status"], answer["verdict"], answer["user_visible"]) == ("finding", "error", True)
    assert [span["operation"] for span in cause["origin_spans"]] == ["chargeCard"]
    assert (cause["entity"]["kind"], cause["entity"]["name"]) == ("peer", "payment gateway")
    assert "connection reset by peer" in cause["error_message"]
