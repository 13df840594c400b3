"""Whom errors hit, over REST: chosen by group and service, with what the counts rest on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from analyzer.errors.impact_sheet import DAY_NS, Hit, ImpactDesk
from collector.contracts import IMPACT_STATE_NAME
from collector.query.rest import RestServer, create_app
from collector.query.rest_impact import COUNTED, LEFT_OUT, NOTHING_YET
from tests.collector.query.answers import HOSTILE_TEXTS
from tests.support.fakes.store import FakeOpenTraces, FakeStore

T0 = 20_000 * DAY_NS
CARD, TIMEOUT = "c" * 16, "d" * 16


class Room:
    def __init__(self, client: httpx.Client, store: FakeStore) -> None:
        self.client, self.store = client, store

    def get(self, query: str = "") -> Any:
        return self.client.get(f"/api/v1/impact{query}")

    def told(self, desk: ImpactDesk) -> None:
        self.store.states[IMPACT_STATE_NAME] = desk.sheet(T0 + 5).model_dump_json().encode()


@pytest.fixture
def room() -> Iterator[Room]:
    store = FakeStore()
    server = RestServer(create_app(store, FakeOpenTraces()), "127.0.0.1", 0)
    with httpx.Client(base_url=f"http://127.0.0.1:{server.start()}", timeout=20, trust_env=False) as client:
        yield Room(client, store)
    server.stop(0.5)


def two_groups(**who: str) -> ImpactDesk:
    """Twenty cards of twenty users fail at the gateway; two timeouts of the stock are retried."""
    desk = ImpactDesk()
    for number in range(20):
        named = {name.replace("_", "."): f"{value}{number}" for name, value in who.items()}
        desk.add([Hit(CARD, "payment", ("gateway",), visible=True)], named, T0)
    for _ in range(2):
        desk.add([Hit(TIMEOUT, "stock", (), visible=False)], {}, T0)
    return desk


def test_groups_and_services_come_by_their_score(room: Room):
    room.told(two_groups(user_id="u"))

    found = room.get().json()

    assert [one["entity"] for one in found["groups"]] == [CARD, TIMEOUT]
    assert [one["entity"] for one in found["services"]] == ["gateway", "payment", "stock"]
    assert (found["from_ns"], found["to_ns"], found["users_known"], found["notes"]) == (T0, T0 + 5, True, [COUNTED])
    assert found["groups"][0]["users"] == {"known": True, "hit": 20, "new": 20, "returning": 0}
    assert (found["groups"][1]["failed"], found["groups"][1]["handled"]) == (0, 2)


@pytest.mark.parametrize(
    ("query", "groups", "services"),
    [
        ("?service=payment", [CARD], ["payment"]),
        ("?service=gateway", [], ["gateway"]),
        (f"?group={TIMEOUT}", [TIMEOUT], ["stock"]),
        (f"?group={TIMEOUT.upper()}", [TIMEOUT], ["stock"]),
        ("?top=1", [CARD], ["gateway"]),
        (f"?group={'0' * 16}", [], []),
    ],
)
def test_what_was_asked_for_is_chosen(room: Room, query: str, groups: list[str], services: list[str]):
    room.told(two_groups(user_id="u"))

    found = room.get(query).json()

    assert [one["entity"] for one in found["groups"]] == groups
    assert [one["entity"] for one in found["services"]] == services


def test_without_users_it_says_so(room: Room):
    room.told(two_groups(session_id="s"))

    found = room.get().json()

    assert not found["users_known"]
    assert found["notes"][1].startswith("No user attribute was seen")
    assert found["groups"][0]["sessions"]["hit"] == 20


@pytest.mark.parametrize("state", [None, b"", b"{", b'{"groups": 3}'])
def test_before_anything_was_counted_it_says_so(room: Room, state: bytes | None):
    if state is not None:
        room.store.states[IMPACT_STATE_NAME] = state

    found = room.get()

    assert found.status_code == 200
    assert found.json()["notes"] == [COUNTED, NOTHING_YET]


def test_what_found_no_room_is_said(room: Room):
    desk = two_groups()
    for number in range(600):
        desk.add([Hit(f"{number:016x}", "payment", (), visible=True)], {}, T0)
    room.told(desk)

    found = room.get().json()

    assert LEFT_OUT in found["notes"]
    assert found["left_out"] > 0


@pytest.mark.parametrize("query", ["?top=0", "?top=101", "?top=x", "?group=xyz", f"?service={'s' * 1025}"])
def test_bad_questions_are_problems(room: Room, query: str):
    found = room.get(query)

    assert found.status_code == 400
    assert found.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_names_break_nothing(room: Room, text: str):
    desk = ImpactDesk()
    desk.add([Hit(CARD, text, (), visible=True)], {"user.id": text}, T0)
    room.told(desk)

    (found,) = room.get().json()["services"]

    assert found["sentence"].isprintable()
