"""The real program in processes of its own, on free ports, with a directory of its own.

with serving(tmp_path, processes=2, exporter=sink.endpoint) as server:
    trace_id = send_sdk("grpc", server, "checkout")
    assert server.root_cause(trace_id)["status"] == "finding"

Waits are bounded and end as soon as what they wait for is there.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

ROOT = Path(__file__).parents[2]
LOCAL = "127.0.0.1"
START_S = 100.0  # a fresh install compiles its kernels once
ANSWER_S = 20.0
DOORS = ("otlp_grpc", "otlp_http", "rest", "grpc", "metrics", "health")
_SAMPLE = re.compile(r"^(?P<name>[a-z_]+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)$")
_LABEL = re.compile(r'="([^"]*)"')


def _ports() -> Iterator[int]:
    """Below those that the system gives to clients; each test process has its own, from a random one on, none twice."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    own = range(20_000 + worker, 32_000, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
    start = random.randrange(len(own))
    return itertools.cycle((*own[start:], *own[:start]))


_PORTS = _ports()


def free_port() -> int:
    """A port that nobody takes between now and its use."""
    for port in itertools.islice(_PORTS, 1000):
        with socket.socket() as probe:
            try:
                probe.bind((LOCAL, port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


def environment() -> dict[str, str]:
    """This process's, without proxies: they are not for loopback."""
    return {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}


def firstfault(*arguments: str | Path, **more: Any) -> subprocess.CompletedProcess[bytes]:
    """Run the command line to its end."""
    more = {"timeout": 60, "capture_output": True, "env": environment(), "cwd": ROOT} | more
    return subprocess.run([sys.executable, "-m", "collector", *map(str, arguments)], check=False, **more)


def export(target: str, traces: bytes | None = None, logs: bytes | None = None) -> None:
    """Send requests over OTLP/gRPC; each must be acknowledged."""
    with grpc.insecure_channel(target) as channel:
        if traces:
            TraceServiceStub(channel).Export(ExportTraceServiceRequest.FromString(traces), timeout=20)
        if logs:
            LogsServiceStub(channel).Export(ExportLogsServiceRequest.FromString(logs), timeout=20)


def wait_until(
    look: Callable[[], Any], what: str, timeout_s: float, process: subprocess.Popen[bytes], said: Callable[[], str]
) -> Any:
    """Look until it is true, as long as the process lives; what it gave."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if found := look():
                return found
        status = process.poll()
        assert status is None, f"it ended with {status} while waiting for {what}:\n{said()}"
        time.sleep(0.03)
    raise AssertionError(f"waited {timeout_s:g} s for {what}\n{said()}")


@dataclass
class Server:
    """A `firstfault serve` that runs, and how to talk to it."""

    folder: Path
    ports: dict[str, int]
    tree: dict[str, Any]
    process: subprocess.Popen[bytes]
    log: Path
    _open: list[Any] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{LOCAL}:{self.ports['rest']}"

    @property
    def otlp_grpc(self) -> str:
        return f"{LOCAL}:{self.ports['otlp_grpc']}"

    @property
    def otlp_http(self) -> str:
        return f"http://{LOCAL}:{self.ports['otlp_http']}"

    def get(self, path: str, port: str = "rest", **more: Any) -> httpx.Response:
        # `verify=False`: the address is plain HTTP, and reading the system's certificates takes longer than the call.
        return httpx.get(
            f"http://{LOCAL}:{self.ports[port]}{path}", timeout=40, trust_env=False, **{"verify": False} | more
        )

    def root_cause(self, trace_id: bytes | str, wait_s: float = ANSWER_S) -> dict[str, Any]:
        """Ask over REST, waiting for the verdict."""
        found = self.get(f"/api/v1/traces/{_hex(trace_id)}/root-cause?wait={wait_s:g}")
        assert found.status_code == 200, f"{found.status_code}: {found.text}\n{self.said()}"
        answer: dict[str, Any] = found.json()
        return answer

    def revision(self, trace_id: bytes | str, revision: int) -> dict[str, Any]:
        """Ask until the answer has this revision."""
        return self.until(
            lambda: (answer := self.root_cause(trace_id))["revision"] >= revision and answer, f"revision {revision}"
        )

    def send(self, traces: bytes | None = None, logs: bytes | None = None) -> None:
        """Send requests over OTLP/gRPC; each must be acknowledged."""
        export(self.otlp_grpc, traces, logs)

    def metrics(self) -> dict[str, float]:
        """Every counter and gauge, summed over its labels, and once more with the labels' values."""
        found: dict[str, float] = {}
        for line in self.get("/metrics", "metrics").text.splitlines():
            match = _SAMPLE.match(line)
            if match is None or not match["name"].startswith("firstfault_"):
                continue
            name = match["name"].removeprefix("firstfault_").removesuffix("_total")
            found[name] = found.get(name, 0.0) + float(match["value"])
            if match["labels"]:
                found["|".join([name, *_LABEL.findall(match["labels"])])] = float(match["value"])
        return found

    def until(self, look: Callable[[], Any], what: str, timeout_s: float = ANSWER_S) -> Any:
        """Look until it is true; what it gave."""
        return wait_until(look, what, timeout_s, self.process, self.said)

    def ready(self) -> bool:
        return self.get("/readyz", "health").status_code == 200

    def post_traces(self, traces: bytes) -> str:
        """Have a request analysed; nothing of it is stored."""
        headers = {"content-type": "application/x-protobuf"}
        return httpx.post(
            f"{self.url}/api/v1/analyze", content=traces, headers=headers, timeout=60, trust_env=False, verify=False
        ).text

    def children(self) -> dict[str, list[int]]:
        """Role -> process ids of the processes that the server started."""
        found: dict[str, list[int]] = {}
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            for pid in (task / "children").read_text().split():
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
                if "collector.process" in words:
                    found.setdefault(words[words.index("collector.process") + 1], []).append(int(pid))
        return found

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-6000:]

    def stop(self, timeout_s: float = 25.0) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)


def configuration(folder: Path, ports: dict[str, int], processes: int, exporter: str | None) -> dict[str, Any]:
    """Everything on loopback, below `folder`, with short quiet times."""
    protocols = {"grpc": {"endpoint": _at(ports["otlp_grpc"])}, "http": {"endpoint": _at(ports["otlp_http"])}}
    return {
        "receivers": {"otlp": {"protocols": protocols}},
        "assembly": {"root_idle_s": 0.4, "root_idle_min_s": 0.2, "root_idle_max_s": 1.0, "idle_s": 1.0},
        "storage": {"path": str(folder / "store"), "clean_traces_per_second": 1000},
        "exporters": {"otlp": {"endpoint": exporter}} if exporter else {},
        "query": {"endpoint": _at(ports["rest"]), "grpc_endpoint": _at(ports["grpc"])},
        "service": {
            "processes": processes,
            "stop_timeout_s": 15,
            "health": {"endpoint": _at(ports["health"])},
            "telemetry": {"metrics": {"endpoint": _at(ports["metrics"])}},
        },
    }


def overlay(tree: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Take changes ({"assembly": {"idle_s": 3}}) into a tree."""
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(tree.get(key), dict):
            overlay(tree[key], value)
        else:
            tree[key] = value
    return tree


def write_configuration(
    folder: Path, *, processes: int = 1, exporter: str | None = None, changes: dict[str, Any] | None = None
) -> tuple[Path, dict[str, Any], dict[str, int]]:
    """Choose ports and write config.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    ports = {name: free_port() for name in DOORS}
    tree = overlay(configuration(folder, ports, processes, exporter), changes or {})
    path = folder / "config.yaml"
    path.write_text(json.dumps(tree))  # JSON is YAML
    return path, tree, ports


def start(folder: Path, path: Path, tree: dict[str, Any], ports: dict[str, int]) -> Server:
    """Start the program; not waited for."""
    log = folder / f"server-{time.monotonic_ns()}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "collector", "serve", "--config", str(path)],
            stdout=out,
            stderr=out,
            env=environment(),
            cwd=ROOT,
            start_new_session=True,
        )
    return Server(folder, ports, tree, process, log)


def end(server: Server) -> None:
    """Whatever happened: nothing of it runs on."""
    if server.process.poll() is None:
        server.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.process.wait(20)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait(10)


@contextmanager
def serving(
    folder: Path, *, processes: int = 1, exporter: str | None = None, changes: dict[str, Any] | None = None
) -> Iterator[Server]:
    """Start, wait until it is ready, and end it whatever happens."""
    path, tree, ports = write_configuration(folder, processes=processes, exporter=exporter, changes=changes)
    with again(folder, path, tree, ports) as server:
        yield server


@contextmanager
def again(folder: Path, path: Path, tree: dict[str, Any], ports: dict[str, int]) -> Iterator[Server]:
    """Start with a configuration that is there already."""
    server = start(folder, path, tree, ports)
    try:
        server.until(server.ready, "readiness", START_S)
        yield server
    finally:
        end(server)


def _at(port: int) -> str:
    return f"{LOCAL}:{port}"


def _hex(trace_id: bytes | str) -> str:
    return trace_id if isinstance(trace_id, str) else trace_id.hex()
