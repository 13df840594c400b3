"""The regression fixture of a report: it is answered as the trace was, and nothing private stays in it."""

from __future__ import annotations

import json
import re

import pytest

from analyzer.errors.exceptions import exceptions_of
from analyzer.findings import Answer
from analyzer.reports.model import Fixture
from analyzer.reports.report import report_of_trace
from collector.contracts import Signal
from collector.offline import analyze_bytes
from collector.wire.otlp_json import translate_json
from collector.wire.request_limits import RequestLimits
from tests.support.drawing import batch, draw
from tests.support.reported import Reporter
from tests.support.shop import FAULTS, DrawnFault
from tests.support.situations.every import SITUATIONS

ERRORS = [fault for fault in FAULTS if fault.verdict == "error"]


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
