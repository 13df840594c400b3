"""What many log records say as a whole: which errors, how often, whose, since when, and who keeps the schema.

In: records as read, and as they came. Out: `LogSummary` and the kinds of error, most frequent first. Bounded by its
caller; at most `KINDS_MAX` kinds are kept apart.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analyzer.errors.correlation_gaps import correlation_gaps
from analyzer.errors.impact import Distinct
from analyzer.errors.log_reader import LogRecord, fingerprint_of
from analyzer.errors.log_schema import Conformance
from analyzer.errors.periodic import find_period, shape_of
from analyzer.errors.text_words import ErrorKind, LogSummary

KINDS_MAX = 1_000
KINDS_SHOWN = 10
EXAMPLES_MAX = 5
SERVICES_SHOWN = 20
SHAPE_WINDOWS = 40
_VARIABLE = re.compile(r"\"[^\"]*\"|'[^']*'|\b[0-9a-f]{8,}(?:-[0-9a-f]{4,})*\b|\d+")


@dataclass(slots=True)
class _Kind:
    type: str
    message: str
    business: bool
    count: int = 0
    services: Counter[str] = field(default_factory=Counter)
    users: Distinct | None = None
    times: list[int] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)


def summarise(
    records: Sequence[LogRecord], raw: Sequence[dict[str, Any]], unreadable: int, left_out: int
) -> tuple[LogSummary, list[ErrorKind]]:
    """Sum records up; `raw` are the same ones as they came, for the schema."""
    conformance = Conformance()
    for one in raw:
        conformance.add(one)
    kinds: dict[str, _Kind] = {}
    for record in records:
        if record.is_error:
            _count(kinds, record)
    gaps = [gap.sentence for gap in correlation_gaps(records)]
    log = LogSummary(
        records=len(records),
        error_records=sum(kind.count for kind in kinds.values()),
        error_kinds=len(kinds),
        unreadable=unreadable,
        left_out=left_out,
        levels=dict(Counter(record.level or "(none)" for record in records)),
        dialects=dict(Counter(record.dialect for record in records)),
        conformance={name: round(line.share, 4) for name, line in list(conformance.services.items())[:SERVICES_SHOWN]},
        correlation_gaps=gaps[:SERVICES_SHOWN],
    )
    times = [record.time_ns for record in records if record.time_ns]
    span = (min(times), max(times)) if times else (0, 0)
    order = sorted(kinds.items(), key=lambda item: (-item[1].count, item[0]))
    return log, [_told(name, kind, span) for name, kind in order[:KINDS_SHOWN]]


def _count(kinds: dict[str, _Kind], record: LogRecord) -> None:
    message = record.error_message or record.message
    # Without a fingerprint of its own: the type, and the message without what varies in it.
    name = record.fingerprint or fingerprint_of(record.error_type, _VARIABLE.sub("#", message[:1024]))
    kind = kinds.get(name)
    if kind is None:
        if len(kinds) >= KINDS_MAX:
            name = "(other kinds)"
        kind = kinds.setdefault(name, _Kind(record.error_type, message[:1024], record.is_business))
    kind.count += 1
    kind.services[record.service] += 1
    if record.user_id:
        kind.users = kind.users or Distinct()
        kind.users.add(record.user_id)
    if record.time_ns:
        kind.times.append(record.time_ns)
    if record.trace_id and len(kind.traces) < EXAMPLES_MAX and record.trace_id not in kind.traces:
        kind.traces.append(record.trace_id)


def _told(name: str, kind: _Kind, span: tuple[int, int]) -> ErrorKind:
    period = find_period(kind.times)
    shape = ""
    if kind.times and span[1] > span[0]:
        counts, _ = np.histogram(np.array(kind.times, np.float64), SHAPE_WINDOWS, (float(span[0]), float(span[1])))
        found = shape_of(counts)
        shape = "" if found == "too_few" else found
    return ErrorKind(
        fingerprint=name,
        type=kind.type,
        message=kind.message,
        count=kind.count,
        services=[service for service, _ in kind.services.most_common(SERVICES_SHOWN)],
        users=kind.users.count() if kind.users else 0,
        first_ns=min(kind.times, default=0),
        last_ns=max(kind.times, default=0),
        business=kind.business,
        shape=shape,
        period=period.sentence if period else "",
        example_trace_ids=kind.traces,
    )
