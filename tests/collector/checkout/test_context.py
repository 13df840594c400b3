"""Sources in reports: lines around the origin's frame, commits before the failure, bundles led back to their sources."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typer.testing import CliRunner

from analyzer.engine import Analyzer
from analyzer.errors.model import ExceptionFact
from analyzer.errors.stack_traces import parse_stack
from analyzer.reports.incident_report import report_of_incident
from analyzer.reports.model import Report
from collector.app.query_room import QueryRoom
from collector.checkout import context
from collector.checkout.context import SourceContext
from collector.cli import app
from collector.config import check
from collector.contracts import StoredTrace
from collector.reporting import Page, page_of_trace
from collector.store.sqlite import SqliteStore
from tests.support.answers import incident
from tests.support.drawing import EPOCH_NS, batch, draw
from tests.support.fakes.clock import SECOND_NS, ManualClock
from tests.support.fakes.store import FakeDecisions, FakeOpenTraces, FakeStore

needs_git = pytest.mark.skipif(shutil.which("git") is None and "CI" not in os.environ, reason="git is not installed")
TRACE = bytes.fromhex("ab" * 16)
CHECKOUT = draw(
    """
    gateway   GET /checkout            0..100  ERROR http.response.status_code=500
      gateway   CLIENT payment.Charge    45..95  ERROR  server.address=payment http.response.status_code=500
        payment   Charge                   50..90  ERROR  http.response.status_code=500 !KeyError: "sku"
    """,
    trace_id=TRACE,
)
CODE = "import bank\n\n\ndef charge(card):\n\tsku = card['sku']\n\treturn bank.take(sku)\n"
PYTHON = """Traceback (most recent call last):
  File "/srv/app/shop/till.py", line 5, in charge
    sku = card['sku']
KeyError: 'sku'"""
BROWSER = "KeyError: sku\n    at e (https://shop.example/static/app.js?v=3:1:1)"
FAILED_S = EPOCH_NS // SECOND_NS


def thrown(stack: str) -> bytes:
    """The spans of the drawing, the exception with this stack trace."""
    request = ExportTraceServiceRequest.FromString(CHECKOUT.requests()[0])
    for resource in request.resource_spans:
        for event in resource.scope_spans[0].spans[0].events:
            event.attributes.add(key="exception.stacktrace").value.string_value = stack
    return request.SerializeToString()


def page(sources: SourceContext | None, stack: str = PYTHON) -> Page:
    return page_of_trace(Analyzer().answer(batch(CHECKOUT)), thrown(stack), sources=sources)


def checkout(root: Path, path: str = "shop/till.py", code: str = CODE) -> Path:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(code)
    return root


def sources(root: Path, clock: ManualClock | None = None, **more: int) -> SourceContext:
    return SourceContext(clock or ManualClock(), str(root), **({"commits_max": 0} | more))


def commit(root: Path, subject: str, time_s: int) -> None:
    when = f"@{time_s} +0000"
    env = {"PATH": "/usr/bin:/bin", "HOME": str(root), "GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", subject]):
        subprocess.run(["git", *who, *words], cwd=root, env=env, check=True, capture_output=True)


def test_the_lines_around_the_frame_of_the_origin(tmp_path: Path):
    """Two lines before and after; tabs are blanks; the path is the checkout's, not the machine's it ran on."""
    report = page(sources(checkout(tmp_path), lines_around=1)).report

    (found,) = report.sources
    assert (found.location, found.function) == ("/srv/app/shop/till.py:5", "charge")
    assert (found.path, found.line, found.first_line) == ("shop/till.py", 5, 4)
    assert found.lines == ["def charge(card):", "    sku = card['sku']", "    return bank.take(sku)"]
    assert "source code" in report.available
    assert str(tmp_path) not in report.model_dump_json()


@needs_git
def test_commits_to_these_lines_before_the_failure(tmp_path: Path):
    """What was committed after it cannot be behind it."""
    commit(checkout(tmp_path), "till: is there", FAILED_S - 7_200)
    commit(checkout(tmp_path, code=CODE.replace("import bank", "import bank, os")), "till: far away", FAILED_S - 3_600)
    commit(checkout(tmp_path, code=CODE.replace("'sku'", "'SKU'")), "till: <b>loud</b>", FAILED_S + 3_600)

    (found,) = page(sources(tmp_path, commits_max=5)).report.sources

    assert [(one.author, one.subject) for one in found.commits] == [("Ada", "till: is there")]
    assert (len(found.commits[0].commit_id), found.commits_missing) == (40, "")


@needs_git
def test_a_directory_without_history_says_so(tmp_path: Path):
    """And names no path of this machine."""
    (found,) = page(sources(checkout(tmp_path), commits_max=5)).report.sources

    assert found.lines
    assert "git knows nothing of" in found.commits_missing
    assert str(tmp_path) not in found.commits_missing


@needs_git
def test_git_is_asked_for_as_long_as_somebody_waits(tmp_path: Path):
    """Three frames, and a clock on which each takes 6 seconds: the second would be too late, and has its lines only."""

    class SlowClock(ManualClock):
        def monotonic_ns(self) -> int:
            self.advance(6.0)
            return super().monotonic_ns()

    commit(checkout(tmp_path), "till: is there", FAILED_S - 7_200)
    looked = SourceContext(SlowClock(), str(tmp_path))
    stacks = [parse_stack(PYTHON.replace("line 5", f"line {line}")) for line in (4, 5, 6)]
    facts = [ExceptionFact("", "", "", "", 0, "KeyError", "", stack=stack) for stack in stacks]

    found = looked.added(page(None).report, facts, ()).sources

    assert [one.line for one in found if one.lines] == [4, 5, 6]
    assert [one.subject for one in found[0].commits] == ["till: is there"]
    assert {one.commits_missing for one in found[1:]} == {"not asked, after 10 s for other frames"}


def test_bundles_are_led_back_to_their_sources(tmp_path: Path):
    """The location everywhere in the report, and the lines when the checkout has them."""
    maps, code = tmp_path / "maps", tmp_path / "code"
    checkout(maps, "static/app.js.map", '{"version":3,"sources":["../src/till.ts"],"names":[],"mappings":"AAAA"}')
    checkout(code, "src/till.ts", "throw new KeyError('sku')\n")

    plain = page(None, BROWSER).report
    mapped = page(SourceContext(ManualClock(), str(code), str(maps), commits_max=0), BROWSER).report

    assert plain.root_cause.location == "https://shop.example/static/app.js:1"
    assert mapped.root_cause.location == "https://shop.example/src/till.ts:1"
    assert mapped.sources[0].lines == ["throw new KeyError('sku')", ""]


def test_a_map_that_cannot_be_read_is_told(tmp_path: Path):
    checkout(tmp_path, "static/app.js.map", "{")

    report = page(SourceContext(ManualClock(), maps=str(tmp_path)), BROWSER).report

    assert report.root_cause.location == "https://shop.example/static/app.js:1"
    assert any(
        line.startswith("source maps: 1 cannot be read, the first is static/app.js.map: ") for line in report.missing
    )


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("/srv/app/shop/other.py", context.NOT_FOUND),
        ("../../../../../../etc/passwd", context.NOT_FOUND),
        ("/srv/app/.env.py", context.HIDDEN),
        ("/srv/app/shop/link.py", context.NOT_FOUND),
    ],
)
def test_what_is_not_there_or_not_to_be_read_is_a_line(tmp_path: Path, file: str, words: str):
    """No path and no link leads out of the mount; settings that lie in it stay unread."""
    secret = tmp_path / "secret.py"
    secret.write_text("password\n" * 20)
    root = checkout(tmp_path / "code")
    checkout(root, ".env.py", "password\n" * 20)
    (root / "shop" / "link.py").symlink_to(secret)

    written = page(sources(root), PYTHON.replace("/srv/app/shop/till.py", file))

    assert [(one.lines, one.missing) for one in written.report.sources] == [([], words)]
    assert any("no frame of the origin was found" in one for one in written.report.missing)
    assert words in written.write("html")
    assert "password" not in written.write("json")


def test_a_directory_that_is_not_mounted_is_told(tmp_path: Path):
    report = page(SourceContext(ManualClock(), str(tmp_path / "no"), str(tmp_path / "maps"))).report

    assert report.sources == []
    assert [line for line in report.missing if line.startswith("source code")] == [
        "source code: the directory of sources.checkout is not there; is it mounted?",
        "source code: the directory of sources.maps is not there; is it mounted?",
    ]


def test_a_new_checkout_is_seen_after_a_while(tmp_path: Path):
    clock = ManualClock()
    looked = sources(tmp_path, clock)
    assert page(looked).report.sources[0].missing == context.NOT_FOUND

    checkout(tmp_path)
    soon = page(looked).report.sources[0]
    clock.advance(context.REFRESH_NS / SECOND_NS)
    later = page(looked).report.sources[0]

    assert (soon.missing, later.path) == (context.NOT_FOUND, "shop/till.py")


@needs_git
def test_code_is_shown_as_itself(tmp_path: Path):
    """Neither code nor a commit makes a tag, a heading, the end of a fence, or turns the line round."""
    evil = "# ```\n# </pre><script>x</script> \u202e\x1b[2J\n"
    commit(checkout(tmp_path, code=evil + evil + "sku = card['sku']\n"), "<img src=x> # [a](http://b)", FAILED_S - 60)

    written = page(sources(tmp_path, commits_max=5))
    html, markdown = written.write("html"), written.write("markdown")

    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html
    for text in (html, markdown):
        assert "\u202e" not in text
        assert "\x1b" not in text
    assert "````text\n  1  # ```" in markdown
    assert "> 5  sku = card['sku']" in markdown
    assert r"\<img src=x\>" in markdown


def test_an_incident_shows_the_sources_of_its_example(tmp_path: Path):
    example = page(sources(checkout(tmp_path))).report

    assert report_of_incident(incident(), example).sources == example.sources


def test_the_command_line_looks_into_a_checkout(tmp_path: Path):
    file = tmp_path / "checkout.pb"
    file.write_bytes(thrown(PYTHON))
    root = checkout(tmp_path / "code")

    made = CliRunner().invoke(app, ["report", str(file), "--checkout", str(root)])
    refused = CliRunner().invoke(app, ["report", TRACE.hex(), "--checkout", str(root)])

    assert "> 5      sku = card['sku']" in made.stdout
    assert refused.exit_code == 2
    assert "sources.checkout" in refused.stderr


def test_a_server_shows_what_is_configured(tmp_path: Path):
    """From the settings to the report that REST gives."""
    root, shelf = checkout(tmp_path / "code"), tmp_path / "shelf"
    config = check(
        {
            "storage": {"path": str(shelf)},
            "sources": {"checkout": str(root), "lines_around": 0, "commits_max": 0},
            "query": {"endpoint": "127.0.0.1:0", "grpc_endpoint": "127.0.0.1:0"},
        }
    )
    store = SqliteStore.open(shelf)
    store.put([StoredTrace(TRACE, Analyzer().answer(batch(CHECKOUT)), thrown(PYTHON))])
    room = QueryRoom(config, FakeOpenTraces(), FakeDecisions(FakeStore()), dict)
    room.start()
    try:
        url = f"http://127.0.0.1:{room.ports['rest']}/api/v1/traces/{TRACE.hex()}/report"
        report = Report.model_validate_json(httpx.get(url, trust_env=False).text)
    finally:
        room.stop(1.0)
        store.close()

    assert [one.lines for one in report.sources] == [["    sku = card['sku']"]]
