"""What was acknowledged is answered, whatever happens to the processes."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from tests.support.drawing import Drawing, draw
from tests.support.filled_journal import fill
from tests.support.planted import Plan, conserve, verify
from tests.support.running import Server, again, serving, start, write_configuration

pytestmark = pytest.mark.e2e

FAILING = """
gateway   GET /checkout            0..100  ERROR
  gateway   CLIENT payment.Charge    45..95  ERROR  peer.service=payment
    payment   Charge                   50..90  ERROR  !CardError: "boom"
"""
CLEAN = """
gateway   GET /checkout            0..100
  gateway   CLIENT payment.Charge    45..95  peer.service=payment
    payment   Charge                   50..90
"""
EARLIER_BYTES = 8 * 2**20
EARLIER_TRACES = 20  # of one request
PATIENT = {"assembly": {"root_idle_s": 50.0, "root_idle_min_s": 50.0, "root_idle_max_s": 60.0, "idle_s": 60.0}}


class Sender:
    """Sends drawn traces, one in three failing, each in two requests; remembers what was acknowledged whole."""

    def __init__(self, server: Server, seed: int) -> None:
        self.failing: list[bytes] = []
        self.clean: list[bytes] = []
        self.guilty: set[bytes] = set()  # sent, acknowledged or not: failing, or by half
        self.answered = threading.Event()  # once, at least
        self._server, self._seed = server, seed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(30)

    def _run(self) -> None:
        with grpc.insecure_channel(self._server.otlp_grpc) as channel:
            export = TraceServiceStub(channel).Export
            while not self._stop.is_set():
                self._seed += 1
                fails = self._seed % 3 == 0
                drawing = draw(FAILING if fails else CLEAN, seed=self._seed)
                if fails:
                    self.guilty.add(drawing.trace_id)
                try:
                    for part in (drawing.spans[:1], drawing.spans[1:]):
                        traces, _ = Drawing(part, drawing.trace_id).requests()
                        export(ExportTraceServiceRequest.FromString(traces), timeout=10)
                        self.answered.set()
                except grpc.RpcError:
                    # Its half may be there, and that the other half is missing may be said of it.
                    self.guilty.add(drawing.trace_id)
                    self._stop.wait(0.01)
                    continue
                (self.failing if fails else self.clean).append(drawing.trace_id)


def kill(server: Server) -> None:
    """Every process at once, as a machine that goes away."""
    with suppress(ProcessLookupError):  # a stop may have been quicker
        os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait(10)


class Moments:
    """When to kill. Each comes to its moment and says whether it was met."""

    def __init__(self, rng: random.Random, requests: int) -> None:
        self._rng, self._requests = rng, requests

    def replay(self, server: Server, sender: Sender) -> bool:
        """Somewhere in the journal that is read back."""
        some = self._rng.uniform(0.0, 0.9) * self._requests
        server.until(lambda: server.metrics().get("journal_replayed_requests", 0) > some, "the replay", 100)
        return not server.ready()

    def load(self, server: Server, sender: Sender) -> bool:
        server.until(server.ready, "readiness", 100)
        sender.start()
        time.sleep(self._rng.uniform(0.3, 4.0))
        return True

    def first_answer(self, server: Server, sender: Sender) -> bool:
        """Within 50 ms of it."""
        self._until_answered(server, sender)
        time.sleep(self._rng.uniform(0.0, 0.05))
        return True

    def stop(self, server: Server, sender: Sender) -> bool:
        """Asked to stop, with load, and not given the time."""
        self._until_answered(server, sender)
        time.sleep(self._rng.uniform(0.0, 1.0))
        server.process.send_signal(signal.SIGTERM)
        time.sleep(self._rng.uniform(0.0, 1.5))
        return server.process.poll() is None

    def _until_answered(self, server: Server, sender: Sender) -> None:
        server.until(server.ready, "readiness", 100)
        sender.start()
        assert sender.answered.wait(30)


def killed_again_and_again(folder: Path, moments: Sequence[str], processes: int, seed: int) -> dict[str, Any]:
    """Start, load, kill at each of the moments; in the end every acknowledged trace is asked for.

    It begins with a journal of an earlier life, so that there is a replay to be killed in; its traces are asked for too.
    """
    rng = random.Random(seed)
    path, tree, ports = write_configuration(folder, processes=processes)
    plan = Plan(seed)
    number, _ = fill(Path(tree["storage"]["path"]) / "journal", plan, EARLIER_BYTES, EARLIER_TRACES)
    kills = Moments(rng, number // EARLIER_TRACES)
    failing: list[bytes] = []
    clean: list[bytes] = []
    guilty: set[str] = set()
    met: Counter[str] = Counter()
    for cycle, moment in enumerate(moments):
        server = start(folder, path, tree, ports)
        sender = Sender(server, seed * 10**6 + cycle * 10**4)
        try:
            met[moment] += getattr(kills, moment)(server, sender)
        finally:
            kill(server)
        sender.stop()
        failing += sender.failing
        clean += sender.clean
        guilty |= {trace_id.hex() for trace_id in sender.guilty}
    with again(folder, path, tree, ports) as server:
        with httpx.Client(base_url=server.url, timeout=40, trust_env=False, verify=False) as client:

            def ask(trace_id: bytes) -> Any:
                return client.get(f"/api/v1/traces/{trace_id.hex()}/root-cause?wait=20").json()

            answers = {trace_id: ask(trace_id) for trace_id in failing}
            verdicts = {trace_id: ask(trace_id)["status"] for trace_id in clean}
        earlier = verify(server, plan, range(number))
        metrics = conserve(server)
        assert server.stop() == 0, server.said()
    return {
        "failing": len(failing),
        "clean": len(clean),
        "met": dict(met),
        "missing": earlier.missing,
        "wrong": earlier.wrong
        + [
            trace_id.hex()
            for trace_id, answer in answers.items()
            if answer["status"] != "finding" or answer["root_causes"][0]["entity"]["service"] != "payment"
        ],
        "accused": [trace_id.hex() for trace_id, status in verdicts.items() if status == "finding"]
        + sorted(set(earlier.accused) - guilty),
        "lost_records": metrics["journal_recovery_lost_records"],
    }


MOMENTS = ["replay", "load", "first_answer", "stop"]


@pytest.mark.parametrize(
    ("processes", "moments"), [(1, MOMENTS[:2]), (2, MOMENTS), pytest.param(1, MOMENTS, marks=pytest.mark.deep)]
)
@pytest.mark.timeout(300)
def test_kills_lose_nothing_acknowledged(tmp_path: Path, processes: int, moments: list[str]):
    """During a replay, under load, within 50 ms of the first answer, and during a stop."""
    found = killed_again_and_again(tmp_path, moments, processes=processes, seed=processes)

    assert found["failing"] > 0
    assert (found["missing"], found["wrong"], found["accused"], found["lost_records"]) == ([], [], [], 0)


@pytest.mark.deep
@pytest.mark.timeout(1800)
def test_fifty_kills_lose_nothing_acknowledged(tmp_path: Path):
    moments = ["replay"] * 14 + ["load", "first_answer", "stop"] * 12
    found = killed_again_and_again(tmp_path, moments, processes=2, seed=50)
    print(found)

    assert found["failing"] > 100
    assert (found["missing"], found["wrong"], found["accused"], found["lost_records"]) == ([], [], [], 0)
    assert all(found["met"][moment] >= 6 for moment in ("replay", "load", "first_answer", "stop"))


@pytest.fixture(scope="module")
def slow_to_decide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of several processes in which a trace stays open for seconds; its processes may be killed."""
    changes = {"assembly": {"root_idle_s": 4.0, "root_idle_min_s": 4.0, "root_idle_max_s": 5.0, "idle_s": 5.0}}
    with serving(tmp_path_factory.mktemp("slow"), processes=2, changes=changes) as server:
        yield server


@pytest.mark.parametrize("role", ["engine", "receiver"])
def test_an_open_trace_outlives_the_process_that_holds_it(slow_to_decide: Server, role: str):
    """The engine reads back what it had taken; a receiver holds nothing that was acknowledged."""
    server, drawing = slow_to_decide, draw(FAILING, seed=77 + sum(role.encode()))
    server.send(*drawing.requests())
    os.kill(server.children()[role][0], signal.SIGKILL)
    server.until(lambda: not server.ready(), "the death to be noticed")
    server.until(server.ready, "readiness after the death", 60)

    assert server.root_cause(drawing.trace_id)["root_causes"][0]["entity"]["service"] == "payment"


def whole(answer: dict[str, Any]) -> dict[str, Any] | None:
    return answer if answer["completeness"]["span_count"] == 3 else None


def test_a_stop_leaves_open_traces_to_the_next_start(tmp_path: Path):
    """They are not cut short: the rest of the trace comes after the restart, and the answer is whole.

    In one process; that a stop of several leaves what was open to the next start is R7 (test_stop).
    """
    path, tree, ports = write_configuration(tmp_path, changes=PATIENT)
    drawing = draw(FAILING, seed=78)
    with again(tmp_path, path, tree, ports) as server:
        server.send(*Drawing(drawing.spans[:2], drawing.trace_id).requests())
        assert server.stop(timeout_s=30) == 0, server.said()

    tree["assembly"] = {"root_idle_s": 0.4, "root_idle_min_s": 0.2, "root_idle_max_s": 1.0, "idle_s": 3.0}
    path.write_text(json.dumps(tree))
    with again(tmp_path, path, tree, ports) as server:
        assert server.metrics()["journal_replayed_spans"] == 2
        server.send(*Drawing(drawing.spans[2:], drawing.trace_id).requests())
        # On a slow machine what was read back is decided before the rest is sent; then the answer is revised.
        answer = server.until(lambda: whole(server.root_cause(drawing.trace_id)), "an answer of three spans")

    assert answer["root_causes"][0]["origin_spans"][0]["operation"] == "Charge"


def test_what_is_decided_leaves_the_journal(tmp_path: Path):
    """A restart of an idle server reads nothing back."""
    path, tree, ports = write_configuration(tmp_path, processes=2)
    drawing = draw(FAILING, seed=79)
    folder = Path(tree["storage"]["path"]) / "journal"
    with again(tmp_path, path, tree, ports) as server:
        server.send(*drawing.requests())
        answer = server.root_cause(drawing.trace_id)
        server.until(lambda: any(folder.glob("*/passed")), "progress noted")

    with again(tmp_path, path, tree, ports) as server:
        assert server.metrics()["journal_replayed_spans"] == 0
        assert server.root_cause(drawing.trace_id) == answer
