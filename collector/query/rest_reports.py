"""Reports over REST: of one trace, one incident, one group of errors; as JSON, Markdown, HTML or monitors as code.

In: an id and a format. Out: the report. HTML is self-contained and brings its own content security policy: the one
style element by its hash, nothing else.
"""

# No postponed annotations: FastAPI reads those of the routes, and they name bounds of the enclosing function.
import threading
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Query, Response

from analyzer.reports.html import CONTENT_SECURITY_POLICY
from analyzer.reports.model import Report
from collector.errors import OverloadedError
from collector.query.desk import Desk
from collector.query.lookup import read_trace_id
from collector.query.models import TRACE_ID, body_of
from collector.query.models_groups import GROUP_ID
from collector.query.models_incidents import INCIDENT_ID
from collector.query.peer_words import HEADER
from collector.query.peers import look_everywhere
from collector.query.problems import ProblemError, harmless, problem_responses
from collector.query.rest_groups import group_not_known, read_group_id
from collector.query.rest_missing import require_answer, require_incident

Format = Annotated[
    Literal["json", "markdown", "html", "monitors"],
    Query(description="default json; monitors: rules, alerts and queries as code, in JSON", examples=["html"]),
]
TYPES = {
    "json": "application/json",
    "markdown": "text/markdown; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "monitors": "application/json",
}
_EXAMPLE = {"schema_version": "1", "subject": "trace", "subject_id": TRACE_ID, "title": "gateway GET /checkout failed"}
_BODY = body_of(Report, _EXAMPLE, "The report: eight deliverables, five whys, timeline, messages, review draft")


def report_routes(desk: Desk) -> APIRouter:
    """Routes /traces/{trace_id}/report, /incidents/{incident_id}/report and /groups/{group_id}/report."""
    router = APIRouter()
    desks = _Desks(desk.settings.reports_max)

    @router.get(
        "/traces/{trace_id}/report",
        tags=["traces"],
        summary="The report of this trace: summary, cause, evidence, fix, tests, prevention, monitoring, runbook",
        response_model=None,
        responses={200: _BODY, **problem_responses(400, 404, 410, 501, 503)},
    )
    def trace_report(
        trace_id: Annotated[
            str,
            Path(
                pattern="^[0-9a-fA-F]{32}$",
                description="32 hex digits, either case",
                openapi_examples={"trace": {"value": TRACE_ID}},
            ),
        ],
        format: Format = "json",
        asker: Annotated[
            str | None, Header(alias=HEADER, description="when set, this instance does not ask its peers")
        ] = None,
    ) -> Response:
        """All eight deliverables are always there; what is not known says so. Without spans there is no fixture."""
        if desk.report_trace is None:
            raise _no_reports()
        found = look_everywhere(desk, read_trace_id(trace_id), alone=bool(asker))
        answer = require_answer(found, desk.settings.retry_after_s)
        otlp = found.found.trace_otlp if found.found else None
        logs = found.found.logs_otlp if found.found else None
        with desks:
            return _written(desk.report_trace(answer, otlp, logs, format), format)

    @router.get(
        "/incidents/{incident_id}/report",
        tags=["incidents"],
        summary="The report of this incident",
        response_model=None,
        responses={200: _BODY, **problem_responses(400, 404, 501, 503)},
    )
    def incident_report(
        incident_id: Annotated[
            str, Path(description="32 hex digits", openapi_examples={"incident": {"value": INCIDENT_ID}})
        ],
        format: Format = "json",
    ) -> Response:
        """Who and since when from the incident; pattern, location and fixture from an example trace that is kept."""
        if desk.report_incident is None:
            raise _no_reports()
        incident = require_incident(desk, incident_id)
        with desks:
            return _written(desk.report_incident(incident, format), format)

    @router.get(
        "/groups/{group_id}/report",
        tags=["errors"],
        summary="The report of this group of errors",
        response_model=None,
        responses={200: _BODY, **problem_responses(400, 404, 501, 503)},
    )
    def group_report(
        group_id: Annotated[str, Path(description="16 hex digits", openapi_examples={"group": {"value": GROUP_ID}})],
        format: Format = "json",
    ) -> Response:
        """Counts, releases and times of the group; pattern, location and fixture from an example that is kept."""
        if desk.report_group is None:
            raise _no_reports()
        wanted = read_group_id(group_id)
        group = desk.store.group(wanted)
        if group is None:
            raise group_not_known(wanted)
        with desks:
            return _written(desk.report_group(group, format), format)

    return router


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
    return ProblemError(
        501,
        "no_reports",
        "No reports here",
        "this firstfault was started without an analyzer",
        do="ask one that was started with `firstfault serve`",
    )


def _written(body: str, format: str) -> Response:
    headers = {"Cache-Control": "no-cache"}
    if format == "html":
        headers["Content-Security-Policy"] = f"{CONTENT_SECURITY_POLICY}; frame-ancestors 'none'"
    raw = body.encode("utf-8", "replace")
    return Response(harmless(raw) if TYPES[format] == "application/json" else raw, 200, headers, TYPES[format])
