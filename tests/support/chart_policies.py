"""What must hold of every rendering of the chart, as a table: a sentence, and who breaks it.

POLICIES["a sentence"](objects) gives the names of what does not keep to it; [] is well. reliability.md, row Container/K8s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.chart import NAME, Object, config_of, containers, of_kind, pods

Check = Callable[[list[Object]], list[str]]
POLICIES: dict[str, Check] = {}
USER = 65532
WRITABLE = {"/var/lib/firstfault", "/tmp"}
RECOMMENDED = {
    f"app.kubernetes.io/{word}" for word in ("name", "instance", "version", "component", "managed-by", "part-of")
}


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


# Who it runs as, and what it may do.

each_pod("runs as 65532, never as root")(
    lambda pod: (
        pod["securityContext"]["runAsNonRoot"]
        and {pod["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {USER}
    )
)
each_pod("has the runtime's seccomp profile")(
    lambda pod: pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
)
each_pod("shares no namespace of its node")(
    lambda pod: not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"))
)
each_pod("sets no sysctls")(lambda pod: "sysctls" not in pod["securityContext"])
each_pod("mounts nothing of its node")(lambda pod: not any("hostPath" in volume for volume in pod["volumes"]))
each_pod("gets no environment of services")(lambda pod: pod["enableServiceLinks"] is False)
each_pod("bounds what it writes beside its volume")(
    lambda pod: all("sizeLimit" in volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume)
)
each_pod("mounts secrets for its group only")(
    lambda pod: all(volume["secret"]["defaultMode"] == 0o440 for volume in pod["volumes"] if "secret" in volume)
)
each_container("gains no privileges")(
    lambda one: not one["securityContext"]["allowPrivilegeEscalation"] and not one["securityContext"].get("privileged")
)
each_container("has a read-only root")(lambda one: one["securityContext"]["readOnlyRootFilesystem"])
each_container("drops every capability and adds none")(
    lambda one: one["securityContext"]["capabilities"] == {"drop": ["ALL"]}
)
each_container("takes no port of its node")(lambda one: not any("hostPort" in port for port in one.get("ports", [])))
each_container("asks for CPU and memory, and has a bound of memory")(
    lambda one: {"cpu", "memory"} <= one["resources"]["requests"].keys() and "memory" in one["resources"]["limits"]
)
each_container("has an image that is named exactly")(
    lambda one: "@sha256:" in one["image"] or one["image"].rpartition(":")[2] not in ("", "latest", one["image"])
)
each_container("says when its image is pulled")(lambda one: "imagePullPolicy" in one)
each_container("is started by its image's entry point, without a shell")(
    lambda one: "command" not in one and isinstance(one["args"], list)
)
each_container("writes to its data and /tmp only")(
    lambda one: {mount["mountPath"] for mount in one["volumeMounts"] if not mount.get("readOnly")} <= WRITABLE
)


@policy("has no token of the API server, but a gateway that watches endpoints")
def _token(objects: list[Object]) -> list[str]:
    watching = {found["subjects"][0]["name"] for found in of_kind(objects, "RoleBinding")}
    bad = [
        name_of(pod)
        for pod in pods(objects)
        if pod["spec"]["automountServiceAccountToken"] and pod["spec"]["serviceAccountName"] not in watching
    ]
    return bad + [
        name_of(account)
        for account in of_kind(objects, "ServiceAccount")
        if account["automountServiceAccountToken"] and name_of(account) not in watching
    ]


@policy("has rights in its namespace only, and only to read endpoint slices")
def _rights(objects: list[Object]) -> list[str]:
    rules = [rule for role in of_kind(objects, "Role") for rule in role["rules"]]
    bad = [str(rule) for rule in rules if not {*rule["verbs"]} <= {"get", "list", "watch"}]
    bad += [str(rule) for rule in rules if not {*rule["resources"]} <= {"endpointslices"}]
    return bad + [name_of(found) for kind in ("ClusterRole", "ClusterRoleBinding") for found in of_kind(objects, kind)]


# How it lives.


@policy("is asked whether it has started, is ready, is alive; at ports it has")
def _probes(objects: list[Object]) -> list[str]:
    bad = []
    for one in servers(objects):
        ports = {port["name"] for port in one["ports"]} | {port["containerPort"] for port in one["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            way = one.get(probe, {}).get("httpGet") or one.get(probe, {}).get("grpc")
            if way is None or way["port"] not in ports:
                bad.append(f"{one['name']} {probe}")
    return bad


@policy("is not started anew because it is not ready")
def _liveness(objects: list[Object]) -> list[str]:
    return [
        one["name"]
        for one in servers(objects)
        if one["name"] == "firstfault" and one["livenessProbe"]["httpGet"]["path"] != "/healthz"
    ]


@policy("has time to stop: waits, then drains, within its grace")
def _grace(objects: list[Object]) -> list[str]:
    stop_s = 3 * config_of(objects)["service"]["stop_timeout_s"]  # receivers, engine, query, one after another
    bad = []
    for pod in pods(objects):
        for one in pod["spec"]["containers"]:
            wait_s = one.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds")
            runs_on = pod["spec"].get("restartPolicy") != "Never"
            need_s = (wait_s or math.inf) + (stop_s if one["name"] == "firstfault" else 0)
            if runs_on and need_s >= pod["spec"]["terminationGracePeriodSeconds"]:
                bad.append(one["name"])
    return bad


@policy("is spread over zones and nodes by its own labels")
def _spread(objects: list[Object]) -> list[str]:
    return [
        name_of(pod)
        for pod in pods(objects)
        for constraint in pod["spec"].get("topologySpreadConstraints", [])
        if not matches(constraint["labelSelector"]["matchLabels"], pod["metadata"]["labels"])
    ]


@policy("is found by its own selector, which holds nothing that changes")
def _selectors(objects: list[Object]) -> list[str]:
    bad = []
    for kind in ("StatefulSet", "Deployment"):
        for found in of_kind(objects, kind):
            selector = found["spec"]["selector"]["matchLabels"]
            template = found["spec"]["template"]["metadata"]
            stable = {f"app.kubernetes.io/{word}" for word in ("name", "instance", "component")}
            if not matches(selector, template["labels"]) or selector.keys() != stable:
                bad.append(name_of(found))
    return bad


@policy("starts new pods when its configuration changes")
def _checksum(objects: list[Object]) -> list[str]:
    templates = [
        found["spec"]["template"] for kind in ("StatefulSet", "Deployment") for found in of_kind(objects, kind)
    ]
    return [name_of(one) for one in templates if "checksum/config" not in one["metadata"].get("annotations", {})]


@policy("keeps instances during maintenance, and holds no node for ever")
def _disruption(objects: list[Object]) -> list[str]:
    return [
        name_of(found)
        for found in of_kind(objects, "PodDisruptionBudget")
        if found["spec"]["maxUnavailable"] in (0, "0%")
        or found["spec"]["unhealthyPodEvictionPolicy"] != "AlwaysAllow"
        or not any(
            matches(found["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"]) for pod in pods(objects)
        )
    ]


@policy("is scaled down late and by few; who is scaled names no number of its own")
def _scaling(objects: list[Object]) -> list[str]:
    (server,) = of_kind(objects, "StatefulSet")
    scalers = of_kind(objects, "HorizontalPodAutoscaler")
    bad = [] if ("replicas" in server["spec"]) == (not scalers) else ["replicas"]
    for found in scalers:
        down, target = found["spec"]["behavior"]["scaleDown"], found["spec"]["scaleTargetRef"]
        if down["stabilizationWindowSeconds"] < 600 or down["policies"] != [
            {"type": "Pods", "value": 1, "periodSeconds": 600}
        ]:
            bad.append("scaleDown")
        if (target["kind"], target["name"]) != ("StatefulSet", server["metadata"]["name"]):
            bad.append("target")
    return bad


@policy("has its claim unchanged by upgrades")
def _claims(objects: list[Object]) -> list[str]:
    (server,) = of_kind(objects, "StatefulSet")
    changing = {"helm.sh/chart", "app.kubernetes.io/version"}
    return [
        name_of(claim)
        for claim in server["spec"].get("volumeClaimTemplates", [])
        if changing & claim["metadata"]["labels"].keys()
    ]


@policy("mounts what is there, and all of it")
def _mounts(objects: list[Object]) -> list[str]:
    (server,) = of_kind(objects, "StatefulSet")
    claims = {name_of(claim) for claim in server["spec"].get("volumeClaimTemplates", [])}
    bad = []
    for pod in pods(objects):
        has = {volume["name"] for volume in pod["spec"]["volumes"]}
        has |= claims if pod is server["spec"]["template"] else set()
        wants = {mount["name"] for one in pod["spec"]["containers"] for mount in one["volumeMounts"]}
        bad += sorted(has ^ wants)
    return bad


@policy("reads ConfigMaps that are there")
def _config_maps(objects: list[Object]) -> list[str]:
    there = {name_of(found) for found in of_kind(objects, "ConfigMap")}
    wanted = {
        volume["configMap"]["name"]
        for pod in pods(objects)
        for volume in pod["spec"]["volumes"]
        if "configMap" in volume
    }
    return sorted(wanted - there)


# How it is reached.


@policy("every service leads to a port of a pod")
def _services(objects: list[Object]) -> list[str]:
    bad = []
    for service in of_kind(objects, "Service"):
        behind = [pod for pod in pods(objects) if matches(service["spec"]["selector"], pod["metadata"]["labels"])]
        ports = {port["name"] for pod in behind for one in pod["spec"]["containers"] for port in one["ports"]}
        bad += [
            f"{name_of(service)} {port['name']}" for port in service["spec"]["ports"] if port["targetPort"] not in ports
        ]
    return bad


@policy("instances have addresses of their own, once they are ready")
def _headless(objects: list[Object]) -> list[str]:
    (server,) = of_kind(objects, "StatefulSet")
    headless = [found for found in of_kind(objects, "Service") if name_of(found) == server["spec"]["serviceName"]]
    good = [
        one for one in headless if one["spec"]["clusterIP"] == "None" and not one["spec"]["publishNotReadyAddresses"]
    ]
    return [] if len(good) == 1 else ["headless"]


@policy("metrics and health are not offered to clients")
def _private_ports(objects: list[Object]) -> list[str]:
    open_to_clients = [found for found in of_kind(objects, "Service") if found["spec"].get("clusterIP") != "None"]
    return [
        name_of(found)
        for found in open_to_clients
        if {"metrics", "health"} & {port["name"] for port in found["spec"]["ports"]}
    ]


@policy("nothing is reached from outside the cluster unless asked for")
def _outside(objects: list[Object]) -> list[str]:
    return [
        name_of(found) for found in of_kind(objects, "Service") if found["spec"].get("type", "ClusterIP") != "ClusterIP"
    ]


@policy("the program listens where containers, services and probes say")
def _ports(objects: list[Object]) -> list[str]:
    config = config_of(objects)
    protocols = config["receivers"]["otlp"]["protocols"]
    endpoints = {
        "otlp-grpc": protocols["grpc"]["endpoint"],
        "otlp-http": protocols["http"]["endpoint"],
        "query": config["query"]["endpoint"],
        "query-grpc": config["query"]["grpc_endpoint"],
        "health": config["service"]["health"]["endpoint"],
        "metrics": config["service"]["telemetry"]["metrics"]["endpoint"],
    }
    one = next(one for one in containers(objects) if one["name"] == "firstfault")
    ports = {port["name"]: f"0.0.0.0:{port['containerPort']}" for port in one["ports"]}
    return sorted(name for name in ports.keys() | endpoints.keys() if ports.get(name) != endpoints.get(name))


@policy("several instances ask one another, one asks nobody")
def _peers(objects: list[Object]) -> list[str]:
    (server,) = of_kind(objects, "StatefulSet")
    query = config_of(objects)["query"]
    many = server["spec"].get("replicas", 2) > 1
    name = f"{server['spec']['serviceName']}.observability.svc.cluster.local"
    port = int(query["endpoint"].rpartition(":")[2])
    wanted = {"dns": name, "port": port, "timeout_s": 0.5} if many else None
    return [] if query.get("peers") == wanted else [str(query.get("peers"))]


@policy("routes and monitors lead to a service and a port of it")
def _routes(objects: list[Object]) -> list[str]:
    services = {name_of(found): found for found in of_kind(objects, "Service")}
    wanted: list[tuple[str, Any]] = []
    for found in of_kind(objects, "Ingress"):
        backends = [path["backend"]["service"] for rule in found["spec"]["rules"] for path in rule["http"]["paths"]]
        wanted += [(one["name"], one["port"]["name"]) for one in backends]
    for found in of_kind(objects, "HTTPRoute"):
        wanted += [(one["name"], one["port"]) for rule in found["spec"]["rules"] for one in rule["backendRefs"]]
    for found in of_kind(objects, "ServiceMonitor"):
        selector = found["spec"]["selector"]["matchLabels"]
        chosen = [name for name, one in services.items() if matches(selector, one["metadata"]["labels"])]
        wanted += [(name, found["spec"]["endpoints"][0]["port"]) for name in chosen] if len(chosen) == 1 else [("", "")]
    return [
        f"{name}:{port}"
        for name, port in wanted
        if name not in services
        or port not in {word for one in services[name]["spec"]["ports"] for word in (one["name"], one["port"])}
    ]


# The network between.


def rules(objects: list[Object], way: str) -> Iterator[tuple[str, Object]]:
    for found in of_kind(objects, "NetworkPolicy"):
        for rule in found["spec"][way]:
            yield name_of(found), rule


@policy("every running pod is behind a policy, or none is")
def _covered(objects: list[Object]) -> list[str]:
    found = of_kind(objects, "NetworkPolicy")
    running = [pod for pod in pods(objects) if pod["spec"].get("restartPolicy") != "Never"]
    return [
        name_of(pod)
        for pod in running
        if found
        and not any(matches(one["spec"]["podSelector"]["matchLabels"], pod["metadata"]["labels"]) for one in found)
    ]


@policy("what no rule opens is closed, both ways")
def _both_ways(objects: list[Object]) -> list[str]:
    return [
        name_of(found)
        for found in of_kind(objects, "NetworkPolicy")
        if found["spec"]["policyTypes"] != ["Ingress", "Egress"]
    ]


@policy("whoever comes in is named, and to which port")
def _named_in(objects: list[Object]) -> list[str]:
    return [name for name, rule in rules(objects, "ingress") if not rule.get("from") or not rule.get("ports")]


@policy("nobody is let in from everywhere")
def _everywhere(objects: list[Object]) -> list[str]:
    wide: tuple[Object, ...] = ({"namespaceSelector": {}}, {"ipBlock": {"cidr": "0.0.0.0/0"}}, {})
    return [name for name, rule in rules(objects, "ingress") for peer in rule["from"] if peer in wide]


@policy("what goes out goes to named ports: DNS, instances, backends, the API server for the resolver")
def _named_out(objects: list[Object]) -> list[str]:
    config = config_of(objects)
    known: set[Any] = {53, "otlp-grpc", int(config["query"]["endpoint"].rpartition(":")[2])}
    backend = config.get("exporters", {}).get("otlp", {}).get("endpoint", "")
    known |= {int(backend.rpartition(":")[2])} if backend else set()
    if of_kind(objects, "Deployment"):
        known |= {
            int(one["endpoint"].rpartition(":")[2])
            for one in config_of(objects, "gateway")["exporters"].values()
            if "endpoint" in one
        }
    known |= {443, 6443} if of_kind(objects, "Role") else set()
    found = [
        (name, port["port"]) for name, rule in rules(objects, "egress") for port in rule["ports"] or [{"port": None}]
    ]
    return [f"{name}:{port}" for name, port in found if port not in known]


@policy("the gateway may send and the test may ask")
def _let_in(objects: list[Object]) -> list[str]:
    clients = {pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods(objects)} & {"gateway", "test"}
    let_in = {
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"]
        for name, rule in rules(objects, "ingress")
        if name == NAME
        for peer in rule["from"]
        if peer.get("podSelector", {}).get("matchLabels")
    }
    return sorted(clients - let_in) if of_kind(objects, "NetworkPolicy") else []


# Names and words.


@policy("every object carries the recommended labels")
def _labels(objects: list[Object]) -> list[str]:
    ours = [found for found in objects if found["metadata"]["name"].startswith(NAME) and "labels" in found["metadata"]]
    return [name_of(found) for found in ours if not found["metadata"]["labels"].keys() >= RECOMMENDED]


@policy("the namespace is the release's, said by nobody else")
def _namespace(objects: list[Object]) -> list[str]:
    return [name_of(found) for found in objects if "namespace" in found["metadata"]]


@policy("secrets come from secrets: files or environment, never from a ConfigMap")
def _secrets(objects: list[Object]) -> list[str]:
    headers = config_of(objects).get("exporters", {}).get("otlp", {}).get("headers", {})
    return [name for name, value in headers.items() if not value.startswith("${")] + [
        name_of(found) for found in of_kind(objects, "Secret")
    ]


@policy("findings are not sent back to where they came from")
def _loop(objects: list[Object]) -> list[str]:
    endpoint = config_of(objects).get("exporters", {}).get("otlp", {}).get("endpoint", "")
    return [endpoint] if endpoint.startswith(NAME) else []


@policy("files that are read are mounted")
def _files(objects: list[Object]) -> list[str]:
    """Every path of the configuration below /etc/firstfault lies in a mounted folder."""
    one = next(one for one in containers(objects) if one["name"] == "firstfault")
    mounted = [mount["mountPath"] for mount in one["volumeMounts"]]
    paths = [
        value.removeprefix("${file:").removesuffix("}")
        for value in _texts(config_of(objects))
        if "/etc/firstfault" in value
    ]
    return [path for path in paths if not any(path.startswith(folder + "/") for folder in mounted)]


def _texts(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        for value in tree.values():
            yield from _texts(value)
    elif isinstance(tree, str):
        yield tree
