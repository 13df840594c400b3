"""What this instance itself holds of a trace, as its peers ask for it.

In: a trace id and which part. Out: a `Held` as JSON. In threads of its own: questions that wait for peers must not keep
peers waiting, or all would wait for one another.
"""

# No postponed annotations: FastAPI reads those of the routes.
from typing import Annotated, Literal

import anyio
from fastapi import APIRouter, Header, Query, Response

from collector.query.desk import Desk
from collector.query.models import HELD_EXAMPLE, body_of
from collector.query.peer_words import HEADER, Held
from collector.query.peers import hold
from collector.query.problems import harmless, problem_responses
from collector.query.rest_traces import TraceId
from collector.trace_names import read_name


def held_routes(desk: Desk) -> APIRouter:
    """Route /traces/{trace_id}/held."""
    router = APIRouter(prefix="/traces", tags=["traces"])
    settings = desk.settings
    limiters: dict[str, anyio.CapacityLimiter] = {}

    def limiter(part: str) -> anyio.CapacityLimiter:
        # Made here, in the event loop. Merging asks peers for wholes, wholes ask nobody: no circle.
        if part not in limiters:
            limiters[part] = anyio.CapacityLimiter(settings.sketches_max if part == "sketch" else settings.wholes_max)
        return limiters[part]

    @router.get(
        "/{trace_id}/held",
        summary="What this instance itself holds of this trace; its peers ask this",
        response_model=None,
        responses={200: body_of(Held, HELD_EXAMPLE, "What is held, or why not"), **problem_responses(400, 503)},
    )
    async def held(
        trace_id: TraceId,
        part: Annotated[
            Literal["sketch", "whole", "merged"],
            Query(description="sketch: without answer and spans; merged: with what the peers of this instance hold"),
        ] = "sketch",
        asker: Annotated[str | None, Header(alias=HEADER)] = None,
    ) -> Response:
        """Answers 200 whatever happened to the trace; `state` says it. Spans and logs are OTLP protobuf in base64."""
        if asker == desk.identity.instance:  # this instance has met itself
            found = Held(name=desk.identity.name, instance=desk.identity.instance, state="unknown")
        else:
            found = await anyio.to_thread.run_sync(hold, desk, read_name(trace_id), part, limiter=limiter(part))
        body = harmless(found.model_dump_json().encode())
        return Response(body, 200, {"Cache-Control": "no-store"}, "application/json")

    return router
