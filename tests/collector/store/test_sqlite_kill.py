"""kill -9 at any moment: what was acknowledged is there, with its messages."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

from collector.contracts import FindingQuery
from collector.store.sqlite import SqliteStore
from tests.support.answers import trace_id
from tests.support.fakes.clock import EPOCH_NS

CHILD = """
import sys
from collector.contracts import Rollup
from collector.store.sqlite import SqliteStore
from tests.support.answers import message, stored
store = SqliteStore.open(sys.argv[1])
number = int(sys.argv[2])
while True:
    batch = range(number, number + 5)
    store.put(
        [stored(n, exports=(message(2 * n), message(2 * n + 1, "webhook"))) for n in batch],
        clean_trace_ids=[b"%016d" % n for n in batch],
        rollups=[Rollup(1, "s", "o", 2, 1, 0, 1, 1)],
    )
    print(number, flush=True)
    number += 5
"""


def test_five_kills_lose_nothing_acknowledged(tmp_path: Path):
    """Each child goes on where the last acknowledged batch ended, on what the one before left."""
    rng = random.Random(5)
    acked: list[int] = []
    for _ in range(5):
        first = acked[-1] + 5 if acked else 0
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path / "shelf"), str(first)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        began = len(acked)
        for _ in range(rng.randrange(1, 40)):  # somewhere in the middle of the puts that follow
            acked.append(int(child.stdout.readline()))
        child.send_signal(signal.SIGKILL)
        acked += [int(line) for line in child.stdout.read().split("\n") if line]
        child.wait(10)
        child.stdout.close()
        assert len(acked) > began

    store = SqliteStore.open(tmp_path / "shelf")
    wanted = [number + n for number in acked for n in range(5)]
    for number in wanted:
        assert store.find(trace_id(number)).status == "stored", number
    found = {row.trace_id for hour in [store.findings(FindingQuery(limit=1000))] for row in hour.rows}
    waiting = {
        (destination, item.key)
        for destination in ("otlp", "webhook")
        for item in store.outbox_take(destination, 10**6, EPOCH_NS)
    }
    assert {("otlp", b"key-%d" % (2 * number)) for number in wanted} <= waiting
    assert {("webhook", b"key-%d" % (2 * number + 1)) for number in wanted} <= waiting
    assert len(found) == min(1000, len(waiting) // 2)  # also what was not acknowledged is whole: finding and messages
    store.close()
    for path in (tmp_path / "shelf").glob("*.sqlite"):
        db = sqlite3.connect(path)
        assert db.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        db.close()
