"""Reports of stored traces, incidents and groups, written down: JSON, Markdown, HTML, or their monitors as code.

In: an answer or an incident, and the bytes of a trace when its spans are kept. Out: text. Numba is loaded when spans
are measured, so only callers that report import this file, and when they do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from analyzer.analysis import Analysis
from analyzer.engine import Analyzer
from analyzer.errors.exceptions import exceptions_of
from analyzer.errors.group_words import ErrorGroup, Lately
from analyzer.errors.stack_traces import parse_stack
from analyzer.findings import Answer
from analyzer.incident_words import Incident
from analyzer.reports.five_whys import Changed
from analyzer.reports.frame_notes import frames_at, with_notes
from analyzer.reports.graph_svg import graph_svg
from analyzer.reports.group_report import report_of_group
from analyzer.reports.hand_edits import with_edits
from analyzer.reports.html import to_html
from analyzer.reports.incident_report import report_of_incident
from analyzer.reports.markdown import to_markdown
from analyzer.reports.model import Fixture, Mitigation, Report
from analyzer.reports.report import report_of_trace
from analyzer.reports.report_monitors import monitors_of
from analyzer.reports.waterfall_svg import waterfall_svg
from analyzer.service_graph import to_json, trace_graph
from collector.checkout.context import SourceContext
from collector.contracts import ChangeLog, ChangeQuery, Signal
from collector.contracts_people import NoteLog, RunbookLog
from collector.errors import BadRequestError, RefusedError
from collector.offline import TraceReader, analyze_bytes
from collector.wire.otlp_json import translate_json
from collector.wire.request_limits import RequestLimits

CHANGES_NS = 86_400 * 1_000_000_000  # before a trace or an onset: what was changed earlier is told by nobody any more
CHANGES_MAX = 50
Format = Literal["json", "markdown", "html", "monitors"]


@dataclass(frozen=True, slots=True)
class Page:
    """A report with the drawings that belong to it; empty text: there is none."""

    report: Report
    waterfall: str = ""
    graph: str = ""

    def edited(self, runbooks: RunbookLog) -> Page:
        """With the sections of the runbook that people wrote; where they cannot be read the report says so."""
        try:
            edits = runbooks.edits(self.report.runbook.runbook_id)
        except RefusedError:
            gap = "edits of the runbook by hand: they cannot be read now, so all of it is generated"
            return replace(self, report=self.report.model_copy(update={"missing": [*self.report.missing, gap]}))
        runbook = with_edits(self.report.runbook, edits)
        return replace(self, report=self.report.model_copy(update={"runbook": runbook}))

    def noted(self, log: NoteLog) -> Page:
        """With what people left at frames of its group; where that cannot be read the report says so."""
        if not self.report.group_id:
            return self
        try:
            notes = log.notes(self.report.group_id)
        except RefusedError:
            gap = "notes at frames: they cannot be read now"
            return replace(self, report=self.report.model_copy(update={"missing": [*self.report.missing, gap]}))
        return replace(self, report=with_notes(self.report, notes))

    def write(self, format: Format) -> str:
        """Write it down."""
        if format == "json":
            return self.report.model_dump_json()
        if format == "markdown":
            return to_markdown(self.report)
        if format == "monitors":
            return json.dumps(monitors_of(self.report), ensure_ascii=False)
        return to_html(self.report, waterfall=self.waterfall, graph=self.graph)


def page_of_trace(
    answer: Answer,
    trace_otlp: bytes | None,
    logs_otlp: bytes | None = None,
    changes: Sequence[Changed] = (),
    sources: SourceContext | None = None,
) -> Page:
    """Report on a stored trace; without its spans from the answer alone.

    Parameters
    ----------
    sources : where the code of the application is; None: nowhere

    Raises
    ------
    BadRequestError
        The stored bytes cannot be read.
    """
    if not trace_otlp:
        return Page(report_of_trace(answer, changes=changes))
    reader = TraceReader()
    reader.add(trace_otlp, Signal.TRACES)
    if logs_otlp:
        reader.add(logs_otlp, Signal.LOGS)
    return page_of_analysis(answer, Analyzer().analyse(reader.batch()).analysis, 0, changes, sources)


def page_of_analysis(
    answer: Answer,
    analysis: Analysis,
    trace: int,
    changes: Sequence[Changed] = (),
    sources: SourceContext | None = None,
) -> Page:
    """Report on a measured trace, with its drawings; its fixture is tried."""
    facts = exceptions_of(analysis, trace, sources.parse if sources is not None else parse_stack)
    report = report_of_trace(answer, facts, analysis, trace, changes=changes)
    if sources is not None and answer.root_causes:  # without a cause there is no origin to look at
        spans = {span.span_id for cause in answer.root_causes[:1] for span in cause.origin_spans}
        report = sources.added(report, facts, spans)
    if sources is not None:  # groups know no source maps: their frames have the names that the program sent
        report = report.model_copy(update={"frames": frames_at(answer, exceptions_of(analysis, trace))})
    origins = [span.service for cause in answer.root_causes[:1] for span in cause.origin_spans]
    return Page(
        _tried(report),
        waterfall_svg(analysis, trace, answer),
        graph_svg(to_json(trace_graph(analysis, trace, answer)), origins[0] if origins else ""),
    )


def page_of_incident(
    incident: Incident,
    find: Callable[[str], Page | None],
    changes: Sequence[Changed] = (),
    mitigations: Sequence[Mitigation] | None = None,
) -> Page:
    """Report on an incident, with the first of its example traces that is still kept.

    Parameters
    ----------
    find : trace id -> its page, None when it is not kept
    mitigations : what was done against it, judged; None when nobody counted calls
    """
    for trace_id in incident.example_trace_ids:
        example = find(trace_id)
        if example is not None and example.report.root_cause.entity is not None:
            report = report_of_incident(incident, example.report, changes=changes, mitigations=mitigations)
            return Page(report, example.waterfall, example.graph)
    return Page(report_of_incident(incident, changes=changes, mitigations=mitigations))


def page_of_group(group: ErrorGroup, find: Callable[[str], Page | None], lately: Lately | None = None) -> Page:
    """Report on a group of errors, with the first of its example traces that is still kept."""
    for trace_id in group.example_trace_ids:
        example = find(trace_id)
        if example is not None and example.report.root_cause.entity is not None:
            return Page(report_of_group(group, example.report, lately), example.waterfall, example.graph)
    return Page(report_of_group(group, lately=lately))


def changes_before(log: ChangeLog, time_ns: int) -> list[Changed]:
    """What was changed in the day before, newest first, as reports take it."""
    found = log.changes(ChangeQuery(from_ns=time_ns - CHANGES_NS, to_ns=time_ns + 1, limit=CHANGES_MAX))
    return [Changed(one.time_ns, f"{one.kind.replace('_', ' ')} {one.version}".rstrip(), one.service) for one in found]


def _tried(report: Report) -> Report:
    """Ask for the fixture as its reader would, and note whether it is answered as it says."""
    fixture = report.testing.fixture
    if fixture is None or fixture.expects.needs_baseline:
        return report
    tried = fixture.model_copy(update={"reproduces": _reproduces(fixture)})
    return report.model_copy(update={"testing": report.testing.model_copy(update={"fixture": tried})})


def _reproduces(fixture: Fixture) -> bool:
    try:
        payload = translate_json(json.dumps(fixture.otlp).encode(), Signal.TRACES, RequestLimits())
        (answer,) = analyze_bytes(None, [(payload, Signal.TRACES)])
    except (BadRequestError, ValueError):  # names that JSON or OTLP does not take, or no span that can be read
        return False
    first = answer.root_causes[0] if answer.root_causes else None
    origin = first.origin_spans[0].span_id if first is not None and first.origin_spans else ""
    expects = fixture.expects
    return (answer.verdict, first.rule if first else "", origin) == (
        expects.verdict,
        expects.rule,
        expects.origin_span_id,
    )
