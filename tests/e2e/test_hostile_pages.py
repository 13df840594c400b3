"""Every page of the running program, filled with hostile text in every field, opened in a real browser.

Rows: payloads of `tests/support/hostile_text.py`, each in every field of its own trace, its own incident, a runbook
that somebody wrote and a change that somebody told of. Columns: reports of traces, incidents and groups, as served
(with the server's headers) and as a file (a report is mailed around) with no content security policy at all, so that
escaping alone must hold; reports as Markdown, as a strict reader makes HTML of them; every other answer, opened as if
it were a page. No payload may become an element, run, ask for anything, or be complained about by the policy.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from markdown_it import MarkdownIt

from collector.contracts import StoredIncident
from collector.store.sqlite import SqliteStore
from tests.support.browser import Browser, Seen, chromium
from tests.support.hostile_text import ALWAYS_SHOWN, LIVE, PAYLOADS, filled, hostile_incident, hostile_trace
from tests.support.running import Server, serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

# One of each way out: of text, of an attribute, of a title, a style, JSON, Markdown; and letters nobody sees.
FEW = ("script", "image from elsewhere", "out of everything", "out of an attribute", "HTML in Markdown", "turned round")
FEW_MARKDOWN = (*FEW, "link of Markdown", "reference of Markdown", "out of a fence", "table of Markdown", "mentions")
REPORTS = ("traces", "incidents", "groups")
AT_ONCE = 8
_OURS = frozenset(
    [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "main",
        "header",
        "footer",
        "section",
        "h1",
        "h2",
        "h3",
        "p",
        "span",
        "strong",
        "code",
        "pre",
        "br",
        "a",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "div",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "details",
        "summary",
        "svg",
        "g",
        "rect",
        "line",
        "path",
        "text",
        "tspan",
    ]
)
_ATTRIBUTES = frozenset(
    [
        "lang",
        "charset",
        "http-equiv",
        "content",
        "name",
        "class",
        "id",
        "href",
        "open",
        "xmlns",
        "viewBox",
        "role",
        "font-family",
        "font-size",
        "font-weight",
        "font-style",
        "fill",
        "stroke",
        "stroke-width",
        "stroke-dasharray",
        "text-anchor",
        "paint-order",
        "rx",
        "x",
        "x1",
        "x2",
        "y",
        "y1",
        "y2",
        "width",
        "height",
        "d",
        "xml:space",
    ]
)
_OURS_MARKDOWN = frozenset(
    [
        "html",
        "head",
        "title",
        "body",
        "h1",
        "h2",
        "h3",
        "p",
        "ul",
        "ol",
        "li",
        "strong",
        "em",
        "code",
        "pre",
        "br",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "blockquote",
        "details",
        "summary",
    ]
)
_OF_THE_BROWSER = frozenset(["html", "head", "meta", "body", "pre", "div"])  # what Chromium wraps text and JSON in
_CLASS = re.compile(r"[a-z0-9_ -]*")
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


@contextmanager
def tripwire() -> Iterator[tuple[str, list[bytes]]]:
    """An address nobody may ask -> (address, who did)."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        connection.settimeout(5)
                        asked.append(connection.recv(4096))
                        connection.sendall(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/leak", asked
        listener.shutdown(socket.SHUT_RDWR)


@dataclass
class House:
    """The running program, with a trace, an incident and a group for each payload; and a browser."""

    server: Server
    browser: Browser
    folder: Path
    url: str
    asked: list[bytes]
    paths: Mapping[str, Mapping[str, str]]  # payload -> subject -> path

    def page(self, name: str, subject: str, format: str) -> httpx.Response:
        answer = self.server.get(f"{self.paths[name][subject]}/report?format={format}")
        assert answer.status_code == 200, answer.text
        return answer

    def as_file(self, content: str | bytes, *, wall: bool) -> Seen:
        path = self.folder / "mailed.html"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self.browser.open(path.as_uri(), wall=wall)


def trace_id(number: int) -> bytes:
    return bytes([number + 1]) * 16


def fill(server: Server, names: Sequence[str], url: str, begin_ns: int) -> dict[str, dict[str, str]]:
    """Send every trace, tell of changes, write in runbooks; where each payload is to be seen."""
    paths: dict[str, dict[str, str]] = {}
    with httpx.Client(base_url=f"{server.url}/api/v1", timeout=40, trust_env=False) as client:
        for number, name in enumerate(names):
            if number % AT_ONCE == 0:  # a busy engine tells failing traces in brief, and this is not about that
                for ahead, other in enumerate(names[number : number + AT_ONCE], number):
                    server.send(*hostile_trace(PAYLOADS[other], url, trace_id(ahead), begin_ns))
            payload = PAYLOADS[name]
            answer = server.root_cause(trace_id(number))
            assert answer["verdict"] == "error", name
            paths[name] = {
                "traces": f"/api/v1/traces/{trace_id(number).hex()}",
                "incidents": f"/api/v1/incidents/{number + 1:032x}",
                "groups": f"/api/v1/groups/{answer['group']['id']}",
            }
            text = filled(payload, "by_hand", url)
            words = {"title": text[:200], "text": text[:8000], "commands": [text[:2000]]}
            runbook = f"{paths[name]['traces'].removeprefix('/api/v1')}/runbook"
            put = client.put(
                runbook,
                json={"sections": [{"section": "mitigate", **words}, {"section": "ours", **words}]},
                headers={"If-Match": "*"},
            )
            assert put.status_code == 200, put.text
            server.until(lambda path=paths[name]["groups"]: server.get(path).status_code == 200, "its group to be kept")
            paths[name]["noted"] = leave_note(client, paths[name]["groups"], filled(payload, "noted", url))
            change = dict.fromkeys(("service", "version", "previous", "environment", "description", "url"), text[:200])
            assert client.post("/changes", json=change).status_code in (200, 201)
    return paths


def leave_note(client: httpx.Client, group: str, text: str) -> str:
    """Leave a note at a frame, where the group has any; the mark that is to be seen then."""
    path = group.removeprefix("/api/v1")
    frames = client.get(f"{path}/notes").json()["frames"] or client.get(f"{path}/report").json()["frames"]
    if not frames:  # some payloads leave no stack that can be read
        return ""
    left = client.post(f"{path}/notes", json={"frame": frames[0]["frame"], "text": text[:2000]})
    assert left.status_code == 201, left.text
    return "noted"


@contextmanager
def opened(folder: Path, names: Sequence[str]) -> Iterator[House]:
    begin_ns = time.time_ns() - 2 * 10**9
    with tripwire() as (url, asked):
        store = SqliteStore.open(folder / "store")
        incidents = [
            StoredIncident(hostile_incident(PAYLOADS[name], url, number + 1, trace_id(number), begin_ns))
            for number, name in enumerate(names)
        ]
        store.put_incidents(incidents)
        store.close()
        with serving(folder) as server, chromium(folder) as browser:
            paths = fill(server, names, url, begin_ns)
            assert asked == []
            yield House(server, browser, folder, url, asked, paths)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with opened(tmp_path_factory.mktemp("hostile"), FEW_MARKDOWN) as found:
        yield found


@pytest.fixture(scope="module")
def whole_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with opened(tmp_path_factory.mktemp("hostile"), list(PAYLOADS)) as found:
        yield found


def faults(house: House, seen: Seen) -> list[str]:
    """What a payload did, in words; empty: nothing."""
    found = [f"dialog: {one}" for one in seen.dialogs] + [f"asked for {one}" for one in seen.requests]
    found += [f"complaint: {one}" for one in seen.complaints]
    found += [f"leaked: {one!r}" for one in house.asked]
    house.asked.clear()
    return found


def faults_of_report(house: House, seen: Seen) -> list[str]:
    """And what of it became part of the page."""
    found = faults(house, seen)
    for name, attributes in seen.elements:
        if name not in _OURS:
            found.append(f"element {name}")
        found += [f"attribute {key} of {name}" for key in attributes if key not in _ATTRIBUTES]
        if not re.fullmatch(r"#E\d+", attributes.get("href", "#E1")):
            found.append(f"link to {attributes['href'][:80]}")
        if not re.fullmatch(r"E\d+", attributes.get("id", "E1")):
            found.append(f"id {attributes['id'][:80]}")
        if not _CLASS.fullmatch(attributes.get("class", "")):
            found.append(f"class {attributes['class'][:80]}")
    counts = {name: sum(one == name for one, _ in seen.elements) for name in ("style", "meta", "body")}
    if counts != {"style": 1, "meta": 5, "body": 1}:
        found.append(f"counts {counts}")
    if hidden := sorted({f"U+{ord(one):04X}" for one in _UNSEEN.findall(seen.text + seen.title)}):
        found.append(f"letters that are not seen: {hidden}")
    return found


def check_report(house: House, name: str, subject: str) -> None:
    served = house.browser.open(f"{house.server.url}{house.paths[name][subject]}/report?format=html")
    mailed = house.as_file(house.page(name, subject, "html").content, wall=False)

    assert faults_of_report(house, served) == []
    assert faults_of_report(house, mailed) == []
    if "MARK" in PAYLOADS[name] and subject == "traces" and name != "nothing":
        assert [
            mark for mark in (*ALWAYS_SHOWN, "by_hand", house.paths[name]["noted"]) if mark not in served.text
        ] == []


def check_markdown(house: House, name: str, subject: str) -> None:
    """HTML in it is passed through, as most readers do: none may be left but our own folding."""
    written = house.page(name, subject, "markdown").text
    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    seen = house.as_file(
        f"<!DOCTYPE html><html><head><title>x</title></head><body>{reader.render(written)}</body></html>", wall=False
    )

    found = faults(house, seen)
    found += [f"element {one}" for one, _ in seen.elements if one not in _OURS_MARKDOWN]
    found += [f"attributes {keys}" for _, keys in seen.elements if set(keys) - {"open", "class", "start"}]
    found += [f"folded {one}" for one in ("details", "summary") if _count(seen, one) != written.count(f"<{one}>")]
    found += sorted({f"letter U+{ord(one):04X}" for one in _UNSEEN.findall(written)})
    assert found == []


def _count(seen: Seen, name: str) -> int:
    return sum(one == name for one, _ in seen.elements)


@pytest.mark.parametrize("name", FEW)
def test_hostile_text_in_a_report_of_a_trace_stays_text(house: House, name: str):
    check_report(house, name, "traces")


@pytest.mark.parametrize("subject", REPORTS[1:])
def test_hostile_text_in_other_reports_stays_text(house: House, subject: str):
    check_report(house, "out of everything", subject)


@pytest.mark.parametrize("name", FEW_MARKDOWN)
def test_markdown_makes_nothing_of_it(house: House, name: str):
    check_markdown(house, name, "traces")


def answers(house: House) -> dict[str, str]:
    """Every other answer, by name; lists hold all payloads at once."""
    api = f"{house.server.url}/api/v1"
    script = quote("<script>alert(1)</script>", safe="")
    trace = f"{house.server.url}{house.paths['out of everything']['traces']}"
    lists = ("findings", "services", "service-graph", "groups", "incidents", "changes", "notes", "impact", "stats")
    found = {name: f"{api}/{name}" for name in (*lists, "errors/top", "openapi.json", "schema")}
    found |= {f"trace {name}": f"{trace}/{name}" for name in ("root-cause", "graph", "spans", "runbook", "held")}
    found |= {f"report as {name}": f"{trace}/report?format={name}" for name in ("json", "markdown", "monitors")}
    found |= {f"graph as {name}": f"{trace}/graph?format={name}" for name in ("dot", "mermaid")}
    found |= {f"services as {name}": f"{api}/service-graph?format={name}" for name in ("dot", "mermaid")}
    group = f"{house.server.url}{house.paths['out of everything']['groups']}"
    found |= {"group": group, "notes of a group": f"{group}/notes"}
    found |= {
        "no path": f"{house.server.url}/{script}",
        "no trace": f"{api}/traces/{script}/root-cause",
        "bad limit": f"{api}/findings?limit={script}",
        "bad group": f"{api}/groups/{script}/report?format=html",
        "bad format": f"{trace}/report?format={script}",
        "metrics": f"http://127.0.0.1:{house.server.ports['metrics']}/metrics",
        "no metrics": f"http://127.0.0.1:{house.server.ports['metrics']}/{script}",
        "health": f"http://127.0.0.1:{house.server.ports['health']}/healthz",
        "no health": f"http://127.0.0.1:{house.server.ports['health']}/{script}",
        "receiver": f"{house.server.otlp_http}/{script}",
    }
    return found


def test_no_other_answer_is_a_page(house: House):
    """JSON, DOT, Mermaid, Markdown, metrics and problems, opened as pages: text, or a file to be saved."""
    found = {}
    for name, url in answers(house).items():
        seen = house.browser.open(url, wall=False)
        told = faults(house, seen)
        told = [one for one in told if "Failed to load resource: the server responded with" not in one]
        told += [f"element {one}" for one, _ in seen.elements if one not in _OF_THE_BROWSER]
        if told:
            found[name] = told

    assert found == {}


def unescaped(house: House, name: str) -> list[str]:
    """What is noticed of a page that puts a payload in as it is."""
    text = filled(PAYLOADS[name], "MARK", house.url)
    return faults_of_report(
        house,
        house.as_file(f"<!DOCTYPE html><html><head><title>{text}</title></head><body><p>{text}</p></body>", wall=False),
    )


@pytest.mark.parametrize("name", ["script", "image from elsewhere", "out of a title"])
def test_a_page_that_does_not_escape_is_seen(house: House, name: str):
    """The watchers see: with the same payloads a careless page has dialogs, requests, elements."""
    assert len(unescaped(house, name)) > 1


@pytest.mark.deep
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("subject", REPORTS)
def test_every_payload_in_every_report(whole_house: House, subject: str):
    for name in PAYLOADS:
        check_report(whole_house, name, subject)
        check_markdown(whole_house, name, subject)


@pytest.mark.deep
@pytest.mark.timeout(600)
def test_every_live_payload_is_seen_where_nobody_escapes(house: House):
    """Without the count of elements, which says that this is not a report."""
    seen = {name: [one for one in unescaped(house, name) if not one.startswith("counts")] for name in LIVE}

    assert [name for name, told in seen.items() if not told] == []
