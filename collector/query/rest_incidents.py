"""Questions about incidents: what is breaking the system now, or was.

In: filters, an id. Out: incidents, or a stream of server-sent events with every incident that opens, changes or closes.
"""

# No postponed annotations: FastAPI reads those of the routes, and they name bounds of the enclosing function.
import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from analyzer.digits import is_number
from analyzer.incident_words import Incident
from collector.contracts import IncidentChange, IncidentQuery
from collector.errors import OverloadedError
from collector.query.desk import Desk
from collector.query.incidents import LIMIT_DEFAULT, IncidentChanges
from collector.query.models import body_of
from collector.query.models_incidents import INCIDENT_EXAMPLE, INCIDENT_ID, WATCH_EXAMPLE, IncidentList
from collector.query.problems import harmless, problem_responses
from collector.query.rest_missing import require_incident

_NAME_MAX = 1024
_QUIET_LOOKS = 30  # looks without news before a comment is sent: proxies and clients see that it is alive
_LIST = TypeAdapter(IncidentList)
Status = Annotated[Literal["open", "closed"] | None, Query(description="open: it goes on")]
Service = Annotated[
    str | None, Query(max_length=_NAME_MAX, description="shows symptoms, or is suspected", examples=["payment"])
]


def incident_routes(desk: Desk, stopping: threading.Event) -> APIRouter:
    """Routes below /incidents; streams end when `stopping` is set."""
    router = APIRouter(prefix="/incidents", tags=["incidents"])
    settings = desk.settings
    streams = _Streams(settings.streams_max)

    @router.get(
        "",
        summary="Incidents, newest onset first",
        response_model=None,
        responses={
            200: body_of(IncidentList, {"incidents": [INCIDENT_EXAMPLE]}, "Incidents"),
            **problem_responses(400, 503),
        },
    )
    def incidents(
        status: Status = None,
        service: Service = None,
        limit: Annotated[int, Query(ge=1, le=settings.incidents_max)] = min(LIMIT_DEFAULT, settings.incidents_max),
    ) -> Response:
        """What is breaking the system now (`status=open`), or was: cause, victims, counts, timeline, example traces."""
        found = desk.store.incidents(IncidentQuery(status=status, service=service, limit=limit))
        return _json(_LIST.dump_json(IncidentList(incidents=found)))

    @router.get(
        "/watch",
        summary="Incidents as they open, change and close (server-sent events)",
        response_model=None,
        response_class=StreamingResponse,
        responses={
            200: {
                "description": "Events `incident`: `id` is the number of the change, `data` an Incident",
                "content": {"text/event-stream": {"example": WATCH_EXAMPLE}},
            },
            **problem_responses(400, 503),
        },
    )
    async def watch(
        request: Request,
        status: Status = None,
        service: Service = None,
        after: Annotated[
            int | None, Query(ge=0, description="number of the last change seen; default: what changes from now on")
        ] = None,
        last_event_id: Annotated[str | None, Header(description="sent by a browser that connects again")] = None,
    ) -> Response:
        """Stays open. A slow reader gets each incident as it is when it reads; revisions in between are left out."""
        if after is None and last_event_id is not None and is_number(last_event_id):
            after = int(last_event_id[:18])
        streams.enter()
        try:
            changes = await run_in_threadpool(IncidentChanges, desk, status, service, after)
        except BaseException:
            streams.leave()
            raise
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        events = _events(request, changes, settings.watch_poll_s, stopping, streams)
        return StreamingResponse(events, 200, headers, "text/event-stream")

    @router.get(
        "/{incident_id}",
        summary="One incident",
        response_model=None,
        responses={
            200: body_of(Incident, INCIDENT_EXAMPLE, "The incident as it is now; `revision` grows with every change"),
            **problem_responses(400, 404, 503),
        },
    )
    def incident(
        incident_id: Annotated[
            str, Path(description="32 hex digits", openapi_examples={"incident": {"value": INCIDENT_ID}})
        ],
    ) -> Response:
        """Suspects with evidence, who suffers, how many requests, what happened in order, traces to open."""
        found = require_incident(desk, incident_id)
        return _json(found.model_dump_json().encode())

    return router


class _Streams:
    """How many watch. Owner: the event loop."""

    def __init__(self, most: int) -> None:
        self._most, self._count = most, 0

    def enter(self) -> None:
        if self._count >= self._most:
            raise OverloadedError(f"{self._most} watchers of incidents are here; that is the bound", "watchers")
        self._count += 1

    def leave(self) -> None:
        self._count -= 1


async def _events(
    request: Request, changes: IncidentChanges, poll_s: float, stopping: threading.Event, streams: _Streams
) -> AsyncIterator[bytes]:
    try:
        yield b": watching\n\n"
        quiet = 0
        while not stopping.is_set() and not await request.is_disconnected():
            found = await run_in_threadpool(changes.take)
            for change in found:
                yield event_of(change)
            quiet = 0 if found else quiet + 1
            if quiet >= _QUIET_LOOKS:
                quiet = 0
                yield b": still here\n\n"
            await asyncio.sleep(poll_s)
    finally:
        streams.leave()


def event_of(change: IncidentChange) -> bytes:
    """Write one change as a server-sent event; JSON has no line ends of its own."""
    data = harmless(change.incident.model_dump_json().encode())
    return b"event: incident\nid: %d\ndata: %s\n\n" % (change.sequence, data)


def _json(body: bytes) -> Response:
    return Response(harmless(body), 200, {"Cache-Control": "no-store"}, "application/json")
