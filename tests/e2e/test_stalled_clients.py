"""Thousands of clients that stall beside a normal load: closed in time, and the load does not notice (R13)."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.benchmarks.server_under_load import memory_bytes
from tests.support.crowd import Crowd, Flood
from tests.support.planted import Load, Plan, Verdict, conserve, verify
from tests.support.running import Server, serving

pytestmark = [pytest.mark.e2e, pytest.mark.deep, pytest.mark.timeout(900)]

COUNT = 2_000
SLOW = 200
GRPC_COUNT = 2_000
LATE_S = 30.0  # how much later a close may be seen on two busy cores; what was seen is printed
HEAD_S, BODY_S = 10.0, 30.0
_HEAD = b"POST /v1/traces HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-protobuf\r\n"
HALF_A_HEAD = _HEAD + b"x-more: "
HALF_A_BODY = _HEAD + b"content-length: 100000\r\n\r\nhalf"
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])


@dataclass
class Newcomers:
    """Requests on fresh connections."""

    seconds: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


@contextmanager
def newcomers(server: Server) -> Iterator[Newcomers]:
    """One after the other comes to OTLP/HTTP, each on a connection of its own."""
    found, stop = Newcomers(), threading.Event()

    def come() -> None:
        while not stop.wait(0.05):
            began = time.monotonic()
            try:
                answer = httpx.get(f"{server.otlp_http}/", timeout=30, trust_env=False)
                assert answer.status_code == 200
            except (httpx.TransportError, AssertionError) as error:
                found.failed.append(repr(error))
            found.seconds.append(time.monotonic() - began)

    thread = threading.Thread(target=come, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join(60)


def descriptors(server: Server) -> int:
    pids = [server.process.pid, *(pid for pids in server.children().values() for pid in pids)]
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


def attack(server: Server, crowd: Crowd, slow: int) -> dict[str, Any]:
    """A wave: all of them come, and the wave is over when the last one was closed."""
    http, grpc = server.ports["otlp_http"], server.ports["otlp_grpc"]
    with Flood(http) as flood, Flood(grpc) as grpc_flood:
        crowd.come("idle gRPC", grpc, GRPC_COUNT, GREETING)
        crowd.come("heads", http, COUNT, HALF_A_HEAD)
        crowd.come("slow heads", http, slow, HALF_A_HEAD, drip_s=5.0)
        crowd.come("bodies", http, COUNT, HALF_A_BODY)
        crowd.come("slow bodies", http, slow, HALF_A_BODY, drip_s=5.0)
        at_most = descriptors(server)
        for kind in ("heads", "slow heads", "bodies", "slow bodies"):
            crowd.until_closed(kind, 120)
        idle = crowd.open_count("idle gRPC")
        crowd.leave("idle gRPC")
    return {
        "held_s": {
            kind: round(max(crowd.held_s(kind)), 1) for kind in ("heads", "slow heads", "bodies", "slow bodies")
        },
        "descriptors": at_most,
        "idle_grpc": idle,
        "flood": flood.count + grpc_flood.count,
        "flood_failed": flood.failed + grpc_flood.failed,
    }


@pytest.mark.parametrize("places", [16_384, 1_024], ids=["room for all", "the port is full"])
def test_thousands_stall_beside_a_normal_load(tmp_path: Path, places: int):
    """Twice, so that what the first wave left behind can be seen in the second."""
    plan = Plan(13)
    changes = {"receivers": {"otlp": {"protocols": {"http": {"connections_max": places}}}}}
    with serving(tmp_path, changes=changes) as server:
        family = server.children()
        with Load(server, plan, rate=1_000) as load:
            with newcomers(server) as before:
                time.sleep(10)
            calm = descriptors(server)
            waves, memory = [], [memory_bytes(server.process.pid)]
            for _ in range(2):
                with newcomers(server) as during, Crowd() as crowd:
                    wave = attack(server, crowd, SLOW)
                server.until(lambda: descriptors(server) <= calm + 20, "descriptors to be given back", 60)
                memory.append(memory_bytes(server.process.pid))
                waves.append(wave | {"newcomers": len(during.seconds), "failed": during.failed})
        conserve(server, load)
        ratio = statistics.median(during.seconds) / statistics.median(before.seconds)
        print(waves, {"calm_descriptors": calm, "memory_mib": [one >> 20 for one in memory], "ratio": round(ratio, 1)})

        assert server.children() == family, server.said()
        for wave in waves:
            assert wave["failed"] == []
            assert wave["held_s"]["heads"] <= HEAD_S + LATE_S
            assert wave["held_s"]["slow heads"] <= HEAD_S + LATE_S
            assert wave["held_s"]["bodies"] <= BODY_S + LATE_S
            assert wave["held_s"]["slow bodies"] <= BODY_S + LATE_S
            assert wave["descriptors"] <= calm + places + GRPC_COUNT + 100
            assert wave["newcomers"] > 10
        assert memory[2] - memory[1] <= 32 * 2**20
        assert not load.refusals
        assert verify(server, plan, load.acked, load.next_number) == Verdict()
        assert server.stop() == 0, server.said()
