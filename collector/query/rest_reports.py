"""Reports over REST: of one trace, one incident, one group of errors; as JSON, Markdown, HTML or monitors as code.

In: an id and a format. Out: the report. HTML is self-contained and brings its own content security policy: the one
style element by its hash, nothing else.
"""

# No postponed annotations: FastAPI reads those of the routes, and they name bounds of the enclosing function.
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Response

from analyzer.reports.html import CONTENT_SECURITY_POLICY
from analyzer.reports.model import Report
from collector.query.desk import Desk
from collector.query.models import TRACE_ID, body_of
from collector.query.peer_words import HEADER
from collector.query.problems import harmless, problem_responses
from collector.query.report_writer import GroupId, IncidentId, ReportWriter, TraceId
from collector.query.rest_runbooks import runbook_routes

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


def report_routes(desk: Desk) -> tuple[APIRouter, APIRouter]:
    """Routes /traces/{trace_id}/report, /incidents/{incident_id}/report and /groups/{group_id}/report; and /runbook."""
    router = APIRouter()
    writer = ReportWriter(desk)

    @router.get(
        "/traces/{trace_id}/report",
        tags=["traces"],
        summary="The report of this trace: summary, cause, evidence, fix, tests, prevention, monitoring, runbook",
        response_model=None,
        responses={200: _BODY, **problem_responses(400, 404, 410, 501, 503)},
    )
    def trace_report(
        trace_id: TraceId,
        format: Format = "json",
        asker: Annotated[
            str | None, Header(alias=HEADER, description="when set, this instance does not ask its peers")
        ] = None,
    ) -> Response:
        """All eight deliverables are always there; what is not known says so. Without spans there is no fixture."""
        return _written(writer.of_trace(trace_id, format, alone=bool(asker)), format)

    @router.get(
        "/incidents/{incident_id}/report",
        tags=["incidents"],
        summary="The report of this incident",
        response_model=None,
        responses={200: _BODY, **problem_responses(400, 404, 501, 503)},
    )
    def incident_report(incident_id: IncidentId, format: Format = "json") -> Response:
        """Who and since when from the incident; pattern, location and fixture from an example trace that is kept."""
        return _written(writer.of_incident(incident_id, format), format)

    @router.get(
        "/groups/{group_id}/report",
        tags=["errors"],
        summary="The report of this group of errors",
        response_model=None,
        responses={200: _BODY, **problem_responses(400, 404, 501, 503)},
    )
    def group_report(group_id: GroupId, format: Format = "json") -> Response:
        """Counts, releases and times of the group; pattern, location and fixture from an example that is kept."""
        return _written(writer.of_group(group_id, format), format)

    return router, runbook_routes(desk, writer)


def _written(body: str, format: str) -> Response:
    headers = {"Cache-Control": "no-cache"}
    if format == "html":
        headers["Content-Security-Policy"] = f"{CONTENT_SECURITY_POLICY}; frame-ancestors 'none'"
    raw = body.encode("utf-8", "replace")
    return Response(harmless(raw) if TYPES[format] == "application/json" else raw, 200, headers, TYPES[format])
