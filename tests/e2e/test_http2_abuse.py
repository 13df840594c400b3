"""Floods of HTTP/2 against the gRPC ports of the running program, beside normal calls (R14).

Alive, bounded, and the others are answered: whatever grpcio does with an attacker, that must hold.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from tests.benchmarks.server_under_load import cpu_s, memory_bytes
from tests.support.http2_abuse import ATTACKS, attack
from tests.support.planted import METHOD, Plan, Verdict, conserve, verify
from tests.support.running import Server, serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

GROWTH_BYTES = 100 * 2**20
# grpcio 1.85 names every header of a refused head in its refusal: as much as this a connection, and a second of a core
# for some megabytes (docs/reliability.md).
HUNGRY = dict.fromkeys(("references", "hpack_bomb", "continuation_flood"), 160 * 2**20)
# The library ends these, at the latest when its answers are read, whatever it does with the others.
CLOSED = {"made_you_reset", "ping_flood", "too_long_frame"}
RETRYABLE = {"CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE"}  # OTLP 1.11: an exporter sends it again
LOG_BYTES = 64 * 1024


@dataclass
class Beside:
    """Calls of somebody who means no harm."""

    numbers: list[int] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    memory_max: int = 0


class Caller:
    """Sends one trace a call, and remembers."""

    def __init__(self, server: Server) -> None:
        self.plan, self.acked = Plan(14, every=10), []
        self._server, self._next = server, 0

    @contextmanager
    def calling(self) -> Iterator[Beside]:
        found, stop = Beside(), threading.Event()

        def call() -> None:
            options = [("grpc.use_local_subchannel_pool", 1)]
            with grpc.insecure_channel(self._server.otlp_grpc, options=options) as channel:
                export = channel.unary_unary(METHOD)
                while not (stop.is_set() and found.seconds):
                    payload, _ = self.plan.request([self._next])
                    began = time.monotonic()
                    try:
                        export(payload, timeout=60)
                    except grpc.RpcError as error:
                        found.failed.append(error.code().name)
                        continue  # an exporter would send it again too
                    self.acked.append(self._next)
                    found.seconds.append(time.monotonic() - began)
                    found.memory_max = max(found.memory_max, memory_bytes(self._server.process.pid))
                    self._next += 1
                    stop.wait(0.02)

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            stop.set()
            thread.join(90)

    @property
    def sent(self) -> int:
        return self._next


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Caller]]:
    with serving(tmp_path_factory.mktemp("http2")) as server:
        caller = Caller(server)
        with caller.calling():
            time.sleep(0.5)
        yield server, caller
        assert server.log.stat().st_size < LOG_BYTES, server.said()  # no stranger fills it
        # Whoever was answered is answered rightly, and the books balance.
        conserve(server)
        assert verify(server, caller.plan, caller.acked, caller.sent) == Verdict()
        assert server.stop() == 0, server.said()


def abused(server: Server, caller: Caller, name: str, count: int, connections: int) -> dict[str, Any]:
    """Attack both gRPC ports, reading answers and not reading them."""
    with caller.calling() as before:
        time.sleep(0.3)
    memory, cpu = memory_bytes(server.process.pid), cpu_s(server.process.pid)
    wait_s = 10.0 if name in CLOSED and count <= 1_000 else 0.2
    ways = [(port, reads) for port in ("otlp_grpc", "grpc") for reads in (True, False)]
    with caller.calling() as beside, ThreadPoolExecutor(len(ways) * connections) as pool:
        running = [
            pool.submit(attack, server.ports[port], ATTACKS[name](count), reads=reads, wait_s=wait_s)
            for port, reads in ways
            for _ in range(connections)
        ]
        ends = [one.result() for one in running]
    grown = max(beside.memory_max, memory_bytes(server.process.pid)) - memory
    found = {
        "attack": name,
        "ends": sorted({end for end, _ in ends}),
        "sent_kib": sum(sent for _, sent in ends) >> 10,
        "grown_mib": round(grown / 2**20, 1),
        "cpu_s": round(cpu_s(server.process.pid) - cpu, 2),
        "calls": len(beside.seconds),
        "failed": beside.failed,
        "ratio": round(statistics.median(beside.seconds) / statistics.median(before.seconds), 1),
        "slowest_ms": round(max(beside.seconds) * 1000),
    }
    print(found)
    assert before.failed == []
    assert set(beside.failed) <= (RETRYABLE if name in HUNGRY else set())
    assert beside.seconds  # somebody was answered
    assert grown <= max(GROWTH_BYTES, HUNGRY.get(name, 0) * len(running))
    # In volume a busy machine may need longer for the flood than we wait for the end.
    assert name not in CLOSED or count > 1_000 or "closed" in found["ends"]
    assert server.process.poll() is None
    return found


@pytest.mark.parametrize("name", ATTACKS)
def test_a_flood_of_http2_harms_nobody_else(scene: tuple[Server, Caller], name: str):
    abused(*scene, name, count=50, connections=1)


@pytest.mark.deep
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ATTACKS)
def test_a_large_flood_of_http2_harms_nobody_else(scene: tuple[Server, Caller], name: str):
    abused(*scene, name, count=100_000, connections=1)
