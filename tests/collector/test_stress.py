"""Stress mode: it goes on under pressure that lasts, stays, and goes off; what it costs is counted."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from collector.app.engine_room import EngineRoom
from collector.app.source import DirectSource
from collector.assembly.kernels import layout
from collector.config import check
from collector.contracts import Signal
from collector.process import RingSource
from collector.ring import RingReader, RingWriter, create_ring
from collector.samples import assembly_samples
from collector.stress import StressLimits, StressMode
from tests.support.drawing import draw
from tests.support.stepping import CLEAN, House

SECOND_NS = 1_000_000_000


@dataclass
class Hall:
    """As full as a test says."""

    level: float = 0.0
    told: list[float | None] = field(default_factory=list)
    dropped: int = 0

    def fill(self) -> float:
        return self.level

    def shed(self, keep_share: float | None) -> None:
        self.told.append(keep_share)

    def counts(self) -> SimpleNamespace:
        return SimpleNamespace(dropped_spans={"stress": self.dropped}, shed_traces=self.dropped // 5)


class Bench:
    """A mode, looked at every tick of 50 ms."""

    def __init__(self, limits: StressLimits | None = None) -> None:
        self.hall, self.waiting, self.now_ns = Hall(), 0.0, 1_000 * SECOND_NS
        self.mode = StressMode(limits or StressLimits(), self.hall, lambda: self.waiting)
        self.changes: list[float] = []  # seconds

    def run(self, seconds: float, held: float = 0.0, waiting: float = 0.0) -> bool:
        self.hall.level, self.waiting = held, waiting
        for _ in range(round(seconds * 20)):
            self.now_ns += SECOND_NS // 20
            was = self.mode.is_on
            self.mode.look(self.now_ns)
            if self.mode.is_on != was:
                self.changes.append(self.now_ns / SECOND_NS)
        return self.mode.is_on


def test_on_over_ninety_off_under_seventy_five(caplog: pytest.LogCaptureFixture):
    bench = Bench()
    assert not bench.run(30, held=0.9)
    assert bench.run(0.05, held=0.91)
    bench.hall.dropped = 500
    assert bench.run(30, held=0.75)
    assert not bench.run(0.05, held=0.74)
    assert not bench.run(60, held=0.9)

    assert bench.hall.told == [0.1, None]
    assert bench.mode.snapshot() == {"assembly_stress_mode": 0, "assembly_stress_changes": 2}
    on, off = (record.getMessage() for record in caplog.records)
    assert on == (
        "stress mode is on: the memory of open traces is 91% full (on over 90%). All spans of 90% of new traces are "
        "dropped and counted (assembly_dropped_spans, reason stress), for 10 s at least; open traces go on"
    )
    assert off == "stress mode is off after 30 s: 74% full (off under 75%). 500 spans of 100 traces were dropped"


def test_it_stays_ten_seconds():
    bench = Bench()
    assert bench.run(0.05, held=0.95)
    assert bench.run(9.95)
    assert not bench.run(0.05)

    longer = Bench(StressLimits(min_s=25))
    assert longer.run(0.05, held=0.95)
    assert longer.run(24.95)
    assert not longer.run(0.05)


def test_a_full_ring_counts_when_it_stays_full(caplog: pytest.LogCaptureFixture):
    """For a moment it is full whenever the engine decides."""
    bench = Bench()
    for _ in range(100):
        assert not bench.run(0.1, waiting=1.0)
        assert not bench.run(0.1, waiting=0.0)
    assert bench.run(6, waiting=1.0)

    assert "what waits for the engine is 9" in caplog.text


def test_pressure_that_lasts_keeps_it_on_by_the_minute():
    """It is let off only because so much is left out; then it may not go on for a while, and stays on for longer."""
    bench = Bench()
    on_s = 0.0
    for _ in range(20 * 600):
        on_s += 0.05 * bench.run(0.05, held=0.5 if bench.mode.is_on else 0.95)

    begun = [second - bench.changes[0] for second in bench.changes]
    assert begun[:4] == pytest.approx([0, 10, 60, 120])
    assert on_s > 0.85 * 600


@pytest.mark.parametrize("seed", range(10))
def test_two_changes_in_any_minute_at_most(seed: int):
    """However the pressure jumps."""
    rng = random.Random(seed)
    bench = Bench(replace(StressLimits(), min_s=rng.choice((10, 20, 90))))
    for _ in range(600):
        bench.run(rng.choice((0.05, 1, 10, 30)), held=rng.choice((0.1, 0.8, 0.95)), waiting=rng.choice((0.0, 1.0)))

    assert len(bench.changes) > 30
    assert all(third - first >= 60 - 1e-6 for first, third in zip(bench.changes, bench.changes[2:], strict=False))
    for on, off in zip(bench.changes[::2], bench.changes[1::2], strict=False):
        assert off - on >= bench.mode._limits.min_s - 1e-6


def _house(monkeypatch: pytest.MonkeyPatch) -> tuple[House, StressMode, dict[str, float]]:
    """The real rooms; how full they are is said by the test."""
    house = House()
    level = {"fill": 0.0}
    monkeypatch.setattr(house.assembler, "fill", lambda: level["fill"])
    mode = StressMode(StressLimits(keep_share=0.2), house.assembler, lambda: 0.0)
    house.pipeline._desk = replace(house.pipeline._desk, stress=mode)
    return house, mode, level


def test_through_the_engine_the_books_balance(monkeypatch: pytest.MonkeyPatch):
    """accepted = released + deduped + dropped + open, before, under and after stress; who is kept is analysed whole."""
    house, mode, level = _house(monkeypatch)
    sent = 0
    for second in range(90):
        level["fill"] = 0.95 if 20 <= second < 25 else 0.3
        for number in range(10):
            house.send(draw(CLEAN, seed=10 * second + number))
            sent += 3
        house.after(1.0)
        counts = house.assembler.counts()
        assert counts.received_spans == (
            sum(counts.released_spans.values())
            + counts.deduped_spans
            + sum(counts.dropped_spans.values())
            + counts.open_spans
        )
        assert counts.received_spans == sent
    house.after(30.0)

    counts = house.assembler.counts()
    dropped = counts.dropped_spans["stress"]
    assert dropped == 3 * counts.shed_traces
    assert 200 <= dropped <= 290  # of some ten seconds with thirty spans each
    assert not mode.is_on
    assert house.pipeline.counts.analysed_spans == sent - dropped
    assert house.pipeline.counts.analysed_traces == 900 - counts.shed_traces
    shown = assembly_samples(counts)
    assert shown["assembly_dropped_spans|stress"] == dropped
    assert shown["assembly_dropped_traces|stress"] == counts.shed_traces


@pytest.mark.parametrize("enabled", [True, False])
def test_the_engine_has_it_when_it_is_asked_for(tmp_path: Path, enabled: bool):
    """Built of the configuration, reading what really waits; without it nothing looks and nothing is shown."""
    source = DirectSource("receiver-0", 1_000)
    stress = {"enabled": enabled, "keep_share": 0.5, "min_s": 20}
    room = EngineRoom(check({"storage": {"path": str(tmp_path)}, "assembly": {"stress": stress}}), source)
    assert room.snapshot().get("assembly_stress_mode") == (0 if enabled else None)
    if not enabled:
        assert room._pipeline._desk.stress is None
        return
    source.offer(bytes(950), Signal.TRACES)
    assert room._stress is not None
    for tick in range(200):
        room._stress.look(tick * SECOND_NS // 20)

    assert room.snapshot()["assembly_stress_mode"] == 1
    assert room._assembler._state[layout.KEEP_BELOW] == 2**30


def test_how_full_the_way_to_the_engine_is():
    """The fullest of the rings: its clients are the ones that are refused."""
    direct = DirectSource("receiver-0", 1_000)
    direct.offer(bytes(250), Signal.TRACES)
    assert direct.fill() == 0.25

    fds = [create_ring(1_000, room_bytes=1_024) for _ in range(2)]
    readers = {str(number): RingReader(one.memory, one.wake_read) for number, one in enumerate(fds)}
    writers = [RingWriter(one.memory, one.wake_write) for one in fds]
    writers[1].offer(bytes(496), Signal.TRACES)
    assert RingSource(readers).fill() == 0.5
    assert RingSource({}).fill() == 0.0
    for end in (*readers.values(), *writers):
        end.close()
