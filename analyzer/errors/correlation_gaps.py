"""Services that drop the correlation id: their records of a request have none, while others' of the same request do.

In: log records. Out: one line a service that drops it, the worst first. A trace is what tells that records belong
together; records without a trace are not looked at. At most `TRACES_MAX` traces are remembered, the first ones.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from analyzer.errors.log_reader import LogRecord
from analyzer.errors.tails import upper_tail
from analyzer.words import shown

TRACES_MAX = 100_000  # some 100 bytes each
TRACES_MIN = 3  # in fewer, a single lost line would make a service guilty


@dataclass(frozen=True, slots=True)
class Gap:
    """A service that drops the id in `without` of `traces` traces in which somebody else has one.

    other : traces in which it has another id than those before it: it made a new one instead of passing it on
    """

    service: str
    traces: int
    without: int
    other: int
    sentence: str


def correlation_gaps(records: Iterable[LogRecord]) -> list[Gap]:
    """Find who drops the id."""
    seen: dict[str, dict[str, str]] = {}  # trace -> service -> id, or "" where it has none in that trace
    first: dict[str, tuple[int, str]] = {}  # trace -> time and id of the earliest record that has one
    for record in records:
        if not record.trace_id or not record.service:
            continue
        if record.trace_id not in seen and len(seen) >= TRACES_MAX:
            continue
        ids = seen.setdefault(record.trace_id, {})
        ids[record.service] = ids.get(record.service) or record.correlation_id
        if record.correlation_id:
            known = first.get(record.trace_id)
            if known is None or record.time_ns < known[0]:
                first[record.trace_id] = (record.time_ns, record.correlation_id)
    counts: dict[str, list[int]] = {}
    for trace, ids in seen.items():
        if trace not in first or len(ids) < 2:
            continue
        for service, found in ids.items():
            line = counts.setdefault(service, [0, 0, 0])
            line[0] += 1
            line[1] += not found
            line[2] += bool(found) and found != first[trace][1]
    gaps = [
        Gap(
            service,
            traces,
            without,
            other,
            f"{shown(service)} has no correlation id in {without} and another one in {other} of {traces} traces"
            " in which it was there",
        )
        for service, (traces, without, other) in counts.items()
        # One in twenty may be lost on the way; more is a habit.
        if traces >= TRACES_MIN and upper_tail(without + other, 0.05 * traces) < 0.01
    ]
    return sorted(gaps, key=lambda gap: (-(gap.without + gap.other), gap.service))
