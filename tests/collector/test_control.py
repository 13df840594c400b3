"""Our processes ask one another; a dead one answers nothing, and nobody waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from analyzer.findings import Answer
from collector.control import ControlClient, ControlServer, RemoteOpenTraces
from collector.process import _ask

TRACE_ID = bytes(range(16))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.sock"


@pytest.fixture
def server(path: Path) -> Iterator[ControlServer]:
    answer = Answer(trace_id=TRACE_ID.hex(), status="in_progress")
    running = ControlServer(
        path,
        {
            "stats": lambda _: b'{"a": 1}',
            "ask": lambda trace_id: answer.model_dump_json().encode() if trace_id == TRACE_ID else b"",
        },
    )
    running.start()
    yield running
    running.stop()


def test_a_question_is_answered(server: ControlServer, path: Path):
    client = ControlClient(path)

    assert client.json("stats") == {"a": 1}
    client.close()


def test_an_unknown_word_has_an_empty_answer(server: ControlServer, path: Path):
    client = ControlClient(path)

    assert client.question("what") == b""
    client.close()


def test_an_open_trace_is_asked_about_by_its_id(server: ControlServer, path: Path):
    """The engine holds it: an answer; it does not: None."""
    client = ControlClient(path)
    traces = RemoteOpenTraces(client)

    found = traces.ask(TRACE_ID, 1.0)

    assert found is not None
    assert found.status == "in_progress"
    assert traces.ask(bytes(16), 1.0) is None
    client.close()


def test_a_trace_told_in_brief_is_explained_over_the_same_socket(path: Path):
    """Of an id the engine keeps nothing of, or has no time for: None."""
    kept = Answer(trace_id=TRACE_ID.hex(), status="finding", revision=2)
    answers = {TRACE_ID: kept}
    server = ControlServer(
        path, {"explain": lambda rest: _ask(lambda trace_id, timeout_s: answers.get(trace_id), rest)}
    )
    server.start()
    client = ControlClient(path)
    traces = RemoteOpenTraces(client)

    assert traces.explain(TRACE_ID, 1.0) == kept
    assert traces.explain(bytes(16), 1.0) is None
    client.close()
    server.stop()


def test_nobody_there_is_none(path: Path):
    assert ControlClient(path).question("stats") is None


def test_a_slow_answer_is_given_up_and_not_mistaken_for_the_next(path: Path):
    """The late answer of the first question must not answer the second."""
    go_on = threading.Event()

    def slow(rest: bytes) -> bytes:
        if rest == b"first":
            go_on.wait(10)
        return rest

    server = ControlServer(path, {"say": slow})
    server.start()
    client = ControlClient(path)
    assert client.question("say", b"first", timeout_s=0.05) is None
    go_on.set()

    assert client.question("say", b"second") == b"second"
    client.close()
    server.stop()


def test_a_restarted_process_is_found_again(path: Path):
    """The client connects anew after the other side went away."""
    client = ControlClient(path)
    for number in (b"1", b"2"):
        server = ControlServer(path, {"who": lambda _, number=number: number})
        server.start()
        answer = client.question("who") or client.question("who")
        assert answer == number
        server.stop()
    client.close()


def test_only_the_owner_may_connect(server: ControlServer, path: Path):
    assert path.stat().st_mode & 0o777 == 0o600
