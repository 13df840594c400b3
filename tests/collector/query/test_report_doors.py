"""Reports over REST and from the command line: all formats, honest refusals, pages without a script."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from analyzer.engine import Analyzer
from analyzer.errors.change_words import Change
from analyzer.errors.group_words import ErrorGroup
from analyzer.findings import Answer
from analyzer.incident_words import Incident
from analyzer.reports.model import Report
from collector.cli import app
from collector.contracts import Found, StoredIncident
from collector.query.desk import QuerySettings, ReportFormat
from collector.query.rest import RestServer, create_app
from collector.reporting import Page, changes_before, page_of_group, page_of_incident, page_of_trace
from tests.collector.query.answers import HOSTILE_TEXTS, TRACE, full
from tests.collector.query.rooms import Client, problem
from tests.support.answers import error_group, incident
from tests.support.drawing import batch, draw
from tests.support.fakes.store import FakeChangeLog, FakeOpenTraces, FakeStore

CHECKOUT = draw(
    """
    gateway   GET /checkout            0..100  ERROR http.response.status_code=500
      gateway   CLIENT payment.Charge    45..95  ERROR  server.address=payment http.response.status_code=500
        payment   Charge                   50..90  ERROR  http.response.status_code=500 !KeyError: "sku"
    """,
    trace_id=TRACE,
)
PATH = f"/api/v1/traces/{TRACE.hex()}/report"
INCIDENT = f"/api/v1/incidents/{1:032x}/report"
Run = Callable[..., Result]


def answered() -> Answer:
    return Analyzer().answer(batch(CHECKOUT))


class Shelf(FakeStore):
    """A store with one trace and one incident in which it is an example."""

    def __init__(self) -> None:
        super().__init__()
        self.found[TRACE] = Found("stored", answered(), CHECKOUT.requests()[0])
        broken = incident(1).model_copy(update={"example_trace_ids": [TRACE.hex()]})
        self.put_incidents([StoredIncident(broken)])

    def page(self, trace_id: str) -> Page | None:
        found = self.found.get(bytes.fromhex(trace_id))
        return page_of_trace(found.answer, found.trace_otlp) if found and found.answer else None

    def report(self, wanted: Incident, format: ReportFormat) -> str:
        return page_of_incident(wanted, self.page).write(format)

    def group_report(self, wanted: ErrorGroup, format: ReportFormat) -> str:
        return page_of_group(wanted, self.page).write(format)


def page(answer: Answer, spans: bytes | None, logs: bytes | None, format: ReportFormat) -> str:
    return page_of_trace(answer, spans, logs).write(format)


@pytest.fixture
def store() -> Shelf:
    return Shelf()


@pytest.fixture
def client(store: Shelf) -> Client:
    return Client(create_app(store, FakeOpenTraces(), report_trace=page, report_incident=store.report))


def test_a_trace_is_reported_in_each_format(client: Client):
    written = {name: client.get(f"{PATH}?format={name}") for name in ("json", "markdown", "html")}

    assert {response.status_code for response in written.values()} == {200}
    assert Report.model_validate_json(written["json"].text).root_cause.patterns[0] == "code.missing_key"
    assert written["markdown"].text.startswith("# gateway GET /checkout failed\n")
    assert written["html"].text.startswith("<!DOCTYPE html>")
    assert "<svg" in written["html"].text


def test_monitors_are_a_format(client: Client, store: Shelf):
    """Rules, alerts and queries for the culprit, of a trace as of an incident and a group."""
    room = Client(create_app(store, FakeOpenTraces(), report_group=store.group_report))
    group = error_group(1).model_copy(update={"example_trace_ids": [TRACE.hex()]})
    store.put_groups([group])

    answers = [client.get(f"{path}?format=monitors") for path in (PATH, INCIDENT)]
    answers.append(room.get(f"/api/v1/groups/{group.group_id}/report?format=monitors"))

    for answer in answers:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        found = json.loads(answer.text)
        assert found["prometheus_rule"]["kind"] == "PrometheusRule"
        assert set(found) >= {"prometheus_rule", "grafana", "datadog", "queries"}
        assert found["watched"]["service"] == "payment"


def test_the_fixture_was_tried(client: Client):
    report = Report.model_validate_json(client.get(PATH).text)

    assert report.testing.fixture is not None
    assert report.testing.fixture.reproduces is True


def test_a_page_brings_a_policy_that_allows_its_one_style_and_nothing_else(client: Client):
    response = client.get(f"{PATH}?format=html")

    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert not re.search(r"<script|javascript:|\son\w+=|\sstyle=|<link|<img|<iframe|url\(", response.text)
    assert re.findall(r'(?:src|href)="([^"]*)"', response.text) == [
        one for one in re.findall(r'href="([^"]*)"', response.text) if one.startswith("#E")
    ]


def test_a_trace_without_spans_is_reported_from_its_answer(client: Client, store: Shelf):
    store.found[TRACE] = Found("stored", answered(), None)

    report = Report.model_validate_json(client.get(PATH).text)

    assert report.testing.fixture is None
    assert report.testing.fixture_missing
    assert any(text.startswith("spans:") for text in report.missing)


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_words_stay_words(client: Client, store: Shelf, text: str):
    """Every field of an answer holds them; no tag, no script, no character that turns the line round."""
    store.found[TRACE] = Found("stored", full(text), None)

    html = client.get(f"{PATH}?format=html").text

    assert "<script" not in html
    assert "<img" not in html
    assert "<svg onload" not in html
    assert "\u202e" not in html
    assert "\x1b" not in html
    assert Report.model_validate_json(client.get(PATH).text)


def test_what_is_not_there_is_told_apart(client: Client, store: Shelf):
    store.found[TRACE] = Found("expired", reason="retention took it")

    problem(client.get(PATH), 410, "trace_expired")
    problem(client.get(f"/api/v1/traces/{'11' * 16}/report"), 404, "trace_unknown")
    problem(client.get(f"/api/v1/incidents/{'11' * 16}/report"), 404, "incident_unknown")
    problem(client.get(f"{PATH}?format=pdf"), 400, "invalid_request")


def test_without_an_analyzer_there_are_no_reports(store: Shelf):
    bare = Client(create_app(store, FakeOpenTraces()))

    problem(bare.get(PATH), 501, "no_reports")
    problem(bare.get(INCIDENT), 501, "no_reports")


def test_only_so_many_reports_are_written_at_once(store: Shelf):
    """The third of two is refused, and may ask again."""
    answers: list[int] = []

    def busy(answer: Answer, spans: bytes | None, logs: bytes | None, format: ReportFormat) -> str:
        answers.append(inner.get(PATH).status_code)
        return "{}"

    inner = Client(create_app(store, FakeOpenTraces(), QuerySettings(reports_max=1), report_trace=busy))

    outer = inner.get(PATH)

    assert (outer.status_code, answers) == (200, [503])
    assert inner.get(PATH).status_code == 200


def test_an_incident_is_reported_with_its_example(client: Client):
    report = Report.model_validate_json(client.get(INCIDENT).text)

    assert (report.subject, report.subject_id) == ("incident", f"{1:032x}")
    assert report.root_cause.patterns[0] == "code.missing_key"
    assert report.testing.fixture is not None


def test_a_group_is_reported_with_its_example_or_without(store: Shelf):
    room = Client(create_app(store, FakeOpenTraces(), report_group=store.group_report))
    with_example = error_group(1).model_copy(update={"example_trace_ids": [TRACE.hex()]})
    store.put_groups([with_example, error_group(2).model_copy(update={"example_trace_ids": ["22" * 16]})])

    whole = Report.model_validate_json(room.get(f"/api/v1/groups/{with_example.group_id}/report").text)
    bare = Report.model_validate_json(room.get(f"/api/v1/groups/{error_group(2).group_id}/report").text)

    assert (whole.subject, whole.subject_id) == ("group", with_example.group_id)
    assert whole.testing.fixture is not None
    assert bare.testing.fixture is None
    problem(room.get(f"/api/v1/groups/{'f' * 16}/report"), 404, "group_unknown")
    assert room.get("/api/v1/groups/xyz/report").status_code == 400


def test_changes_of_the_day_before_are_in_the_report():
    """A release ten minutes before is named; one of last week and one of tomorrow are not."""
    log = FakeChangeLog()
    start_ns = answered().start_ns
    for number, (minutes, version) in enumerate(((-10, "2.3.1"), (-60 * 24 * 7, "1.0.0"), (60 * 24, "9.9.9"))):
        time_ns = start_ns + minutes * 60 * 10**9
        log.put_change(
            Change(change_id=str(number), kind="deployment", service="payment", time_ns=time_ns, version=version)
        )

    changes = changes_before(log, start_ns)
    report = page_of_trace(answered(), CHECKOUT.requests()[0], None, changes).report

    assert [change.what for change in changes] == ["deployment 2.3.1"]
    assert any("deployment 2.3.1" in why.because for why in report.five_whys.whys)
    assert "changes" in report.available


# -- the command line ----------------------------------------------------------------------


@pytest.fixture
def run(store: Shelf) -> Iterator[Run]:
    server = RestServer(
        create_app(store, FakeOpenTraces(), report_trace=page, report_incident=store.report), "127.0.0.1", 0
    )
    address = f"http://127.0.0.1:{server.start()}"
    yield lambda *words: CliRunner().invoke(
        app, ["report", *map(str, words), "--server", address], catch_exceptions=False
    )
    server.stop(0.5)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "checkout.pb"
    path.write_bytes(CHECKOUT.requests()[0])
    return path


def test_a_server_is_asked_for_a_trace_or_an_incident(run: Run):
    assert run(TRACE.hex()).stdout.startswith("# gateway GET /checkout failed\n")
    assert run(f"{1:032x}").stdout.startswith("# service payment is breaking the system\n")
    assert json.loads(run(TRACE.hex(), "--format", "json").stdout)["subject"] == "trace"


def test_monitors_come_from_a_server_and_from_a_file(run: Run, file: Path, tmp_path: Path):
    asked, made = run(TRACE.hex(), "--format", "monitors"), run(file, "--format", "monitors")
    run(file, "--format", "monitors", "--output", tmp_path)

    assert json.loads(asked.stdout) == json.loads(made.stdout)
    assert json.loads((tmp_path / f"{TRACE.hex()}.monitors.json").read_text()) == json.loads(made.stdout)


def test_an_unknown_id_and_a_wrong_one_are_refused(run: Run):
    unknown, wrong = run("22" * 16), run("no-such-file")

    assert (unknown.exit_code, wrong.exit_code) == (1, 2)
    assert "Trace not known" in unknown.stderr
    assert "neither a file nor an id" in wrong.stderr


def test_a_file_is_reported_on_without_a_server(run: Run, file: Path, tmp_path: Path):
    out = tmp_path / "report.html"

    assert run(file).stdout.startswith("# gateway GET /checkout failed\n")
    assert run(file, "--format", "html", "--output", out).exit_code == 0
    assert out.read_text().startswith("<!DOCTYPE html>")


def test_a_fixture_is_answered_as_the_report_says(run: Run, file: Path, tmp_path: Path):
    """The very commands that the report names: save the fixture, analyse it, see the rule again."""
    testing = json.loads(run(file, "--format", "json").stdout)["testing"]
    saved = tmp_path / "fixture.json"
    saved.write_text(json.dumps(testing["fixture"]["otlp"]))

    answered = CliRunner().invoke(app, ["analyze", str(saved), "--json"], catch_exceptions=False)

    cause = json.loads(answered.stdout)["root_causes"][0]
    assert any("firstfault analyze fixture.json --json" in step for step in testing["steps"])
    assert cause["rule"] == testing["fixture"]["expects"]["rule"]
    assert cause["origin_spans"][0]["span_id"] == testing["fixture"]["expects"]["origin_span_id"]


def test_several_reports_go_into_a_folder(run: Run, tmp_path: Path):
    many = tmp_path / "many.pb"
    many.write_bytes(CHECKOUT.requests()[0] + CHECKOUT.jitter(5).requests()[0])
    folder = tmp_path / "reports"

    refused, written = run(many, "--format", "html"), run(many, "--format", "html", "--output", folder)
    limited = run(many, "--limit", "1")

    assert refused.exit_code == 2
    assert "--output FOLDER" in refused.stderr
    assert written.exit_code == 0
    assert len(list(folder.glob("*.html"))) == 2
    assert "1 more traces" in limited.stderr


def test_a_clean_file_has_nothing_to_report_on(run: Run, tmp_path: Path):
    clean = tmp_path / "clean.pb"
    clean.write_bytes(draw("web GET / 0..20 http.response.status_code=200").requests()[0])

    result = run(clean)

    assert result.exit_code == 1
    assert "nothing to report on" in result.stderr


def test_a_folder_that_cannot_be_written_is_told(run: Run, file: Path, tmp_path: Path):
    result = run(file, "--output", tmp_path / "no" / "such" / "report.md")

    assert result.exit_code == 2
    assert "cannot write" in result.stderr
