"""What must hold of every rendering of the chart, as a table: a sentence, and who breaks it.

POLICIES["a sentence"](objects) gives the names of what does not keep to it; [] is well. The sentences stand in
chart_policies_of_pods.py and chart_policies_between.py; who imports those has them.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.support.chart import Object, containers, of_kind, pods

Check = Callable[[list[Object]], list[str]]
POLICIES: dict[str, Check] = {}


def policy(sentence: str) -> Callable[[Check], Check]:
    def keep(check: Check) -> Check:
        POLICIES[sentence] = check
        return check

    return keep


def each_pod(sentence: str) -> Callable[[Callable[[Object], bool]], None]:
    """A policy of every pod's spec."""

    def keep(holds: Callable[[Object], bool]) -> None:
        POLICIES[sentence] = lambda objects: [name_of(pod) for pod in pods(objects) if not holds(pod["spec"])]

    return keep


def each_container(sentence: str) -> Callable[[Callable[[Object], bool]], None]:
    def keep(holds: Callable[[Object], bool]) -> None:
        POLICIES[sentence] = lambda objects: [one["name"] for one in containers(objects) if not holds(one)]

    return keep


def name_of(found: Object) -> str:
    metadata = found["metadata"]
    return str(metadata.get("name") or metadata["labels"]["app.kubernetes.io/component"])


def servers(objects: list[Object]) -> list[Object]:
    """Containers that run on: all but the test's."""
    templates = [
        found["spec"]["template"] for kind in ("StatefulSet", "Deployment") for found in of_kind(objects, kind)
    ]
    return [container for template in templates for container in template["spec"]["containers"]]


def matches(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return bool(selector) and selector.items() <= labels.items()
