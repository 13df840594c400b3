"""Online detection: nanoseconds a span to count it, milliseconds to close a tick of 5000 entities.

Run: python -m tests.benchmarks.bench_detection [--quick]

Counting takes batches as the engine has measured them, from the same requests as `bench_analysis`; a tick closes
5000 entities, all of which had calls (the worst case), in good times and with one in twenty in alarm.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from analyzer.detection import Detector
from analyzer.engine import Verdicts
from analyzer.kernels.detection import OPERATION, SERVICE
from analyzer.strings import new_vocabulary
from tests.benchmarks.bench_analysis import NOW_NS, Product
from tests.benchmarks.goals import Measured, show, write
from tests.benchmarks.load_client import Rounds
from tests.support.load import requests

ENTITIES = 5_000
TICK_NS = 10_000_000_000


def counting(quick: bool) -> tuple[float, int]:
    """Seconds a span, and how many spans a round has."""
    rounds = Rounds(requests(7, 600 if quick else 3000))
    product = Product()
    spent: list[float] = []
    detector = Detector()
    for lap in range(4 if quick else 10):
        seconds = 0.0

        def observe(verdicts: Verdicts) -> None:
            nonlocal seconds
            began = time.thread_time()
            detector.observe(verdicts.analysis, NOW_NS)
            seconds += time.thread_time() - began

        spans = product.round([rounds.payload(index, lap + 1) for index in range(len(rounds))], observe)
        spent.append(seconds / spans)
    return statistics.median(spent[1:]), spans


def ticking(quick: bool) -> dict[str, float]:
    """Milliseconds a tick, well and in trouble."""
    words, detector, rng = new_vocabulary(), Detector(), np.random.default_rng(1)
    detector.meet(words)
    names = [words.strings.intern(f"service {i}".encode()) for i in range(ENTITIES // 3)]
    entries = [words.operations.intern(name, words.strings.intern(b"GET /"), 2) for name in names]
    callees = [*names[1:], names[0]]
    keys = [(SERVICE << 62) | name for name in names] + [(OPERATION << 62) | entry for entry in entries]
    keys += [(name << 31) | callee for name, callee in zip(names, callees, strict=True)]
    packed = np.array(keys, np.uint64)
    per_tick = rng.choice([1.0, 20.0, 800.0], len(keys))
    found: dict[str, float] = {}
    now_ns = NOW_NS // TICK_NS * TICK_NS
    for when, ticks, failing in (("cold", 70, 0.0), ("well", 20 if quick else 100, 0.0), ("in_alarm", 12, 0.05)):
        errors = np.where(np.arange(len(keys)) < failing * len(keys), 0.5, 0.005)
        spent = []
        for _ in range(ticks):
            calls = rng.poisson(per_tick)
            rare = rng.binomial(calls, 0.05)
            rarest = rng.binomial(rare, 0.2)
            columns = [calls, rng.binomial(calls, errors), calls, calls, rare, rarest, rng.binomial(rarest, 0.2)]
            detector.add_counts(packed, np.stack(columns, axis=1).astype(np.int32), now_ns)
            now_ns += TICK_NS
            began = time.thread_time()
            detector.tick(now_ns)
            spent.append(time.thread_time() - began)
        found[f"{when}_ms"] = statistics.median(spent) * 1e3
        found[f"{when}_max_ms"] = max(spent) * 1e3
    found["raised"] = detector.raised
    return found


def run(quick: bool = False) -> tuple[list[Measured], dict[str, object]]:
    """Measure both."""
    seconds, spans = counting(quick)
    ticks = ticking(quick)
    print(f"  counting {seconds * 1e9:.1f} ns/span ({spans} spans a round)")
    print(f"  a tick of {ENTITIES} entities: " + ", ".join(f"{name} {value:.1f}" for name, value in ticks.items()))
    return [
        Measured("detection_per_span", seconds * 1e9, "counts per service, entry operation, edge and instance"),
        Measured("detection_tick", ticks["well_ms"], f"{ENTITIES} entities, all of them called"),
    ], {"ns_per_span": seconds * 1e9, **ticks}


if __name__ == "__main__":
    goals, numbers = run("--quick" in sys.argv)
    show(goals)
    write("detection", goals, numbers)
