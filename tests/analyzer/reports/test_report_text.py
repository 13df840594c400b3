"""The text of a report: names make no markup, times and durations are those of the calendar."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.findings import Answer
from analyzer.reports.clock_text import lasted, utc
from analyzer.reports.markdown import escaped, fenced, to_markdown
from analyzer.reports.report import report_of_trace
from tests.support.answers import checkout
from tests.support.pattern_cases import fact

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
