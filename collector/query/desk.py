"""What the query room is given, and its limits. Values only; built by the app, read by every door."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from analyzer.errors.group_words import ErrorGroup
from analyzer.findings import Answer
from analyzer.incident_words import Incident
from analyzer.service_graph import Graph
from collector.contracts import ChangeLog, Clock, Decisions, Encoding, Found, OpenTraces, Signal, Store
from collector.contracts_people import NoteLog, RunbookLog
from collector.query.peer_calls import PeerCalls
from collector.query.peer_words import Identity
from collector.redaction import Redactor

ReportFormat: TypeAlias = Literal["json", "markdown", "html", "monitors"]
# Request bytes -> answers, nothing stored. Raises `collector.errors.RefusedError`.
Analyze: TypeAlias = Callable[[bytes, Signal, Encoding], list[Answer]]
# Requests -> an answer for every trace in them, against what was learned.
Explain: TypeAlias = Callable[[list[tuple[bytes, Signal]]], list[Answer]]
# ExportTraceServiceRequest, ExportLogsServiceRequest or None, the answer or None -> graph of the one trace in it.
DrawTrace: TypeAlias = Callable[[bytes, bytes | None, Answer | None], Graph]

# Text of people -> the same with its secrets masked. Called by several threads at once.
Mask: TypeAlias = Callable[[str], str]
# The answer, its spans and logs as OTLP or None, a format -> the report, written.
ReportTrace: TypeAlias = Callable[[Answer, bytes | None, bytes | None, ReportFormat], str]
ReportGroup: TypeAlias = Callable[[ErrorGroup, ReportFormat], str]
ReportIncident: TypeAlias = Callable[[Incident, ReportFormat], str]


@dataclass(frozen=True, slots=True)
class QuerySettings:
    """Bounds of the query room; every answer that was cut says so."""

    wait_max_s: float = 30.0  # longer waits are cut to it
    poll_s: float = 0.1  # how often a waiting question looks again
    ask_timeout_s: float = 2.0  # the engine answers between two batches
    retry_after_s: int = 1
    findings_max: int = 1_000  # rows of a page
    spans_max: int = 10_000  # spans of a page
    page_bytes_max: int = 8 * 2**20  # span bytes of a page; as JSON about three times that
    services_max: int = 1_000
    operations_max: int = 100  # per service, the most called first
    window_max_s: float = 31 * 86_400.0
    window_default_s: float = 3_600.0
    body_bytes_max: int = 16 * 2**20  # POST /analyze, after decompression
    analyses_max: int = 2  # at the same time; each keeps a core busy
    answers_max: int = 1_000  # of one analysis
    reports_max: int = 2  # written at the same time; each measures a trace, a second for ten thousand spans
    requests_max: int = 256  # at the same time, waiting ones included
    incidents_max: int = 200  # of a list; each is some 10 KB
    changes_max: int = 1_000  # of a list
    groups_max: int = 500  # of a list; each is some 5 KB
    notes_max: int = 1_000  # of a list; each is at most some 8 KB
    decide_timeout_s: float = 6.0  # a little longer than the engine gives itself
    watchers_max: int = 8  # each holds a gRPC thread; as many watch incidents
    streams_max: int = 64  # REST watchers of incidents; each is a task of the event loop
    watch_queue_max: int = 256  # findings a slow watcher may lag; the oldest leaves
    watch_poll_s: float = 0.5
    peers_poll_s: float = 0.5  # how often a waiting question asks the peers again
    sketches_max: int = 16  # told to peers at the same time, in threads of their own
    wholes_max: int = 4  # each holds the spans of a trace


@dataclass(frozen=True, slots=True)
class Desk:
    """What questions are answered from."""

    store: Store
    open_traces: OpenTraces
    clock: Clock
    settings: QuerySettings = field(default_factory=QuerySettings)
    analyze: Analyze | None = None
    draw_trace: DrawTrace | None = None
    report_trace: ReportTrace | None = None
    report_incident: ReportIncident | None = None
    report_group: ReportGroup | None = None
    stats: Callable[[], Mapping[str, float]] = dict
    changes: ChangeLog | None = None
    decisions: Decisions | None = None
    runbooks: RunbookLog | None = None
    notes: NoteLog | None = None
    mask: Mask = field(default_factory=lambda: Redactor().text)
    identity: Identity = field(default_factory=Identity)
    peers: PeerCalls | None = None  # None: this is the only instance
    find_stored: Callable[[bytes], Found] | None = None  # as it is kept, not explained; None: as the store finds it
    explain: Explain | None = None  # None: spans of several instances are not put together
    shed_traces: Callable[[], int] = lambda: 0  # how many were left out under stress since the start, by nobody's name
