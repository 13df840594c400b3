"""The rendered command lines, for real: the server becomes ready and stops in time, the test pod's program finds it right."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import yaml
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.contracts import Signal
from tests.support.certificates import Authority
from tests.support.chart import Object, config_of, of_kind, pods, rendered
from tests.support.chart_local import Local
from tests.support.fakes.otlp_sink import GrpcSink, HttpSink
from tests.support.running import ANSWER_S, LOCAL, START_S, Server, end, environment, firstfault, start
from tests.support.tools import built

TOKEN = "0123456789abcdef0123456789abcdef"
SERVING = HealthCheckResponse.SERVING
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(200)]


@contextmanager
def started(local: Local) -> Iterator[Server]:
    """Start as the container would be started; until its own startup probe is content."""
    path = local.write_configuration()
    assert local.command() == ["serve", "--config", str(path)]
    server = start(local.folder, path, local.configuration(), local.doors)
    try:
        server.until(lambda: probe(local, "startupProbe") == 200, "the startup probe", START_S)
        yield server
    finally:
        end(server)


def probe(local: Local, name: str) -> int:
    """Ask as the kubelet would: over gRPC about the whole server, or over HTTP; the status."""
    if way := local.server[name].get("grpc"):
        with grpc.insecure_channel(f"{LOCAL}:{local.ports[way['port']]}") as channel:
            return int(HealthStub(channel).Check(HealthCheckRequest(), timeout=10).status)
    way = local.server[name]["httpGet"]
    ports = {port["name"]: port["containerPort"] for port in local.server["ports"]}
    return httpx.get(f"http://{LOCAL}:{local.ports[ports[way['port']]]}{way['path']}", trust_env=False).status_code


@pytest.mark.parametrize("name", ["default", pytest.param("minimal", marks=pytest.mark.deep)])
def test_it_starts_is_well_and_stops_in_time(name: str, tmp_path: Path):
    """Ready, alive, metrics; SIGTERM ends it within what is left of the grace after preStop."""
    local = Local(rendered(name), tmp_path)
    spec = pods(local.objects)[0]["spec"]
    left_s = spec["terminationGracePeriodSeconds"] - local.server["lifecycle"]["preStop"]["sleep"]["seconds"]

    with started(local) as server:
        assert (probe(local, "readinessProbe"), probe(local, "livenessProbe")) == (200, 200)
        assert "process_uptime_seconds" in server.metrics()
        assert server.stop(timeout_s=left_s) == 0, server.said()

    written = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*") if path.is_file()}
    assert {part for part in written if not part.startswith("server-")} == {"etc", "var"}


def test_the_test_pod_finds_it_right(tmp_path: Path):
    """helm test, with the command line of its pod."""
    local = Local(rendered("default"), tmp_path)

    with started(local) as server:
        done = firstfault(*local.test_command(), timeout=100)
        assert done.returncode == 0, done.stderr.decode() + server.said()

    assert b"right: firstfault-selftest-payment" in done.stdout


def test_the_test_pod_notices_when_nothing_answers(tmp_path: Path):
    """The same command line, no server: not right."""
    local = Local(rendered({"test": {"timeoutSeconds": 10}}), tmp_path)

    done = firstfault(*local.test_command())

    assert done.returncode == 1
    assert b"did not take the trace" in done.stderr


def local_peers(objects: list[Object]) -> list[Object]:
    """The name of all instances leads to this machine."""
    name = config_of(objects)["query"]["peers"]["dns"]
    for found in of_kind(objects, "ConfigMap", "server"):
        found["data"]["config.yaml"] = found["data"]["config.yaml"].replace(name, "localhost")
    return objects


@pytest.mark.deep
def test_several_instances_ask_one_another(tmp_path: Path):
    """Of three, one is here: its peers' name leads to itself alone, and it answers."""
    local = Local(local_peers(rendered("replicas-with-collector")), tmp_path)

    with started(local) as server:
        done = firstfault(*local.test_command(), timeout=100)

    assert done.returncode == 0, done.stderr.decode() + server.said()


@contextmanager
def collecting(folder: Path, tree: dict[str, Any]) -> Iterator[None]:
    """The real Collector with this configuration."""
    path, log = folder / "gateway.yaml", folder / "gateway.log"
    path.write_text(yaml.safe_dump(tree))
    with log.open("wb") as out:
        command = [built("go/otelcol", "Go"), "--config", path]
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environment())
    try:
        yield
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(20)


def test_a_trace_comes_through_the_gateway(tmp_path: Path):
    """Sent to the Collector with the rendered configuration: whole to the instance, which is right, and to the backend."""
    local = Local(local_peers(rendered("replicas-with-collector")), tmp_path)

    with GrpcSink() as backend, started(local) as server:
        tree, port = local.gateway(backend.endpoint)
        with collecting(tmp_path, tree):
            words = local.test_command()
            words[words.index("--otlp") + 1] = f"{LOCAL}:{port}"
            done = firstfault(*words, timeout=100)
            assert done.returncode == 0, done.stderr.decode() + server.said()
            backend.wait_taken(1)

    assert spans_of(backend) == 3


def spans_of(sink: GrpcSink) -> int:
    requests = [ExportTraceServiceRequest.FromString(one.payload) for one in sink.taken if one.signal is Signal.TRACES]
    return sum(
        len(scope.spans) for one in requests for resource in one.resource_spans for scope in resource.scope_spans
    )


@pytest.mark.deep
def test_headers_of_the_secret_reach_the_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """From mounted files and from the environment; neither stands in the ConfigMap."""
    monkeypatch.setenv("CLUSTER", "blue")
    monkeypatch.setenv("FIRSTFAULT_TOKEN", TOKEN)
    with HttpSink() as sink:
        local = Local(rendered("existing-secret"), tmp_path)
        local.write("/etc/firstfault/auth/clients", TOKEN.encode())
        local.write("/etc/firstfault/exporter-headers/authorization", b"Bearer hunter2\n")
        local.write("/etc/firstfault/exporter-headers/tenant", b"shop")
        for found in of_kind(local.objects, "ConfigMap", "server"):
            found["data"]["config.yaml"] = found["data"]["config.yaml"].replace("tempo.tracing.svc:4318", sink.endpoint)

        with started(local) as server:
            assert probe(local, "readinessProbe") == SERVING
            assert firstfault(*local.test_command(), timeout=100).returncode == 0, server.said()
            sink.wait_taken(1, ANSWER_S)

        sent = sink.taken[0].headers
        assert (sent["authorization"], sent["x-scope-orgid"], sent["x-cluster"]) == ("Bearer hunter2", "shop", "blue")


def test_with_certificates_on_every_door(tmp_path: Path):
    """Server and test pod meet with the files of their secrets; without a certificate of its own the test is refused."""
    authority = Authority("cluster")
    local = Local(rendered("tls"), tmp_path)
    for folder in {*local.mounted(), *local.mounted("test")} - {"/etc/firstfault/config.yaml"}:
        pair = authority.issue(folder.rpartition("/")[2])
        local.write(f"{folder}/tls.crt", pair.certificate)
        local.write(f"{folder}/tls.key", pair.key)
        local.write(f"{folder}/ca.crt", authority.pem)

    with started(local) as server:
        done = firstfault(*local.test_command(), timeout=100)
        words = local.test_command()
        words[words.index("--timeout") + 1] = "5"  # who is turned away asks again for as long as he is given
        nobody = firstfault(*words[: words.index("--cert-file")], timeout=100)

    assert done.returncode == 0, done.stderr.decode() + server.said()
    assert nobody.returncode == 1


@pytest.mark.deep
def test_with_tokens_asked_at_every_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The server reads the secret's file, the test pod shows the token of its environment; without it, it is refused."""
    bearer = {"name": "test", "token_file": "/etc/firstfault/auth/tokens", "roles": ["ingest", "read"]}
    secrets = {"existingSecret": "users", "clientToken": {"existingSecret": "client"}}
    local = Local(rendered({"config": {"auth": {"bearer": [bearer]}}, "auth": secrets}), tmp_path)
    local.write("/etc/firstfault/auth/tokens", TOKEN.encode() + b"\n")

    with started(local) as server:
        nobody = firstfault(*local.test_command(), timeout=100)
        monkeypatch.setenv("FIRSTFAULT_TOKEN", TOKEN)
        done = firstfault(*local.test_command(), timeout=100)

    assert nobody.returncode == 1
    assert b"UNAUTHENTICATED" in nobody.stderr
    assert done.returncode == 0, done.stderr.decode() + server.said()
