"""Every object is one that Kubernetes takes: strictly, against its own schemas, the oldest version meant and a new one."""

from __future__ import annotations

import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.support.chart import CHART, VALUES, Object, helm, of_kind, rendered
from tests.support.tools import built

OLDEST, NEWEST = "1.30", "1.37"
# Kinds of other projects: read by their own Go types instead (tests/tools/kubetypes).
FOREIGN = ("ServiceMonitor", "PrometheusRule", "HTTPRoute")


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", VALUES)
def test_objects_of_kubernetes(name: str, version: str):
    """No unknown field, no value of another kind, nothing required that is missing."""
    ours = [found for found in rendered(name) if found["kind"] not in FOREIGN]

    assert len(ours) >= 4
    for found in ours:
        kubernetes_validate.validate(found, version, strict=True)


def test_the_check_bites():
    """A typing error in a field is found."""
    (server,) = of_kind(rendered("default"), "StatefulSet")
    broken = yaml.safe_load(yaml.safe_dump(server))
    broken["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, NEWEST, strict=True)


def test_the_oldest_version_is_the_charts():
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"] == f">={OLDEST}.0-0"


def test_an_older_version_is_refused():
    """Before anything is installed; it would not know `preStop.sleep`."""
    done = helm("template", "faults", CHART, "--kube-version", "1.29.9")

    assert done.returncode != 0
    assert "1.30" in done.stderr


def read_strictly(objects: list[Object]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [built("bin/kubetypes", "Go")],
        input=yaml.safe_dump_all(objects),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_objects_of_other_projects():
    """ServiceMonitor, PrometheusRule and HTTPRoute fit the types that the operators' own modules publish."""
    found = [found for found in rendered("autoscaling") if found["kind"] in FOREIGN]

    done = read_strictly(found)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip() == str(len(FOREIGN)) == str(len(found))


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("ServiceMonitor", {"endpoint": []}),
        ("PrometheusRule", {"groups": [{"name": "a", "rules": [{"alarm": "B"}]}]}),
        ("HTTPRoute", {"rules": [{"backendRefs": [{"name": "a", "port": "http"}]}]}),
    ],
    ids=["an unknown field", "deeper", "a value of another kind"],
)
def test_that_check_bites_too(kind: str, change: dict[str, Any]):
    (found,) = of_kind(rendered("autoscaling"), kind)
    broken = {**found, "spec": found["spec"] | change}

    done = read_strictly([broken])

    assert done.returncode == 1
    assert kind in done.stderr


@pytest.mark.parametrize("name", VALUES)
def test_names_are_unique_and_belong_to_the_release(name: str):
    found = [(one["kind"], one["metadata"]["name"]) for one in rendered(name)]

    assert len(found) == len(set(found))
    assert {called for _, called in found if not called.startswith("faults")} == set()
