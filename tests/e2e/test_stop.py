"""SIGTERM at load: within its time, with nothing that was acknowledged lost (R7)."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.support.fakes.otlp_sink import GrpcSink, Reply
from tests.support.planted import Load, Plan, Verdict, conserve, verify
from tests.support.running import Server, again, end, start, write_configuration

pytestmark = pytest.mark.e2e

STOP_S = 10.0
OPEN = {"root_idle_s": 6.0, "root_idle_min_s": 6.0, "root_idle_max_s": 6.0, "idle_s": 7.0}
# CANCELLED is what grpc-core says of a call that comes in the moment its server goes; OTLP has it tried again too.
GRACEFUL = {"UNAVAILABLE", "CANCELLED", "HTTP 503"}


@contextmanager
def guests(server: Server) -> Iterator[None]:
    """Those who do not leave by themselves: a watcher of health, a question that waits, an idle connection."""

    def ask() -> None:
        with suppress(httpx.TransportError):
            server.get("/api/v1/traces/" + "ab" * 16 + "/root-cause?wait=30")

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    with (
        grpc.insecure_channel(server.otlp_grpc, [("grpc.use_local_subchannel_pool", 1)]) as channel,
        socket.create_connection(("127.0.0.1", server.ports["otlp_http"])),
    ):
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        yield
        watch.cancel()
    asking.join(40)


def stopped_at_load(folder: Path, processes: int, hung: bool, seed: int, rate: float, seconds: float) -> dict[str, Any]:
    """Load with guests, SIGTERM in the middle of it, start again; every promise of a stop is looked at."""
    plan = Plan(seed)
    with GrpcSink() as sink:
        sink.always(Reply(hang=True) if hung else None)
        changes = {"assembly": OPEN, "service": {"stop_timeout_s": STOP_S}}
        path, tree, ports = write_configuration(folder, processes=processes, exporter=sink.endpoint, changes=changes)
        with again(folder, path, tree, ports) as server, guests(server), Load(server, plan, rate=rate) as load:
            server.until(lambda: server.metrics().get("analyzer_findings", 0) >= 1, "findings")
            time.sleep(seconds)
            server.until(lambda: server.metrics()["assembly_open_traces"] >= 10, "open traces")
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            status = server.process.wait(60)
            took_s = time.monotonic() - began
            said = server.log.read_text()
        assert status == 0, said
        assert took_s <= STOP_S, said
        assert "Traceback" not in said
        assert {status for status, _ in load.refusals} <= GRACEFUL

        sink.always(None)
        with again(folder, path, tree, ports) as server:
            assert server.metrics()["journal_replayed_spans"] > 0
            assert verify(server, plan, load.acked, load.next_number) == Verdict()
            server.until(lambda: server.metrics()["exporter_queue_size"] == 0, "delivery", 40)
            metrics = conserve(server)
            assert metrics["exporter_dead_letter_items"] == 0
    return {"took_s": round(took_s, 2), "acked": len(load.acked), "refusals": dict(load.refusals)}


@pytest.mark.parametrize(("processes", "hung"), [pytest.param(1, False, marks=pytest.mark.deep), (2, True)])
def test_a_stop_at_load_is_in_time_and_loses_nothing(tmp_path: Path, processes: int, hung: bool):
    """Exit status 0 with the exporter hung (and well: deep); calls are answered or UNAVAILABLE; open traces come after."""
    found = stopped_at_load(tmp_path, processes, hung, seed=processes, rate=2_000, seconds=0.5)

    assert found["acked"] > 100


@pytest.mark.deep
@pytest.mark.timeout(900)
@pytest.mark.parametrize("hung", [False, True])
def test_ten_stops_at_load(tmp_path: Path, hung: bool):
    for turn in range(10):
        print(stopped_at_load(tmp_path / str(turn), 2, hung, seed=100 + turn, rate=20_000, seconds=3.0))


def test_a_second_signal_ends_at_once_and_a_start_can_be_stopped(tmp_path: Path):
    """Asked twice it ends within 2 s; asked during a start it does not go on starting. Nothing is lost by either."""
    plan = Plan(3)
    changes = {"assembly": OPEN, "service": {"stop_timeout_s": 100}}
    path, tree, ports = write_configuration(tmp_path, processes=2, changes=changes)
    with again(tmp_path, path, tree, ports) as server:
        with guests(server), Load(server, plan, rate=2_000) as load:  # the watcher makes the first stop slow
            server.until(lambda: len(load.acked) > 100, "load")
            server.process.send_signal(signal.SIGTERM)
            server.until(lambda: not server.ready(), "the stop to begin")
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            status = server.process.wait(60)
            took_s = time.monotonic() - began
        assert (status, took_s <= 2.0) == (1, True), (took_s, server.said())

    starting = start(tmp_path, path, tree, ports)
    try:
        starting.until(lambda: starting.get("/readyz", "health").status_code == 503, "a start")
        began = time.monotonic()
        assert starting.stop(60) == 0, starting.said()
        assert time.monotonic() - began <= STOP_S, starting.said()
        assert "ready:" not in starting.said()
    finally:
        end(starting)

    with again(tmp_path, path, tree, ports) as server:
        assert verify(server, plan, load.acked, load.next_number) == Verdict()
        conserve(server)
