"""Notes at frames over REST: left, shown wherever the group is looked at, changed, taken away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from httpx import Response
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typer.testing import CliRunner

from analyzer.errors.note_words import FRAME_NOTES_MAX, FrameNote
from analyzer.reports.model import Report
from collector.auth.bearer import BearerTokens, TokenGrant
from collector.auth.guard import Guard
from collector.auth.identity import Identity, Role
from collector.cli import app
from collector.errors import OverloadedError
from collector.query.rest import RestServer, create_app
from collector.query.rest_notes import BODY_BYTES_MAX
from collector.store.notes import NoteShelf
from tests.collector.query.answers import HOSTILE_TEXTS
from tests.collector.query.people import GROUP, GROUP_URL, INCIDENT_URL, TRACE_URL, Room
from tests.collector.query.rooms import Client, problem
from tests.collector.query.test_report_doors import CHECKOUT
from tests.support.fakes.clock import ManualClock
from tests.support.fakes.store import FakeNoteLog, FakeOpenTraces, FakeStore

FRAME, LIBRARY = "acme.Charge:authorize", "org.springframework.Dispatcher:dispatch"
WORDS = {"frame": FRAME, "text": "Cards of the old bank: see the wiki."}
READER, ALICE, BOB = (
    Identity("reader", frozenset({Role.READ})),
    Identity("alice", frozenset({Role.WRITE})),
    Identity("bob", frozenset({Role.WRITE})),
)


def crashed(line: int = 45, method: str = "authorize") -> bytes:
    """Spans of the checkout: payment throws in a method of Charge, at a line."""
    stack = f"CardError: declined\n\tat acme.Charge.{method}(Charge.java:{line})"
    stack += "\n\tat org.springframework.Dispatcher.dispatch(Dispatcher.java:12)"
    request = ExportTraceServiceRequest.FromString(CHECKOUT.requests()[0])
    for resource in request.resource_spans:
        for event in resource.scope_spans[0].spans[0].events:
            event.attributes.add(key="exception.stacktrace").value.string_value = stack
    return request.SerializeToString()


@pytest.fixture
def client() -> Client:
    return Client(Room(notes=FakeNoteLog(), spans=crashed()).app())


def leave(client: Client, text: str = WORDS["text"], frame: str = FRAME, **more: Any) -> Response:
    return client.post(f"{GROUP_URL}/notes", json={"frame": frame, "text": text}, **more)


def of(client: Client, url: str) -> list[tuple[str, bool, list[str]]]:
    """Frames with notes in the report under this address: name, absent, texts."""
    report = Report.model_validate_json(client.get(f"{url}/report").text)
    return [(one.frame, one.absent, [note.text for note in one.notes]) for one in report.frames if one.notes]


def test_a_note_stands_beside_its_frame_in_the_reports_of_group_trace_and_incident(client: Client):
    assert [of(client, url) for url in (GROUP_URL, TRACE_URL, INCIDENT_URL)] == [[], [], []]

    done = leave(client)

    assert (done.status_code, done.headers["etag"]) == (201, '"1"')
    expected = [(FRAME, False, [WORDS["text"]])]
    assert [of(client, url) for url in (GROUP_URL, TRACE_URL, INCIDENT_URL)] == [expected] * 3
    assert client.get(GROUP_URL).json()["notes"] == [done.json()]
    written = client.get(f"{TRACE_URL}/report?format=markdown").text
    assert f"- `{FRAME}` at `Charge.java:45`\n  - *2025-10-09 08:53:20 UTC*: Cards of the old bank" in written
    page = client.get(f"{INCIDENT_URL}/report?format=html").text
    assert "<h2>Notes at frames</h2>" in page
    assert "Cards of the old bank: see the wiki.</p>" in page


def test_reports_without_notes_have_no_section_of_them(client: Client):
    assert "Notes at frames" not in client.get(f"{GROUP_URL}/report?format=html").text
    assert "Notes at frames" not in client.get(f"{GROUP_URL}/report?format=markdown").text


def test_a_line_that_moved_keeps_its_note():
    log = FakeNoteLog()
    leave(Client(Room(notes=log, spans=crashed()).app()))

    moved = Client(Room(notes=log, spans=crashed(line=99)).app())

    assert of(moved, TRACE_URL) == [(FRAME, False, [WORDS["text"]])]
    assert "at `Charge.java:99`" in moved.get(f"{TRACE_URL}/report?format=markdown").text


def test_a_note_at_a_frame_that_is_not_in_the_stack_says_so():
    """A function was renamed, or the example came another way: nobody guesses which frame it was."""
    log = FakeNoteLog()
    leave(Client(Room(notes=log, spans=crashed()).app()))

    renamed = Client(Room(notes=log, spans=crashed(method="approve")).app())

    assert of(renamed, TRACE_URL) == [(FRAME, True, [WORDS["text"]])]
    assert f"- `{FRAME}`; not in this stack" in renamed.get(f"{TRACE_URL}/report?format=markdown").text
    assert "not in this stack" in renamed.get(f"{TRACE_URL}/report?format=html").text


def test_frames_are_those_of_the_fingerprint_and_of_the_example(client: Client):
    """The fingerprint goes by the application's own; a library's can have a note too."""
    assert leave(client, frame=LIBRARY).status_code == 201

    frames = client.get(f"{GROUP_URL}/notes").json()["frames"]

    assert [(one["frame"], one["grouped"], len(one["notes"])) for one in frames] == [
        (FRAME, True, 0),
        (LIBRARY, False, 1),
    ]
    told = problem(leave(client, frame="acme.Charge:authorise"), 400, "frame_unknown")
    assert FRAME in told["expected"]
    assert told["found"] == "acme.Charge:authorise"


def test_who_wrote_is_read_from_the_credential():
    people = (READER, ALICE, BOB)
    guard = Guard([BearerTokens([TokenGrant(who, f"token-of-{who.name}-long") for who in people], ManualClock())])
    client = Client(Room(notes=FakeNoteLog(), spans=crashed()).app(guard))

    def as_(who: Identity, **more: str) -> dict[str, str]:
        return {"authorization": f"Bearer token-of-{who.name}-long"} | more

    assert leave(client, headers=as_(READER)).status_code == 403
    note = FrameNote.model_validate_json(leave(client, headers=as_(ALICE)).text)
    url = f"{GROUP_URL}/notes/{note.note_id}"
    assert client.put(url, json={"text": "no"}, headers=as_(READER, **{"if-match": "*"})).status_code == 403
    changed = client.put(url, json={"text": "See the wiki."}, headers=as_(BOB, **{"if-match": '"1"'}))

    found = FrameNote.model_validate_json(client.get(url, headers=as_(READER)).text)
    assert found == FrameNote.model_validate_json(changed.text)
    assert (found.author, found.edited_by, found.edit, found.text) == ("alice", "bob", 2, "See the wiki.")
    page = client.get(f"{GROUP_URL}/report?format=markdown", headers=as_(READER)).text
    assert "*alice, 2025-10-09 08:53:20 UTC, changed by bob 2025-10-09 08:53:20 UTC*: See the wiki." in page


def test_nobody_can_say_they_are_somebody_else(client: Client):
    for words in ({"author": "alice"}, {"edited_by": "alice"}, {"note_id": "0" * 16}):
        done = client.post(f"{GROUP_URL}/notes", json=WORDS | words)
        assert done.status_code in (201, 200, 400)
        assert all(note["author"] == "" for note in client.get(GROUP_URL).json()["notes"])


def test_a_request_that_is_sent_again_leaves_one_note(client: Client):
    first, again = leave(client), leave(client)

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()


def test_of_two_who_read_the_same_note_the_second_is_refused(client: Client):
    url = f"{GROUP_URL}/notes/{leave(client).json()['note_id']}"

    assert client.put(url, json={"text": "faster"}, headers={"if-match": '"1"'}).headers["etag"] == '"2"'
    late = client.put(url, json={"text": "slower"}, headers={"if-match": '"1"'})

    problem(late, 412, "note_changed")
    assert late.headers["etag"] == '"2"'
    problem(client.delete(url, headers={"if-match": '"1"'}), 412, "note_changed")
    problem(client.delete(url), 428, "if_match_missing")
    problem(client.put(url, json={"text": "x"}, headers={"if-match": 'W/"2"'}), 412, "note_changed")
    assert of(client, GROUP_URL) == [(FRAME, False, ["faster"])]


def test_a_change_between_look_and_write_is_not_lost():
    class Slower(FakeNoteLog):
        def put_note(self, note: FrameNote) -> bool:
            return False

        def remove_note(self, note_id: str, edit: int) -> bool:
            return False

    client = Client(Room(notes=Slower(), spans=crashed()).app())
    url = f"{GROUP_URL}/notes/{leave(client).json()['note_id']}"

    problem(client.put(url, json={"text": "x"}, headers={"if-match": "*"}), 412, "note_changed")
    problem(client.delete(url, headers={"if-match": "*"}), 412, "note_changed")


def test_a_note_is_taken_away(client: Client):
    url = f"{GROUP_URL}/notes/{leave(client).json()['note_id']}"

    done = client.delete(url, headers={"if-match": '"1"'})

    assert (done.status_code, done.json()["frames"][0]["notes"]) == (200, [])
    assert of(client, GROUP_URL) == []
    problem(client.get(url), 404, "note_unknown")
    problem(client.delete(url, headers={"if-match": '"1"'}), 404, "note_unknown")


def test_a_note_belongs_to_its_group(client: Client):
    note_id = leave(client).json()["note_id"]

    problem(client.get(f"/api/v1/groups/{'f' * 16}/notes/{note_id}"), 404, "note_unknown")


def test_a_frame_that_is_full_says_what_to_do(client: Client):
    for number in range(FRAME_NOTES_MAX):
        assert leave(client, f"note {number}").status_code == 201

    told = problem(leave(client, "one more"), 409, "notes_full")

    assert (told["found"], told["expected"]) == ("20 notes", "at most 20 notes at one frame")
    assert "DELETE" in told["do"]


def test_notes_outlive_their_group():
    """Its fingerprint may come again; until then they are found, changed and taken away, and no new one is left."""
    room = Room(notes=FakeNoteLog(), spans=crashed())
    client = Client(room.app())
    note = leave(client).json()
    room.kept_groups.clear()
    url = f"{GROUP_URL}/notes"

    problem(leave(client, "too late"), 404, "group_unknown")
    assert client.get("/api/v1/notes").json()["notes"] == [note]
    assert client.get(url).json()["frames"] == [{"frame": FRAME, "grouped": False, "notes": [note]}]
    assert of(client, TRACE_URL) == [(FRAME, False, [WORDS["text"]])]
    room.put_groups([GROUP])
    assert of(client, GROUP_URL) == [(FRAME, False, [WORDS["text"]])]
    room.kept_groups.clear()
    assert client.delete(f"{url}/{note['note_id']}", headers={"if-match": "*"}).json()["frames"] == []
    problem(client.get(url), 404, "group_unknown")


def test_secrets_are_masked_before_anything_is_kept():
    log = FakeNoteLog()
    client = Client(Room(notes=log, spans=crashed()).app())
    secret = "AKIAIOSFODNN7EXAMPLE"

    left = leave(client, f"the key is {secret},\ntry it")
    url = f"{GROUP_URL}/notes/{left.json()['note_id']}"
    client.put(url, json={"text": f"it was {secret}"}, headers={"if-match": "*"})

    assert left.json()["text"] == "the key is [redacted],\ntry it"
    assert [note.text for note in log.kept.values()] == ["it was [redacted]"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{", 400, "Invalid JSON"),
        (b'{"frame": "acme.Charge:authorize"}', 400, "body.text"),
        (b'{"frame": "acme.Charge:authorize", "text": ""}', 400, "body.text"),
        (b'{"frame": "acme.Charge:authorize", "text": " \\n\\u202e "}', 400, "nothing that can be read"),
        (json.dumps({"frame": FRAME, "text": "x" * 2001}).encode(), 400, "2000"),
        (b" " * (BODY_BYTES_MAX + 1), 413, "32768 bytes"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_words(client: Client, body: bytes, status: int, words: str):
    done = client.post(f"{GROUP_URL}/notes", content=body)

    assert done.status_code == status
    assert done.headers["content-type"] == "application/problem+json"
    assert words in done.text
    assert of(client, GROUP_URL) == []


def test_the_longest_note_is_taken(client: Client):
    """However it is written: each letter of it as two escapes."""
    body = json.dumps({"frame": FRAME, "text": "\U0001d11e" * 2000}).encode()

    assert client.post(f"{GROUP_URL}/notes", content=body).status_code == 201


def test_without_a_place_for_notes_it_says_so():
    bare = Client(create_app(FakeStore(), FakeOpenTraces()))

    problem(bare.get(f"{GROUP_URL}/notes"), 501, "no_notes")
    problem(leave(bare), 501, "no_notes")
    problem(bare.get("/api/v1/notes"), 501, "no_notes")


def test_a_shelf_that_cannot_be_read_costs_the_notes_not_the_group_or_its_report():
    class Broken(FakeNoteLog):
        def notes(self, group_id: str) -> list[FrameNote]:
            raise OverloadedError("the disk does not read", "store_failed")

    client = Client(Room(notes=Broken(), spans=crashed()).app())

    report = Report.model_validate_json(client.get(f"{GROUP_URL}/report").text)

    assert "notes at frames: they cannot be read now" in report.missing
    assert client.get(f"{GROUP_URL}/notes").status_code == 503
    assert client.get(GROUP_URL).json()["notes"] is None


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_words_stay_words(text: str):
    """In a note, its author and its frame, whichever way they came onto the shelf."""
    log = FakeNoteLog()
    client = Client(Room(notes=log, spans=crashed()).app())
    leave(client, text)
    raw = {"text": text, "author": text, "frame": text, "edited_by": text, "edited_ns": 1}
    log.add_note(FrameNote(note_id="0" * 16, group_id=GROUP.group_id, written_ns=1, **raw))

    asked = client.get(f"{GROUP_URL}/notes/{'0' * 16}").text
    page = client.get(f"{GROUP_URL}/report?format=html").text
    written = client.get(f"{GROUP_URL}/report?format=markdown").text

    for shown in (asked, page):
        assert "<script" not in shown
        assert "<img" not in shown
        assert "<svg onload" not in shown
    for shown in (page, written):
        assert "\u202e" not in shown
        assert "\x1b" not in shown


def test_notes_are_kept_on_disk_and_shown_on_the_command_line(tmp_path: Path):
    shelf = NoteShelf(tmp_path)
    leave(Client(Room(notes=shelf, spans=crashed()).app()), "call the bank\nthen the gateway \x1b[31m")
    shelf.close()
    again = NoteShelf(tmp_path)
    server = RestServer(Room(notes=again, spans=crashed()).app(), "127.0.0.1", 0)
    address = f"http://127.0.0.1:{server.start()}"

    group = CliRunner().invoke(app, ["groups", GROUP.group_id, "--server", address], catch_exceptions=False)
    report = CliRunner().invoke(app, ["report", GROUP.group_id, "--server", address], catch_exceptions=False)
    server.stop(0.5)
    again.close()

    head = f"  at {FRAME}\n    2025-10-09 08:53:20 UTC\n      call the bank\n      then the gateway"
    assert head in group.stdout
    assert "\x1b" not in group.stdout
    assert "*2025-10-09 08:53:20 UTC*: call the bank" in report.stdout
