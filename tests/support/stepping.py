"""A pipeline one can step through, under a manual clock, with the real rooms behind it and a shelf of lists."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from analyzer.engine import Analyzer
from analyzer.strings import new_vocabulary
from collector.app.query_room import ExplainingStore
from collector.assembly.buffer import Assembler
from collector.assembly.release import AssemblyConfig
from collector.contracts import Found, OutboxItem, Signal, StoredTrace
from collector.desk import Desk
from collector.exporters.briefs import brief_exports
from collector.exporters.findings import ExportSettings
from collector.pipeline import Pipeline
from collector.recall import reread
from collector.store.sqlite import SqliteStore
from collector.wire.decode import Decoder
from collector.wire.detail import read_detail
from collector.wire.encode import encode_logs, encode_traces
from collector.wire.stamp import stamp_tenant
from tests.support.drawing import Drawing, draw

FAILING = """
gateway   GET /checkout            0..100  ERROR
  gateway   CLIENT payment.Charge    45..95  ERROR  peer.service=payment
    payment   Charge                   50..90  ERROR  !CardError: "boom" log!CardError: "boom"
"""
CLEAN = """
gateway   GET /checkout            0..100
  gateway   CLIENT payment.Charge    45..95  peer.service=payment
    payment   Charge                   50..90
"""
SECOND_NS = 1_000_000_000


class ManualClock:
    def __init__(self) -> None:
        self.ns = 1000 * SECOND_NS

    def now_ns(self) -> int:
        return 1_760_000_000 * SECOND_NS + self.ns

    def monotonic_ns(self) -> int:
        return self.ns


class Queue:
    def __init__(self) -> None:
        self.items: deque[tuple[bytes, Signal]] = deque()

    def wait(self, timeout_s: float) -> None:
        """There is always something, or nothing will come."""

    def take(self) -> tuple[bytes, Signal] | None:
        return self.items[0] if self.items else None

    def release(self) -> None:
        self.items.popleft()


@dataclass
class Shelf:
    traces: list[StoredTrace] = field(default_factory=list)
    clean: list[bytes] = field(default_factory=list)
    partial: list[bytes] = field(default_factory=list)
    untold: list[bytes] = field(default_factory=list)
    rollups: list[Any] = field(default_factory=list)
    edges: list[Any] = field(default_factory=list)
    states: list[tuple[str, bytes]] = field(default_factory=list)

    def put(
        self,
        traces: Sequence[StoredTrace],
        clean: Sequence[bytes],
        rollups: Any,
        edges: Any,
        partial: Sequence[bytes] = (),
        untold: Sequence[bytes] = (),
    ) -> None:
        self.traces += traces
        self.clean += clean
        self.partial += partial
        self.untold += untold
        self.rollups += rollups
        self.edges += edges

    def found(self, name: bytes) -> Found:
        """What the store would find."""
        for trace in reversed(self.traces):
            if trace.name == name:
                return Found("stored", trace.answer, trace.trace_otlp, trace.logs_otlp)
        return Found("unknown")

    def save_state(self, name: str, blob: bytes) -> None:
        self.states.append((name, blob))

    @property
    def handed(self) -> int:
        return len(self.traces)

    @property
    def written(self) -> int:
        return len(self.traces)


class House:
    """A pipeline one can step through."""

    def __init__(self, clean_per_second: float = 0.0, analyzer: Analyzer | None = None) -> None:
        self.clock, self.queue, self.shelf = ManualClock(), Queue(), Shelf()
        words = self.words = new_vocabulary()
        self.assembler = Assembler(
            AssemblyConfig(arena_bytes=64 * 2**20, open_traces_max=10_000, closed_traces_max=10_000),
            Decoder(words),
            words,
            read_detail,
        )
        self.analyzer = analyzer or Analyzer()
        self.pipeline = Pipeline(
            Desk(
                source=self.queue,
                assembler=self.assembler,
                analyzer=self.analyzer,
                shelf=self.shelf,
                clock=self.clock,
                encode_traces=encode_traces,
                encode_logs=encode_logs,
                exports=lambda explained, now_ns: [
                    OutboxItem(b"k", "otlp", Signal.LOGS, explained.answer.trace_id.encode())
                ],
                brief_exports=lambda answer, entry, now_ns: brief_exports(answer, entry, ExportSettings(), now_ns),
                find=lambda name: self.shelf.found(name),
                reread=lambda found: reread(found, words, read_detail),
                recall=lambda name, traces, index: self.recall(name, traces, index),
                clean_traces_per_second=clean_per_second,
            )
        )

    def send(self, drawing: Drawing, tenant: str = "") -> None:
        """Send a drawing, as somebody whose credential has a tenant when there is one."""
        for payload, signal in zip(drawing.requests(), (Signal.TRACES, Signal.LOGS), strict=True):
            if payload:
                self.queue.items.append((stamp_tenant(payload, tenant) if tenant else payload, signal))

    def after(self, seconds: float) -> None:
        while self.queue.items:
            self.pipeline.step()
        self.clock.ns += int(seconds * SECOND_NS)
        self.pipeline.step()


def slow_words(house: House, monkeypatch: pytest.MonkeyPatch, full_ns: int, brief_ns: int) -> None:
    """Let every explanation take some time of the manual clock."""
    explain, brief = house.analyzer.explain_errors, house.analyzer.brief

    def taking(work: Any, ns: int) -> Any:
        def done(*arguments: Any) -> Any:
            house.clock.ns += ns
            return work(*arguments)

        return done

    monkeypatch.setattr(house.analyzer, "explain_errors", taking(explain, full_ns))
    monkeypatch.setattr(house.analyzer, "brief", taking(brief, brief_ns))


def put_on_disk(house: House, folder: Path) -> ExplainingStore:
    """What the house has told, in a store that explains what was told in brief."""
    writer = SqliteStore.open(folder)
    writer.put(house.shelf.traces)
    writer.close()
    return ExplainingStore.open(folder, read_only=True)


def one_of_two_in_brief(monkeypatch: pytest.MonkeyPatch) -> House:
    """Two traces failed; telling the first took all the time there was, the second is told in brief."""
    house = House()
    slow_words(house, monkeypatch, 2 * SECOND_NS, 0)
    for seed in range(2):
        house.send(draw(FAILING, seed=seed))
    house.after(30)
    return house
