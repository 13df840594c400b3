"""More than the server can take: it refuses in a way that loses nothing, answers all the while, and recovers (R5)."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from collector.memory_limit import open_traces_bytes
from tests.benchmarks.server_under_load import cpu_s, memory_bytes, rss_bytes
from tests.support.planted import Load, Plan, Verdict, conserve, verify
from tests.support.running import Server, serving

pytestmark = pytest.mark.e2e

MEMORY_BYTES = 2**30
RECOVERED_S = 10.0
WARM_S = 2.0  # until the first traces are whole, so that what is decided keeps pace with what is taken
GOODPUT_MIN = 0.8
# What a container of this size takes of it for open traces; everything else is as it is by default.
SMALL = {"assembly": {"memory_bytes_max": open_traces_bytes(MEMORY_BYTES)}}


@dataclass
class Seen:
    """What a bystander saw."""

    pss_max: int = 0
    rss_max: int = 0
    parts_mib: dict[str, int] = field(default_factory=dict)  # at the largest
    slowest_s: float = 0.0
    looks: int = 0
    bad: list[str] = field(default_factory=list)


@contextmanager
def bystander(server: Server, known: bytes) -> Iterator[Seen]:
    """Asks for readiness, metrics and a known trace, and weighs the processes, all the time."""
    seen, stop = Seen(), threading.Event()
    doors = (
        (server.ports["health"], "/readyz"),
        (server.ports["metrics"], "/metrics"),
        (server.ports["rest"], f"/api/v1/traces/{known.hex()}/root-cause"),
    )

    def look() -> None:
        with httpx.Client(timeout=20, trust_env=False) as client:
            while not stop.wait(0.25):
                for port, path in doors:
                    began = time.monotonic()
                    try:
                        status = client.get(f"http://127.0.0.1:{port}{path}").status_code
                    except httpx.TransportError as error:
                        status = type(error).__name__
                    seen.slowest_s = max(seen.slowest_s, time.monotonic() - began)
                    if status != 200:
                        seen.bad.append(f"{path}: {status}")
                seen.looks += 1
                seen.rss_max = max(seen.rss_max, rss_bytes(server.process.pid))
                if (found := memory_bytes(server.process.pid)) > seen.pss_max:
                    seen.pss_max = found
                    seen.parts_mib = {
                        role: sum(map(memory_bytes, pids)) >> 20 for role, pids in server.children().items()
                    }

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join(60)


def decided(server: Server, seconds: float) -> tuple[float, float]:
    """Spans that went through the engine in a stretch of time: a second, and a second of its processor time.

    The mean of what came in and what was analysed: in a few seconds the two differ by what is open.
    """
    (engine,) = server.children()["engine"]

    def now() -> tuple[float, float, float]:
        metrics = server.metrics()
        spans = (metrics["assembly_received_spans"] + metrics["analyzer_analysed_spans"]) / 2
        return spans, time.monotonic(), cpu_s(engine)

    spans, at, spent = now()
    time.sleep(seconds)
    more_spans, later, more_spent = now()
    return (more_spans - spans) / (later - at), (more_spans - spans) / (more_spent - spent)


def overloaded(folder: Path, seconds: float, threads: int, traces: int, every: int) -> dict[str, Any]:
    """What one sender can send, everything that `threads` senders can, then a trickle.

    Goodput is what is decided under overload, against what is decided when one sender alone is as much as the engine
    takes. It is promised by the engine's processor time: by the clock it also says who else is on the machine.
    In a few seconds it says little; only the long form asks for it.
    """
    plan = Plan(5, every=every)
    with serving(folder, processes=2, changes=SMALL) as server:
        family = server.children()
        server.send(plan.request([0])[0])
        assert server.root_cause(plan.trace_id(0))["status"] == "finding"
        with Load(server, plan, threads=1, traces=traces, first=1) as calm:
            time.sleep(WARM_S)
            capacity = decided(server, seconds / 3)
        with (
            bystander(server, plan.trace_id(0)) as seen,
            Load(server, plan, threads=threads, traces=traces, first=calm.next_number) as load,
        ):
            time.sleep(WARM_S)
            goodput = decided(server, seconds)
            load.set_rate(500)
            dropped = time.monotonic()
            server.until(lambda: time.monotonic() - max(dropped, load.last_refusal_s) > 3.0, "calm", 60)
            recovered_s = max(0.0, load.last_refusal_s - dropped)
        server.until(
            lambda: (now := server.metrics())["assembly_open_traces"] == 0 and now["store_queued_batches"] == 0,
            "all traces to be decided",
            60,
        )
        metrics = conserve(server)
        refusals = load.refusals + calm.refusals
        found = {
            "acked_spans": load.total("acked_spans"),
            "goodput": round(goodput[1] / capacity[1], 2),
            "goodput_by_clock": round(goodput[0] / capacity[0], 2),
            "refused_calls": sum(refusals.values()),
            "refused_after_s": [
                round(float(after_s), 3) for after_s in np.quantile(load.refused_after_s or [0.0], (0.5, 0.99))
            ],
            "pss_max_mib": seen.pss_max >> 20,
            "rss_max_mib": seen.rss_max >> 20,
            "parts_mib": seen.parts_mib,
            "recovered_s": round(recovered_s, 1),
            "slowest_answer_s": round(seen.slowest_s, 2),
            "brief": metrics["analyzer_brief_traces"],
            "untold": metrics["analyzer_untold_traces"],
        }
        print(found, refusals)
        assert server.children() == family, server.said()  # nobody died
        assert seen.bad == []
        assert seen.looks >= seconds / 5
        assert {says_when for _, says_when in refusals} <= {True}, refusals
        assert {status for status, _ in refusals} <= {"UNAVAILABLE", "HTTP 503"}
        assert recovered_s <= RECOVERED_S
        assert seen.pss_max <= MEMORY_BYTES
        assert verify(server, plan, [0, *calm.acked, *load.acked], load.next_number, wait_s=0) == Verdict()
        # One trace was sent beside the load.
        wire = calm.total("wire_spans") + load.total("wire_spans") + plan.shape(0).span_count
        assert wire == metrics["receiver_accepted_spans"] + metrics.get("receiver_refused_spans", 0)
        assert server.stop() == 0, server.said()
    return found


@pytest.mark.timeout(300)
def test_overload_is_refused_and_survived(tmp_path: Path):
    found = overloaded(tmp_path, seconds=4.0, threads=10, traces=800, every=2_000)

    assert found["refused_calls"] > 0


@pytest.mark.deep
@pytest.mark.timeout(1500)
def test_two_minutes_of_overload(tmp_path: Path):
    found = overloaded(tmp_path, seconds=120.0, threads=10, traces=800, every=10_000)

    assert found["refused_calls"] > 100
    assert found["goodput"] >= GOODPUT_MIN
