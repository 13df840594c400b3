"""Finds what a report is asked about and has it written; only so many at the same time.

In: an id as it was sent, a format. Out: the report as text, or a problem that says why there is none.
"""

# No postponed annotations: the types of ids are read by FastAPI.
import threading
from typing import Annotated

from fastapi import Path

from collector.errors import OverloadedError
from collector.query.desk import Desk, ReportFormat
from collector.query.models import TRACE_ID
from collector.query.models_groups import GROUP_ID
from collector.query.models_incidents import INCIDENT_ID
from collector.query.peers import look_everywhere
from collector.query.problems import ProblemError, not_here
from collector.query.rest_groups import group_not_known, read_group_id
from collector.query.rest_missing import require_answer, require_incident
from collector.trace_names import TEXT_PATTERN, read_name

# Named by alias: routes that share a function take any of them.
TraceId = Annotated[
    str,
    Path(
        alias="trace_id",
        pattern=TEXT_PATTERN,
        description="32 hex digits, either case; behind them `@tenant` when a credential with a tenant sent it",
        openapi_examples={"trace": {"value": TRACE_ID}},
    ),
]
IncidentId = Annotated[
    str, Path(alias="incident_id", description="32 hex digits", openapi_examples={"incident": {"value": INCIDENT_ID}})
]
GroupId = Annotated[
    str, Path(alias="group_id", description="16 hex digits", openapi_examples={"group": {"value": GROUP_ID}})
]


class ReportWriter:
    """Each call raises `ProblemError` or a `RefusedError` where nothing can be written. Any thread."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._desks = _Desks(desk.settings.reports_max)

    def of_trace(self, trace_id: str, format: ReportFormat, *, alone: bool = False) -> str:
        """From the answer, and the spans where they are kept. `alone`: peers are not asked."""
        if self._desk.report_trace is None:
            raise _no_reports()
        found = look_everywhere(self._desk, read_name(trace_id), alone=alone)
        answer = require_answer(found, self._desk.settings.retry_after_s)
        otlp = found.found.trace_otlp if found.found else None
        logs = found.found.logs_otlp if found.found else None
        with self._desks:
            return self._desk.report_trace(answer, otlp, logs, format)

    def of_incident(self, incident_id: str, format: ReportFormat) -> str:
        """From the incident and the first of its examples that is kept."""
        if self._desk.report_incident is None:
            raise _no_reports()
        incident = require_incident(self._desk, incident_id)
        with self._desks:
            return self._desk.report_incident(incident, format)

    def of_group(self, group_id: str, format: ReportFormat) -> str:
        """From the group and the first of its examples that is kept."""
        if self._desk.report_group is None:
            raise _no_reports()
        wanted = read_group_id(group_id)
        group = self._desk.store.group(wanted)
        if group is None:
            raise group_not_known(wanted)
        with self._desks:
            return self._desk.report_group(group, format)


class _Desks:
    """How many reports are written at the same time; any thread."""

    def __init__(self, most: int) -> None:
        self._most, self._free = most, threading.BoundedSemaphore(most)

    def __enter__(self) -> None:
        if not self._free.acquire(blocking=False):
            raise OverloadedError(f"{self._most} reports are being written; that is the bound", "reports")

    def __exit__(self, *_: object) -> None:
        self._free.release()


def _no_reports() -> ProblemError:
    return not_here("no_reports", "No reports here", "an analyzer")
