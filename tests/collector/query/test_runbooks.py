"""Runbooks over REST: one for each kind of failure, edited by hand, never two edits mixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from httpx import Response
from typer.testing import CliRunner

from analyzer.reports.model import Report, Runbook
from collector.cli import app
from collector.contracts import Found
from collector.errors import OverloadedError
from collector.query.rest import RestServer, create_app
from collector.query.rest_runbooks import BODY_BYTES_MAX
from collector.store.runbooks import RunbookShelf
from tests.collector.query.answers import HOSTILE_TEXTS, TRACE
from tests.collector.query.people import GROUP, GROUP_URL, INCIDENT_URL, TRACE_URL, Room
from tests.collector.query.rooms import Client, problem
from tests.collector.query.test_report_doors import answered
from tests.support.fakes.store import FakeOpenTraces, FakeRunbookLog, FakeStore

WORDS = {"sections": [{"section": "mitigate", "text": "Switch the fallback on."}]}


@pytest.fixture
def client() -> Client:
    return Client(Room(runbooks=FakeRunbookLog()).app())


def tag(client: Client, url: str = GROUP_URL) -> str:
    return client.get(f"{url}/runbook").headers["etag"]


def put(client: Client, words: dict[str, Any] = WORDS, url: str = GROUP_URL, match: str | None = None) -> Response:
    headers = {"if-match": tag(client, url) if match is None else match}
    return client.put(f"{url}/runbook", json=words, headers=headers)


def hand(client: Client, url: str) -> list[str]:
    """Texts written by hand in the report under this address."""
    report = Report.model_validate_json(client.get(f"{url}/report").text)
    return [step.text for step in report.runbook.steps if step.by_hand is not None]


def test_an_edit_of_a_group_stands_in_the_reports_of_group_trace_and_incident(client: Client):
    assert [hand(client, url) for url in (GROUP_URL, TRACE_URL, INCIDENT_URL)] == [[], [], []]

    done = put(client)

    assert done.status_code == 200
    assert Runbook.model_validate_json(done.text).edit == 1
    assert [hand(client, url) for url in (GROUP_URL, TRACE_URL, INCIDENT_URL)] == [["Switch the fallback on."]] * 3
    assert "edited by hand, edit 1, 2025-10-09 08:53:20 UTC" in client.get(f"{GROUP_URL}/report?format=markdown").text
    assert "edited by hand, edit 1" in client.get(f"{TRACE_URL}/report?format=html").text


@pytest.mark.parametrize("url", [TRACE_URL, INCIDENT_URL])
def test_it_may_be_edited_from_wherever_it_is_seen(client: Client, url: str):
    assert put(client, url=url).status_code == 200
    assert hand(client, GROUP_URL) == ["Switch the fallback on."]


def test_a_trace_of_no_group_has_a_runbook_of_its_kind(client: Client):
    """Slow traces are in no group of errors: rule, service and pattern say whose runbook it is."""
    room = Room(runbooks=FakeRunbookLog())
    room.found[TRACE] = Found("stored", answered(), room.found[TRACE].trace_otlp)
    apart = Client(room.app())

    assert put(apart, url=TRACE_URL).status_code == 200
    assert hand(apart, TRACE_URL) == ["Switch the fallback on."]
    assert Runbook.model_validate_json(apart.get(f"{TRACE_URL}/runbook").text).runbook_id != GROUP.group_id


def test_edits_are_taken_back(client: Client):
    before = client.get(f"{GROUP_URL}/runbook")
    put(client)

    done = client.delete(f"{GROUP_URL}/runbook", headers={"if-match": tag(client)})

    assert done.status_code == 200
    assert done.headers["etag"] == before.headers["etag"]
    assert hand(client, GROUP_URL) == []
    assert put(client).json()["edit"] == 3  # numbers are not used again


def test_taking_back_nothing_changes_nothing(client: Client):
    done = client.delete(f"{GROUP_URL}/runbook", headers={"if-match": "*"})

    assert (done.status_code, done.json()["edit"]) == (200, 0)


def test_of_two_who_read_the_same_version_the_second_is_refused(client: Client):
    read = tag(client)
    put(client, match=read)

    late = put(client, {"sections": [{"section": "mitigate", "text": "Something else."}]}, match=read)

    problem(late, 412, "runbook_changed")
    assert late.headers["etag"] == tag(client)
    assert hand(client, GROUP_URL) == ["Switch the fallback on."]
    problem(client.delete(f"{GROUP_URL}/runbook", headers={"if-match": read}), 412, "runbook_changed")


def test_an_edit_between_look_and_write_is_not_lost(client: Client):
    """The shelf is asked last: it takes only what follows the last edit."""

    class Slower(FakeRunbookLog):
        def put_edits(self, edits: Any) -> bool:
            return False

    problem(put(Client(Room(runbooks=Slower()).app())), 412, "runbook_changed")


@pytest.mark.parametrize(
    ("match", "status"),
    [("*", 200), ('"x", {tag}', 200), ("W/{tag}", 412), ('"1.0"', 412), ("no tag", 412), ("", 412)],
)
def test_if_match_is_read_as_its_standard_says(client: Client, match: str, status: int):
    assert put(client, match=match.replace("{tag}", tag(client))).status_code == status


def test_who_does_not_say_what_was_read_is_asked(client: Client):
    missing = client.put(f"{GROUP_URL}/runbook", json=WORDS)

    problem(missing, 428, "if_match_missing")
    assert tag(client) in missing.json()["expected"]
    assert hand(client, GROUP_URL) == []


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "Invalid JSON"),
        (b'{"sections": []}', 400, "at least 1"),
        (b'{"sections": [{"section": "../x", "text": "y"}]}', 400, "body.sections.0.section"),
        (b'{"sections": [{"section": "a", "text": "y"}, {"section": "a", "text": "z"}]}', 400, "given twice"),
        (b" " * (BODY_BYTES_MAX + 1), 413, "65536 bytes"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_words(client: Client, body: bytes, status: int, words: str):
    done = client.put(f"{GROUP_URL}/runbook", content=body, headers={"if-match": "*"})

    assert done.status_code == status
    assert done.headers["content-type"] == "application/problem+json"
    assert words in done.text
    assert hand(client, GROUP_URL) == []


def test_what_is_not_there_has_no_runbook(client: Client):
    problem(client.get(f"/api/v1/groups/{'f' * 16}/runbook"), 404, "group_unknown")
    problem(put(client, url=f"/api/v1/traces/{'11' * 16}", match="*"), 404, "trace_unknown")
    problem(client.delete(f"/api/v1/incidents/{'11' * 16}/runbook", headers={"if-match": "*"}), 404, "incident_unknown")


def test_without_a_place_for_edits_it_says_so():
    bare = Client(create_app(FakeStore(), FakeOpenTraces()))

    problem(bare.get(f"{GROUP_URL}/runbook"), 501, "no_runbooks")
    problem(put(bare, match="*"), 501, "no_runbooks")


def test_a_shelf_that_cannot_be_read_costs_the_edits_not_the_report():
    class Broken(FakeRunbookLog):
        def edits(self, runbook_id: str) -> None:
            raise OverloadedError("the disk does not read", "store_failed")

    client = Client(Room(runbooks=Broken()).app())

    report = Report.model_validate_json(client.get(f"{GROUP_URL}/report").text)

    assert any(gap.startswith("edits of the runbook by hand: they cannot be read now") for gap in report.missing)
    assert put(client, match="*").status_code == 503


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_words_stay_words(client: Client, text: str):
    put(client, {"sections": [{"section": "own", "text": text, "title": text, "commands": [text]}]}, match="*")

    asked = client.get(f"{GROUP_URL}/runbook").text
    page = client.get(f"{GROUP_URL}/report?format=html").text

    for shown in (asked, page):
        assert "<script" not in shown
        assert "<img" not in shown
        assert "<svg onload" not in shown
        assert "\u202e" not in shown
        assert "\x1b" not in shown


def test_edits_are_kept_on_disk_and_shown_on_the_command_line(tmp_path: Path):
    shelf = RunbookShelf(tmp_path)
    put(Client(Room(runbooks=shelf).app()))
    shelf.close()
    again = RunbookShelf(tmp_path)
    server = RestServer(Room(runbooks=again).app(), "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.start()}"

    done = CliRunner().invoke(app, ["report", GROUP.group_id, "--server", address], catch_exceptions=False)
    server.stop(0.5)
    again.close()

    assert done.exit_code == 0
    assert "*(edited by hand, edit 1, 2025-10-09 08:53:20 UTC)*: Switch the fallback on." in done.stdout
