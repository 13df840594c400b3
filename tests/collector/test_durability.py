"""What stands between the gate and the engine: one thread after the other, on disk first or not."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from collector.app.durability import handover, journal_root
from collector.config import Config
from collector.contracts import Signal


class Engine:
    """Notes who was inside at the same time as another."""

    def __init__(self) -> None:
        self.busy = threading.Lock()
        self.overlaps = 0
        self.taken: list[bytes] = []

    def has_room(self, length: int) -> bool:
        return True

    def offer(self, payload: bytes, signal: Signal, sequence: int = 0) -> bool:
        if not self.busy.acquire(blocking=False):
            self.overlaps += 1
            return False
        self.taken.append(payload)
        self.busy.release()
        return True


@pytest.mark.parametrize("durability", ["memory", "journal"])
def test_the_engine_sees_one_thread_at_a_time(tmp_path: Path, durability: str):
    engine = Engine()
    config = Config.model_validate({"storage": {"path": str(tmp_path)}, "durability": durability})
    way, counted = handover(config, "receiver-0", engine, 1)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(lambda n: way.offer(b"%d" % n, Signal.TRACES), range(200)))

    assert engine.overlaps == 0
    assert sorted(engine.taken, key=int) == [b"%d" % n for n in range(200)]
    assert counted().get("journal_records", 0) == (200 if durability == "journal" else 0)
    assert (journal_root(config) is not None) == (durability == "journal") == (tmp_path / "journal").exists()
