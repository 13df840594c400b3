"""Policies of pods: who they run as, what they may do, how they live and end. reliability.md, row Container/K8s."""

from __future__ import annotations

import math

from tests.support.chart import Object, config_of, of_kind, pods
from tests.support.chart_policies import each_container, each_pod, matches, name_of, policy, servers

USER = 65532
WRITABLE = {"/var/lib/firstfault", "/tmp"}

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
    stop_s = config_of(objects)["service"]["stop_timeout_s"]  # of all processes together
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
