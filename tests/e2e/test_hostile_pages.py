"""Every page of the running program, filled with hostile text in every field, opened in a real browser.

Rows: payloads of `tests/support/hostile_text.py`, each in every field of its own trace, its own incident, a runbook
that somebody wrote and a change that somebody told of. Columns: reports of traces, incidents and groups, as served
(with the server's headers) and as a file (a report is mailed around) with no content security policy at all, so that
escaping alone must hold; reports as Markdown, as a strict reader makes HTML of them; every other answer, opened as if
it were a page. No payload may become an element, run, ask for anything, or be complained about by the policy.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from markdown_it import MarkdownIt

from tests.support.browser import Seen
from tests.support.hostile_house import House, opened
from tests.support.hostile_text import ALWAYS_SHOWN, LIVE, PAYLOADS, filled
from tests.support.page_watch import OF_THE_BROWSER, OURS_MARKDOWN, UNSEEN, faults, faults_of_report

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

# One of each way out: of text, of an attribute, of a title, a style, JSON, Markdown; and letters nobody sees.
FEW = ("script", "image from elsewhere", "out of everything", "out of an attribute", "HTML in Markdown", "turned round")
FEW_MARKDOWN = (*FEW, "link of Markdown", "reference of Markdown", "out of a fence", "table of Markdown", "mentions")
REPORTS = ("traces", "incidents", "groups")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with opened(tmp_path_factory.mktemp("hostile"), FEW_MARKDOWN) as found:
        yield found


@pytest.fixture(scope="module")
def whole_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with opened(tmp_path_factory.mktemp("hostile"), list(PAYLOADS)) as found:
        yield found


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
    found += [f"element {one}" for one, _ in seen.elements if one not in OURS_MARKDOWN]
    found += [f"attributes {keys}" for _, keys in seen.elements if set(keys) - {"open", "class", "start"}]
    found += [f"folded {one}" for one in ("details", "summary") if _count(seen, one) != written.count(f"<{one}>")]
    found += sorted({f"letter U+{ord(one):04X}" for one in UNSEEN.findall(written)})
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
        told += [f"element {one}" for one, _ in seen.elements if one not in OF_THE_BROWSER]
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
