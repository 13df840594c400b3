"""Helm itself is content with the chart, and wrong values are refused in words that help."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from analyzer.version import __version__
from tests.support.chart import CHART, NAME, VALUES, RefusedValuesError, helm, rendered_text

SECRET = {"existingSecret": "s"}
TOKEN = {"name": "a", "token_file": "/etc/firstfault/auth/a", "roles": ["ingest"]}
BACKEND = {"exporters": {"otlp": {"endpoint": "tempo:4317"}}}


@pytest.mark.parametrize("name", VALUES)
def test_lint_has_nothing_to_say(name: str):
    """Warnings count; that there is no icon does not."""
    done = helm("lint", "--strict", "--values", VALUES[name], CHART)

    assert done.returncode == 0, done.stdout
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("[")]
    assert said == ["[INFO] Chart.yaml: icon is recommended"]


def test_the_version_is_the_programs():
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__


def test_the_package_holds_what_is_read(tmp_path: Path):
    """Schema, rules and dashboard are in it; what only CI needs is not."""
    assert helm("package", CHART, "--destination", tmp_path).returncode == 0

    (path,) = tmp_path.glob("*.tgz")
    with tarfile.open(path) as package:
        names = {name.removeprefix("firstfault/") for name in package.getnames()}
    assert {
        "values.schema.json",
        "README.md",
        "files/alerts.yaml",
        "files/dashboard.json",
        "templates/NOTES.txt",
    } <= names
    assert not any(name.startswith("ci/") for name in names)


# What is wrong, where it must be said, and a word of what was expected.
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"replica": 3}, "replica", "additional properties"),
    ({"replicas": 0}, "/replicas", "minimum"),
    ({"replicas": "three"}, "/replicas", "integer"),
    ({"image": {"tags": "1"}}, "/image", "tags"),
    ({"image": {"digest": "sha256:short"}}, "/image/digest", "pattern"),
    ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy", "IfNotPresent"),
    ({"config": {"assembly": {"idle_seconds": 3}}}, "/config/assembly", "idle_seconds"),
    ({"config": {"assembly": {"idle_s": 0}}}, "/config/assembly/idle_s", "exclusiveMinimum"),
    ({"config": {"storage": {"retention_hours": "long"}}}, "/config/storage/retention_hours", "number"),
    ({"config": {"service": {"telemetry": {"logs": {"level": "loud"}}}}}, "/logs/level", "warning"),
    ({"config": {"exporters": {"otlp": {"protocol": "http"}}}}, "/config/exporters/otlp", "endpoint"),
    ({"persistence": {"size": "big"}}, "/persistence/size", "pattern"),
    ({"probes": {"readiness": {"type": "exec"}}}, "/probes/readiness/type", "http"),
    ({"tls": {"receivers": {"secretName": "x"}}}, "/tls/receivers", "secretName"),
    ({"networkPolicy": {"otlp": {"from": {"podSelector": {}}}}}, "/networkPolicy/otlp/from", "array"),
    ({"podDisruptionBudget": {"maxUnavailable": "half"}}, "/podDisruptionBudget/maxUnavailable", "pattern"),
    ({"ingress": {"hosts": [{"host": "a.example.com"}]}}, "/ingress/hosts/0", "paths"),
    ({"gateway": {"resolver": "consul"}}, "/gateway/resolver", "k8s"),
    ({"gateway": {"groupByTrace": {"wait": 5}}}, "/gateway/groupByTrace/wait", "string"),
    # What a schema cannot see.
    (
        {"config": {"query": {"endpoint": "127.0.0.1:8080"}}},
        "config.query.endpoint is 127.0.0.1:8080",
        "expected 0.0.0.0",
    ),
    ({"config": {"query": {"endpoint": "${env:WHERE}"}}}, "config.query.endpoint is ${env:WHERE}", "number"),
    ({"config": {"query": {"endpoint": "0.0.0.0:4317"}}}, "port 4317", "expected a port for each"),
    (
        {"config": {"service": {"insecure": False}}},
        "config.query, config.receivers.otlp.protocols.grpc, config.receivers.otlp.protocols.http;",
        "or config.service.insecure: true",
    ),
    ({"config": {"storage": {"path": "/data"}}}, "config.storage.path is /data", "read-only"),
    ({"config": {"service": {"stop_timeout_s": 30}}}, "terminationGracePeriodSeconds is 30", "more than 35"),
    ({"preStopSeconds": 25}, "terminationGracePeriodSeconds is 30", "more than 35"),
    ({"persistence": {"size": "10Gi"}}, "config.storage.bytes_max is 10737418240", "90 % of it"),
    ({"config": {"assembly": {"memory_bytes_max": 4294967296}}}, "memory_bytes_max is 4294967296", "half of it"),
    (
        {"config": {"assembly": {"memory_bytes_max": 1073741824}}, "resources": {"limits": {"memory": "1500M"}}},
        "resources.limits.memory 1500M",
        "half of it",
    ),
    ({"exporterHeaders": SECRET | {"keys": {"a": "b"}}}, "config.exporters.otlp.endpoint is not", "expected both"),
    ({"config": BACKEND, "exporterHeaders": SECRET}, "exporterHeaders.keys is empty", "{authorization: token}"),
    ({"tls": {"exporter": SECRET}}, "tls.exporter.existingSecret", "expected both"),
    (
        {"config": {"exporters": {"otlp": {"endpoint": "tempo:4317", "headers": {"X-Api-Key": "hunter2"}}}}},
        "headers.X-Api-Key stands in the values",
        "exporterHeaders",
    ),
    ({"config": {"exporters": {"otlp": {"endpoint": f"{NAME}:4317"}}}}, f"is {NAME}:4317", "firstfault itself"),
    (
        {"config": {"exporters": {"otlp": {"endpoint": f"{NAME}-gateway.observability.svc:4317"}}}},
        "exporters.otlp.endpoint",
        "firstfault itself",
    ),
    ({"autoscaling": {"enabled": True, "minReplicas": 9}}, "autoscaling.minReplicas is 9", "6"),
    (
        {"probes": {"readiness": {"type": "grpc"}}, "tls": {"receivers": SECRET}},
        "probes.readiness.type is grpc",
        "http",
    ),
    ({"tls": {"query": SECRET | {"clientAuth": True}}}, "tls.client.existingSecret is empty", "expected a secret"),
    (
        {"config": {"receivers": {"otlp": {"protocols": {"grpc": {"enabled": False}}}}}},
        "grpc.enabled is false",
        "gateway and test",
    ),
    ({"replicas": 2, "config": {"auth": {"bearer": [TOKEN]}}}, "config.auth asks", "config.auth.query: false"),
    ({"ingress": {"enabled": True}}, "ingress.hosts is empty", "faults.example.com"),
    ({"httpRoute": {"enabled": True}}, "httpRoute.parentRefs is empty", "{name: public"),
]


@pytest.mark.parametrize(("values", "where", "words"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_wrong_values_are_refused(values: dict[str, Any], where: str, words: str):
    """The message names the key and what was expected; a secret is not repeated."""
    with pytest.raises(RefusedValuesError) as refused:
        rendered_text(values)

    said = str(refused.value)
    assert where in said
    assert words in said
    assert "hunter2" not in said


def test_all_faults_come_at_once():
    with pytest.raises(RefusedValuesError, match="3 fault"):
        rendered_text({"preStopSeconds": 55, "ingress": {"enabled": True}, "httpRoute": {"enabled": True}})


@pytest.mark.parametrize(
    "values",
    [
        {"config": {"assembly": {"open_traces_max": 1000000, "memory_bytes_max": 1000000000}}},
        {"persistence": {"size": "1.5Ti"}},
        {"persistence": {"enabled": False, "size": "1Gi"}},
        {"resources": {"limits": {"memory": "4e9"}}},
        {"resources": {"limits": {"memory": "1Gi"}}},
        {"podDisruptionBudget": {"maxUnavailable": "25%"}},
        {"global": {"anything": 1}},
        {"resources": {"limits": None}},
        {"resources": None},
        {"config": None},
        {"replicas": 2, "config": {"auth": {"query": False, "bearer": [TOKEN]}}},
        {"config": {"exporters": {"otlp": None}}},
    ],
    ids=str,
)
def test_odd_but_right_values_are_taken(values: dict[str, Any]):
    assert "kind: StatefulSet" in rendered_text(values)
