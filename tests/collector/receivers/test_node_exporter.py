"""The OpenTelemetry SDK for Node.js sends through both doors."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.errors import BadRequestError
from tests.support.doors import open_doors

CLIENT = Path(__file__).parents[2] / "node"

pytestmark = pytest.mark.node


@pytest.fixture(scope="module")
def node() -> str:
    """Where node is, with the client installed. In CI it must be there; elsewhere the reason is told."""
    program = shutil.which("node")
    installed = (CLIENT / "node_modules" / ".installed").exists()
    if program and installed:
        return program
    reason = "node is not installed" if not program else "the client is not installed; run tests/node/install.sh"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _send(node: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Proxies of the environment are not for loopback.
    environ = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    command = [node, "send.mjs", *arguments]
    return subprocess.run(command, cwd=CLIENT, capture_output=True, text=True, timeout=60, env=environ, check=False)


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("protocol", ["grpc", "proto", "json"])
def test_a_failing_trace_arrives_whole(node: str, protocol: str, compression: str):
    """frontend -> payment, where the card is declined: three spans of two services, one exception."""
    with open_doors() as doors:
        endpoint = f"http://{doors.grpc_address}" if protocol == "grpc" else doors.http_address

        done = _send(node, protocol, endpoint, compression)

        assert (done.returncode, done.stderr) == (0, "")
        found = ExportTraceServiceRequest()
        for _, payload in doors.handover.taken:
            found.MergeFromString(payload)

    spans = {
        span.name: (resource.resource.attributes, span)
        for resource in found.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }
    assert sorted(spans) == ["Charge", "GET /checkout", "payment.Charge"]
    resource, charge = spans["Charge"]
    assert {pair.key: pair.value.string_value for pair in resource}["service.name"] == "payment"
    assert charge.trace_id.hex() == done.stdout.strip()
    assert charge.parent_span_id == spans["payment.Charge"][1].span_id
    assert [event.name for event in charge.events] == ["exception"]


@pytest.mark.parametrize("protocol", ["grpc", "proto", "json"])
def test_a_refused_trace_is_not_success(node: str, protocol: str):
    """The client exits 1 then: its 0 means that the trace was acknowledged."""
    with open_doors() as doors:
        doors.handover.faults.append(BadRequestError("not this one"))
        endpoint = f"http://{doors.grpc_address}" if protocol == "grpc" else doors.http_address

        done = _send(node, protocol, endpoint)

    assert (done.returncode, "not acknowledged" in done.stderr) == (1, True)
