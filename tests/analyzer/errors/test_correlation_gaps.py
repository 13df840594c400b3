"""Who drops the correlation id, and who makes up another one."""

from __future__ import annotations

from analyzer.errors.correlation_gaps import correlation_gaps
from analyzer.errors.log_reader import LogRecord


def traces(count: int, **ids: str) -> list[LogRecord]:
    """`count` traces; in each every service writes one record with its id ("{}" is the number of the trace)."""
    return [
        LogRecord(trace_id=f"{number:032x}", service=service, correlation_id=text.format(number), time_ns=place)
        for number in range(count)
        for place, (service, text) in enumerate(ids.items())
    ]


def test_who_drops_it_is_named():
    (gap,) = correlation_gaps(traces(10, gateway="req-{}", payment="", bank="req-{}"))

    assert (gap.service, gap.traces, gap.without, gap.other) == ("payment", 10, 10, 0)
    assert "payment has no correlation id in 10" in gap.sentence


def test_who_makes_up_another_one_is_named():
    (gap,) = correlation_gaps(traces(10, gateway="req-{}", payment="mine-{}"))

    assert (gap.service, gap.without, gap.other) == ("payment", 0, 10)


def test_where_nobody_has_one_nobody_dropped_it():
    assert correlation_gaps(traces(10, gateway="", payment="")) == []


def test_a_line_that_was_lost_makes_nobody_guilty():
    records = traces(40, gateway="req-{}", payment="req-{}")
    records += [
        LogRecord(trace_id="f" * 32, service="gateway", correlation_id="x"),
        LogRecord(trace_id="f" * 32, service="payment"),
    ]

    assert correlation_gaps(records) == []


def test_one_record_with_the_id_is_enough():
    """A library's line in between has none; the service's own has."""
    records = traces(10, gateway="req-{}", payment="") + traces(10, payment="req-{}")

    assert correlation_gaps(records) == []
