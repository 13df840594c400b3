"""The table of policies holds for every file of helm/ci; and each policy finds who breaks it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from tests.support import chart_policies_between, chart_policies_of_pods
from tests.support.chart import VALUES, Object, containers, of_kind, pods, rendered
from tests.support.chart_policies import POLICIES

assert chart_policies_between.policy is chart_policies_of_pods.policy  # importing them fills the one table


def test_the_table_is_whole():
    assert len(POLICIES) == 48


@pytest.mark.parametrize("sentence", POLICIES)
@pytest.mark.parametrize("name", VALUES)
def test_it_holds(name: str, sentence: str):
    assert POLICIES[sentence](rendered(name)) == []


def server_of(objects: list[Object]) -> Object:
    found: Object = of_kind(objects, "StatefulSet")[0]["spec"]
    return found


def set_user(objects: list[Object]) -> None:
    pods(objects)[0]["spec"]["securityContext"]["runAsUser"] = 0


def open_root(objects: list[Object]) -> None:
    containers(objects)[0]["securityContext"]["readOnlyRootFilesystem"] = False


def add_capability(objects: list[Object]) -> None:
    containers(objects)[0]["securityContext"]["capabilities"]["add"] = ["NET_ADMIN"]


def mount_token(objects: list[Object]) -> None:
    pods(objects)[0]["spec"]["automountServiceAccountToken"] = True


def take_latest(objects: list[Object]) -> None:
    containers(objects)[0]["image"] = "firstfault:latest"


def hurry(objects: list[Object]) -> None:
    server_of(objects)["template"]["spec"]["terminationGracePeriodSeconds"] = 15


def ask_liveness_of_readiness(objects: list[Object]) -> None:
    containers(objects)[0]["livenessProbe"]["httpGet"]["path"] = "/readyz"


def ask_a_port_that_is_none(objects: list[Object]) -> None:
    containers(objects)[0]["readinessProbe"]["httpGet"]["port"] = "ready"


def write_to_etc(objects: list[Object]) -> None:
    containers(objects)[0]["volumeMounts"][0]["readOnly"] = False


def let_everybody_in(objects: list[Object]) -> None:
    of_kind(objects, "NetworkPolicy")[0]["spec"]["ingress"][0]["from"] = [{"namespaceSelector": {}}]


def name_nobody(objects: list[Object]) -> None:
    del of_kind(objects, "NetworkPolicy")[0]["spec"]["ingress"][0]["from"]


def go_out_anywhere(objects: list[Object]) -> None:
    of_kind(objects, "NetworkPolicy")[0]["spec"]["egress"][0]["ports"][0]["port"] = 25


def offer_metrics(objects: list[Object]) -> None:
    of_kind(objects, "Service")[0]["spec"]["ports"][0]["name"] = "metrics"
    of_kind(objects, "Service")[1]["spec"]["ports"][0]["name"] = "metrics"


def lead_nowhere(objects: list[Object]) -> None:
    of_kind(objects, "Service")[0]["spec"]["ports"][0]["targetPort"] = "web"


def publish_unready(objects: list[Object]) -> None:
    for found in of_kind(objects, "Service"):
        found["spec"]["publishNotReadyAddresses"] = True


def hold_nodes(objects: list[Object]) -> None:
    of_kind(objects, "PodDisruptionBudget")[0]["spec"]["maxUnavailable"] = 0


def version_the_claim(objects: list[Object]) -> None:
    server_of(objects)["volumeClaimTemplates"][0]["metadata"]["labels"]["helm.sh/chart"] = "x"


def forget_a_volume(objects: list[Object]) -> None:
    server_of(objects)["template"]["spec"]["volumes"].pop()


def listen_elsewhere(objects: list[Object]) -> None:
    containers(objects)[0]["ports"][0]["containerPort"] = 1


BREAKS: list[tuple[Callable[[list[Object]], None], str]] = [
    (set_user, "runs as 65532, never as root"),
    (open_root, "has a read-only root"),
    (add_capability, "drops every capability and adds none"),
    (mount_token, "has no token of the API server, but a gateway that watches endpoints"),
    (take_latest, "has an image that is named exactly"),
    (hurry, "has time to stop: waits, then drains, within its grace"),
    (ask_liveness_of_readiness, "is not started anew because it is not ready"),
    (ask_a_port_that_is_none, "is asked whether it has started, is ready, is alive; at ports it has"),
    (write_to_etc, "writes to its data and /tmp only"),
    (let_everybody_in, "nobody is let in from everywhere"),
    (name_nobody, "whoever comes in is named, and to which port"),
    (go_out_anywhere, "what goes out goes to named ports: DNS, instances, backends, the API server for the resolver"),
    (offer_metrics, "metrics and health are not offered to clients"),
    (lead_nowhere, "every service leads to a port of a pod"),
    (publish_unready, "instances have addresses of their own, once they are ready"),
    (hold_nodes, "keeps instances during maintenance, and holds no node for ever"),
    (version_the_claim, "has its claim unchanged by upgrades"),
    (forget_a_volume, "mounts what is there, and all of it"),
    (listen_elsewhere, "the program listens where containers, services and probes say"),
]


@pytest.mark.parametrize(("harm", "sentence"), BREAKS, ids=lambda value: getattr(value, "__name__", ""))
def test_who_breaks_it_is_found(harm: Callable[[list[Object]], None], sentence: str):
    objects = copy.deepcopy(rendered("default"))
    harm(objects)

    assert POLICIES[sentence](objects) != []
