"""`firstfault impact`: whom errors hit, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner, Result

from analyzer.errors.impact_sheet import DAY_NS, Hit, ImpactDesk
from collector.cli import app
from collector.contracts import IMPACT_STATE_NAME
from collector.query.rest import RestServer, create_app
from tests.collector.query.answers import HOSTILE_TEXTS
from tests.support.fakes.store import FakeOpenTraces, FakeStore
from tests.support.running import free_port

T0 = 20_000 * DAY_NS
CARD = "c" * 16
Run = Callable[..., Result]


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def run(store: FakeStore) -> Iterator[Run]:
    server = RestServer(create_app(store, FakeOpenTraces()), "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.start()}"
    yield lambda *words: CliRunner().invoke(
        app, ["impact", *words, *([] if "--server" in words else ["--server", address])], catch_exceptions=False
    )
    server.stop(0.5)


def hit(store: FakeStore, service: str = "payment", users: int = 20) -> None:
    """So many users' cards fail."""
    desk = ImpactDesk()
    for number in range(users):
        desk.add([Hit(CARD, service, (), visible=True)], {"user.id": f"u{number}"}, T0)
    store.states[IMPACT_STATE_NAME] = desk.sheet(T0 + 5).model_dump_json().encode()


def test_services_and_groups_come_with_their_score(run: Run, store: FakeStore):
    hit(store)

    lines = run().stdout.splitlines()

    assert lines[0].startswith("counted from 2024-10-04 00:00:00Z to ")
    assert lines[1] == "services, by score:"
    assert lines[2].split(None, 1)[1].startswith("payment: 20 explained failing traces today, 20 failed")
    assert "20 users" in lines[2]
    assert lines[3] == "groups of errors, by score:"
    assert CARD in lines[4]
    assert lines[5].startswith("note: Only failing traces that were explained are counted")


def test_only_what_was_asked_for_is_told(run: Run, store: FakeStore):
    hit(store)

    assert "payment:" not in run("--service", "ledger").stdout
    assert CARD in run("--group", CARD).stdout
    assert len(json.loads(run("--json", "--top", "1").stdout)["groups"]) == 1


def test_before_anything_was_counted_it_says_so(run: Run):
    done = run()

    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "note: Nothing was counted yet; the engine tells once a minute."


def test_wrong_use_and_silence_are_told_apart(run: Run):
    wrong, nowhere = run("--group", "xyz"), run("--server", "no address")
    silent = run("--server", f"http://127.0.0.1:{free_port()}")

    assert (wrong.exit_code, nowhere.exit_code, silent.exit_code) == (2, 2, 1)
    assert "expected 16 hex digits" in wrong.stderr
    assert "is not an address" in nowhere.stderr
    assert "is `firstfault serve` running there?" in silent.stderr


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_names_steer_no_terminal(run: Run, store: FakeStore, text: str):
    hit(store, service=text, users=1)

    said = run().stdout

    assert "\x1b" not in said
    assert "\u202e" not in said
