"""What people decide of a group: taken by the engine's thread, or not said to hold."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from analyzer.errors.group_words import ErrorGroup, GroupChange
from collector.control import ControlClient, ControlServer, RemoteDecisions, answer_decision
from collector.errors import OverloadedError
from tests.support.answers import error_group
from tests.support.counting import RESOLVED, Counting
from tests.support.drawing import draw
from tests.support.stepping import FAILING


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
