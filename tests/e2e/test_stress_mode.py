"""More than the memory of open traces holds, with stress mode on: whole traces are dropped, and what is kept is right."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.planted import Load, Plan, conserve, verify
from tests.support.running import serving

pytestmark = pytest.mark.e2e

# An arena that the load fills: traces wait for late spans longer than the server needs for them.
SMALL = {
    "assembly": {
        "memory_bytes_max": 32 * 2**20,
        "root_idle_min_s": 2.0,
        "root_idle_s": 2.0,
        "root_idle_max_s": 4.0,
        "stress": {"enabled": True, "keep_share": 0.2, "on_share": 0.9, "off_share": 0.72},
    }
}


@pytest.mark.deep
@pytest.mark.timeout(300)
def test_whole_traces_are_dropped_and_nobody_is_accused(tmp_path: Path):
    """Every finding is one of a planted trace and names its origin: no trace was cut by the mode. Books with ==."""
    plan = Plan(5, every=2_000)
    with serving(tmp_path, processes=2, changes=SMALL) as server:
        with Load(server, plan, threads=4, traces=200) as load:
            server.until(lambda: server.metrics().get("assembly_stress_mode"), "stress mode to go on", 60)
            began = time.monotonic()
            time.sleep(5)
            load.set_rate(50)
            server.until(lambda: not server.metrics()["assembly_stress_mode"], "stress mode to go off", 60)
            assert time.monotonic() - began > 8
        server.until(lambda: server.metrics()["assembly_open_traces"] == 0, "all traces to be decided", 60)
        metrics = conserve(server, load)
        verdict = verify(server, plan, load.acked, load.next_number, wait_s=0)

        planted = sum(plan.fault(number) is not None for number in load.acked)
        print(metrics["assembly_dropped_spans|stress"], planted, len(verdict.missing), verdict.wrong, verdict.accused)
        assert (verdict.wrong, verdict.accused) == ([], [])
        assert 0 < len(verdict.missing) < planted
        assert metrics["assembly_dropped_spans|stress"] > 1_000
        assert metrics["assembly_stress_changes"] >= 2
        assert server.stop() == 0, server.said()
        assert "stress mode is on: " in server.said()
