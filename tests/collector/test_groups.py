"""Errors counted by the engine's thread: over traces, decisions of people, and a restart."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from analyzer.engine import Analyzer
from analyzer.errors.group_news import Turn
from analyzer.errors.group_words import ErrorGroup, GroupChange
from analyzer.errors.impact_sheet import DAY_NS, ImpactSheet
from collector.contracts import GROUPS_STATE_NAME, IMPACT_BOOKS_STATE_NAME, IMPACT_STATE_NAME, GroupQuery, OutboxItem
from collector.control import ControlClient, ControlServer, RemoteDecisions, answer_decision
from collector.errors import OverloadedError
from collector.exporters.findings import ExportSettings
from collector.exporters.groups import group_exports
from collector.groups import GroupRoom
from collector.pipeline import Pipeline
from collector.store.sqlite import SqliteStore
from collector.telemetry import is_known, sample
from tests.support.answers import error_group
from tests.support.drawing import Drawing, draw
from tests.support.fakes.clock import ManualClock
from tests.support.stepping import FAILING, SECOND_NS, House, slow_words
from tests.support.stepping import Shelf as PlainShelf

RESOLVED = GroupChange(status="resolved")


@dataclass
class Shelf(PlainShelf):
    groups: dict[str, ErrorGroup] = field(default_factory=dict)
    messages: list[OutboxItem] = field(default_factory=list)

    def put_groups(self, groups: list[ErrorGroup], messages: Sequence[OutboxItem] = ()) -> None:
        self.groups |= {one.group_id: one for one in groups}
        self.messages += messages


class Counting(House):
    """A pipeline with a room for groups behind it."""

    def __init__(self, analyzer: Analyzer | None = None) -> None:
        super().__init__(analyzer=analyzer)
        self.shelf = Shelf()
        self.room = GroupRoom(self.shelf, self.clock)  # type: ignore[arg-type]
        self.pipeline = Pipeline(replace(self.pipeline._desk, shelf=self.shelf, groups=self.room))  # type: ignore[arg-type]

    @property
    def groups(self) -> list[ErrorGroup]:
        return list(self.shelf.groups.values())


def with_user(name: str) -> str:
    """The failing trace; its first span says who asked."""
    who = f"user.id={name} session.id=s-{name} tenant.id=acme"
    return FAILING.replace("0..100  ERROR", f"0..100  ERROR  {who}")


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


def test_a_decision_holds_at_the_next_turn_of_the_engine():
    house = Counting()
    house.send(draw(FAILING))
    house.after(30)
    house.after(2)
    (group,) = house.groups
    found: list[ErrorGroup | None] = []
    person = threading.Thread(target=lambda: found.append(house.room.decide(group.group_id, RESOLVED, 30)))
    person.start()
    while house.room._decisions.empty():
        pass  # the other thread is on its way

    house.after(1)
    person.join()

    assert found[0] is not None
    assert found[0].status == "resolved"
    assert house.groups[0].status == "resolved"


def test_a_decision_that_nobody_takes_is_not_said_to_hold():
    room = Counting().room

    with pytest.raises(OverloadedError):
        room.decide("00", RESOLVED, 0.0)


def test_more_decisions_than_may_wait_are_refused():
    room = Counting().room
    for _ in range(64):
        with pytest.raises(OverloadedError, match="did not"):
            room.decide("00", RESOLVED, 0.0)

    with pytest.raises(OverloadedError, match="wait already"):
        room.decide("00", RESOLVED, 0.0)


def test_a_defect_in_counting_does_not_cost_the_answer(monkeypatch: pytest.MonkeyPatch):
    house = Counting()

    def fail(*_: Any) -> Any:
        raise RuntimeError("a defect")

    monkeypatch.setattr(house.room.groups, "observe", fail)
    house.send(draw(FAILING))

    house.after(30)

    assert [stored.answer.status for stored in house.shelf.traces] == ["finding"]
    assert house.room.failed == {"counting": 1}


def test_groups_survive_a_restart(tmp_path: Path):
    """Its beginning, its errors, what a person decided, and which traces were counted."""
    house = Counting()
    house.send(draw(FAILING, seed=1))
    house.after(30)
    house.after(2)
    (group,) = house.groups
    house.room.groups.decide(group.group_id, RESOLVED, house.clock.now_ns())
    house.pipeline._save_state()
    store = SqliteStore.open(tmp_path, clock=ManualClock())
    store.put_groups(house.groups)
    states = dict(house.shelf.states)

    again = Counting()
    again.clock.ns = house.clock.ns + 3600 * 10**9
    again.room.load(store.groups(GroupQuery()), states[GROUPS_STATE_NAME])
    again.send(draw(FAILING, seed=1))
    again.send(draw(FAILING, seed=2))
    again.after(30)
    again.after(2)

    (after,) = again.groups
    assert (after.count, after.first_seen_ns) == (2, group.first_seen_ns)  # the first trace came again
    assert after.status == "resolved"  # both failed before it was resolved
    store.close()


def test_a_saved_state_that_cannot_be_used_loses_no_group(caplog: pytest.LogCaptureFixture):
    room = Counting().room

    room.load([error_group(1)], b"nonsense")

    found = room.groups.find(error_group(1).group_id)
    assert found is not None
    assert (found.count, found.users, found.status) == (12, 7, "ongoing")
    assert "counted anew" in caplog.text


def test_a_group_that_left_memory_comes_back_from_the_shelf():
    house = Counting()
    house.send(draw(FAILING))
    house.after(30)
    house.after(2)
    (first,) = house.groups
    kept = first.model_copy(update={"count": 1000, "revision": 50})
    later = Counting()
    later.room = GroupRoom(later.shelf, later.clock, recall={first.group_id: kept}.get)  # type: ignore[arg-type]
    later.pipeline = Pipeline(replace(later.pipeline._desk, groups=later.room))
    later.send(draw(FAILING, seed=9))

    later.after(30)
    later.after(2)

    assert [(one.count, one.revision) for one in later.groups] == [(1001, 51)]


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


def test_whom_errors_hit_is_told_once_a_minute_and_survives_a_restart():
    """Two users in one session each, one of them twice; the next day one of them is back and one is new."""
    house = Counting()
    for seed, user in enumerate(["ann", "bob", "ann"], 1):
        house.send(draw(with_user(user), seed=seed))
    house.after(30)
    house.after(60)
    house.pipeline._save_state()
    states = dict(house.shelf.states)
    kept = len(house.shelf.states)
    house.pipeline._save_state()
    assert IMPACT_BOOKS_STATE_NAME not in dict(house.shelf.states[kept:])  # nothing new: nothing is written
    today = ImpactSheet.model_validate_json(states[IMPACT_STATE_NAME])

    again = Counting()
    again.clock.ns = house.clock.ns + 86_400 * SECOND_NS
    again.room.load(house.groups, states[GROUPS_STATE_NAME], states[IMPACT_BOOKS_STATE_NAME])
    for seed, user in enumerate(["ann", "eve"], 11):
        again.send(draw(with_user(user), seed=seed))
    again.after(30)
    again.after(60)
    tomorrow = ImpactSheet.model_validate_json(dict(again.shelf.states)[IMPACT_STATE_NAME])

    (group,) = today.groups
    assert (group.entity, group.service) == (house.groups[0].group_id, "payment")
    assert (group.requests, group.failed, group.handled) == (3, 3, 0)
    assert [group.users.hit, group.sessions.hit, group.tenants.hit] == [2, 2, 1]
    assert (group.users.new, group.users.returning) == (2, 0)
    assert [one.entity for one in today.services] == ["gateway", "payment"]
    assert [(one.users.hit, one.users.new, one.users.returning) for one in tomorrow.groups] == [(2, 1, 1)]
    assert tomorrow.groups[0].service == "payment"


def test_a_saved_impact_that_cannot_be_used_is_said(caplog: pytest.LogCaptureFixture):
    room = Counting().room

    room.load([], b"", b"nonsense")

    assert "whom errors hit is counted anew" in caplog.text
    assert room.impact.sheet(DAY_NS).groups == []


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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.sock"


def test_a_decision_travels_to_the_engines_process(path: Path):
    """Known, unknown, and an engine that is too busy."""
    taken: list[tuple[str, GroupChange]] = []

    def decide(group_id: str, change: GroupChange, timeout_s: float) -> ErrorGroup | None:
        taken.append((group_id, change))
        if group_id == "busy":
            raise OverloadedError("too busy", "engine_silent")
        return error_group(1, status=change.status) if group_id == error_group(1).group_id else None

    server = ControlServer(path, {"decide": lambda rest: answer_decision(decide, rest)})
    server.start()
    decisions = RemoteDecisions(ControlClient(path))
    change = GroupChange(status="ignored", for_s=60)

    found = decisions.decide(error_group(1).group_id, change, 5.0)
    assert found is not None
    assert (found.status, taken[0][1]) == ("ignored", change)
    assert decisions.decide("0" * 16, change, 5.0) is None
    with pytest.raises(OverloadedError):
        decisions.decide("busy", change, 5.0)
    server.stop()
    with pytest.raises(OverloadedError):
        decisions.decide("0" * 16, change, 0.2)


@pytest.mark.parametrize("rest", [b"", b"00", b"00 {}", b"\xff {}", b'00 {"status": "new"}'])
def test_nonsense_on_the_socket_decides_nothing(rest: bytes):
    assert answer_decision(lambda *_: pytest.fail("nothing to decide"), rest) == b""
