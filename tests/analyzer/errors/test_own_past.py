"""One group that is asked about: its last five minutes against the two hours before, in both directions."""

from __future__ import annotations

import pytest

from analyzer.errors.group_words import Bucket, ErrorGroup
from analyzer.errors.own_past import lately_of
from analyzer.reports.group_report import report_of_group
from analyzer.reports.markdown import to_markdown
from tests.support.answers import error_group
from tests.support.fakes.clock import EPOCH_NS

MINUTE_NS = 60_000_000_000
NOW = EPOCH_NS // MINUTE_NS
END = NOW - 1  # the minute before this one still gets traces that close late


def group(last: int, usual: int = 4, minutes: int = 110) -> ErrorGroup:
    """So many errors in each minute for a while, then others in each of the last five."""
    buckets = [Bucket(start=END - back, count=usual if back > 5 else last) for back in range(minutes, 0, -1)]
    first_ns = (END - minutes - 1) * MINUTE_NS
    return error_group(1).model_copy(
        update={"minutes": [one for one in buckets if one.count], "first_seen_ns": first_ns}
    )


def calls(last: int = 400, usual: int = 400) -> dict[int, int]:
    return {END - back: usual if back > 5 else last for back in range(120, 0, -1)}


@pytest.mark.parametrize(("last", "state"), [(30, "spike"), (4, "usual"), (0, "no_data"), (1, "drop")])
def test_too_many_too_few_and_none(last: int, state: str):
    found = lately_of(group(last), calls(), EPOCH_NS)

    assert (found.state, found.now, found.per, found.calls) == (state, 5 * last, "calls", 2_000)
    assert found.usual == pytest.approx(20, rel=0.05)
    assert found.sentence.endswith("for the 2,000 calls of its service in the window")


def test_fewer_errors_of_fewer_calls_are_no_drop():
    """A twentieth of the calls, a quarter of the errors: fewer by time, more per call."""
    by_time, per_call = (lately_of(group(1), known, EPOCH_NS) for known in ({}, calls(last=20)))

    assert (by_time.state, by_time.per) == ("drop", "time")
    assert (per_call.state, per_call.per) == ("usual", "calls")
    assert per_call.usual == pytest.approx(1.0, rel=0.05)


def test_silence_of_a_service_that_nobody_calls_is_told_by_time():
    found = lately_of(group(0), calls(last=0), EPOCH_NS)

    assert (found.state, found.per) == ("no_data", "time")
    assert found.sentence.endswith("by time, the calls of its service are not known")


def test_a_young_group_is_not_judged():
    assert lately_of(group(4, minutes=20), calls(), EPOCH_NS).state == "too_little_traffic"


def test_a_report_of_a_group_says_it():
    one = group(0)
    report = report_of_group(one, lately=lately_of(one, calls(), EPOCH_NS))

    assert "lately no data: CardError in payment: 0 events where 20 are usual" in to_markdown(report)


def test_a_report_says_nothing_of_too_little():
    one = group(4, minutes=20)

    assert "lately" not in to_markdown(report_of_group(one, lately=lately_of(one, calls(), EPOCH_NS)))
