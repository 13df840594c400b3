"""Groups outlive a restart and the engine's memory, and with them whom they hit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analyzer.errors.impact_sheet import DAY_NS, ImpactSheet
from collector.contracts import GROUPS_STATE_NAME, IMPACT_BOOKS_STATE_NAME, IMPACT_STATE_NAME, GroupQuery
from collector.groups import GroupRoom
from collector.pipeline import Pipeline
from collector.store.sqlite import SqliteStore
from tests.support.answers import error_group
from tests.support.counting import RESOLVED, Counting, with_user
from tests.support.drawing import draw
from tests.support.fakes.clock import ManualClock
from tests.support.stepping import FAILING, SECOND_NS


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
