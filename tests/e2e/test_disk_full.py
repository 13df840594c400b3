"""A disk that is full: refused with a delay, answered all the same, and well again when there is room (R4).

A small file system in memory is mounted for it, which needs root; the same on a disk made of Python stands in
tests/collector/journal/test_group_commit.py and tests/collector/store.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.planted import Load, Plan, Verdict, conserve, verify
from tests.support.running import again, write_configuration

pytestmark = pytest.mark.e2e

DISK_BYTES = 48 * 2**20
BACK_S = 10.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        if os.environ.get("CI") == "true":
            pytest.fail(f"a file system cannot be mounted: {mounted.stderr.decode()}")
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_is_survived(tmp_path: Path, small_disk: Path):
    """Somebody else fills the disk; then the room comes back."""
    plan = Plan(4)
    changes = {"storage": {"path": str(small_disk / "store")}, "journal": {"segment_bytes": 2**20}}
    path, tree, ports = write_configuration(tmp_path, processes=1, changes=changes)
    ballast = small_disk / "ballast"
    with again(tmp_path, path, tree, ports) as server:
        server.send(plan.request([0])[0])
        before = server.root_cause(plan.trace_id(0))
        with Load(server, plan, rate=4_000, first=1) as load:
            server.until(lambda: len(load.acked) >= 100, "load")
            with ballast.open("wb") as file:
                try:
                    while True:
                        file.write(bytes(2**16))
                        file.flush()
                except OSError:
                    pass
            server.until(lambda: sum(load.refusals.values()) >= 20, "refusals")
            assert server.root_cause(plan.trace_id(0)) == before
            assert server.get("/api/v1/findings?limit=1").status_code == 200
            assert server.get("/metrics", "metrics").status_code == 200

            ballast.unlink()
            freed, acked = time.monotonic(), len(load.acked)
            server.until(lambda: len(load.acked) > acked + 100, "ingest to be back")
            assert time.monotonic() - freed <= BACK_S
            server.until(lambda: time.monotonic() - load.last_refusal_s > 2.0, "calm")
        assert {status for status, _ in load.refusals} <= {"UNAVAILABLE", "HTTP 503"}, load.refusals
        assert {says_when for _, says_when in load.refusals} == {True}, load.refusals
        assert verify(server, plan, [0, *load.acked], load.next_number) == Verdict()
        assert conserve(server).get("store_quarantined_files", 0) == 0
        assert server.stop() == 0, server.said()

    with again(tmp_path, path, tree, ports) as server:  # nothing was torn
        assert verify(server, plan, [0, *load.acked], load.next_number) == Verdict()
        metrics = server.metrics()
        assert (metrics["journal_recovery_lost_records"], metrics.get("store_quarantined_files", 0)) == (0, 0)
