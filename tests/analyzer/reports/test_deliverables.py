"""All eight deliverables are always in a report, and every id in it is one of the input."""

from __future__ import annotations

import pytest

from analyzer.findings import Answer
from analyzer.reports.model import Report, report_schema
from analyzer.reports.report import report_of_trace
from tests.support.drawing import draw
from tests.support.fakes.clock import EPOCH_NS
from tests.support.reported import DELIVERABLES, Reporter
from tests.support.shop import FAULTS, DrawnFault


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_all_eight_deliverables_are_there(reporter: Reporter, fault: DrawnFault):
    answer, report = reporter.report(fault.drawing())

    assert all(getattr(report, name) for name in DELIVERABLES)
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


def test_the_schema_names_every_deliverable():
    properties = report_schema()["properties"]

    assert isinstance(properties, dict)
    assert set(DELIVERABLES) <= set(properties)
