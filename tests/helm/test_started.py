"""The rendered command lines, for real: the server becomes ready and stops in time, the test pod's program finds it right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.chart import config_of, of_kind, pods, rendered
from tests.support.chart_local import Local
from tests.support.fakes.otlp_sink import HttpSink
from tests.support.running import ANSWER_S, LOCAL, START_S, Server, end, firstfault, start

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
    """Ask as the kubelet would."""
    way = local.server[name]["httpGet"]
    ports = {port["name"]: port["containerPort"] for port in local.server["ports"]}
    return httpx.get(f"http://{LOCAL}:{local.ports[ports[way['port']]]}{way['path']}", trust_env=False).status_code


@pytest.mark.parametrize("name", ["default", "minimal"])
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


def test_several_instances_ask_one_another(tmp_path: Path):
    """Of three, one is here: its peers' name leads to itself alone, and it answers."""
    local = Local(rendered("replicas-with-collector"), tmp_path)
    for tree in of_kind(local.objects, "ConfigMap", "server"):
        tree["data"]["config.yaml"] = tree["data"]["config.yaml"].replace(
            config_of(local.objects)["query"]["peers"]["dns"], "localhost"
        )

    with started(local) as server:
        done = firstfault(*local.test_command(), timeout=100)

    assert done.returncode == 0, done.stderr.decode() + server.said()


def test_headers_of_the_secret_reach_the_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """From mounted files and from the environment; neither stands in the ConfigMap."""
    monkeypatch.setenv("CLUSTER", "blue")
    with HttpSink() as sink:
        local = Local(rendered("existing-secret"), tmp_path)
        local.write("/etc/firstfault/exporter-headers/authorization", b"Bearer hunter2\n")
        local.write("/etc/firstfault/exporter-headers/tenant", b"shop")
        for found in of_kind(local.objects, "ConfigMap", "server"):
            found["data"]["config.yaml"] = found["data"]["config.yaml"].replace("tempo.tracing.svc:4318", sink.endpoint)

        with started(local) as server:
            assert firstfault(*local.test_command(), timeout=100).returncode == 0, server.said()
            sink.wait_taken(1, ANSWER_S)

        sent = sink.taken[0].headers
        assert (sent["authorization"], sent["x-scope-orgid"], sent["x-cluster"]) == ("Bearer hunter2", "shop", "blue")


def test_with_certificates_on_every_door(tmp_path: Path):
    """Server and test pod meet with the files of their secrets; without a certificate of its own the test is refused."""
    from tests.support.certificates import Authority

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
        nobody = firstfault(*words[: words.index("--cert-file")], timeout=100)

    assert done.returncode == 0, done.stderr.decode() + server.said()
    assert nobody.returncode == 1
