"""The whole program behind TLS: every way in and out of it."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from collector.pb.firstfault.v1 import root_cause_pb2 as pb
from collector.pb.firstfault.v1 import root_cause_pb2_grpc as pb_grpc
from tests.support.certificates import Authority
from tests.support.doors import TRACE_ID, request
from tests.support.drawing import draw
from tests.support.running import LOCAL, environment, firstfault, serving, write_configuration

pytestmark = pytest.mark.e2e


def tls_everywhere(tls: dict[str, str]) -> dict[str, Any]:
    protocols = {"grpc": {"tls": tls}, "http": {"tls": tls}}
    return {"receivers": {"otlp": {"protocols": protocols}}, "query": {"tls": tls}}


def test_every_port_of_several_processes_speaks_tls(tmp_path: Path):
    """Receivers share a port and each holds the certificate itself; answers come back over TLS too."""
    servers, clients = Authority("servers"), Authority("clients")
    cert_file, key_file = servers.issue("server").write(tmp_path)
    us = clients.issue("us")
    tls = {
        "cert_file": str(cert_file),
        "key_file": str(key_file),
        "client_ca_file": str(clients.write(tmp_path, "clients")),
    }
    context = ssl.create_default_context(cadata=servers.pem.decode())
    context.load_cert_chain(*us.write(tmp_path))
    credentials = grpc.ssl_channel_credentials(servers.pem, us.key, us.certificate)
    with (
        serving(tmp_path, processes=2, changes=tls_everywhere(tls)) as server,
        httpx.Client(verify=context, trust_env=False, timeout=30) as http,
        grpc.secure_channel(server.otlp_grpc, credentials) as receiver,
        grpc.secure_channel(f"{LOCAL}:{server.ports['grpc']}", credentials) as query,
    ):
        TraceServiceStub(receiver).Export(request("a"), timeout=20)
        sent = http.post(
            f"https://{LOCAL}:{server.ports['otlp_http']}/v1/traces",
            content=request("a").SerializeToString(),
            headers={"content-type": "application/x-protobuf"},
        )
        asked = http.get(
            f"https://{LOCAL}:{server.ports['rest']}/api/v1/traces/{TRACE_ID.hex()}/root-cause", params={"wait": 20}
        )
        answer = pb_grpc.RootCauseServiceStub(query).Get(pb.GetRequest(trace_id=TRACE_ID.hex()), timeout=20).answer

        assert (sent.status_code, asked.status_code) == (200, 200)
        assert answer.trace_id == asked.json()["trace_id"] == TRACE_ID.hex()
        assert asked.headers["strict-transport-security"]


@pytest.mark.parametrize("command", [("config", "check"), ("serve",)])
def test_files_that_are_bad_are_named_before_anything_starts(tmp_path: Path, command: tuple[str, ...]):
    """Both of two, with the keys of the configuration; exit status 2, no port was opened, no directory made."""
    cert_file, key_file = Authority("servers").issue("server").write(tmp_path)
    tls = {"cert_file": str(cert_file), "key_file": str(tmp_path / "nowhere.key")}
    changes = tls_everywhere(tls) | {
        "exporters": {"otlp": {"endpoint": "127.0.0.1:1", "insecure": False, "ca_file": str(key_file)}}
    }
    changes["receivers"]["otlp"]["protocols"]["http"]["tls"] = None
    path, tree, _ = write_configuration(tmp_path, changes=changes)

    done = firstfault(*command, "--config", path)

    said = done.stderr.decode()
    assert done.returncode == 2
    for words in (
        "3 fault(s) in files",
        f"receivers.otlp.protocols.grpc.tls.key_file {tmp_path}/nowhere.key cannot be read: No such file",
        "query.tls.key_file",
        f"exporters.otlp.ca_file {key_file} holds no PEM certificates",
    ):
        assert words in said
    assert not Path(tree["storage"]["path"]).exists()


def test_with_credentials_the_whole_way(tmp_path: Path):
    """A sender sends, a reader reads, from the command line too; nobody else does, and no secret is in the log."""
    sender, reader = "sender-token-of-the-test-0123", "reader-token-of-the-test-0123"
    (tmp_path / "readers").write_text(reader)
    servers = Authority("servers")
    cert_file, key_file = servers.issue("server").write(tmp_path)
    tls = {"cert_file": str(cert_file), "key_file": str(key_file)}
    auth = {
        "bearer": [
            {"name": "sender", "token": "${env:SENDER_TOKEN}", "roles": ["ingest"], "tenant": "shop-1"},
            {"name": "reader", "token_file": str(tmp_path / "readers"), "roles": ["read"]},
        ]
    }
    os.environ["SENDER_TOKEN"] = sender
    try:
        with serving(tmp_path, processes=1, changes={"auth": auth, "query": {"tls": tls}}) as server:
            traces = f"https://{LOCAL}:{server.ports['rest']}/api/v1/traces/{TRACE_ID.hex()}"
            with grpc.insecure_channel(server.otlp_grpc) as channel:
                stub = TraceServiceStub(channel)
                with pytest.raises(grpc.RpcError) as caught:
                    stub.Export(request("a"), timeout=20)
                stub.Export(request("a"), timeout=20, metadata=(("authorization", f"Bearer {sender}"),))
            verify = ssl.create_default_context(cadata=servers.pem.decode())
            with httpx.Client(verify=verify, trust_env=False, timeout=30) as http:
                statuses = [
                    http.get(f"{traces}/root-cause?wait=20", headers={"authorization": f"Bearer {token}"}).status_code
                    for token in ("nobody", sender, reader)
                ]
            told = {"FIRSTFAULT_TOKEN": reader, "FIRSTFAULT_CA_FILE": str(servers.write(tmp_path))}
            words = ("root-cause", TRACE_ID.hex(), "--server", traces.partition("/api")[0])
            known = firstfault(*words, env=environment() | told)
            unknown = firstfault(*words, env=environment() | told | {"FIRSTFAULT_TOKEN": "nobody"})
            printed = firstfault("config", "print", "--config", tmp_path / "config.yaml")
            metrics = server.metrics()
            log = server.log.read_text()
    finally:
        del os.environ["SENDER_TOKEN"]

    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert statuses == [401, 403, 200]
    assert (known.returncode, unknown.returncode) == (0, 1)
    assert b"no valid credential" in unknown.stderr
    assert metrics["door_credentials|unauthenticated"] == 3
    assert b"token: '**********'" in printed.stdout
    for text in (log, printed.stdout.decode(), unknown.stderr.decode()):
        assert sender not in text
        assert reader not in text


def test_two_tenants_with_one_trace_id_have_an_answer_each(tmp_path: Path):
    """Over the wire, several processes, from the command line too; each reads its own, an operator both."""
    faults = {"shop": ("payment", "Charge"), "bank": ("ledger", "Read")}
    tokens = {who: f"{who}-token-of-the-test-0123" for who in (*faults, "operator")}
    auth = {
        "bearer": [
            *({"name": one, "token": tokens[one], "roles": ["ingest", "read"], "tenant": one} for one in faults),
            {"name": "operator", "token": tokens["operator"], "roles": ["read"]},
        ],
    }
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    with serving(tmp_path, processes=2, changes={"auth": auth}) as server:
        with grpc.insecure_channel(server.otlp_grpc) as channel:
            for tenant, (service, operation) in faults.items():
                lines = f'gateway GET /x 0..100 ERROR\n  {service} {operation} 50..90 ERROR !Broken: "no"'
                spans, _ = draw(lines, trace_id=bytes.fromhex(trace_id)).requests()
                call = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
                call(spans, timeout=20, metadata=(("authorization", f"Bearer {tokens[tenant]}"),))
        traces = f"/api/v1/traces/{trace_id}"

        def get(who: str, path: str) -> httpx.Response:
            return server.get(path, headers={"authorization": f"Bearer {tokens[who]}"})

        answers = {tenant: get("operator", f"{traces}@{tenant}/root-cause?wait=20").json() for tenant in faults}
        own = {tenant: get(tenant, f"{traces}/root-cause").json() for tenant in faults}
        others = get("shop", f"{traces}@bank/root-cause")
        which = get("operator", f"{traces}/root-cause")
        listed = {who: get(who, "/api/v1/findings").json()["findings"] for who in tokens}
        closed = get("shop", "/api/v1/groups")
        words = ("root-cause", f"{trace_id}@bank", "--server", f"http://{LOCAL}:{server.ports['rest']}")
        shown, refused = (
            firstfault(*words, env=environment() | {"FIRSTFAULT_TOKEN": tokens[who]}) for who in ("operator", "shop")
        )

    for tenant, (service, _) in faults.items():
        assert (answers[tenant]["trace_id"], answers[tenant]["tenant"]) == (trace_id, tenant)
        assert answers[tenant]["root_causes"][0]["entity"]["service"] == service
        assert answers[tenant]["completeness"]["span_count"] == 2
    assert own == answers
    assert (others.status_code, closed.status_code) == (404, 403)
    assert (which.status_code, which.json()["type"]) == (409, "urn:firstfault:problem:trace_several")
    assert {who: sorted(row["tenant"] for row in rows) for who, rows in listed.items()} == {
        "shop": ["shop"],
        "bank": ["bank"],
        "operator": ["bank", "shop"],
    }
    assert (shown.returncode, b"ledger" in shown.stdout) == (0, True)
    assert (refused.returncode, b"ledger" in refused.stdout) == (1, False)
