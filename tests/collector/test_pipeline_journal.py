"""After a crash: what was acknowledged is decided, once; what was decided is not told again."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import pytest

from collector.contracts import Signal
from collector.handover import Position
from collector.recall import join
from tests.support.drawing import Drawing, draw
from tests.support.stepping import FAILING, SECOND_NS, House, slow_words


class Journal:
    """A source that says where its requests stood, and a keeper that listens."""

    def __init__(self, *drawings: Drawing) -> None:
        requests = [
            (payload, signal)
            for one in drawings
            for signal, payload in zip((Signal.TRACES, Signal.LOGS), one.requests(), strict=True)
        ]
        self.items = deque((payload, signal, n) for n, (payload, signal) in enumerate(requests, 1) if payload)
        self.told: list[tuple[str, int]] = []
        self.looks: list[tuple[int, int, int]] = []

    def wait(self, timeout_s: float) -> None:
        """Nothing more comes."""

    def take(self) -> tuple[bytes, Signal] | None:
        return self.items[0][:2] if self.items else None

    def release(self) -> Position:
        return "receiver-0", self.items.popleft()[2]

    def taken(self, journal: str, sequence: int, now_ms: int) -> None:
        self.told.append((journal, sequence))

    def keep_house(self, oldest_ms: int, handed: int, written: int) -> None:
        self.looks.append((oldest_ms, handed, written))


def restarted(before: House | None, *drawings: Drawing) -> House:
    """A house that replays these requests, on the shelf that the house before left."""
    house = House()
    if before is not None:
        house.shelf.traces += before.shelf.traces
    house.recall = lambda trace_id, traces, index: join(house.shelf.found(trace_id), traces, index)
    house.pipeline.replay(Journal(*drawings))
    house.after(30)
    return house


def slow_house(monkeypatch: pytest.MonkeyPatch) -> House:
    """With nothing stored before; a trace is explained in 20 s, told in brief in 2 s."""
    house = House()
    house.recall = lambda trace_id, traces, index: None
    slow_words(house, monkeypatch, 20 * SECOND_NS, 2 * SECOND_NS)
    return house


def test_what_was_only_acknowledged_is_decided_after_the_replay():
    drawing = draw(FAILING)

    house = restarted(None, drawing)

    (stored,) = house.shelf.traces
    assert stored.name == drawing.trace_id
    assert stored.answer.root_causes[0].entity.service == "payment"
    assert house.pipeline.counts.replayed_requests == 2


def test_nothing_of_a_journal_is_left_untold(monkeypatch: pytest.MonkeyPatch):
    """Words take their time: what was acknowledged before is told in brief all the same, whatever it costs."""
    house = slow_house(monkeypatch)

    house.pipeline.replay(Journal(*(draw(FAILING, seed=seed) for seed in range(5))))
    house.after(30)

    counts = house.pipeline.counts
    assert (counts.explained_traces, counts.brief_traces, counts.untold_traces) == (1, 4, 0)
    assert len(house.shelf.traces) == 5


def test_what_comes_after_a_journal_does_not_pay_for_it(monkeypatch: pytest.MonkeyPatch):
    """The share of briefs is whole again; beyond it a flood is counted as ever."""
    house = slow_house(monkeypatch)
    house.pipeline.replay(Journal(*(draw(FAILING, seed=seed) for seed in range(5))))
    house.after(30)
    for seed in range(5, 8):
        house.send(draw(FAILING, seed=seed))

    house.after(1)
    house.after(30)

    counts = house.pipeline.counts
    assert (counts.brief_traces, counts.untold_traces) == (5, 2)


def test_what_was_decided_before_is_not_told_again():
    drawing = draw(FAILING)
    first = House()
    first.send(drawing)
    first.after(30)

    second = restarted(first, drawing)

    assert len(second.shelf.traces) == 1
    assert second.pipeline.counts.known_traces == 1


def test_a_part_that_was_decided_before_is_not_told_as_the_whole():
    """Only the late end of the trace is still in the journal; the answer holds all of it."""
    drawing = draw(FAILING)
    first = House()
    first.send(Drawing(drawing.spans[:2], drawing.trace_id))
    first.after(30)

    second = restarted(first, Drawing(drawing.spans[2:], drawing.trace_id))

    last = second.shelf.traces[-1].answer
    assert (len(second.shelf.traces), last.revision) == (2, 2)
    assert last.completeness is not None
    assert last.completeness.span_count == 3
    assert last.root_causes[0].origin_spans[0].operation == "Charge"


def test_a_decided_part_within_a_longer_replay_makes_one_revision():
    """The journal still has spans that were stored, and some that were not."""
    drawing = draw(FAILING)
    first = House()
    first.send(Drawing(drawing.spans[:2], drawing.trace_id))
    first.after(30)

    second = restarted(first, drawing)

    last = second.shelf.traces[-1].answer
    assert (len(second.shelf.traces), last.revision) == (2, 2)
    assert last.completeness is not None
    assert last.completeness.span_count == 3


def test_the_keeper_hears_of_every_request_and_of_the_oldest_open_trace(tmp_path: Path):
    house, journal = House(), Journal(draw(FAILING))
    desk: Any = house.pipeline._desk
    object.__setattr__(desk, "journal", journal)
    object.__setattr__(desk, "source", journal)
    began_ms = house.clock.ns // 1_000_000
    while journal.items:
        house.pipeline.step()
    house.clock.ns += 1_000_000_000
    house.pipeline.step()
    house.clock.ns += 30_000_000_000
    house.pipeline.step()

    assert journal.told == [("receiver-0", 1), ("receiver-0", 2)]
    assert [look[0] for look in journal.looks] == [began_ms, began_ms + 31_000]
    assert journal.looks[-1][1:] == (1, 1)


def test_with_a_journal_open_traces_are_not_cut_short_by_a_stop():
    house, journal = House(), Journal()
    object.__setattr__(house.pipeline._desk, "journal", journal)
    house.send(draw(FAILING))
    house.pipeline.start()
    assert house.pipeline.stop(10)

    assert house.shelf.traces == []
    assert house.assembler.counts().open_traces == 1


def test_a_replay_is_cut_short_by_a_stop():
    """What was not taken is not told as taken: it stays in the journal."""
    house = House()
    journal = Journal(draw(FAILING, seed=1), draw(FAILING, seed=2))

    count = len(journal.items)

    house.pipeline.replay(journal, lambda: len(journal.items) == 1)

    assert house.pipeline.counts.replayed_requests == count - 1
    assert len(journal.items) == 1
    assert house.pipeline.stop(0.1), "a thread that never ran is no trouble"
