"""Reports: all eight deliverables are always there, every id is one of the input, nothing private stays in a fixture."""

from __future__ import annotations

import json
import re
import shlex
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.errors.exceptions import exceptions_of
from analyzer.errors.model import Frame, StackTrace, Thrown
from analyzer.findings import Answer
from analyzer.reports.clock_text import lasted, utc
from analyzer.reports.five_whys import Changed
from analyzer.reports.group_report import report_of_group
from analyzer.reports.incident_report import report_of_incident
from analyzer.reports.markdown import escaped, fenced, to_markdown
from analyzer.reports.model import Fixture, Report, report_schema
from analyzer.reports.report import report_of_trace
from collector.contracts import Signal
from collector.offline import analyze_bytes
from collector.wire.otlp_json import translate_json
from collector.wire.request_limits import RequestLimits
from tests.support.answers import checkout, error_group, incident
from tests.support.drawing import batch, draw
from tests.support.fakes.clock import EPOCH_NS
from tests.support.pattern_cases import HASH_MAP, fact
from tests.support.reported import Reporter, shop_reporter
from tests.support.shop import FAULTS, DrawnFault
from tests.support.situations.every import SITUATIONS

ERRORS = [fault for fault in FAULTS if fault.verdict == "error"]
NAMES = ("summary", "root_cause", "evidence", "immediate_fix", "testing", "prevention", "monitoring", "runbook")


@pytest.fixture(scope="module")
def reporter() -> Reporter:
    return shop_reporter()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_all_eight_deliverables_are_there(reporter: Reporter, fault: DrawnFault):
    answer, report = reporter.report(fault.drawing())

    assert all(getattr(report, name) for name in NAMES)
    assert report.summary.what.text == answer.summary
    assert report.root_cause.rule == answer.root_causes[0].rule
    assert report.five_whys.whys
    assert report.timeline.moments
    assert report.messages.initial
    assert report.review.actions.prevent
    assert Report.model_validate_json(report.model_dump_json()) == report


def test_a_clean_answer_has_a_report_too():
    """Nothing is wrong: all deliverables are there and say so, none invents a cause."""
    report = report_of_trace(Answer(trace_id="11" * 16, status="clean", summary="Nothing wrong."))

    assert report.root_cause.entity is None
    assert report.root_cause.claim.level == "needs people"
    assert report.immediate_fix[0].confidence == 0.0
    assert report.five_whys.whys == []
    assert report.testing.fixture is None
    assert report.runbook.steps


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_claims_refer_to_evidence_that_is_there(reporter: Reporter, fault: DrawnFault):
    _, report = reporter.report(fault.drawing())

    known = {item.id for item in report.evidence}
    told = [report.summary.what, *report.summary.scope, report.root_cause.claim, *report.root_cause.alternatives]
    told += report.review.contributing

    assert report.root_cause.claim.evidence
    assert {one for claim in told for one in claim.evidence} <= known


def test_moments_are_in_order_of_time(reporter: Reporter):
    for fault in FAULTS:
        _, report = reporter.report(fault.drawing())
        times = [moment.at_ns for moment in report.timeline.moments]

        assert times == sorted(times)


def test_a_clock_that_is_off_is_corrected_and_said():
    """The server's clock is 500 ms ahead: its moments are moved back into its caller, and the report says so."""
    report = Reporter().report(
        draw(
            """
            shop   GET /cart             0..100  ERROR http.response.status_code=500
              shop   CLIENT GET            10..90  server.address=stock
                stock  GET /stock            520..580  ERROR !KeyError: "sku"
            """
        )
    )[1]

    moved = [moment for moment in report.timeline.moments if moment.corrected_ns]

    assert {moment.service for moment in moved} == {"stock"}
    assert all(EPOCH_NS <= moment.at_ns <= EPOCH_NS + 100_000_000 for moment in moved)
    assert any("clocks" in warning for warning in report.timeline.warnings)


# -- the fixture ---------------------------------------------------------------------------


def ask(fixture: Fixture) -> Answer:
    """What the engine says of a fixture alone."""
    payload = translate_json(json.dumps(fixture.otlp).encode(), Signal.TRACES, RequestLimits())
    (answer,) = analyze_bytes(None, [(payload, Signal.TRACES)])
    return answer


@pytest.mark.parametrize("fault", ERRORS, ids=lambda fault: fault.name)
def test_the_fixture_gets_the_answer_that_it_expects(reporter: Reporter, fault: DrawnFault):
    """Anonymised, the trace still fails for the same reason in the same span."""
    _, report = reporter.report(fault.drawing())
    assert report.testing.fixture is not None
    expects = report.testing.fixture.expects

    answer = ask(report.testing.fixture)

    first = answer.root_causes[0]
    assert not expects.needs_baseline
    assert (answer.status, answer.verdict, first.rule) == (expects.status, expects.verdict, expects.rule)
    assert first.origin_spans[0].span_id == expects.origin_span_id


def test_most_situations_are_answered_alike_from_their_fixture():
    """50 of 53; what is lost stood in a log, in an attribute of one's own, or in words that are no names."""
    alike = 0
    for situation in SITUATIONS:
        answer, report = Reporter().report(situation.drawing())
        assert report.testing.fixture is not None
        again = ask(report.testing.fixture).root_causes[0]
        expects = report.testing.fixture.expects
        alike += (again.rule, again.origin_spans[0].span_id) == (answer.root_causes[0].rule, expects.origin_span_id)

    assert (alike, len(SITUATIONS)) == (50, 53)


def test_nothing_private_stays_in_a_fixture():
    """Values of attributes, messages, addresses, ids: gone."""
    report = Reporter().report(
        draw(
            """
            shop  GET /cart 0..100 ERROR !Refused: "card 4711 of jane@example.com" user.id=jane url.full=secret-url error.type="jane was here"
              shop  CLIENT POST 10..90 ERROR server.address=bank.internal http.response.status_code=500 status: "jane@example.com"
            """,
            trace_id=b"private-trace-id",
        )
    )[1]
    assert report.testing.fixture is not None

    text = json.dumps(report.testing.fixture.otlp)

    for private in (
        "jane",
        "4711",
        "secret",
        "bank.internal",
        b"private-trace-id".hex(),
        *report.summary.what.span_ids,
    ):
        assert private not in text
    assert "GET /cart" in text


def test_names_can_be_hashed_too(reporter: Reporter):
    drawing = FAULTS[0].drawing()
    found = reporter.analyzer.analyse(batch(drawing, reporter.words))
    answer = reporter.analyzer.explain(found, 0)
    report = report_of_trace(answer, exceptions_of(found.analysis, 0), found.analysis, 0, hash_names=True)
    assert report.testing.fixture is not None

    text = json.dumps(report.testing.fixture.otlp)

    assert not re.search(r"frontend|checkout|payment|inventory", text)


# -- location, incident, group -------------------------------------------------------------


def test_the_breakpoint_is_in_the_runbook():
    """Java, UserService.java:45: jdb is told where to stop."""
    stack = StackTrace("java", (Thrown("java.lang.NullPointerException", "", HASH_MAP),))
    report = report_of_trace(checkout(), [fact("java.lang.NullPointerException", stack=stack)])

    (debug,) = [step for step in report.runbook.steps if step.title == "Debug"]

    assert report.root_cause.location == "UserService.java:45"
    assert debug.commands == ["stop at com.myapp.service.UserService:45"]
    assert "before UserService.java:45" in debug.text
    assert report.immediate_fix[0].location == "UserService.java:45"


@pytest.mark.parametrize(
    ("language", "command"),
    [
        ("python", "break app.py:7"),
        ("javascript", "setBreakpoint('app.py', 7)"),
        ("go", "break app.py:7"),
        ("c", "breakpoint set --file app.py --line 7"),
    ],
)
def test_each_language_has_its_debugger(language: str, command: str):
    stack = StackTrace(language, (Thrown("Boom", "", (Frame("f", "app", "app.py", 7, in_app=True),)),))

    report = report_of_trace(checkout(), [fact("Boom", stack=stack, span_id="0000000000000001")])

    assert [command] == [step.commands[0] for step in report.runbook.steps if step.title == "Debug"]


def test_a_runbook_keeps_its_id_and_changes_its_version_with_its_text(reporter: Reporter):
    one, again, other = (reporter.report(FAULTS[i].drawing())[1].runbook for i in (0, 0, 1))

    assert (one.runbook_id, one.version) == (again.runbook_id, again.version)
    assert one.runbook_id != other.runbook_id


def test_an_incident_has_all_deliverables_without_an_example():
    report = report_of_incident(incident(status="closed"))

    assert all(getattr(report, name) for name in NAMES)
    assert report.summary.severity == "high"
    assert report.review.time_to_detect_ns == 20_000_000_000
    assert report.review.time_to_recover_ns == 600_000_000_000
    assert report.missing


def test_an_incident_takes_pattern_and_fixture_from_its_example(reporter: Reporter):
    _, example = reporter.report(FAULTS[0].drawing())

    report = report_of_incident(
        incident(), example, changes=[Changed(EPOCH_NS - 60_000_000_000, "v2 of payment", "payment")]
    )

    assert report.testing.fixture == example.testing.fixture
    assert report.root_cause.patterns == example.root_cause.patterns
    assert any("v2 of payment" in why.because and why.level == "inferred" for why in report.five_whys.whys)
    assert report.timeline.moments[0].what == "change: v2 of payment"


def test_the_messages_of_an_incident_are_the_templates():
    """Golden: every field of the two templates, filled or marked."""
    messages = report_of_incident(incident(status="closed")).messages

    assert messages.initial == (
        "\U0001f6a8 INCIDENT: service payment broke the system\n"
        "\n"
        "Severity: High\n"
        "Status: Investigating\n"
        "Started: 2025-10-09 08:53:20 UTC\n"
        "Incident Commander: (not known: assign one)\n"
        "\n"
        "Symptoms:\n"
        "- Error rate: 50.0% (normal: (not known: the usual rate was not given))\n"
        "- payment fails by itself.\n"
        "- 60 failed and 3 slow of 120\n"
        "- Affected users: (not known: spans carry no count of users)\n"
        "- Error: (not known: no error message was recorded)\n"
        "\n"
        "Actions Taken:\n"
        f"- firstfault ranks the suspects of incident {1:032x}\n"
        "\n"
        "Updates: Will provide update every 15 minutes\n"
        "Status Page: (not known: no status page is configured)\n"
    )
    assert messages.mitigation == (
        "\u2705 INCIDENT UPDATE: Mitigation Applied\n"
        "\n"
        "Severity: High \u2192 (not known: judge it again)\n"
        "Status: Mitigated\n"
        "Duration: 10 min\n"
        "\n"
        "Root Cause: payment fails by itself.\n"
        "\n"
        "Mitigation: (not known: write what was done)\n"
        "\n"
        "Current Status:\n"
        "- Error rate: alarms have been gone since the end of the incident\n"
        "- All systems operational: (not known: check)\n"
        "- Backlog: (not known: check the queues)\n"
        "\n"
        "Next Steps:\n"
        "- Monitor for 30 minutes\n"
        "- Schedule the review within 48 hours\n"
    )


def test_monitors_are_rules_that_prometheus_reads(reporter: Reporter):
    """Balanced, quoted, named; a hostile service name ends no quotes."""
    report = reporter.report(FAULTS[0].drawing())[1]
    hostile = report_of_trace(checkout(service='a"} or vector(1) or x{b="'))

    assert [one.name for one in report.monitoring[:2]] == ["error share of the culprit", "no data"]
    found = [one.expression for one in [*report.monitoring, *hostile.monitoring] if one.expression]
    assert len(found) == 4
    for expression in found:
        outside = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
        assert outside.count("{") == outside.count("}")
        assert outside.count("(") == outside.count(")")
        assert "vector" not in outside
        assert '"' not in outside.replace('""', "")


def test_the_channel_of_an_incident_has_day_and_culprit():
    assert report_of_incident(incident()).messages.channel == "#incident-2025-10-09-payment"


def test_logs_are_looked_up_by_correlation_id():
    """An opaque text, quoted for the shell."""
    told = fact("KeyError", "'sku'", correlation_id="req-7f3b'; rm -rf /")

    commands = [one for step in report_of_trace(checkout(), [told]).runbook.steps for one in step.commands]

    (asked,) = [shlex.split(one) for one in commands if "correlation_id" in one and one.startswith("curl")]
    assert json.loads(asked[-1])["query"]["bool"]["must"][0] == {"match": {"correlation_id": "req-7f3b'; rm -rf /"}}
    assert """{ span.correlation_id = "req-7f3b'; rm -rf /" }""" in commands


def test_a_group_is_its_example_with_counts(reporter: Reporter):
    group = error_group(1)
    _, example = reporter.report(FAULTS[0].drawing())

    report = report_of_group(group, example)

    assert (report.subject, report.subject_id, report.revision) == ("group", group.group_id, group.revision)
    assert report.summary.scope[0].text.startswith("seen in 12 traces")
    assert "services: payment" in report.summary.scope[1].text
    assert report.summary.when.startswith("first 2025-10-09 08:53:20 UTC, last 2025-10-09")
    assert report.testing.fixture == example.testing.fixture


def test_a_group_without_an_example_is_advised_by_type_and_message():
    group = error_group(1, message="duplicate key value violates unique constraint")

    report = report_of_group(group)

    assert all(getattr(report, name) for name in NAMES)
    assert report.immediate_fix[0].pattern == "database.duplicate_key"
    assert report.testing.fixture is None


def test_the_schema_names_every_deliverable():
    properties = report_schema()["properties"]

    assert isinstance(properties, dict)
    assert set(NAMES) <= set(properties)


# -- text ----------------------------------------------------------------------------------

HOSTILE = "<script>alert(1)</script> [x](http://evil) ![i](http://evil/a.png) `tick` **bold** | pipe\n# head\n```"


def hostile_answer() -> Answer:
    answer = checkout(service=HOSTILE, summary=HOSTILE)
    return answer.model_copy(update={"root_service": HOSTILE, "root_operation": HOSTILE})


def test_hostile_names_make_no_markup():
    text = to_markdown(report_of_trace(hostile_answer(), [fact(HOSTILE, HOSTILE, stack_text=HOSTILE)]))
    outside = re.sub(r"(?ms)^(`{3,})[a-z]*\n.*?^\1$", "", text)

    assert "<script>" not in outside
    assert not re.search(r"(?<!\\)\]\(", outside)
    assert "http://" not in outside
    assert not re.search(r"(?m)^# head", outside)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_escaped_text_is_one_line_without_markup(text: str):
    line = escaped(text)

    assert "\n" not in line
    assert not re.search(r"(?<!\\)(?:\\\\)*[<>`*\[\]|]", line)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="`a\n", max_size=60))
def test_a_fence_is_longer_than_what_it_holds(text: str):
    block = fenced(text).split("\n")

    assert all(block[-1] not in line for line in block[1:-1])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 250_000_000_000 * 10**9))
def test_utc_is_the_calendars(time_ns: int):
    try:
        expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_ns // 1000)
    except OverflowError:
        assert utc(time_ns) == f"{time_ns} ns"
        return
    assert utc(time_ns) in (f"{expected:%Y-%m-%d %H:%M:%S} UTC".rjust(23, "0"), f"{time_ns} ns")


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0 ms"),
        (1_500_000, "1.5 ms"),
        (999_000_000, "999 ms"),
        (30_000_000_000, "30.0 s"),
        (1_620_000_000_000, "27 min"),
        (3_725_000_000_000, "1 h 2 min"),
    ],
)
def test_durations_are_told_in_two_units(duration_ns: int, text: str):
    assert lasted(duration_ns) == text
