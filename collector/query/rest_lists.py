"""Questions about many traces: findings, services, the service graph of a window, and what this firstfault is.

In: filters and a window of time. Out: bounded pages; what was left out is counted in them.
"""

# No postponed annotations: FastAPI reads those of the routes, and they name bounds of the enclosing function.
import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import TypeAdapter

from analyzer.findings import SCHEMA_VERSION, answer_schema
from analyzer.service_graph import aggregate, to_dot, to_json, to_mermaid
from analyzer.spans import SpanKind
from analyzer.version import __version__
from collector.contracts import FindingQuery, Rollup
from collector.query.access import tenant_asking
from collector.query.desk import Desk
from collector.query.models import (
    ANSWER_EXAMPLE,
    FINDINGS_EXAMPLE,
    GRAPH_EXAMPLE,
    SERVICES_EXAMPLE,
    STATS_EXAMPLE,
    FindingList,
    OperationLine,
    ServiceGraph,
    ServiceLine,
    ServiceList,
    Stats,
    body_of,
)
from collector.query.problems import ProblemError, harmless, json_bytes, problem_responses, shown
from collector.query.rest_traces import GRAPH_TYPES, Format, choose_format

_ENTERING = (SpanKind.SERVER, SpanKind.CONSUMER)
_INT64_MAX = 2**63 - 1
_TIME: dict[str, Any] = {
    "max_length": 64,
    "description": "Unix nanoseconds, or RFC 3339 with an offset",
    "examples": ["2025-10-09T08:53:20Z", "1760000000000000000"],
}
From = Annotated[str | None, Query(alias="from", **_TIME)]
To = Annotated[str | None, Query(alias="to", **_TIME)]
_NAME_MAX = 1024
_FINDING_LIST = TypeAdapter(FindingList)


def list_routes(desk: Desk) -> APIRouter:
    """Routes that list."""
    router = APIRouter()
    settings = desk.settings

    @router.get(
        "/findings",
        tags=["findings"],
        summary="Findings, newest first",
        response_model=None,
        responses={200: body_of(FindingList, FINDINGS_EXAMPLE, "A page"), **problem_responses(400, 503)},
    )
    def findings(
        request: Request,
        service: Annotated[
            str | None, Query(max_length=_NAME_MAX, description="service of the culprit", examples=["payment"])
        ] = None,
        verdict: Annotated[Literal["error", "latency", "structure", "mixed"] | None, Query()] = None,
        rule: Annotated[
            str | None,
            Query(max_length=_NAME_MAX, description="the rule that decided", examples=["error.origin.local"]),
        ] = None,
        from_: From = None,
        to: To = None,
        limit: Annotated[int, Query(ge=1, le=settings.findings_max)] = min(100, settings.findings_max),
        cursor: Annotated[str | None, Query(max_length=256, description="next_cursor of the page before")] = None,
    ) -> Response:
        """One line a finding, of the best root cause. Follow `next_cursor` until it is null."""
        page = desk.store.findings(
            FindingQuery(
                service=service,
                verdict=verdict,
                rule=rule,
                from_ns=read_time("from", from_),
                to_ns=read_time("to", to),
                limit=limit,
                cursor=cursor,
                tenant=tenant_asking(request),
            )
        )
        body = FindingList(findings=page.rows, next_cursor=page.next_cursor)
        return _json(harmless(_FINDING_LIST.dump_json(body)))

    @router.get(
        "/services",
        tags=["services"],
        summary="Services of a window: rate, errors, latency",
        response_model=None,
        responses={200: body_of(ServiceList, SERVICES_EXAMPLE, "Services"), **problem_responses(400, 503)},
    )
    def services(
        service: Annotated[str | None, Query(max_length=_NAME_MAX, description="only this one")] = None,
        from_: From = None,
        to: To = None,
        limit: Annotated[int, Query(ge=1, le=settings.services_max)] = min(100, settings.services_max),
    ) -> Response:
        """Sums over whole minutes, the most called service first. Default window: the last hour."""
        from_ns, to_ns = window(desk, from_, to)
        rollups = desk.store.services(from_ns, to_ns)
        lines = sum_services(rollups, (to_ns - from_ns) / 1e9, settings.operations_max, service)
        body = ServiceList(
            from_ns=from_ns, to_ns=to_ns, services=lines[:limit], services_left_out=max(0, len(lines) - limit)
        )
        return _json(json_bytes(body.model_dump()))

    @router.get(
        "/service-graph",
        tags=["services"],
        summary="Services of a window and the calls between them",
        response_model=None,
        responses={
            200: body_of(ServiceGraph, GRAPH_EXAMPLE | {"kind": "window", "trace_id": ""}, "The graph"),
            **problem_responses(400, 406, 503),
        },
    )
    def service_graph(
        from_: From = None,
        to: To = None,
        format: Format = None,
        accept: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Sums of all analysed traces, clean ones too. Databases, queues and peers without spans are inferred nodes."""
        written = choose_format(format, accept)
        from_ns, to_ns = window(desk, from_, to)
        graph = aggregate(desk.store.edges(from_ns, to_ns), desk.store.services(from_ns, to_ns))
        if written == "json":
            return _json(json_bytes(to_json(graph) | {"from_ns": from_ns, "to_ns": to_ns}))
        text = to_dot(graph) if written == "dot" else to_mermaid(graph)
        return Response(text, 200, {"Cache-Control": "no-store", "Vary": "Accept"}, GRAPH_TYPES[written])

    @router.get(
        "/schema",
        tags=["about"],
        summary="JSON Schema of an answer",
        response_model=None,
        responses={
            200: {"description": "JSON Schema", "content": {"application/json": {"example": {"title": "Answer"}}}}
        },
    )
    def schema() -> Response:
        """The same answer is what gRPC, exports and reports carry; fields are added, never renamed."""
        return _json(json_bytes(answer_schema() | {"examples": [ANSWER_EXAMPLE]}))

    @router.get(
        "/stats",
        tags=["about"],
        summary="What this firstfault is and holds",
        response_model=None,
        responses={200: body_of(Stats, STATS_EXAMPLE, "Counters"), **problem_responses(503)},
    )
    def stats() -> Response:
        """Version, messages waiting to be exported, and the counters of /metrics as plain JSON."""
        body = Stats(
            engine_version=__version__,
            schema_version=SCHEMA_VERSION,
            outbox_count=desk.store.outbox_count(),
            counters=dict(desk.stats()),
        )
        return _json(json_bytes(body.model_dump()))

    return router


_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def read_time(name: str, text: str | None) -> int | None:
    """Read Unix nanoseconds or RFC 3339, to the nanosecond.

    Raises
    ------
    ProblemError
        400: neither, or outside int64 nanoseconds.
    """
    if text is None:
        return None
    found = None
    if re.fullmatch(r"-?\d{1,19}", text, re.ASCII):
        found = int(text)
    elif match := _RFC3339.fullmatch(text):
        day, clock, fraction, zone = match.groups()
        try:
            moment = datetime.fromisoformat(f"{day}T{clock}{zone.upper().replace('Z', '+00:00')}") - _EPOCH
            found = (moment.days * 86_400 + moment.seconds) * 10**9 + int((fraction or "").ljust(9, "0") or 0)
        except (ValueError, OverflowError):
            found = None
    if found is None or abs(found) > _INT64_MAX:
        raise ProblemError(
            400,
            "bad_time",
            "Time cannot be read",
            f"query.{name} is {shown(text)!r}",
            found=text,
            expected="Unix nanoseconds, or RFC 3339 such as 2025-10-09T08:53:20Z",
            do="send one of the two; in a URL a plus sign is %2B",
        )
    return found


def window(desk: Desk, from_: str | None, to: str | None) -> tuple[int, int]:
    """Return the window in nanoseconds; without bounds it is the last hour.

    Raises
    ------
    ProblemError
        400: it is empty, or longer than the bound.
    """
    settings = desk.settings
    to_ns = read_time("to", to)
    from_ns = read_time("from", from_)
    if to_ns is None:
        to_ns = desk.clock.now_ns()
    if from_ns is None:
        from_ns = to_ns - int(settings.window_default_s * 1e9)
    longest = int(settings.window_max_s * 1e9)
    if not 0 < to_ns - from_ns <= longest:
        raise ProblemError(
            400,
            "bad_window",
            "Window cannot be used",
            f"from {from_ns} to {to_ns} is {(to_ns - from_ns) / 1e9:.0f} s long",
            found=f"{(to_ns - from_ns) / 1e9:.0f} s",
            expected=f"more than 0 and at most {settings.window_max_s:.0f} s",
            do="give from before to, and ask for a long time in parts",
        )
    return from_ns, to_ns


def sum_services(
    rollups: Iterable[Rollup], seconds: float, operations_max: int, only: str | None = None
) -> list[ServiceLine]:
    """Sum operations to services, the most called first.

    A service is measured by the spans that enter it; by all of its spans when it has none of these
    (a batch job, or spans without kinds).
    """
    by_service: dict[str, list[Rollup]] = defaultdict(list)
    for rollup in rollups:
        if only is None or rollup.service == only:
            by_service[rollup.service].append(rollup)
    lines = []
    for service, parts in by_service.items():
        entering = [part for part in parts if part.kind in _ENTERING] or parts
        count = sum(part.count for part in entering)
        errors = sum(part.error_count for part in entering)
        operations = sorted(parts, key=lambda part: (-part.count, part.operation, part.kind))
        lines.append(
            ServiceLine(
                service=service,
                count=count,
                error_count=errors,
                error_share=errors / count if count else 0.0,
                rate_per_s=count / seconds,
                duration_mean_ns=sum(part.duration_sum_ns for part in entering) // max(1, count),
                duration_max_ns=max(part.duration_max_ns for part in entering),
                operations=[_operation(part, seconds) for part in operations[:operations_max]],
                operations_left_out=max(0, len(operations) - operations_max),
            )
        )
    return sorted(lines, key=lambda line: (-line.count, line.service))


def _operation(rollup: Rollup, seconds: float) -> OperationLine:
    known = rollup.kind in SpanKind.__members__.values()
    return OperationLine(
        operation=rollup.operation,
        kind=SpanKind(rollup.kind).name if known else "UNSPECIFIED",
        count=rollup.count,
        error_count=rollup.error_count,
        rate_per_s=rollup.count / seconds,
        duration_mean_ns=rollup.duration_sum_ns // max(1, rollup.count),
        duration_max_ns=rollup.duration_max_ns,
    )


def _json(body: bytes) -> Response:
    return Response(body, 200, {"Cache-Control": "no-store"}, "application/json")
