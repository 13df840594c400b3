"""A room with one group, one of its traces and one incident, whose reports show what people wrote."""

from __future__ import annotations

from typing import Any

from analyzer.errors.group_words import ErrorGroup
from analyzer.findings import Answer, TraceGroup
from analyzer.incident_words import Incident
from collector.auth.guard import Guard
from collector.contracts import Found
from collector.contracts_people import NoteLog, RunbookLog
from collector.query.desk import ReportFormat
from collector.query.rest import create_app
from collector.reporting import Page, page_of_group, page_of_incident, page_of_trace
from tests.collector.query.answers import TRACE
from tests.collector.query.test_report_doors import Shelf, answered
from tests.support.answers import error_group
from tests.support.fakes.clock import ManualClock
from tests.support.fakes.store import FakeNoteLog, FakeOpenTraces, FakeRunbookLog

GROUP = error_group(1).model_copy(update={"example_trace_ids": [TRACE.hex()]})
TRACE_URL = f"/api/v1/traces/{TRACE.hex()}"
INCIDENT_URL = f"/api/v1/incidents/{1:032x}"
GROUP_URL = f"/api/v1/groups/{GROUP.group_id}"


def grouped() -> Answer:
    """The drawn answer, in the group."""
    group = TraceGroup(id=GROUP.group_id, fine=GROUP.fine, coarse=GROUP.coarse, tier=GROUP.tier, version=GROUP.version)
    return answered().model_copy(update={"group": group})


class Room(Shelf):
    """Reports with sections of runbooks and notes at frames."""

    def __init__(
        self, *, runbooks: RunbookLog | None = None, notes: NoteLog | None = None, spans: bytes | None = None
    ) -> None:
        super().__init__()
        self.runbooks, self.notes = runbooks or FakeRunbookLog(), notes or FakeNoteLog()
        self.found[TRACE] = Found("stored", grouped(), spans or self.found[TRACE].trace_otlp)
        self.put_groups([GROUP])

    def by_people(self, page: Page, format: ReportFormat) -> str:
        return page.edited(self.runbooks).noted(self.notes).write(format)

    def of_trace(self, answer: Answer, spans: bytes | None, logs: bytes | None, format: ReportFormat) -> str:
        return self.by_people(page_of_trace(answer, spans, logs), format)

    def of_incident(self, wanted: Incident, format: ReportFormat) -> str:
        return self.by_people(page_of_incident(wanted, self.page), format)

    def of_group(self, wanted: ErrorGroup, format: ReportFormat) -> str:
        return self.by_people(page_of_group(wanted, self.page), format)

    def app(self, guard: Guard | None = None) -> Any:
        return create_app(
            self,
            FakeOpenTraces(),
            report_trace=self.of_trace,
            report_incident=self.of_incident,
            report_group=self.of_group,
            clock=ManualClock(),
            runbooks=self.runbooks,
            notes=self.notes,
            guard=guard,
        )
