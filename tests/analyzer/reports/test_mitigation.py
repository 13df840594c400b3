"""Did the mitigation work: what the counts say, and what too few of them do not."""

from __future__ import annotations

import pytest

from analyzer.errors.exact_shares import Calls
from analyzer.reports.html import to_html
from analyzer.reports.incident_report import report_of_incident
from analyzer.reports.markdown import to_markdown
from analyzer.reports.mitigation import Attempt, mitigation_of
from tests.support.answers import incident
from tests.support.fakes.clock import EPOCH_NS

BEFORE = Calls(5, 5_000)  # a thousandth, as usual
BROKEN = Calls(300, 1_000)


def judge(after: Calls, during: Calls = BROKEN, before: Calls = BEFORE, what: str = "rollback v2.3.0 of payment"):
    return mitigation_of("payment", before, Attempt(EPOCH_NS, what, during, after))


@pytest.mark.parametrize(
    ("after", "verdict", "words"),
    [
        (Calls(1, 1_000), "worked", "1 of 1,000 calls (0.10%) after it"),
        (Calls(60, 1_000), "worked in part", "more still fail than before"),
        (Calls(290, 1_000), "did not work", "most of the failures stayed"),
        (Calls(400, 1_000), "did not work", "most of the failures stayed"),
        (Calls(0, 4), "cannot tell yet", "4 calls after it are too few"),
        (Calls(1, 1), "cannot tell yet", "1 call after it are too few"),
        (Calls(0, 0), "cannot tell yet", "no calls were counted after it"),
        (Calls(160, 1_000), "cannot tell yet", "too few"),  # about half of the way
    ],
)
def test_the_share_after_it_decides(after: Calls, verdict: str, words: str):
    found = judge(after)

    assert found.verdict == verdict
    assert words in found.claim.text


def test_the_numbers_are_the_exact_counts():
    found = judge(Calls(1, 1_000))

    assert found.claim.text == (
        "rollback v2.3.0 of payment at 2025-10-09 08:53:20 UTC: worked. Of payment 5 of 5,000 calls (0.10%) failed "
        "before the onset, 300 of 1,000 calls (30.00%) until it, 1 of 1,000 calls (0.10%) after it."
    )
    assert {key: found.claim.numbers[key] for key in ("before_calls", "during_failed", "after_failed")} == {
        "before_calls": 5_000,
        "during_failed": 300,
        "after_failed": 1,
    }
    assert found.claim.numbers["after_share_high"] == pytest.approx(0.00556, rel=0.01)


@pytest.mark.parametrize(
    ("during", "before", "words"),
    [
        (Calls(1, 1_000), BEFORE, "no more calls failed than before"),
        (Calls(0, 0), BEFORE, "no calls were counted between the onset and it"),
        (BROKEN, Calls(0, 0), "what is usual is not known"),
    ],
)
def test_without_a_rise_nothing_can_fall(during: Calls, before: Calls, words: str):
    found = judge(Calls(0, 1_000), during, before)

    assert found.verdict == "cannot tell yet"
    assert words in found.claim.text


# -- in the report of an incident ----------------------------------------------------------


def test_a_report_answers_whether_it_worked():
    report = report_of_incident(incident(status="closed"), mitigations=[judge(Calls(1, 1_000))])

    assert "## Did the mitigation work?\n\n- **worked**: rollback v2.3.0 of payment" in to_markdown(report)
    assert "<h2>Did the mitigation work?</h2>\n<ul><li><strong>worked</strong>" in to_html(report)
    assert "- Error rate: 0.10% of the calls of payment" in report.messages.mitigation
    assert "Mitigation: rollback v2.3.0 of payment at 2025-10-09 08:53:20 UTC: worked." in report.messages.mitigation
    assert "(normal: 0.10% of the calls of payment)" in report.messages.initial


def test_a_report_says_why_none_is_judged():
    told, nobody = report_of_incident(incident(), mitigations=[]), report_of_incident(incident())

    assert "none was told since the onset" in to_markdown(told)
    assert "none was told since the onset" in to_html(told)
    assert nobody.mitigation_missing == "calls were not counted here"


def test_hostile_words_of_a_change_stay_words():
    report = report_of_incident(incident(), mitigations=[judge(Calls(1, 1_000), what="<script>a</script>\u202e\x1b")])

    assert "<script" not in to_html(report)
    for shown in (to_html(report), to_markdown(report)):
        assert "\u202e" not in shown
        assert "\x1b" not in shown
