"""Real instances that know one another: any of them answers for a trace, whole or in parts; a dead one is named."""

from __future__ import annotations

import copy
import json
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from collector.pb.firstfault.v1 import root_cause_pb2 as pb
from collector.pb.firstfault.v1.root_cause_pb2_grpc import RootCauseServiceStub
from tests.support.certificates import Authority
from tests.support.drawing import Drawing, draw
from tests.support.running import LOCAL, Server, end, firstfault, overlay, start, write_configuration

pytestmark = pytest.mark.e2e

CHECKOUT = """
gateway   GET /checkout            0..100  ERROR
  gateway   CLIENT payment.Charge    45..95  ERROR  peer.service=payment
    payment   Charge                   50..90  ERROR  !CardError: "declined by bank"
"""


@contextmanager
def peers(folder: Path, count: int, more: dict[str, Any] | None = None) -> Iterator[list[Server]]:
    """Start them with all of them as peers, themselves included; named a, b, c. `more` goes into every configuration."""
    names = "abc"[:count]
    planned = [write_configuration(folder / name) for name in names]
    everybody = [f"{LOCAL}:{ports['rest']}" for _, _, ports in planned]
    with ExitStack() as running:
        servers = []
        for name, (path, tree, ports) in zip(names, planned, strict=True):
            overlay(tree, {"query": {"peers": {"endpoints": everybody, "name": name, "timeout_s": 10}}})
            path.write_text(json.dumps(overlay(tree, copy.deepcopy(more or {}))))
            server = start(folder / name, path, tree, ports)
            running.callback(end, server)
            servers.append(server)
        for server in servers:
            server.until(server.ready, "readiness", 100)
        yield servers


def send(server: Server, trace: Drawing, *numbers: int) -> None:
    """Some of its spans."""
    server.send(replace(trace, spans=tuple(trace.spans[number] for number in numbers)).requests()[0])


def kept(server: Server, trace: Drawing) -> bool:
    """Whether this instance itself has decided it."""
    return server.get(f"/api/v1/traces/{trace.trace_id.hex()}/held").json()["state"] == "answered"


def said(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "asked_peers"}


def test_two_instances_answer_as_one(tmp_path: Path):
    with peers(tmp_path, 2) as (a, b):
        whole, parted = draw(CHECKOUT, seed=1), draw(CHECKOUT, seed=2)
        send(b, whole, 0, 1, 2)
        send(a, parted, 0, 1)
        send(b, parted, 2)

        # waits at a for a verdict at b
        answer = a.root_cause(whole.trace_id)
        assert (answer["answered_by"], answer["root_causes"][0]["error_type"]) == ("b", "CardError")
        done = firstfault("root-cause", whole.trace_id.hex(), "--server", a.url)
        assert done.returncode == 0
        assert b"answered by b" in done.stdout
        with grpc.insecure_channel(f"{LOCAL}:{a.ports['grpc']}") as channel:
            got = RootCauseServiceStub(channel).Get(pb.GetRequest(trace_id=whole.trace_id.hex()), timeout=20)
        assert got.answer.answered_by == "b"

        for server in (a, b):
            server.until(lambda server=server: kept(server, parted), "its part")
        answers = [server.root_cause(parted.trace_id) for server in (a, b)]
        assert said(answers[0]) == said(answers[1])
        assert answers[0]["merged_from"] == ["a", "b"]
        assert answers[0]["root_causes"][0]["error_type"] == "CardError"
        assert {
            server.get(f"/api/v1/traces/{parted.trace_id.hex()}/spans").json()["span_count"] for server in (a, b)
        } == {3}

        counts = a.metrics()
        assert counts["query_peer_requests"] == counts["query_peer_replies"]
        assert counts["query_peer_addresses"] == 1


@pytest.mark.deep
def test_of_three_one_dies_and_comes_back(tmp_path: Path):
    """While it is away nothing is called unknown; afterwards it answers for what it held."""
    with peers(tmp_path, 3) as (a, b, c):
        trace, never_sent = draw(CHECKOUT, seed=3), "ab" * 16
        send(c, trace, 0, 1, 2)
        before = [server.root_cause(trace.trace_id) for server in (a, b, c)]
        assert said(before[0]) == said(before[1]) == said(before[2])

        assert c.stop() == 0
        for wanted in (trace.trace_id.hex(), never_sent):
            response = a.get(f"/api/v1/traces/{wanted}/root-cause")
            assert (response.status_code, response.json()["type"]) == (503, "urn:firstfault:problem:peers_silent")
            assert f"{LOCAL}:{c.ports['rest']}" in response.json()["detail"]
        done = firstfault("root-cause", never_sent, "--server", a.url, "--wait", "0")
        assert done.returncode == 1
        assert b"cannot be reached" in done.stderr

        c = start(c.folder, c.folder / "config.yaml", c.tree, c.ports)
        try:
            c.until(c.ready, "readiness", 100)
            assert said(a.root_cause(trace.trace_id)) == said(before[0])
            assert a.get(f"/api/v1/traces/{never_sent}/root-cause").status_code == 404
        finally:
            end(c)


def test_peers_ask_one_another_behind_tls_and_a_credential(tmp_path: Path):
    """Certificates name the service, addresses are those of instances; without the credential nothing is told."""
    authority = Authority("an authority")
    ca_file = authority.write(tmp_path)
    cert_file, key_file = authority.issue("firstfault", "firstfault.internal").write(tmp_path)
    tokens = tmp_path / "token"
    tokens.write_text("a-token-of-thirty-two-characters!")
    door = {
        "query": {
            "tls": {"cert_file": str(cert_file), "key_file": str(key_file)},
            "peers": {
                "insecure": False,
                "ca_file": str(ca_file),
                "server_name_override": "firstfault.internal",
                "headers": {"authorization": f"Bearer {tokens.read_text()}"},
                "timeout_s": 10,
            },
        },
        "auth": {
            "receivers": False,
            "bearer": [{"name": "peers", "token_file": str(tokens), "roles": ["read"]}],
        },
    }
    trace = draw(CHECKOUT, seed=9)
    secured = ssl.create_default_context(cafile=ca_file)
    secured.check_hostname = False
    with peers(tmp_path, 2, door) as (first, second):
        first.send(*trace.requests())
        with httpx.Client(base_url=second.url.replace("http:", "https:"), verify=secured, trust_env=False) as client:
            path = f"/api/v1/traces/{trace.trace_id.hex()}/root-cause?wait=20"
            refused = client.get(path)
            answer = client.get(path, headers=door["query"]["peers"]["headers"], timeout=40)

    assert refused.status_code == 401
    assert answer.json()["root_causes"][0]["entity"]["service"] == "payment"
    assert answer.json()["answered_by"] == "a"
