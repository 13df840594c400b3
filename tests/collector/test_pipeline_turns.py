"""Who has the engine's turn: what has come, and what is due, in parts while both wait."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.drawing import draw
from tests.support.stepping import CLEAN, House

MS = 1_000_000


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> tuple[House, list[str]]:
    """Five traces are due, each is a batch of its own and takes 60 ms; what is taken (t) and decided (d) is noted."""
    monkeypatch.setattr("collector.pipeline.RELEASE_TRACES_MAX", 1)
    monkeypatch.setattr("collector.pipeline.INGEST_SLICE", 1)
    house = House()
    for seed in range(5):
        house.send(draw(CLEAN, seed=seed))
    while house.queue.items:
        house.pipeline.step()
    house.clock.ns += 30_000 * MS
    noted: list[str] = []
    analyse, ingest = house.analyzer.analyse, house.assembler.ingest

    def analysed(traces: Any, included: Any = None) -> Any:
        house.clock.ns += 60 * MS
        noted.append("d")
        return analyse(traces, included)

    def taken(payload: bytes, signal: Any, now_ms: int) -> int:
        house.clock.ns += 10 * MS
        noted.append("t")
        return ingest(payload, signal, now_ms)

    monkeypatch.setattr(house.analyzer, "analyse", analysed)
    monkeypatch.setattr(house.assembler, "ingest", taken)
    return house, noted


def test_while_requests_wait_both_have_their_turns(turns: tuple[House, list[str]]):
    """100 ms of what is due, then 25 ms of what has come, until all is decided; the next tick is a whole one later."""
    house, noted = turns
    for seed in range(20, 30):
        house.send(draw(CLEAN, seed=seed))

    for _ in range(4):
        house.pipeline.step()

    assert "".join(noted) == "t" + "dd" + "ttt" + "dd" + "ttt" + "d" + "t"
    assert house.pipeline.counts.analysed_traces == 5


def test_when_nothing_waits_all_that_is_due_is_decided_at_once(turns: tuple[House, list[str]]):
    house, noted = turns

    house.pipeline.step()

    assert "".join(noted) == "ddddd"
