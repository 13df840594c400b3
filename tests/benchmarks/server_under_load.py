"""A server as a subprocess, its cost read from /proc, and the load generator beside it.

Knows two servers: the product (`python -m collector serve`) and the plain reference. Both are started on
free ports, asked how many spans they have analysed, and stopped by their own process id.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import yaml

from tests.benchmarks.load_client import METHOD

QUIET_S = 1.0  # the same for every trace and for both servers, so that what comes on top can be seen
TICK_S = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def _family(pid: int) -> list[int]:
    """The process and all below it."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(words[1]), []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += parents.get(one, [])
    return found


def cpu_s(pid: int) -> float:
    """User and system time of a process and all below it."""
    total = 0
    for one in _family(pid):
        try:
            words = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(words[11]) + int(words[12])
    return total / TICK_S


def rss_bytes(pid: int) -> int:
    """Resident memory of a process and all below it; what they share counts for each."""
    total = 0
    for one in _family(pid):
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * PAGE
        except OSError:
            continue
    return total


def memory_bytes(pid: int) -> int:
    """Memory of a process and all below it; what they share (libraries) counts once (PSS)."""
    return _weighed(pid, "Pss")


def own_memory_bytes(pid: int) -> int:
    """Memory of a process and all below it, without pages of files: those are shared with whatever else runs."""
    return _weighed(pid, "Pss_Anon", "Pss_Shmem")


def _weighed(pid: int, *kinds: str) -> int:
    total = 0
    for one in _family(pid):
        try:
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(
            int(size) * 1024 for kind, size in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE) if kind in kinds
        )
    return total


class Product:
    """`python -m collector serve` with its storage in a folder of its own. `more` goes into its configuration."""

    def __init__(self, folder: Path, more: dict[str, object] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.otlp, self._http, self.query, self._query_grpc, self._health, self._metrics = (
            free_port() for _ in range(6)
        )
        config = {
            "receivers": {
                "otlp": {
                    "protocols": {
                        "grpc": {"endpoint": f"127.0.0.1:{self.otlp}"},
                        "http": {"endpoint": f"127.0.0.1:{self._http}"},
                    }
                }
            },
            "assembly": {
                "root_idle_s": QUIET_S,
                "root_idle_min_s": QUIET_S,
                "root_idle_max_s": QUIET_S,
                "idle_s": 2.0,
            },
            "storage": {"path": str(folder / "storage")},
            "durability": "memory",  # the price of the journal is measured by itself (bench_journal)
            "query": {
                "endpoint": f"127.0.0.1:{self.query}",
                "grpc_endpoint": f"127.0.0.1:{self._query_grpc}",
            },
            "service": {
                "health": {"endpoint": f"127.0.0.1:{self._health}"},
                "telemetry": {
                    "metrics": {"endpoint": f"127.0.0.1:{self._metrics}"},
                    "logs": {"level": "warning"},
                },
            },
        }
        (folder / "config.yaml").write_text(yaml.safe_dump(config | (more or {})))
        self.target = f"127.0.0.1:{self.otlp}"
        began = time.monotonic()
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "collector", "serve", "--config", str(folder / "config.yaml")],
            stdout=self._log,
            stderr=self._log,
        )
        self.pid = self._process.pid
        self.start_s = _first_call(self.target, began, self._process)
        self._wait_ready()
        self.rss_idle_bytes = rss_bytes(self.pid)
        self.memory_idle_bytes = memory_bytes(self.pid)

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urlopen(f"http://127.0.0.1:{self._health}/readyz", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"the server did not become ready; its log: {Path(self._log.name).read_text()}")

    def metrics(self) -> dict[str, float]:
        """Every counter, summed over its labels."""
        with urlopen(f"http://127.0.0.1:{self._metrics}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found: dict[str, float] = {}
        for line in text.splitlines():
            matched = re.match(r"firstfault_(\w+?)(_total)?(\{[^}]*\})? (\S+)", line)
            if matched and not line.startswith("#"):
                found[matched[1]] = found.get(matched[1], 0.0) + float(matched[4])
        return found

    def analysed(self) -> float:
        """Spans that have been through analysis, or were found to be there already."""
        found = self.metrics()
        return found.get("assembly_released_spans", 0) + found.get("assembly_deduped_spans", 0)

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


class Reference:
    """`tests.benchmarks.reference` as a server."""

    quiet_s = QUIET_S

    def __init__(self) -> None:
        port = free_port()
        self.target = f"127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.reference", str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def analysed(self) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def _first_call(target: str, began: float, process: subprocess.Popen[bytes]) -> float:
    """Seconds until an empty request was accepted."""
    with grpc.insecure_channel(target, options=[("grpc.max_reconnect_backoff_ms", 50), ("grpc.initial_reconnect_backoff_ms", 20), ("grpc.min_reconnect_backoff_ms", 20)]) as channel:  # fmt: skip
        export = channel.unary_unary(METHOD)
        while time.monotonic() - began < 120 and process.poll() is None:
            try:
                export(b"", timeout=1.0)
            except grpc.RpcError:
                time.sleep(0.01)
                continue
            return time.monotonic() - began
    raise RuntimeError("the server did not accept a request within 120 s; its log is in its folder")


@dataclass(frozen=True)
class Outcome:
    """One run of load: what the generator saw, what the server did and what it cost."""

    load: dict[str, Any]
    analysed_spans: float
    spans_per_s: float
    cpu_ns_per_span: float
    rss_bytes: int


class Load:
    """The generator as a subprocess, ready to send."""

    def __init__(self, target: str, data: Path, seconds: float, first_round: int, *options: str) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.load_client", target, "--data", str(data)]
        command += ["--seconds", str(seconds), "--first-round", str(first_round), *options]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._process.stdout.readline()

    def start(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def result(self) -> dict[str, Any]:
        told, _ = self._process.communicate()
        found: dict[str, Any] = json.loads(told)
        return found


def drive(server: Product | Reference, load: Load, quiet_s: float, wait_s: float) -> Outcome:
    """Send, and wait until everything that was acknowledged has been analysed (or `wait_s` have passed)."""
    before, cpu = server.analysed(), cpu_s(server.pid)
    began = time.monotonic()
    load.start()
    told = load.result()
    rss = rss_bytes(server.pid)
    deadline = time.monotonic() + wait_s
    while (done := server.analysed() - before) < told["acked_spans"] and time.monotonic() < deadline:
        time.sleep(0.2)  # asking costs the server something too
    took = time.monotonic() - began - quiet_s
    spent = cpu_s(server.pid) - cpu
    return Outcome(told, done, done / took, spent / max(1.0, done) * 1e9, rss)
