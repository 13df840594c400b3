"""The chart of helm/, rendered by the real helm: values in, objects out.

    objects = rendered({"replicas": 3})
    (server,) = of_kind(objects, "StatefulSet")

Without helm (`make test` builds it) the asking test is skipped; in CI it fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.support.tools import built

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm"
VALUES = {path.name.removesuffix("-values.yaml"): path for path in sorted((CHART / "ci").glob("*-values.yaml"))}
RELEASE, NAMESPACE = "faults", "observability"
NAME = f"{RELEASE}-firstfault"

Object = dict[str, Any]


class RefusedValuesError(Exception):
    """Helm would not render; the message is what it said."""


def helm(*words: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run helm with a home of its own: nothing of this machine's user is read or written."""
    with tempfile.TemporaryDirectory() as home:
        environment = {"HOME": home, "PATH": os.environ["PATH"]}
        return subprocess.run(
            [built("bin/helm", "Go"), *map(str, words)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=100,
            env=environment,
            cwd=ROOT,
            check=False,
        )


def rendered_text(values: Path | dict[str, Any], *, notes: bool = False) -> str:
    """Render with a file of values, or a tree.

    Raises
    ------
    RefusedValuesError
        The values are refused.
    """
    return _rendered(values.read_text() if isinstance(values, Path) else json.dumps(values), notes)


@cache
def _rendered(values: str, notes: bool) -> str:
    if notes:  # the only command that shows them; it asks no server
        words = ["install", RELEASE, str(CHART), "--dry-run=client", "--namespace", NAMESPACE, "--values", "-"]
    else:
        words = ["template", RELEASE, str(CHART), "--namespace", NAMESPACE, "--values", "-"]
    done = helm(*words, stdin=values)
    if done.returncode != 0:
        raise RefusedValuesError(done.stderr)
    assert done.stderr == "", done.stderr
    return done.stdout


def rendered(values: Path | dict[str, Any] | str) -> list[Object]:
    """Render; every object. A word names a file of `helm/ci`."""
    text = rendered_text(VALUES[values] if isinstance(values, str) else values)
    return [found for found in yaml.safe_load_all(text) if found]


def of_kind(objects: list[Object], kind: str, component: str = "") -> list[Object]:
    """Those of a kind, and of a component when one is named."""
    return [
        found
        for found in objects
        if found["kind"] == kind
        and component in ("", found["metadata"].get("labels", {}).get("app.kubernetes.io/component"))
    ]


def pods(objects: list[Object]) -> list[Object]:
    """Every pod that would come to be, as {metadata, spec}: of the StatefulSet, the Deployment, the test."""
    templates = [
        found["spec"]["template"] for kind in ("StatefulSet", "Deployment") for found in of_kind(objects, kind)
    ]
    return templates + of_kind(objects, "Pod")


def containers(objects: list[Object]) -> list[Object]:
    return [container for pod in pods(objects) for container in pod["spec"]["containers"]]


def config_of(objects: list[Object], component: str = "server") -> dict[str, Any]:
    """The configuration that a container will read."""
    for found in of_kind(objects, "ConfigMap", component):
        if "config.yaml" in found["data"]:
            tree: dict[str, Any] = yaml.safe_load(found["data"]["config.yaml"])
            return tree
    raise AssertionError(f"no configuration of {component}")
