"""The demo: start everything, play normal traffic, then ten faults; say what was injected and what was answered.

Exit status 0 only when all ten answers are right and no healthy trace has a finding.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from analyzer.findings import Answer
from collector.demo.children import running
from collector.demo.faults import FAULTS, Fault, is_right, origin_of
from collector.demo.shop import ROLES
from collector.demo.sink import Sink
from collector.demo.wire import FAULT_HEADER
from collector.verdict_text import plain

HEALTHY = ("POST /checkout", "POST /checkout", "GET /home", "GET /overview")
HEALTHY_COUNT = 1200  # three kinds of request; 300 of each is more than the 200 a baseline needs
HEALTHY_CHECKED = 60
PARALLEL = 4
START_S = 240.0  # a fresh install compiles its kernels once
ANSWER_S = 25.0
# A request of this machine that waits for the processor is slow, and firstfault would say so: the demo asks it to
# speak of time only when it is worth this much. The slow query takes 800 ms, the forty queries about 200.
EXCESS_MIN_MS = 150.0
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Ports:
    """Where firstfault and the front end of the shop listen in this run."""

    grpc: int
    http: int
    rest: int
    rest_grpc: int
    metrics: int
    health: int


@dataclass(frozen=True, slots=True)
class Played:
    """One fault that was played, and what came of it."""

    fault: Fault
    trace_id: str
    answer: Answer | None
    written_back: int

    @property
    def right(self) -> bool:
        return self.answer is not None and is_right(self.fault, self.answer)


def run(once: bool, console: Console) -> int:
    """Run the demo; the exit status. Interrupted or told to stop, it ends all that it started."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        with ExitStack() as stack:
            good = _play(stack, once, console)
        return 0 if good else 1
    except KeyboardInterrupt:
        console.print("Interrupted; everything that was started has ended.")
        return INTERRUPTED


def _play(stack: ExitStack, once: bool, console: Console) -> bool:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="firstfault-demo-")))
    sink = Sink()
    sink.start()
    stack.callback(sink.stop)
    ports = _ports()
    console.print("Starting firstfault and a shop of nine processes ... (the first time: a minute to compile)")
    stack.enter_context(_firstfault(folder, ports, sink.port))
    shop = stack.enter_context(_shop(folder, ports.grpc))
    healthy = _play_healthy(shop, console)
    time.sleep(4.0)  # the last healthy traces are decided: what is normal is known
    played = _play_faults(shop, ports, sink, console)
    _print_answers(console, played, ports)
    wrong = _healthy_findings(ports, healthy, {item.trace_id for item in played})
    spans, logs = sink.counts()
    console.print(f"Written back to the OTLP sink: {spans} annotation spans, {logs} log events.")
    console.print(f"Healthy traces: {len(healthy)} played, {len(wrong)} with a finding.")
    for trace_id, summary in wrong[:5]:
        console.print(Text(plain(f"  not healthy? {trace_id}: {summary}")))
    right = sum(item.right for item in played)
    console.print(f"[bold]{right} of {len(FAULTS)} right.[/bold]")
    if not once:
        _stay(shop, ports, console)
    return right == len(FAULTS) and not wrong


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _ports() -> Ports:
    """The usual ports where they are free, others where not."""
    return Ports(*_free([4317, 4318, 8080, 9317, 8888, 13133]))


def _free(wanted: list[int]) -> list[int]:
    """Ports that nobody listens at, no two alike; 0 wants any."""
    found = []
    with ExitStack() as held:
        for port in wanted:
            probe = held.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                probe = held.enter_context(socket.socket())
                probe.bind(("127.0.0.1", 0))
            found.append(int(probe.getsockname()[1]))
    return found


@contextmanager
def _firstfault(folder: Path, ports: Ports, sink_port: int) -> Iterator[None]:
    local = "127.0.0.1"
    settings = {
        "receivers": {
            "otlp": {
                "protocols": {
                    "grpc": {"endpoint": f"{local}:{ports.grpc}"},
                    "http": {"endpoint": f"{local}:{ports.http}"},
                }
            }
        },
        "storage": {"path": str(folder / "store"), "clean_traces_per_second": 1000},
        "analysis": {"excess_min_ms": EXCESS_MIN_MS},
        "exporters": {"otlp": {"endpoint": f"{local}:{sink_port}"}},
        "query": {"endpoint": f"{local}:{ports.rest}", "grpc_endpoint": f"{local}:{ports.rest_grpc}"},
        "service": {
            "health": {"endpoint": f"{local}:{ports.health}"},
            "telemetry": {"metrics": {"endpoint": f"{local}:{ports.metrics}"}},
        },
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(settings))  # JSON is YAML
    log_path = folder / "firstfault.log"
    with log_path.open("wb") as log, running([["collector", "serve", "--config", str(path)]], log) as (process,):
        _wait_until(lambda: _status(ports.health, "/readyz") == 200, process, log_path)
        yield


@contextmanager
def _shop(folder: Path, otlp_port: int) -> Iterator[int]:
    addresses = dict(zip(ROLES, _free([0] * len(ROLES)), strict=True))
    environment = os.environ | {
        "DEMO_ADDRESSES": json.dumps(addresses),
        "DEMO_OTLP_ENDPOINT": f"http://127.0.0.1:{otlp_port}",
    }
    log_path = folder / "shop.log"
    commands = [["collector.demo.shop", role] for role in ROLES]
    with log_path.open("wb") as log, running(commands, log, environment) as processes:
        for role, process in zip(ROLES, processes, strict=True):
            if role != "shipping":
                _wait_until(partial(_listens, addresses[role]), process, log_path)
        yield addresses["frontend"]


def _wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_S
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"a process of the demo did not start:\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def _request(shop: int, route: str, fault: str = "") -> str:
    """Send one request to the front end; its trace id."""
    method, path = route.split(" ", 1)
    connection = http.client.HTTPConnection("127.0.0.1", shop, timeout=20)
    try:
        connection.request(method, path, "{}", {FAULT_HEADER: fault, "content-type": "application/json"})
        response = connection.getresponse()
        response.read()
        return response.getheader("x-trace-id") or ""
    finally:
        connection.close()


def _play_healthy(shop: int, console: Console) -> list[str]:
    routes = [HEALTHY[i % len(HEALTHY)] for i in range(HEALTHY_COUNT)]
    found = []
    with Progress(console=console, transient=True) as progress, ThreadPoolExecutor(PARALLEL) as pool:
        task = progress.add_task("normal traffic", total=len(routes))
        for trace_id in pool.map(lambda route: _request(shop, route), routes):
            found.append(trace_id)
            progress.advance(task)
    return found


def _play_faults(shop: int, ports: Ports, sink: Sink, console: Console) -> list[Played]:
    played = []
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("ten faults", total=len(FAULTS))
        for fault in FAULTS:
            trace_id = _request(shop, fault.route, fault.name)
            answer = _settled(ports.rest, trace_id, fault)
            deadline = time.monotonic() + 5.0
            while answer and answer.status == "finding" and not sink.of_trace(trace_id) and time.monotonic() < deadline:
                time.sleep(0.05)
            played.append(Played(fault, trace_id, answer, len(sink.of_trace(trace_id))))
            progress.advance(task)
    return played


def _settled(rest: int, trace_id: str, fault: Fault) -> Answer | None:
    """Ask until the answer is right or the time is over: a late span may bring a better revision."""
    deadline = time.monotonic() + ANSWER_S
    answer = None
    while time.monotonic() < deadline:
        status, body = _get(rest, f"/api/v1/traces/{trace_id}/root-cause?wait=10")
        if status == 200:
            answer = Answer.model_validate_json(body)
            if answer.status != "in_progress" and is_right(fault, answer):
                return answer
        time.sleep(0.25)
    return answer


def _get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


def _healthy_findings(ports: Ports, healthy: list[str], faulty: set[str]) -> list[tuple[str, str]]:
    """Healthy traces that have a finding: every one that the list of findings names, and a sample asked one by one."""
    wrong: dict[str, str] = {}
    cursor = ""
    while True:
        status, body = _get(ports.rest, f"/api/v1/findings?limit=100{cursor}")
        if status != 200:
            raise SystemExit(f"the list of findings answered {status}: {body[:200]!r}")
        page = json.loads(body)
        for row in page["findings"]:
            if row["trace_id"] not in faulty:
                wrong[row["trace_id"]] = row["summary"]
        if not page.get("next_cursor"):
            break
        cursor = f"&cursor={page['next_cursor']}"
    step = max(1, len(healthy) // HEALTHY_CHECKED)
    for trace_id in healthy[::step]:
        status, body = _get(ports.rest, f"/api/v1/traces/{trace_id}/root-cause?wait=5")
        found = json.loads(body).get("status") if status == 200 else f"HTTP {status}"
        if found != "clean":
            wrong.setdefault(trace_id, f"status {found}")
    return sorted(wrong.items())


def _print_answers(console: Console, played: list[Played], ports: Ports) -> None:
    """Injected beside answered; the addresses below, whole, so that they can be clicked."""
    table = Table(title="Ten faults", show_lines=True, expand=True)
    table.add_column("", width=5, no_wrap=True)
    for column, ratio in (("injected", 5), ("answered", 8), ("origin", 3)):
        table.add_column(column, ratio=ratio, overflow="fold")
    for item in played:
        said = item.answer.summary if item.answer else "no answer"
        table.add_row(
            Text("right" if item.right else "wrong", style="green" if item.right else "bold red"),
            Text(item.fault.injected),
            Text(plain(f"{said} ({item.written_back} records written back)")),
            Text(plain(origin_of(item.answer)) if item.answer else ""),
        )
    console.print(table)
    for item in played:
        url = f"http://127.0.0.1:{ports.rest}/api/v1/traces/{item.trace_id}/root-cause"
        console.print(Text(f"{item.fault.name}\n{url}"), soft_wrap=True)


def _stay(shop: int, ports: Ports, console: Console) -> None:
    console.print(
        f"The shop keeps running. Ask http://127.0.0.1:{ports.rest}/api/v1/findings or /docs; stop with Ctrl-C."
    )
    try:
        while True:
            for route in HEALTHY:
                _request(shop, route)
                time.sleep(0.5)
    except KeyboardInterrupt:
        console.print("Stopping.")
