"""Ten minutes at a steady load: memory, descriptors and threads stay where they are (R8)."""

from __future__ import annotations

import math
import os
import time
from itertools import combinations
from pathlib import Path

import pytest

from tests.benchmarks.server_under_load import own_memory_bytes
from tests.support.planted import Load, Plan, Verdict, conserve, verify
from tests.support.running import Server, serving

pytestmark = [pytest.mark.e2e, pytest.mark.deep]

# Long enough for what is kept by time (late window, recent minutes) to be full, so that what grows after is a leak.
SOAK_S = float(os.environ.get("SOAK_S", "600"))
WARM_SHARE = 0.4
RATE = float(os.environ.get("SOAK_RATE", "20000"))
SLOPE_MIB_PER_MINUTE = 1.0
GROWN_MAX = 1.1
KEPT = {
    "assembly": {"late_window_s": 60, "memory_bytes_max": 128 * 2**20},
    "incidents": {"spans_max": 100_000},
}


def theil_sen(times_s: list[float], values: list[float]) -> tuple[float, float]:
    """Median slope of all pairs and the upper end of its 95 % interval, per minute: a spike does not move it.

    Theil 1950; the interval is that of Sen 1968, from the variance of Kendall's statistic.
    """
    points = list(zip(times_s, values, strict=True))
    slopes = sorted(60 * (y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(points, 2))
    count, pairs = len(points), len(slopes)
    spread = 1.96 * math.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    return slopes[pairs // 2], slopes[min(pairs - 1, math.ceil((pairs + spread) / 2))]


def counted(server: Server, what: str) -> int:
    pids = [server.process.pid, *(pid for pids in server.children().values() for pid in pids)]
    return sum(len(list(Path(f"/proc/{pid}/{what}").iterdir())) for pid in pids)


@pytest.mark.timeout(SOAK_S + 600)
def test_ten_minutes_leave_no_trace(tmp_path: Path):
    plan = Plan(8)
    times, memory, files, threads = [], [], [], []
    with serving(tmp_path, processes=2, changes=KEPT) as server:
        with Load(server, plan, rate=RATE) as load:
            began = time.monotonic()
            while (at := time.monotonic() - began) < SOAK_S:
                if at > SOAK_S * WARM_SHARE:
                    times.append(at)
                    memory.append(own_memory_bytes(server.process.pid) / 2**20)
                    files.append(counted(server, "fd"))
                    threads.append(counted(server, "task"))
                time.sleep(1.0)
        slope, slope_max = theil_sen(times, memory)
        print(
            f"{load.total('acked_spans')} spans, {len(load.acked)} traces in {SOAK_S:.0f} s, refused {load.refusals}; "
            f"{memory[0]:.0f} -> {memory[-1]:.0f} MiB, slope {slope:.2f} (95 %: {slope_max:.2f}) MiB/min, files {min(files)}..{max(files)}, "
            f"threads {min(threads)}..{max(threads)}"
        )
        conserve(server, load)
        assert verify(server, plan, load.acked[-20_000:], load.next_number) == Verdict()
        assert not load.refusals
        assert slope_max < SLOPE_MIB_PER_MINUTE
        assert memory[-1] <= GROWN_MAX * memory[0]
        assert max(files) - min(files) <= 4
        assert max(threads) - min(threads) <= 4
