"""REST and gRPC answers, from a read-only store.

The analyzer, and numba with it, is loaded when somebody hands spans over to be analysed or drawn: answers
by trace id need neither, a third of the memory, and half of the time to start.
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from analyzer.errors.group_words import ErrorGroup
from analyzer.errors.own_past import lately_of
from analyzer.errors.rules import Rule
from analyzer.findings import NOT_EXPLAINED, Answer
from analyzer.incident_words import Incident
from analyzer.service_graph import Graph
from collector.app.doors import client_context, new_redactor, query_guard, server_tls
from collector.app.endpoints import host_port, is_loopback
from collector.checkout.context import SourceContext
from collector.clock import SystemClock
from collector.config import Config, Peers
from collector.contracts import STATE_NAME, Clock, Decisions, Encoding, Found, OpenTraces, Signal
from collector.mitigations import mitigations_of
from collector.query.access import local_hosts
from collector.query.desk import Desk, QuerySettings, ReportFormat
from collector.query.grpc import GrpcServer
from collector.query.peer_addresses import PeerAddresses
from collector.query.peer_calls import PeerCalls
from collector.query.peer_words import Identity
from collector.query.rest import RestServer, app_of
from collector.query.rest_groups import LATELY_NS
from collector.store.changes import ChangeShelf
from collector.store.notes import NoteShelf
from collector.store.runbooks import RunbookShelf
from collector.store.sqlite import SqliteStore
from collector.telemetry import Snapshot, merge, sample
from collector.trace_names import read_name

if TYPE_CHECKING:
    from collector.reporting import Page

SHED_TRACES = sample("assembly_dropped_traces", "stress")
EXPLAIN_S = 2.0  # the engine comes to it between two batches


class ExplainingStore(SqliteStore):
    """The shelf as people see it: what was told in brief under load is explained when it is asked for.

    By the engine, which keeps that: whoever asks next finds the same, and its group. Where the engine has no time, it
    is done here, against what the engine wrote down last; nobody keeps that, so it names no group that nobody keeps.
    """

    rules: Sequence[Rule] = ()  # of grouping
    agents: Sequence[str] = ()  # of synthetic checks
    ask_engine: Callable[[bytes, float], Answer | None] | None = None
    _explain: Callable[[list[tuple[bytes, Signal]]], list[Answer]] | None = None

    def find(self, trace_id: bytes) -> Found:
        found = super().find(trace_id)
        if found.answer is None or found.answer.status_reason != NOT_EXPLAINED or not found.trace_otlp:
            return found
        kept = self.ask_engine(trace_id, EXPLAIN_S) if self.ask_engine is not None else None
        if kept is not None:
            return replace(found, answer=kept)
        payloads = [(found.trace_otlp, Signal.TRACES)]
        if found.logs_otlp:
            payloads.append((found.logs_otlp, Signal.LOGS))
        for answer in self.explain(payloads):
            if answer.trace_id == found.answer.trace_id:
                group = answer.group if answer.group and self.group(answer.group.id) is not None else None
                update = {"revision": found.answer.revision, "group": group}
                return replace(found, answer=answer.model_copy(update=update))
        return found

    def find_stored(self, trace_id: bytes) -> Found:
        """Find it as it was kept: quick, whatever was told in brief."""
        return super().find(trace_id)

    def explain(self, payloads: list[tuple[bytes, Signal]]) -> list[Answer]:
        """Answer for the traces in some requests, against what the engine has learned.

        Raises
        ------
        BadRequestError
            A request cannot be read.
        """
        if self._explain is None:
            from collector.offline import Explainer

            self._explain = Explainer(lambda: self.load_state(STATE_NAME), SystemClock(), self.rules, self.agents)
        return self._explain(payloads)


class QueryRoom:
    """REST and gRPC answers, from its own read-only store."""

    def __init__(
        self, config: Config, open_traces: OpenTraces, decisions: Decisions, stats: Callable[[], Snapshot]
    ) -> None:
        self._store = ExplainingStore.open(config.storage.path, read_only=True)
        clock = self._clock = SystemClock()
        self._changes = ChangeShelf(Path(config.storage.path), clock, config.storage.retention_hours)
        self._runbooks = RunbookShelf(Path(config.storage.path))
        self._notes = NoteShelf(Path(config.storage.path))
        self._written = new_redactor(config.redaction)
        self._masking = threading.Lock()  # a redactor has one owner at a time
        wanted = config.sources
        self._sources = (
            SourceContext(
                clock,
                wanted.checkout,
                wanted.maps,
                lines_around=wanted.lines_around,
                commits_max=wanted.commits_max,
            )
            if wanted.checkout or wanted.maps
            else None
        )
        self._store.rules = self._rules = config.errors.rules
        self._store.agents = self._agents = config.errors.synthetic_agents
        self._store.ask_engine = open_traces.explain
        wanted_peers = config.query.peers
        identity = Identity(wanted_peers.name or _host_name())
        self._peers = _peer_calls(wanted_peers, identity, clock)
        desk = Desk(
            store=self._store,
            open_traces=open_traces,
            clock=clock,
            settings=QuerySettings(wait_max_s=config.query.wait_max_s),
            analyze=self._analyze,
            draw_trace=_draw,
            report_trace=self._report_trace,
            report_incident=self._report_incident,
            report_group=self._report_group,
            stats=stats,
            shed_traces=(lambda: int(stats().get(SHED_TRACES, 0))) if config.assembly.stress.enabled else lambda: 0,
            changes=self._changes,
            decisions=decisions,
            runbooks=self._runbooks,
            notes=self._notes,
            mask=self._mask,
            identity=identity,
            peers=self._peers,
            find_stored=self._store.find_stored,
            explain=self._store.explain,
        )
        self._redactor = new_redactor(config.redaction)
        self._guard = guard = query_guard(config)
        app = app_of(desk, guard, local_hosts(host_port(config.query.endpoint)[0], config.query.hosts))
        self._tls = tls = server_tls("query", config.query.tls)
        self._rest = RestServer(app, *host_port(config.query.endpoint), tls.context() if tls is not None else None)
        host, port = host_port(config.query.grpc_endpoint)
        self._grpc = GrpcServer(
            desk,
            host,
            port,
            reflect=is_loopback(config.query.grpc_endpoint),
            credentials=tls.grpc_credentials() if tls is not None else None,
            guard=guard,
        )
        self.ports: dict[str, int] = {}
        self._ready = False

    def _analyze(self, payload: bytes, signal: Signal, encoding: Encoding) -> list[Answer]:
        from collector.offline import analyze_bytes
        from collector.wire.otlp_json import translate_json
        from collector.wire.request_limits import RequestLimits

        if encoding is Encoding.JSON:
            payload = translate_json(payload, signal, RequestLimits())
        state = self._store.load_state(STATE_NAME)
        return analyze_bytes(state, [(payload, signal)], self._rules, self._redactor, self._agents)

    def _report_trace(
        self, answer: Answer, trace_otlp: bytes | None, logs_otlp: bytes | None, format: ReportFormat
    ) -> str:
        from collector.reporting import changes_before, page_of_trace

        changes = changes_before(self._changes, answer.start_ns)
        page = page_of_trace(answer, trace_otlp, logs_otlp, changes, self._sources)
        return self._by_people(page).write(format)

    def _report_incident(self, incident: Incident, format: ReportFormat) -> str:
        from collector.reporting import changes_before, page_of_incident

        changes = changes_before(self._changes, incident.onset_ns)
        done = mitigations_of(incident, self._store, self._changes, self._clock.now_ns())
        return self._by_people(page_of_incident(incident, self._find_page, changes, done)).write(format)

    def _report_group(self, group: ErrorGroup, format: ReportFormat) -> str:
        from collector.reporting import page_of_group

        now_ns = self._clock.now_ns()
        calls = self._store.calls(group.service, now_ns - LATELY_NS, now_ns)
        lately = lately_of(group, calls, now_ns)
        return self._by_people(page_of_group(group, self._find_page, lately)).write(format)

    def _by_people(self, page: Page) -> Page:
        """With what people wrote: in the runbook, at frames."""
        return page.edited(self._runbooks).noted(self._notes)

    def _mask(self, text: str) -> str:
        with self._masking:
            return self._written.text(text)

    def _find_page(self, name: str) -> Page | None:
        """The page of an example. One of before has no tenant in its name: of several with its id none may stand in."""
        from collector.reporting import page_of_trace

        wanted = read_name(name)
        named = [wanted] if "@" in name else self._store.namesakes(wanted)
        if len(named) != 1:
            return None
        found = self._store.find(named[0])
        if found.answer is None or not found.trace_otlp:
            return None
        return page_of_trace(found.answer, found.trace_otlp, found.logs_otlp, sources=self._sources)

    def start(self) -> None:
        if self._peers is not None:
            self._peers.start()
        self.ports["rest"] = self._rest.start()
        self.ports["grpc"] = self._grpc.start()
        self._ready = True

    def stop(self, timeout_s: float) -> None:
        self._ready = False
        self._rest.stop(timeout_s / 2)
        self._grpc.stop(timeout_s / 2)
        if self._peers is not None:
            self._peers.stop()
        self._store.close()
        self._changes.close()
        self._runbooks.close()
        self._notes.close()

    def not_ready(self) -> str:
        return "" if self._ready else "starting or stopping"

    def snapshot(self) -> Snapshot:
        doors = [part.snapshot() for part in (self._tls, self._guard, self._peers) if part is not None]
        rooms = (self._rest, self._grpc, self._changes, self._runbooks, self._notes, self._written)
        return merge([*(room.snapshot() for room in rooms), *doors])


def _host_name() -> str:
    """The host's name as peers may hear it; on Kubernetes that of the pod."""
    return re.sub(r"[^A-Za-z0-9._:-]", "-", socket.gethostname())[:253] or "firstfault"


def _peer_calls(wanted: Peers, identity: Identity, clock: Clock) -> PeerCalls | None:
    if not wanted.dns and not wanted.endpoints:
        return None
    addresses = PeerAddresses(
        clock, wanted.dns, wanted.port, wanted.endpoints, peers_max=wanted.peers_max, refresh_s=wanted.refresh_s
    )
    return PeerCalls(
        addresses,
        identity,
        timeout_s=wanted.timeout_s,
        answer_timeout_s=wanted.answer_timeout_s,
        tls=client_context(wanted),
        server_name=wanted.server_name_override or None,
        headers={name: value.get_secret_value() for name, value in wanted.headers.items()},
    )


def _draw(trace_otlp: bytes, logs_otlp: bytes | None, answer: Answer | None) -> Graph:
    from collector.offline import draw_bytes

    return draw_bytes(trace_otlp, logs_otlp, answer)
