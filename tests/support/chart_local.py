"""What the chart would run in a cluster, run here: the same command line and configuration, other ports and paths.

Nothing else is changed: an endpoint's port becomes a free one on loopback, a mounted folder a folder of the test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.chart import Object, config_of, containers, of_kind
from tests.support.running import LOCAL, free_port

GATEWAY_PORTS = (4317, 4318, 8888, 13133)
_DOORS = {
    "otlp-grpc": "otlp_grpc",
    "otlp-http": "otlp_http",
    "query": "rest",
    "query-grpc": "grpc",
}  # as running.py says


@dataclass
class Local:
    """A rendering, brought here. `folder` stands for the root of the pod's file system."""

    objects: list[Object]
    folder: Path
    ports: dict[int, int] = field(default_factory=dict)  # in the pod -> here

    def __post_init__(self) -> None:
        for port in self.server["ports"]:
            self.ports[port["containerPort"]] = free_port()
        for folder in ("tmp", "etc/firstfault", "var/lib"):
            (self.folder / folder).mkdir(parents=True)

    @property
    def server(self) -> Object:
        return next(one for one in containers(self.objects) if one["name"] == "firstfault")

    @property
    def doors(self) -> dict[str, int]:
        """The ports under the names of `tests.support.running`."""
        return {_DOORS.get(one["name"], one["name"]): self.ports[one["containerPort"]] for one in self.server["ports"]}

    def path(self, inside: str) -> str:
        return f"{self.folder}{inside}" if inside.startswith(("/etc/firstfault", "/var/lib/firstfault")) else inside

    def write(self, inside: str, content: bytes) -> None:
        """What the cluster would mount."""
        path = Path(self.path(inside))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def mounted(self, component: str = "server") -> list[str]:
        """Folders that come from secrets."""
        one = self.server if component == "server" else of_kind(self.objects, "Pod")[0]["spec"]["containers"][0]
        return [
            mount["mountPath"] for mount in one["volumeMounts"] if mount["mountPath"].startswith("/etc/firstfault/")
        ]

    def configuration(self) -> dict[str, Any]:
        tree: dict[str, Any] = self._here(config_of(self.objects))
        return tree

    def gateway(self, backend: str) -> tuple[dict[str, Any], int]:
        """The gateway's configuration and its OTLP/gRPC port; instances are found on loopback, its backend is `backend`."""
        tree = config_of(self.objects, "gateway")
        ports = {port: free_port() for port in GATEWAY_PORTS}
        for protocol in tree["receivers"]["otlp"]["protocols"].values():
            protocol["endpoint"] = f"{LOCAL}:{ports[int(protocol['endpoint'].rpartition(':')[2])]}"
        tree["extensions"]["health_check"]["endpoint"] = f"{LOCAL}:{ports[13133]}"
        reader = tree["service"]["telemetry"]["metrics"]["readers"][0]["pull"]["exporter"]["prometheus"]
        reader |= {"host": LOCAL, "port": ports[8888]}
        resolver = tree["exporters"]["loadbalancing"]["resolver"]["dns"]
        resolver |= {"hostname": LOCAL, "port": str(self.ports[int(resolver["port"])])}
        tree["exporters"]["otlp/backend"]["endpoint"] = backend
        return tree, ports[4317]

    def write_configuration(self) -> Path:
        """Write the ConfigMap's text where the command line will look for it."""
        self.write("/etc/firstfault/config.yaml", yaml.safe_dump(self.configuration()).encode())
        return Path(self.path("/etc/firstfault/config.yaml"))

    def command(self) -> list[str]:
        return [self.path(word) for word in self.server["args"]]

    def test_command(self) -> list[str]:
        """The command line of the pod of `helm test`, pointed at this machine."""
        (pod,) = of_kind(self.objects, "Pod")
        return [self._word(word) for word in pod["spec"]["containers"][0]["args"]]

    def _word(self, word: str) -> str:
        scheme, separator, rest = word.partition("://")
        if separator:
            return f"{scheme}://{LOCAL}:{self.ports[int(rest.rpartition(':')[2])]}"
        return self.path(word)

    def _here(self, value: Any) -> Any:
        """Endpoints of ours, and paths; the rest as it is."""
        if isinstance(value, dict):
            return {key: self._here(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._here(inner) for inner in value]
        if not isinstance(value, str):
            return value
        if value.startswith("0.0.0.0:"):
            return f"{LOCAL}:{self.ports[int(value.rpartition(':')[2])]}"
        if value.startswith("${file:"):
            return "${file:" + self.path(value.removeprefix("${file:"))
        return self.path(value)
