"""`firstfault incidents`: what is breaking the system, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner, Result

from analyzer.incident_words import Incident
from collector.cli import app
from collector.contracts import StoredIncident
from collector.query.rest import RestServer, create_app
from tests.collector.query.answers import HOSTILE_TEXTS
from tests.support.answers import incident, trace_id
from tests.support.fakes.clock import EPOCH_NS, SECOND_NS, ManualClock
from tests.support.fakes.store import FakeOpenTraces, FakeStore

Run = Callable[..., Result]


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def run(store: FakeStore) -> Iterator[Run]:
    server = RestServer(create_app(store, FakeOpenTraces(), clock=ManualClock()), "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.start()}"
    yield lambda *words: CliRunner().invoke(app, ["incidents", *words, "--server", address], catch_exceptions=False)
    server.stop(0.5)


def test_nothing_is_broken(run: Run):
    assert (run().exit_code, run().stdout) == (0, "no incidents\n")
    assert run("--json").stdout == ""


def test_a_list_has_a_line_for_each(run: Run, store: FakeStore):
    closed = incident(2, status="closed", onset_ns=EPOCH_NS + SECOND_NS)
    store.put_incidents([StoredIncident(incident(1)), StoredIncident(closed)])

    first, second = run().stdout.splitlines()

    assert first == f"CLOSED  {closed.incident_id}  2025-10-09 08:53:21Z  payment fails by itself."
    assert second == f"OPEN    {incident(1).incident_id}  2025-10-09 08:53:20Z  payment fails by itself."
    assert len(run("--status", "open").stdout.splitlines()) == 1
    assert len(run("--limit", "1").stdout.splitlines()) == 1
    assert run("--service", "ledger").stdout == "no incidents\n"


def test_one_incident_is_told_whole(run: Run, store: FakeStore):
    """Cause, victims, counts, what happened, and the command to look further."""
    store.put_incidents([StoredIncident(incident(1, status="closed"))])

    said = run(incident(1).incident_id).stdout

    for words in (
        "since 2025-10-09 08:53:20Z, 10 min 0 s",
        "1. service payment  90%  [incident.failing]",
        "cause   payment: errors, 100% fail",
        "victim  checkout: errors, latency, 50% fail",
        "hit: 60 failed, 3 slow of 120 requests",
        "2025-10-09 08:53:40Z  the incident was detected",
        f"firstfault root-cause {trace_id(1).hex()}",
    ):
        assert words in said


def test_json_is_the_incident(run: Run, store: FakeStore):
    store.put_incidents([StoredIncident(incident(1)), StoredIncident(incident(2))])

    one = run(incident(1).incident_id, "--json").stdout
    many = run("--json").stdout.splitlines()

    assert Incident.model_validate_json(one) == incident(1)
    assert [json.loads(line)["status"] for line in many] == ["open", "open"]


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_text_does_not_drive_the_terminal(run: Run, store: FakeStore, text: str):
    store.put_incidents([StoredIncident(incident(1, service=text, summary=text))])

    for said in (run().stdout, run(incident(1).incident_id).stdout):
        assert all(letter.isprintable() or letter == "\n" for letter in said)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("0" * 32,), 1, "no incident"),
        (("xyz",), 2, "32 hex digits"),
        (("--status", "half"), 2, "fault(s)"),
    ],
)
def test_what_is_not_there_or_wrong(run: Run, words: tuple[str, ...], status: int, said: str):
    result = run(*words)

    assert (result.exit_code, result.stdout) == (status, "")
    assert said in result.stderr


def test_no_server():
    result = CliRunner().invoke(app, ["incidents", "--server", "http://127.0.0.1:1"])

    assert (result.exit_code, result.stdout) == (1, "")
    assert "firstfault serve" in result.stderr
