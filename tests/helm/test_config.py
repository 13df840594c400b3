"""The configuration that instances and gateway read: what the chart sets, what is said over it, and that it is taken."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.config import ConfigError, check
from tests.support.chart import (
    NAME,
    VALUES,
    RefusedValuesError,
    config_of,
    containers,
    of_kind,
    pods,
    rendered,
    rendered_text,
)
from tests.support.tools import built

HEADLESS = f"{NAME}-headless.observability.svc.cluster.local"


@pytest.mark.parametrize("name", VALUES)
def test_the_program_takes_the_configuration(name: str):
    """Unknown keys and wrong values would be faults."""
    config = check(config_of(rendered(name)))

    assert config.query.endpoint == "0.0.0.0:8080"
    assert str(config.storage.path) == "/var/lib/firstfault"


def test_what_is_said_goes_over_what_the_chart_sets():
    """Deep: one key of a section leaves its neighbours; false and 0 count; large numbers stay numbers."""
    said = {
        "receivers": {"otlp": {"protocols": {"http": {"enabled": False}, "grpc": {"message_bytes_max": 1000000}}}},
        "assembly": {"late_window_s": 0, "open_traces_max": 12000000},
        "incidents": {"enabled": False},
        "storage": {"bytes_max": 8000000000},
        "service": {"telemetry": {"logs": {"level": "debug"}}},
    }

    config = check(config_of(rendered({"config": said})))

    protocols = config.receivers.otlp.protocols
    assert (protocols.http.enabled, protocols.http.endpoint) == (False, "0.0.0.0:4318")
    assert (protocols.grpc.message_bytes_max, protocols.grpc.endpoint) == (1_000_000, "0.0.0.0:4317")
    assert (config.assembly.late_window_s, config.assembly.open_traces_max) == (0, 12_000_000)
    assert config.incidents.enabled is False
    assert config.storage.bytes_max == 8_000_000_000
    logs = config.service.telemetry.logs
    assert (logs.level, logs.format, config.service.processes) == ("debug", "json", 2)


def test_a_default_of_the_chart_can_be_taken_away():
    """null, as everywhere in Helm: then the program's own default holds."""
    config = config_of(rendered({"config": {"service": {"processes": None}}}))

    assert "processes" not in config["service"]


def test_ports_follow_the_endpoints():
    """One number, said once: container, services, probe, policy, gateway, test."""
    said = {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "0.0.0.0:5317"}}}},
        "query": {"endpoint": "0.0.0.0:9080"},
    }
    objects = rendered({"config": said, "gateway": {"enabled": True}, "replicas": 2})

    ports = {port["name"]: port["containerPort"] for port in containers(objects)[0]["ports"]}
    assert (ports["otlp-grpc"], ports["query"]) == (5317, 9080)
    for service in of_kind(objects, "Service", "server"):
        served = {port["name"]: port["port"] for port in service["spec"]["ports"]}
        assert (served["otlp-grpc"], served["query"]) == (5317, 9080)
    assert config_of(objects)["query"]["peers"]["port"] == 9080
    resolver = config_of(objects, "gateway")["exporters"]["loadbalancing"]["resolver"]
    assert resolver["dns"]["port"] == "5317"
    (test,) = of_kind(objects, "Pod")
    assert f"http://{NAME}.observability.svc:5317" in test["spec"]["containers"][0]["args"]
    assert f"http://{NAME}.observability.svc:9080" in test["spec"]["containers"][0]["args"]


def test_a_door_that_is_shut_has_no_port():
    objects = rendered({"config": {"receivers": {"otlp": {"protocols": {"http": {"enabled": False}}}}}})

    shown = [port["name"] for found in of_kind(objects, "Service") for port in found["spec"]["ports"]]
    assert "otlp-http" not in shown + [port["name"] for port in containers(objects)[0]["ports"]]
    assert "otlp-http" not in yaml.safe_dump(of_kind(objects, "NetworkPolicy"))


def test_another_configuration_is_another_pod():
    """And a change of something else is not."""

    def checksum(values: dict[str, Any]) -> str:
        return str(pods(rendered(values))[0]["metadata"]["annotations"]["checksum/config"])

    assert checksum({"config": {"assembly": {"idle_s": 4}}}) != checksum({})
    assert checksum({"dashboard": {"enabled": True}, "podAnnotations": {"a": "b"}}) == checksum({})


def test_headers_are_read_from_files_of_the_secret():
    objects = rendered("existing-secret")

    headers = config_of(objects)["exporters"]["otlp"]["headers"]
    assert headers == {
        "authorization": "${file:/etc/firstfault/exporter-headers/authorization}",
        "x-scope-orgid": "${file:/etc/firstfault/exporter-headers/tenant}",
        "x-cluster": "${env:CLUSTER}",
    }
    mounts = {mount["name"]: mount["mountPath"] for mount in containers(objects)[0]["volumeMounts"]}
    assert mounts["exporter-headers"] == "/etc/firstfault/exporter-headers"
    volumes = {volume["name"]: volume for volume in pods(objects)[0]["spec"]["volumes"]}
    assert volumes["exporter-headers"]["secret"]["secretName"] == "tempo-access"


def test_who_asks_shows_a_token():
    """Gateway and test have it in their environment; the server has its files, not their token."""
    values = {
        "auth": {"existingSecret": "users", "clientToken": {"existingSecret": "client"}},
        "gateway": {"enabled": True},
    }
    objects = rendered(values)
    server, gateway, test = (pod["spec"]["containers"][0] for pod in pods(objects))

    wanted = {"name": "FIRSTFAULT_TOKEN", "valueFrom": {"secretKeyRef": {"name": "client", "key": "token"}}}
    assert wanted in gateway["env"]
    assert test["env"] == [wanted]
    assert "env" not in server
    assert "/etc/firstfault/auth" in [mount["mountPath"] for mount in server["volumeMounts"]]
    way = config_of(objects, "gateway")["exporters"]["loadbalancing"]["protocol"]["otlp"]
    assert way["headers"] == {"authorization": "Bearer ${env:FIRSTFAULT_TOKEN}"}


def test_each_door_has_its_certificate():
    tree = config_of(rendered("tls"))

    folder = "/etc/firstfault/tls"
    files = {"cert_file": f"{folder}/receivers/tls.crt", "key_file": f"{folder}/receivers/tls.key"}
    asked = files | {"client_ca_file": f"{folder}/receivers/ca.crt"}
    protocols = tree["receivers"]["otlp"]["protocols"]
    assert (protocols["grpc"]["tls"], protocols["http"]["tls"]) == (asked, asked)
    assert tree["query"]["tls"] == {"cert_file": f"{folder}/query/tls.crt", "key_file": f"{folder}/query/tls.key"}
    exporter = tree["exporters"]["otlp"]
    assert (exporter["insecure"], exporter["ca_file"]) == (False, f"{folder}/exporter/ca.crt")
    assert exporter["cert_file"] == f"{folder}/exporter/tls.crt"


def test_the_servers_key_is_the_servers():
    """Gateway and test get who signed the certificate, not the key."""
    values = yaml.safe_load(VALUES["tls"].read_text()) | {"gateway": {"enabled": True}}
    _, *clients = pods(rendered(values))

    assert len(clients) == 2
    for client in clients:
        secrets = {volume["name"]: volume["secret"] for volume in client["spec"]["volumes"] if "secret" in volume}
        assert secrets["ca"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]
        assert secrets["client"]["secretName"] == "firstfault-client-tls"


TLS = {"receivers": {"existingSecret": "otlp"}, "query": {"existingSecret": "query"}}
MUTUAL_TLS = {door: secret | {"clientAuth": True} for door, secret in TLS.items()} | {
    "client": {"existingSecret": "us"}
}
BEARER = {"bearer": [{"name": "a", "token_file": "/etc/firstfault/auth/a", "roles": ["ingest", "read"]}]}
NO_HTTP = {"receivers": {"otlp": {"protocols": {"http": {"enabled": False}}}}}


def test_pods_may_listen_without_credentials_because_the_chart_says_so():
    """Where the chart says nothing, the program refuses."""
    tree = config_of(rendered({}))

    assert tree["service"].pop("insecure") is True
    with pytest.raises(ConfigError, match=r"query\.endpoint is 0\.0\.0\.0:8080 \(anybody can"):
        check(tree)


@pytest.mark.parametrize(
    "values",
    [
        {"tls": TLS, "config": {"auth": BEARER}},
        {"tls": MUTUAL_TLS},
        {
            "tls": TLS | {"receivers": MUTUAL_TLS["receivers"], "client": MUTUAL_TLS["client"]},
            "config": {"auth": BEARER},
        },
        {"tls": TLS, "config": {"auth": BEARER} | NO_HTTP},
    ],
    ids=["tokens", "certificates", "both", "no OTLP/HTTP"],
)
@pytest.mark.parametrize("said", [{}, {"insecure": False}], ids=["unsaid", "false"])
def test_the_switch_is_off_once_every_door_is_shut(values: dict[str, Any], said: dict[str, Any]):
    """Chart and program agree on what is shut."""
    config = values.get("config", {}) | {"service": said}

    assert check(config_of(rendered(values | {"config": config}))).service.insecure is False


@pytest.mark.parametrize(
    ("values", "open_doors"),
    [
        ({"tls": TLS}, ["query", "grpc", "http"]),
        ({"config": {"auth": BEARER}}, ["query", "grpc", "http"]),
        ({"config": NO_HTTP}, ["query", "grpc"]),
        ({"tls": {"query": TLS["query"]}, "config": {"auth": BEARER}}, ["grpc", "http"]),
        ({"tls": TLS, "config": {"auth": BEARER | {"query": False}}}, ["query"]),
        ({"tls": TLS, "config": {"auth": BEARER | {"receivers": False}}}, ["grpc", "http"]),
    ],
    ids=["TLS alone", "a token alone", "nothing", "half of the TLS", "questions let in", "spans let in"],
)
def test_what_the_chart_calls_open_the_program_refuses(values: dict[str, Any], open_doors: list[str]):
    """The same doors, by name, before anything is installed."""
    tree = config_of(rendered(values))
    tree["service"]["insecure"] = False
    with pytest.raises(ConfigError) as by_program:
        check(tree)
    config = values.get("config", {}) | {"service": {"insecure": False}}
    with pytest.raises(RefusedValuesError) as by_chart:
        rendered_text(values | {"config": config})

    for name in ("query", "grpc", "http"):
        prefix = "" if name == "query" else "receivers.otlp.protocols."
        assert (f"{prefix}{name}.endpoint is 0.0.0.0" in str(by_program.value)) == (name in open_doors)
        assert (f"config.{prefix}{name}" in str(by_chart.value).partition(";")[0]) == (name in open_doors)


@pytest.mark.parametrize(
    ("values", "asked"),
    [
        ({}, False),
        ({"replicas": 2}, True),
        ({"autoscaling": {"enabled": True}}, True),
        ({"replicas": 5, "autoscaling": {"enabled": True, "minReplicas": 1, "maxReplicas": 1}}, False),
    ],
    ids=["one", "two", "as many as wanted", "one at most"],
)
def test_instances_know_one_another_when_there_are_several(values: dict[str, Any], asked: bool):
    objects = rendered(values)

    peers = config_of(objects)["query"].get("peers")
    assert peers == ({"dns": HEADLESS, "port": 8080, "timeout_s": 0.5} if asked else None)
    (server,) = [one for one in of_kind(objects, "NetworkPolicy") if one["metadata"]["name"] == NAME]
    assert ("podSelector" in yaml.safe_dump(server["spec"]["egress"])) == asked


@pytest.mark.parametrize(
    ("url", "port"), [("https://id.example.com/keys", 443), ("https://id.example.com:8443/k", 8443)]
)
def test_the_keys_of_who_signs_tokens_may_be_fetched(url: str, port: int):
    """The policy opens the way to their port, and no other."""
    oidc = {"issuer": "https://id.example.com", "audience": "firstfault", "jwks_url": url}
    objects = rendered({"config": {"auth": {"oidc": oidc}}})

    (policy,) = of_kind(objects, "NetworkPolicy")
    assert [one["port"] for rule in policy["spec"]["egress"] for one in rule["ports"]] == [53, 53, port]


# The gateway.


def test_a_trace_goes_whole_to_one_instance():
    """Grouped first, then sent by its id, to the addresses of the headless service; logs by theirs."""
    tree = config_of(rendered("replicas-with-collector"), "gateway")

    balancing = tree["exporters"]["loadbalancing"]
    assert balancing["routing_key"] == "traceID"
    assert balancing["resolver"] == {"dns": {"hostname": HEADLESS, "port": "4317", "interval": "5s", "timeout": "1s"}}
    pipelines = tree["service"]["pipelines"]
    assert pipelines["traces"]["processors"] == ["memory_limiter", "groupbytrace", "batch"]
    assert pipelines["traces"]["exporters"] == pipelines["logs"]["exporters"] == ["loadbalancing"]
    assert pipelines["traces/backend"]["exporters"] == ["otlp/backend"]
    assert tree["exporters"]["otlp/backend"]["endpoint"] == "tempo.tracing.svc:4317"


def test_the_gateway_speaks_tls_to_instances():
    """The certificate is the service's, whatever address an instance has."""
    values = yaml.safe_load(VALUES["tls"].read_text()) | {"gateway": {"enabled": True}}

    tls = config_of(rendered(values), "gateway")["exporters"]["loadbalancing"]["protocol"]["otlp"]["tls"]

    assert tls["insecure"] is False
    assert tls["server_name_override"] == f"{NAME}.observability.svc"
    assert tls["cert_file"] == "/etc/firstfault/tls/client/tls.crt"


@pytest.mark.parametrize("name", ["replicas-with-collector", "autoscaling"])
def test_the_collector_takes_the_gateways_configuration(name: str, tmp_path: Path):
    """The real one says so."""
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config_of(rendered(name), "gateway")))

    done = subprocess.run(
        [built("go/otelcol", "Go"), "validate", f"--config={path}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr


# What people read after an installation.


def notes(values: dict[str, Any]) -> str:
    return rendered_text(values, notes=True).partition("NOTES:")[2]


def test_notes_tell_the_next_step():
    """Wait, try, send, ask; with the names of this release."""
    said = notes({})

    steps = [
        "rollout status statefulset/" + NAME,
        f"helm -n observability test {NAME.split('-')[0]}",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ]
    steps += ["port-forward service/" + NAME, "/api/v1/incidents?status=open", "config.exporters.otlp.endpoint"]
    places = [said.index(step) for step in steps]
    assert places == sorted(places)
    assert f"http://{NAME}.observability.svc:4317" in said
    assert "!" not in said


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"replicas": 2}, "loadbalancing exporter and routing_key: traceID"),
        ({"persistence": {"enabled": False}}, "gone with their pod"),
        ({"networkPolicy": {"enabled": False}}, "without TLS or credentials are config.query, config.receivers"),
        (
            {"ingress": {"enabled": True, "hosts": [{"host": "a.b", "paths": [{"path": "/", "pathType": "Prefix"}]}]}},
            "networkPolicy.query.from",
        ),
        ({"httpRoute": {"enabled": True, "parentRefs": [{"name": "g"}]}}, "authentication"),
    ],
    ids=["no gateway", "no volume", "no policy", "ingress", "route"],
)
def test_notes_warn(values: dict[str, Any], words: str):
    assert words in re.sub(r"\s+", " ", "".join(notes(values).partition("! ")[1:]))


def test_notes_send_to_the_gateway_when_there_is_one():
    said = notes({"replicas": 2, "gateway": {"enabled": True}})

    assert f"http://{NAME}-gateway.observability.svc:4317" in said
    assert "!" not in said
