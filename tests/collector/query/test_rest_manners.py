"""REST: what holds of every answer, whatever was asked: problems, headers, hostile text, our own faults, the bound."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import httpx
import pytest

from collector.errors import OverloadedError
from collector.query.desk import QuerySettings
from collector.query.rest import RestServer
from tests.collector.query.answers import HOSTILE_TEXTS, OTHER, TRACE, full, row, small
from tests.collector.query.rooms import PATH, Room, problem


def test_unknown_paths_and_methods_are_problems(room: Room):
    problem(room.get("/api/v1/nothing"), 404, "no_such_path")
    problem(room.get("/"), 404, "no_such_path")
    response = room.client.post(PATH)
    assert problem(response, 405, "method_not_allowed")["expected"] == "GET"
    assert response.headers["allow"] == "GET"


def test_every_answer_has_safe_headers(room: Room):
    """Good or bad: nothing may be sniffed, framed or run."""
    room.keep(small())
    for path in (PATH, "/nothing", "/api/v1/findings?limit=0", "/api/v1/openapi.json"):
        headers = room.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert len(headers["x-correlation-id"]) == 32


def test_the_correlation_id_is_echoed_only_when_it_is_safe(room: Room):
    assert room.get(PATH, x_correlation_id="order-42.a_B").headers["x-correlation-id"] == "order-42.a_B"
    for bad in ("", "a b", "<script>", "x" * 129):
        assert room.get(PATH, x_correlation_id=bad).headers["x-correlation-id"] != bad


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_text_stays_text(room: Room, text: str):
    """In an answer, in a list, in a problem: valid JSON, nothing that a browser could take for markup."""
    room.keep(full(text))
    room.store.add(row(1, summary=text, entity_name=text))
    for path in (PATH, "/api/v1/findings", f"/api/v1/findings?from={httpx.QueryParams({'x': text})}"):
        response = room.get(path)
        assert b"<" not in response.content
        assert "\u2028" not in response.text
        assert response.headers["content-type"] in ("application/json", "application/problem+json")
        response.json()
    assert room.get(PATH).json()["summary"] == text


def test_our_own_bug_is_a_problem_without_its_words(room: Room, caplog: pytest.LogCaptureFixture):
    """The client gets an id, the log gets the cause."""

    def broken(trace_id: bytes) -> None:
        raise RuntimeError("secret path")

    room.store.on_find = broken
    response = room.get(PATH, x_correlation_id="abc")

    problem(response, 500, "internal")
    assert "secret" not in response.text
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert [("abc" in record.getMessage(), record.exc_info is not None) for record in caplog.records] == [(True, True)]


def test_an_engine_without_room_is_503(room: Room):
    def busy(trace_id: bytes) -> None:
        raise OverloadedError("the engine is starting", retry_after_s=7.0)

    room.open_traces.on_ask = busy

    response = room.get(PATH)

    problem(response, 503, "overloaded")
    assert response.headers["retry-after"] == "7"


@pytest.fixture
def served() -> Iterator[tuple[Room, str]]:
    room = Room(QuerySettings(poll_s=0.01, requests_max=2, analyses_max=1))
    server = RestServer(room.app, "127.0.0.1", 0)
    port = server.start()
    yield room, f"http://127.0.0.1:{port}"
    server.stop()


def test_over_a_real_socket(served: tuple[Room, str]):
    """One question over loopback, counted."""
    room, url = served
    room.keep(small())

    assert httpx.get(url + PATH).json()["trace_id"] == TRACE.hex()
    assert room.app.state.counters.snapshot()["query_requests|rest|ok"] == 1


def test_questions_at_the_same_time_are_bounded(served: tuple[Room, str]):
    """Two wait for a trace that never comes; the third is told to come back, and room is made again."""
    room, url = served
    both = threading.Barrier(3)
    room.store.on_find = lambda trace_id: None

    def first_look(trace_id: bytes) -> None:
        both.wait(10)
        room.store.on_find = lambda trace_id: None

    room.store.on_find = first_look
    other = PATH.replace(TRACE.hex(), OTHER.hex())
    codes: list[int] = []
    threads = [
        threading.Thread(target=lambda: codes.append(httpx.get(f"{url}{other}?wait=20", timeout=30).status_code))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    both.wait(10)

    refused = httpx.get(url + PATH)
    room.keep(small(OTHER))
    for thread in threads:
        thread.join(30)

    problem(refused, 503, "busy")
    assert codes == [200, 200]
    assert httpx.get(url + PATH).status_code == 404
