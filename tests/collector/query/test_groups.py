"""Groups of errors over REST: listed, found, explained, decided about."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from collector.query.rest import RestServer, create_app
from tests.collector.query.answers import HOSTILE_TEXTS
from tests.contract.group_suite import SPIKE
from tests.support.answers import error_group, trace_id
from tests.support.fakes.clock import EPOCH_NS, HOUR_NS, ManualClock
from tests.support.fakes.store import FakeDecisions, FakeOpenTraces, FakeStore

ONE = error_group(1)
DEADLINE_S = 20


class Room:
    def __init__(self, client: httpx.Client, store: FakeStore, decisions: FakeDecisions) -> None:
        self.client, self.store, self.decisions = client, store, decisions

    def get(self, path: str) -> Any:
        return self.client.get("/api/v1" + path)

    def patch(self, group_id: str, **change: object) -> Any:
        return self.client.patch(f"/api/v1/groups/{group_id}", json=change)


@pytest.fixture
def room() -> Iterator[Room]:
    store = FakeStore()
    decisions = FakeDecisions(store)
    clock = ManualClock(EPOCH_NS + 2 * HOUR_NS)
    server = RestServer(create_app(store, FakeOpenTraces(), clock=clock, decisions=decisions), "127.0.0.1", 0)
    with httpx.Client(base_url=f"http://127.0.0.1:{server.start()}", timeout=DEADLINE_S, trust_env=False) as client:
        yield Room(client, store, decisions)
    server.stop(0.5)


def test_groups_are_listed_filtered_and_sorted(room: Room):
    room.store.put_groups([ONE, error_group(2, count=99, status="new"), error_group(3, services=("ledger",))])

    def ids(query: str) -> list[int]:
        return [int(one["group_id"], 16) for one in room.get(f"/groups{query}").json()["groups"]]

    assert ids("?sort=count") == [2, 1, 3]
    assert ids("?status=new") == [2]
    assert ids("?service=ledger") == [3]
    assert ids("?limit=1&sort=count") == [2]


def test_groups_that_spike_are_listed_alone(room: Room):
    room.store.put_groups([ONE, error_group(2).model_copy(update={"spike": SPIKE})])

    (found,) = room.get("/groups?spiking=true").json()["groups"]
    (other,) = room.get("/groups?spiking=false").json()["groups"]

    assert (found["group_id"], found["spike"]["now"], found["spike"]["sentence"]) == (f"{2:016x}", 40, "40 events")
    assert (other["group_id"], other["spike"]) == (ONE.group_id, None)
    assert room.get("/groups?spiking=perhaps").status_code == 400


def test_one_group_says_why_it_is_one(room: Room):
    room.store.put_groups([ONE])

    found = room.get(f"/groups/{ONE.group_id}").json()

    assert found["group"]["parts"] == [
        {"name": "type", "value": "CardError"},
        {"name": "frame", "value": "acme.Charge:authorize"},
    ]
    assert found["why"] == "same type CardError, same application frames from acme.Charge:authorize outwards"
    assert found["examples"] == [f"/api/v1/traces/{trace_id(1).hex()}/root-cause"]
    assert found["trend"]["direction"] in ("rising", "too_little", "steady")


def test_a_decision_goes_to_the_engine_and_comes_back_as_it_holds(room: Room):
    room.store.put_groups([ONE])

    answer = room.patch(ONE.group_id, status="resolved", in_version="2.0.0")

    assert (answer.status_code, answer.json()["status"]) == (200, "resolved")
    ((group_id, change),) = room.decisions.decided
    assert (group_id, change.in_version) == (ONE.group_id, "2.0.0")


@pytest.mark.parametrize(
    ("group_id", "change", "status", "word"),
    [
        (ONE.group_id, {"status": "new"}, 400, "invalid_request"),
        (ONE.group_id, {"status": "ongoing", "in_version": "1"}, 400, "invalid_request"),
        (ONE.group_id, {"status": "ignored", "for_s": -1}, 400, "invalid_request"),
        (ONE.group_id, {"status": "resolved", "extra": 1}, 400, "invalid_request"),
        ("zz", {"status": "resolved"}, 400, "group_id"),
        ("f" * 16, {"status": "resolved"}, 404, "group_unknown"),
    ],
)
def test_a_decision_that_cannot_hold_is_refused_with_a_reason(
    room: Room, group_id: str, change: dict[str, object], status: int, word: str
):
    room.store.put_groups([ONE])

    answer = room.patch(group_id, **change)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["type"] == f"urn:firstfault:problem:{word}"


@pytest.mark.parametrize(
    ("body", "status"), [(b"", 400), (b"nonsense", 400), (b"[]", 400), (b"\xff", 400), (b" " * 100_000, 413)]
)
def test_a_body_that_is_no_decision_is_refused(room: Room, body: bytes, status: int):
    room.store.put_groups([ONE])

    answer = room.client.patch(f"/api/v1/groups/{ONE.group_id}", content=body)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert room.decisions.decided == []


def test_a_silent_engine_is_said_to_be_silent(room: Room):
    room.store.put_groups([ONE])
    room.decisions.answers = False

    answer = room.patch(ONE.group_id, status="ignored")

    assert answer.status_code == 503
    assert answer.headers["retry-after"]


def test_without_an_engine_nothing_is_decided():
    server = RestServer(create_app(FakeStore(), FakeOpenTraces()), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.start()}/api/v1/groups/{ONE.group_id}"

    answer = httpx.patch(url, json={"status": "ignored"}, timeout=DEADLINE_S, trust_env=False)
    server.stop(0.5)

    assert (answer.status_code, answer.json()["type"]) == (501, "urn:firstfault:problem:decisions_off")


@pytest.mark.parametrize(
    "path", ["/groups/zz", "/groups?status=open", "/groups?sort=name", "/groups?limit=0", "/errors/top?top=0"]
)
def test_what_cannot_be_asked_is_a_problem(room: Room, path: str):
    answer = room.get(path)

    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


def test_the_top_is_ranked_by_errors_and_by_users(room: Room):
    room.store.put_groups([error_group(1, count=9, users=1), error_group(2, count=1, users=9), error_group(3)])

    found = room.get("/errors/top?top=2").json()

    assert [int(one["fine"], 16) for one in found["by_count"]] == [3, 1]
    assert [int(one["fine"], 16) for one in found["by_users"]] == [2, 3]
    assert found["by_users"][0]["users"] == 9


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_text_cannot_leave_its_string(room: Room, text: str):
    room.store.put_groups([error_group(1, message=text)])

    for path in ("/groups", f"/groups/{ONE.group_id}", "/errors/top"):
        answer = room.get(path)
        assert not set("<>") & set(answer.text)
        assert answer.json()
