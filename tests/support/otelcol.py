"""The real OpenTelemetry Collector (tests/otelcol) in a process of its own, on free ports, with a directory of its own.

    exporters = {"otlp_grpc": {"endpoint": server.otlp_grpc, "tls": {"insecure": True}}}
    with collecting(tmp_path, {"exporters": exporters}) as collector:
        collector.send(*drawing.requests())

A configuration is what is said of it: the receiver, the health check, metrics and a pipeline of traces and one of logs
with every exporter are added. Waits are bounded and end as soon as what they wait for is there.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.support.running import LOCAL, environment, export, free_port, overlay, wait_until
from tests.support.tools import built

START_S = 60.0
WAIT_S = 40.0
_SAMPLE = re.compile(
    r"^otelcol_(?P<name>[a-z_]+?)(?:__spans_|__records_)?(?:_total)?\{(?P<labels>[^}]*)\} (?P<value>\S+)$"
)
_EXPORTER = re.compile(r'(?:^|,)exporter="([^"]*)"')


@dataclass
class Collector:
    """A Collector that runs, and how to talk to it."""

    folder: Path
    ports: dict[str, int]
    tree: dict[str, Any]
    wrapper: Sequence[str] = ()
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def otlp_grpc(self) -> str:
        return f"{LOCAL}:{self.ports['grpc']}"

    @property
    def otlp_http(self) -> str:
        return f"http://{LOCAL}:{self.ports['http']}"

    @property
    def log(self) -> Path:
        return self.folder / "otelcol.log"

    def start(self) -> None:
        """Start it, or start it again, and wait until it takes requests."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "otelcol.yaml"
        path.write_text(json.dumps(self.tree))  # JSON is YAML
        command = [*self.wrapper, str(built("go/otelcol", "Go")), "--config", str(path)]
        with self.log.open("ab") as out:
            process = subprocess.Popen(command, stdout=out, stderr=out, env=environment(), start_new_session=True)
        self._processes.append(process)
        self.until(self._healthy, "the Collector's health", START_S)

    def stop(self, how: signal.Signals = signal.SIGTERM, timeout_s: float = 40.0) -> int:
        """Signal it and wait; the exit status."""
        process = self._processes[-1]
        process.send_signal(how)
        return process.wait(timeout_s)

    def end(self) -> None:
        """Whatever happened: nothing of it runs on."""
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(15)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def send(self, traces: bytes | None = None, logs: bytes | None = None) -> None:
        """Send requests over OTLP/gRPC; each must be acknowledged."""
        export(self.otlp_grpc, traces, logs)

    def metrics(self) -> dict[str, float]:
        """Its own counters and gauges, summed, and once more by exporter: `exporter_sent_spans|otlp_grpc`."""
        found: dict[str, float] = {}
        text = httpx.get(f"http://{LOCAL}:{self.ports['metrics']}/metrics", timeout=10, trust_env=False).text
        for match in filter(None, map(_SAMPLE.match, text.splitlines())):
            exporter = _EXPORTER.search(match["labels"])
            name, value = match["name"], float(match["value"])
            for key in (name, f"{name}|{exporter[1]}") if exporter else (name,):
                found[key] = found.get(key, 0.0) + value
        return found

    def until(self, look: Callable[[], Any], what: str, timeout_s: float = WAIT_S) -> Any:
        """Look until it is true; what it gave."""
        return wait_until(look, what, timeout_s, self._processes[-1], self.said)

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-6000:]

    def _healthy(self) -> bool:
        return httpx.get(f"http://{LOCAL}:{self.ports['health']}", timeout=10, trust_env=False).status_code == 200


def configuration(ports: dict[str, int], changes: dict[str, Any]) -> dict[str, Any]:
    """Everything on loopback; what the changes name is taken over, their exporters get both pipelines."""
    tree: dict[str, Any] = {
        "receivers": {
            "otlp": {"protocols": {name: {"endpoint": f"{LOCAL}:{ports[name]}"} for name in ("grpc", "http")}}
        },
        "processors": {},
        "exporters": {},
        "extensions": {"health_check": {"endpoint": f"{LOCAL}:{ports['health']}"}},
        "service": {
            "telemetry": {
                "logs": {"level": "info"},
                "metrics": {"readers": [_reader(ports["metrics"])]},
            }
        },
    }
    overlay(tree, changes)
    pipeline = {
        "receivers": ["otlp"],
        "processors": list(tree["processors"]),
        "exporters": list(tree["exporters"]),
    }
    defaults = {
        "extensions": list(tree["extensions"]),
        "pipelines": {"traces": pipeline, "logs": {**pipeline, "processors": []}},
    }
    tree["service"] = {**defaults, **tree["service"]}
    return tree


def _reader(port: int) -> dict[str, Any]:
    return {"pull": {"exporter": {"prometheus": {"host": LOCAL, "port": port}}}}


def collector_ports() -> dict[str, int]:
    return {name: free_port() for name in ("grpc", "http", "health", "metrics")}


@contextmanager
def collecting(folder: Path, changes: dict[str, Any], wrapper: Sequence[str] = ()) -> Iterator[Collector]:
    """Start one, wait until it is ready, and end it whatever happens."""
    ports = collector_ports()
    collector = Collector(folder, ports, configuration(ports, changes), wrapper)
    try:
        collector.start()
        yield collector
    finally:
        collector.end()
