"""Policies of what lies between: services, routes, the network, configuration, names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.support.chart import NAME, Object, config_of, containers, of_kind, pods
from tests.support.chart_policies import matches, name_of, policy

RECOMMENDED = {
    f"app.kubernetes.io/{word}" for word in ("name", "instance", "version", "component", "managed-by", "part-of")
}


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
    instances = (config["query"]["endpoint"], config["receivers"]["otlp"]["protocols"]["grpc"]["endpoint"])
    known: set[Any] = {53, *(int(endpoint.rpartition(":")[2]) for endpoint in instances)}
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
