"""`firstfault groups`: which errors there are, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from typer.testing import CliRunner, Result

from collector.cli import app
from collector.query.rest import RestServer, create_app
from tests.collector.query.answers import HOSTILE_TEXTS
from tests.contract.group_suite import SPIKE
from tests.support.answers import error_group, trace_id
from tests.support.fakes.clock import EPOCH_NS, HOUR_NS, ManualClock
from tests.support.fakes.store import FakeOpenTraces, FakeStore

Run = Callable[..., Result]


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def run(store: FakeStore) -> Iterator[Run]:
    clock = ManualClock(EPOCH_NS + 2 * HOUR_NS)
    server = RestServer(create_app(store, FakeOpenTraces(), clock=clock), "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.start()}"
    yield lambda *words: CliRunner().invoke(app, ["groups", *words, "--server", address], catch_exceptions=False)
    server.stop(0.5)


def test_there_are_no_errors(run: Run):
    assert (run().exit_code, run().stdout) == (0, "no errors\n")
    assert run("--json").stdout == ""


def test_a_list_has_a_line_for_each(run: Run, store: FakeStore):
    store.put_groups([error_group(1), error_group(2, status="new", count=1234, users=0, last_ns=EPOCH_NS)])

    first, second = run().stdout.splitlines()

    assert first == (
        "ongoing   0000000000000001  2025-10-09 09:53:20Z  12 times  7 users  payment: CardError: card 4711 declined"
    )
    assert second == (
        "new       0000000000000002  2025-10-09 08:53:20Z  1,234 times  payment: CardError: card 4711 declined"
    )
    assert len(run("--status", "new").stdout.splitlines()) == 1
    assert run("--sort", "count").stdout.splitlines() == [second, first]
    assert run("--service", "ledger").stdout == "no errors\n"


def test_one_group_is_told_whole(run: Run, store: FakeStore):
    store.put_groups([error_group(1)])

    said = run(error_group(1).group_id).stdout

    for words in (
        "ONGOING   0000000000000001  payment POST /charge",
        "look at Charge.java:45",
        "12 times, 7 users; first 2025-10-09 08:53:20Z",
        "services: payment (12), gateway (12)",
        "versions: 1.4.0 (12)",
        "one group because: same type CardError, same application frames from acme.Charge:authorize outwards",
        f"firstfault root-cause {trace_id(1).hex()}",
    ):
        assert words in said


def test_spikes_and_news_are_marked(run: Run, store: FakeStore):
    novel = {"novel": True, "novel_reason": "400 errors of 2 kinds were known"}
    store.put_groups(
        [
            error_group(1).model_copy(update={"spike": SPIKE}),
            error_group(2, status="new", last_ns=EPOCH_NS).model_copy(update=novel),
        ]
    )

    spiking, new = run().stdout.splitlines()

    assert spiking.endswith("card 4711 declined  SPIKE 40 in 5 min, 4 usual")
    assert new.endswith("card 4711 declined  NOVEL")
    assert run("--spiking").stdout.splitlines() == [spiking]
    assert "spike since 2025-10-09 08:53:20Z: 40 events" in run(error_group(1).group_id).stdout
    assert "novel: 400 errors of 2 kinds were known" in run(error_group(2).group_id).stdout


def test_programs_get_json(run: Run, store: FakeStore):
    store.put_groups([error_group(1)])

    assert json.loads(run("--json").stdout)["group_id"] == error_group(1).group_id
    assert json.loads(run(error_group(1).group_id, "--json").stdout)["count"] == 12


def test_wrong_use_and_unknown_groups_are_told_apart(run: Run):
    assert run("zz").exit_code == 2
    assert "expected 16 hex digits" in run("zz").stderr
    assert run("--status", "open").exit_code == 2
    assert run("f" * 16).exit_code == 1
    assert "Group not known" in run("f" * 16).stderr


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_text_does_not_drive_the_terminal(run: Run, store: FakeStore, text: str):
    store.put_groups([error_group(1, message=text, services=(text,))])

    for said in (run().stdout, run(error_group(1).group_id).stdout):
        assert all(letter.isprintable() or letter == "\n" for letter in said)
