"""REST: the query room over HTTP.

In: questions under /api/v1. Out: JSON (or DOT, Mermaid), errors as RFC 9457 problems. Writes nothing but the
changes it is told of, edits of runbooks and notes at frames; the store and the engine are asked through their
contracts. No page of HTML but reports, and nothing fetched from elsewhere.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from analyzer.version import __version__
from collector.asgi_thread import AsgiThread
from collector.auth.guard import Guard
from collector.clock import SystemClock
from collector.contracts import ChangeLog, Clock, Decisions, OpenTraces, Store
from collector.contracts_people import NoteLog, RunbookLog
from collector.guarded_protocol import ServerLimits
from collector.query.access import Access
from collector.query.desk import Analyze, Desk, DrawTrace, QuerySettings, ReportGroup, ReportIncident, ReportTrace
from collector.query.middleware import QueryCounters, QueryMiddleware
from collector.query.problems import Problem, install
from collector.query.rest_analyze import analyze_routes
from collector.query.rest_changes import change_routes
from collector.query.rest_groups import group_routes
from collector.query.rest_held import held_routes
from collector.query.rest_impact import impact_routes
from collector.query.rest_incidents import incident_routes
from collector.query.rest_lists import list_routes
from collector.query.rest_notes import note_routes
from collector.query.rest_reports import report_routes
from collector.query.rest_traces import trace_routes

PREFIX = "/api/v1"


def create_app(
    store: Store,
    open_traces: OpenTraces,
    settings: QuerySettings | None = None,
    analyze: Analyze | None = None,
    *,
    draw_trace: DrawTrace | None = None,
    report_trace: ReportTrace | None = None,
    report_incident: ReportIncident | None = None,
    report_group: ReportGroup | None = None,
    stats: Callable[[], Mapping[str, float]] = dict,
    clock: Clock | None = None,
    changes: ChangeLog | None = None,
    decisions: Decisions | None = None,
    guard: Guard | None = None,
    hosts: frozenset[str] = frozenset(),
    runbooks: RunbookLog | None = None,
    notes: NoteLog | None = None,
) -> FastAPI:
    """Make the application of an instance without peers.

    Parameters
    ----------
    store : read only; called from several threads at once
    open_traces : the engine's side of "is it still open"
    settings : bounds; None takes the defaults
    analyze : request bytes, signal, encoding -> answers, nothing stored; None: POST /analyze says 501
    draw_trace : spans, logs, answer -> graph of the one trace in them; None: /graph says 501
    report_trace, report_incident, report_group : answer, incident or group -> report, written; None: /report says 501
    stats : samples shown under /stats
    changes : where changes are kept; None: /changes says 501
    clock : for windows without bounds, and for trends
    decisions : the engine's side of what people decide about groups; None: PATCH says 501
    guard : knows credentials; None: everybody may ask
    hosts : names under which we may be asked; empty: any
    runbooks : where edits of runbooks are kept; reports are expected to show them. None: /runbook says 501
    notes : where notes at frames are kept; reports are expected to show them. None: /notes says 501

    Returns
    -------
    FastAPI
        As `app_of` makes it.
    """
    desk = Desk(
        store,
        open_traces,
        clock or SystemClock(),
        settings or QuerySettings(),
        analyze,
        draw_trace,
        report_trace,
        report_incident,
        report_group,
        stats,
        changes=changes,
        decisions=decisions,
        runbooks=runbooks,
        notes=notes,
    )
    return app_of(desk, guard, hosts)


def app_of(desk: Desk, guard: Guard | None = None, hosts: frozenset[str] = frozenset()) -> FastAPI:
    """Make the application over a desk; `guard` and `hosts` as in `create_app`.

    Returns
    -------
    FastAPI
        `app.state.counters` are its `QueryCounters`; setting `app.state.stopping` ends its streams.
        More routes (pages, other APIs) may be included in it.
    """
    app = FastAPI(
        title="firstfault",
        version=__version__,
        summary="Where did the trouble begin, how sure are we, and why",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # they load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.counters = QueryCounters()
    app.add_middleware(Access, guard=guard, hosts=hosts)
    app.add_middleware(QueryMiddleware, counters=app.state.counters, requests_max=desk.settings.requests_max)
    install(app)
    stopping = app.state.stopping = threading.Event()
    for router in (
        trace_routes(desk, stopping),
        held_routes(desk),
        list_routes(desk),
        incident_routes(desk, stopping),
        *group_routes(desk),
        impact_routes(desk),
        change_routes(desk),
        note_routes(desk),
        *report_routes(desk),
        analyze_routes(desk),
    ):
        app.include_router(router, prefix=PREFIX)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Describe the API: validation errors are our problems with 400, not the framework's 422."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            license_info=app.license_info,
            routes=app.routes,
        )
        for path in schema["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        parts = schema["components"]["schemas"]
        for name in ("HTTPValidationError", "ValidationError"):
            parts.pop(name, None)
        problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        parts |= problem.pop("$defs", {}) | {"Problem": problem}
        app.openapi_schema = schema
    return app.openapi_schema


class RestServer:
    """The application on a port, in a thread of its own. `start` and `stop` belong to one owner thread."""

    def __init__(
        self,
        app: FastAPI,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        limits: ServerLimits | None = None,
    ) -> None:
        self._counters: QueryCounters = app.state.counters
        self._stopping: threading.Event = app.state.stopping
        self._server = AsgiThread(app, host, port, name="query-rest", tls=tls, limits=limits)

    def start(self) -> int:
        """Listen and return the port.

        Raises
        ------
        OSError
            The address cannot be bound.
        """
        return self._server.start()

    def stop(self, grace_s: float = 5.0) -> None:
        """End the streams, let running questions end for `grace_s`, then cut them."""
        self._stopping.set()
        self._server.stop(grace_s)

    def snapshot(self) -> dict[str, float]:
        """Counters under the names of the metric table."""
        return self._counters.snapshot()
