"""Errors counted by the engine's thread: what opens a group, what counts in it, what a defect costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from analyzer.errors.group_news import Turn
from analyzer.errors.group_words import ErrorGroup
from analyzer.errors.impact_sheet import ImpactSheet
from collector.contracts import IMPACT_STATE_NAME, OutboxItem
from collector.exporters.findings import ExportSettings
from collector.exporters.groups import group_exports
from collector.groups import GroupRoom
from collector.pipeline import Pipeline
from collector.telemetry import is_known, sample
from tests.support.counting import Counting, with_user
from tests.support.drawing import Drawing, draw
from tests.support.stepping import FAILING, SECOND_NS, slow_words


def later(drawing: Drawing, ns: int) -> Drawing:
    """The same trace so much after the epoch of drawings."""
    spans = (replace(span, start_ms=span.start_ms + ns / 1e6, end_ms=span.end_ms + ns / 1e6) for span in drawing.spans)
    return replace(drawing, spans=tuple(spans))


def test_many_failing_traces_are_one_group_from_origin_to_edge():
    """A CardError in payment, and the gateway's failure because of it."""
    house = Counting()
    for seed in range(1, 6):
        house.send(draw(FAILING, seed=seed))

    house.after(30)
    house.after(2)

    (group,) = house.groups
    assert (group.type, group.service, group.operation, group.count) == ("CardError", "payment", "Charge", 5)
    assert [seen.name for seen in group.services] == ["gateway", "payment"]
    assert len(group.example_trace_ids) == 5
    assert {stored.answer.group.id for stored in house.shelf.traces} == {group.group_id}


@pytest.mark.parametrize(
    ("agent", "agents", "found"),
    [
        ("Pingdom.com_bot", (), (3, 2, 1, 1)),
        ("acme-prober/3", ("acme-prober",), (3, 2, 1, 1)),
        ("acme-prober/3", (), (3, 0, 3, 2)),
    ],
)
def test_checks_are_no_users(agent: str, agents: tuple[str, ...], found: tuple[int, int, int, int]):
    """Ann, and a check that comes twice under a user of its own."""
    house = Counting()
    house.room._agents = agents
    house.send(draw(with_user("ann"), seed=1))
    for seed in (2, 3):
        check = with_user("checker").replace("ERROR  user.id", f"ERROR  user_agent.original={agent} user.id")
        house.send(draw(check, seed=seed))

    house.after(30)
    house.after(70)

    (group,) = house.groups
    count, synthetic, _, users = found
    assert (group.count, group.synthetic_count, group.visible_count, group.users) == found
    sheet = ImpactSheet.model_validate_json(dict(house.shelf.states)[IMPACT_STATE_NAME])
    assert [(one.requests, one.synthetic, one.users.hit) for one in sheet.groups] == [(count, synthetic, users)]


def test_what_was_retried_and_handled_is_a_group_too():
    """The second try went well; the first one's error is counted where it happened."""
    house = Counting()
    house.send(
        draw("""
            shop  GET /buy  0..100  OK
              shop  CLIENT stock.Get  5..20  ERROR  peer.service=stock
                stock  Get  6..19  ERROR  !Busy: "try again"
              shop  CLIENT stock.Get  30..50  peer.service=stock
                stock  Get  31..49
        """)
    )

    house.after(30)
    house.after(2)

    (group,) = house.groups
    assert (group.type, group.service) == ("Busy", "stock")


def test_what_nobody_had_time_to_explain_counts_by_its_look(monkeypatch: pytest.MonkeyPatch):
    """Explaining takes two seconds each: one of five is explained; a stranger among them is counted as such."""
    house = Counting()
    slow_words(house, monkeypatch, 2 * SECOND_NS, 0)
    for seed in range(1, 6):
        house.send(draw(FAILING, seed=seed))
    house.send(draw('other  GET /other  0..10  ERROR  !Odd: "x"', seed=9))

    house.after(30)
    house.after(2)

    (group,) = house.groups
    samples = house.room.snapshot()
    assert house.pipeline.counts.explained_traces == 1
    assert (group.service, group.count, group.inferred_count) == ("payment", 5, 4)
    assert (samples["groups_inferred_errors"], samples["groups_uncounted_errors"]) == (4, 1)
    assert [bucket.count for bucket in group.hours][-1] == group.inferred_count


def test_a_late_span_does_not_count_a_trace_again():
    """Its first part was explained and counted; the second comes while there is no time."""
    house = Counting()
    drawing = draw(FAILING)
    house.send(drawing)
    house.after(30)
    late = replace(drawing, spans=drawing.spans[2:])
    house.send(late)

    house.after(30)
    house.after(2)

    assert [group.count for group in house.groups] == [1]


def test_a_clean_trace_opens_no_group():
    house = Counting()
    house.send(draw("gateway  GET /  0..100  OK"))

    house.after(30)
    house.after(2)

    assert house.groups == []


def test_a_defect_in_counting_does_not_cost_the_answer(monkeypatch: pytest.MonkeyPatch):
    house = Counting()

    def fail(*_: Any) -> Any:
        raise RuntimeError("a defect")

    monkeypatch.setattr(house.room.groups, "observe", fail)
    house.send(draw(FAILING))

    house.after(30)

    assert [stored.answer.status for stored in house.shelf.traces] == ["finding"]
    assert house.room.failed == {"counting": 1}


def test_a_spike_is_told_once_with_its_group_through_the_outbox():
    """A failure a minute for an hour, then twenty: one message, and the group on the shelf says so."""
    house = Counting()
    turns: list[Turn] = []

    def exports(group: ErrorGroup, turn: Turn, now_ns: int) -> list[OutboxItem]:
        turns.append(turn)
        return group_exports(group, turn, ExportSettings(), now_ns)

    house.room = GroupRoom(house.shelf, house.clock, exports=exports)  # type: ignore[arg-type]
    house.pipeline = Pipeline(replace(house.pipeline._desk, groups=house.room))
    for minute in range(66):
        for seed in range(1 if minute < 60 else 20):
            house.send(later(draw(FAILING, seed=1 + 20 * minute + seed), house.clock.ns))
        house.after(60)
    house.after(2)

    (group,) = house.groups
    samples = house.room.snapshot()
    assert group.spike is not None
    assert [turn.what for turn in turns] == ["spike"]
    assert len(house.shelf.messages) == 1
    assert (samples["groups_spiking"], samples["groups_spikes"], samples[sample("groups_told_news", "spike")]) == (
        1,
        1,
        1,
    )


def test_a_defect_in_judging_does_not_cost_the_answer(monkeypatch: pytest.MonkeyPatch):
    house = Counting()

    def fail(*_: Any) -> Any:
        raise RuntimeError("a defect")

    monkeypatch.setattr(house.room.groups, "judge", fail)
    house.send(draw(FAILING))

    house.after(30)

    assert [stored.answer.status for stored in house.shelf.traces] == ["finding"]
    assert house.room.failed == {"judging": 1}


def test_a_defect_in_counting_users_does_not_cost_the_group(monkeypatch: pytest.MonkeyPatch):
    house = Counting()

    def fail(*_: Any) -> Any:
        raise RuntimeError("a defect")

    monkeypatch.setattr(house.room.impact, "add", fail)
    house.send(draw(FAILING))
    house.after(30)
    house.after(2)

    assert [group.count for group in house.groups] == [1]
    assert house.room.failed == {"impact": 1}


def test_every_counter_has_a_name():
    house = Counting()
    house.room.failed["counting"] = 1
    house.room.told["spike"] = 1

    assert [name for name in house.room.snapshot() if not is_known(name)] == []
