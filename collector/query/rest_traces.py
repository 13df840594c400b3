"""Questions about one trace: its root cause, its graph, its spans.

In: a trace id. Out: an answer that always tells which happened: finding, clean, in progress, partial, dropped,
expired or unknown (reliability.md, c).
"""

# No postponed annotations: FastAPI reads those of the routes, and they name bounds of the enclosing function.
import asyncio
import hashlib
import threading
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from analyzer.findings import Answer
from analyzer.service_graph import Graph, to_dot, to_json, to_mermaid
from collector.query.desk import Desk
from collector.query.lookup import Look
from collector.query.models import (
    ANSWER_EXAMPLE,
    GRAPH_EXAMPLE,
    OPEN_EXAMPLE,
    SPANS_EXAMPLE,
    TRACE_ID,
    ServiceGraph,
    SpanPage,
    body_of,
)
from collector.query.otlp_view import span_page
from collector.query.peer_words import HEADER
from collector.query.peers import Vigil, look_everywhere
from collector.query.problems import ProblemError, harmless, json_bytes, not_here, problem_responses
from collector.query.rest_missing import require_answer, require_name
from collector.trace_names import TEXT_PATTERN

TraceId = Annotated[
    str,
    Path(
        pattern=TEXT_PATTERN,
        description="32 hex digits, either case; behind them `@tenant` when a credential with a tenant sent it",
        openapi_examples={"trace": {"value": TRACE_ID}},
    ),
]
Asker = Annotated[str | None, Header(alias=HEADER, description="when set, this instance does not ask its peers")]
Format = Annotated[
    Literal["json", "dot", "mermaid"] | None, Query(description="wins over Accept; default json", examples=["dot"])
]
GRAPH_TYPES = {
    "json": "application/json",
    "dot": "text/vnd.graphviz; charset=utf-8",
    "mermaid": "text/vnd.mermaid; charset=utf-8",
}
_ACCEPTED = {
    "application/json": "json",
    "application/*": "json",
    "*/*": "json",
    "text/vnd.graphviz": "dot",
    "text/vnd.mermaid": "mermaid",
    "text/*": "mermaid",
    "text/plain": "mermaid",
}
_WRITERS: dict[str, Callable[[Graph], bytes]] = {
    "json": lambda graph: json_bytes(to_json(graph)),
    "dot": lambda graph: to_dot(graph).encode(),
    "mermaid": lambda graph: to_mermaid(graph).encode(),
}
_REVALIDATE = {"Cache-Control": "no-cache"}  # a late span makes a new revision: keep, but ask


def trace_routes(desk: Desk, stopping: threading.Event) -> APIRouter:
    """Routes below /traces; who waits for a verdict waits no longer when `stopping` is set."""
    router = APIRouter(prefix="/traces", tags=["traces"])
    settings = desk.settings

    @router.get(
        "/{trace_id}/root-cause",
        summary="Where did the trouble of this trace begin",
        response_model=None,
        responses={
            200: body_of(Answer, ANSWER_EXAMPLE, "The answer: a finding, or clean. `ETag` changes with the revision"),
            202: body_of(Answer, OPEN_EXAMPLE, "The trace is still open; the answer so far. `Retry-After` says when"),
            304: {"description": "The answer is still the one of If-None-Match"},
            **problem_responses(400, 404, 409, 410, 503),
        },
    )
    async def root_cause(
        request: Request,
        trace_id: TraceId,
        wait: Annotated[
            float,
            Query(ge=0, allow_inf_nan=False, description="seconds to wait for the verdict; longer waits are cut to 30"),
        ] = 0.0,
        if_none_match: Annotated[str | None, Header()] = None,
        asker: Asker = None,
    ) -> Response:
        """Answer for one trace: ranked root causes with evidence, the causal chain, roles, latency, completeness.

        Waits until the verdict is stored when asked to. 404: never seen. 410: it was here and was dropped, or
        retention took it; the problem's `type` says which. 503 with `peers_silent`: it is not here, and another
        instance did not say whether it is there.
        """
        wait_s = min(wait, settings.wait_max_s)
        found = await _wait_for(desk, request, require_name(desk, request, trace_id), wait_s, bool(asker), stopping)
        answer = require_answer(found, settings.retry_after_s)
        body = harmless(answer.model_dump_json().encode())
        if found.state == "open":
            headers = {"Retry-After": str(settings.retry_after_s), "Cache-Control": "no-store"}
            return Response(body, 202, headers, "application/json")
        return _tagged(body, answer.revision, "application/json", if_none_match)

    @router.get(
        "/{trace_id}/graph",
        summary="Services of this trace and the calls between them",
        response_model=None,
        responses={
            200: body_of(ServiceGraph, GRAPH_EXAMPLE, "The graph; DOT or Mermaid text when asked for"),
            304: {"description": "The graph is still the one of If-None-Match"},
            **problem_responses(400, 404, 406, 409, 410, 501, 503),
        },
    )
    def graph(
        request: Request,
        trace_id: TraceId,
        format: Format = None,
        accept: Annotated[str | None, Header()] = None,
        if_none_match: Annotated[str | None, Header()] = None,
        asker: Asker = None,
    ) -> Response:
        """Draw the trace. Parties without spans (databases, queues, peers) are nodes with the reason they are there;
        every edge names the rule that saw its calls; root causes and the causal chain are marked."""
        written = choose_format(format, accept)
        if desk.draw_trace is None:
            raise not_here("no_graphs", "No graphs here", "an analyzer")
        found, otlp = _require_spans(desk, require_name(desk, request, trace_id), bool(asker))
        assert found.found is not None
        drawn = desk.draw_trace(otlp, found.found.logs_otlp, found.answer)
        drawn.graph["trace_id"] = found.trace_id
        revision = found.answer.revision if found.answer else 0
        return _tagged(_WRITERS[written](drawn), revision, GRAPH_TYPES[written], if_none_match)

    @router.get(
        "/{trace_id}/spans",
        summary="Spans of this trace as OTLP/JSON, with their roles",
        response_model=None,
        responses={
            200: body_of(SpanPage, SPANS_EXAMPLE, "A page of spans"),
            304: {"description": "The page is still the one of If-None-Match"},
            **problem_responses(400, 404, 409, 410, 503),
        },
    )
    def spans(
        request: Request,
        trace_id: TraceId,
        limit: Annotated[int, Query(ge=1, le=settings.spans_max, description="spans of a page")] = min(
            1_000, settings.spans_max
        ),
        offset: Annotated[int, Query(ge=0, le=2**31, description="next_offset of the page before")] = 0,
        if_none_match: Annotated[str | None, Header()] = None,
        asker: Asker = None,
    ) -> Response:
        """Spans as they were sent. A page also ends at a size in bytes; `next_offset` goes on."""
        found, otlp = _require_spans(desk, require_name(desk, request, trace_id), bool(asker))
        page = span_page(otlp, offset, limit, settings.page_bytes_max)
        roles = {role.span_id: role.role for role in found.answer.roles} if found.answer else {}
        revision = found.answer.revision if found.answer else 0
        body = json_bytes(
            {
                "trace_id": found.trace_id,
                "revision": revision,
                "span_count": page.span_count,
                "offset": offset,
                "next_offset": page.next_offset,
                "roles": {span_id: roles[span_id] for span_id in page.span_ids if span_id in roles},
                "resourceSpans": page.resource_spans,
            }
        )
        return _tagged(body, revision, "application/json", if_none_match)

    return router


def choose_format(wanted: str | None, accept: str | None) -> str:
    """Pick json, dot or mermaid: the parameter first, then Accept by its weights.

    Raises
    ------
    ProblemError
        406: nothing of Accept can be made.
    """
    if wanted is not None:
        return wanted
    if not accept:
        return "json"
    weighted: list[tuple[float, int, str]] = []
    for place, part in enumerate(accept.split(",")[:32]):
        kind, *parameters = [word.strip().lower() for word in part.split(";")]
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        if kind in _ACCEPTED and weight > 0:
            weighted.append((-weight, place, _ACCEPTED[kind]))
    if not weighted:
        raise ProblemError(
            406,
            "not_acceptable",
            "Not acceptable",
            "none of the accepted types can be made",
            found=accept,
            expected="application/json, text/vnd.graphviz or text/vnd.mermaid",
            do="change Accept, or ask with format=json, dot or mermaid",
        )
    return min(weighted)[2]


async def _wait_for(
    desk: Desk, request: Request, name: bytes, wait_s: float, alone: bool, stopping: threading.Event
) -> Look:
    """Look until the verdict is there or the time is over; holds no thread while it waits."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + wait_s
    vigil = Vigil(desk, name, alone=alone)
    while wait_s > 0 and not stopping.is_set():
        over = await run_in_threadpool(vigil.over)
        left = deadline - loop.time()
        if over or left <= 0 or await request.is_disconnected():
            break
        await asyncio.sleep(min(desk.settings.poll_s, left))
    return await run_in_threadpool(look_everywhere, desk, name, alone=alone)


def _require_spans(desk: Desk, name: bytes, alone: bool) -> tuple[Look, bytes]:
    found = look_everywhere(desk, name, alone=alone)
    if found.state == "open":
        raise ProblemError(
            404,
            "trace_open",
            "Trace still open",
            "its spans can be shown when it is decided",
            found=found.name,
            expected="a trace that has been decided",
            do="ask again after the time in Retry-After; /root-cause has the answer so far",
            headers={"Retry-After": str(desk.settings.retry_after_s)},
        )
    require_answer(found, desk.settings.retry_after_s)
    otlp = found.found.trace_otlp if found.found else None
    if otlp is None:
        raise ProblemError(
            404,
            "spans_not_kept",
            "Spans not kept",
            "the trace was analysed, but its spans were not kept: it had nothing to say, or retention took them",
            found=found.name,
            expected="a trace with a finding, or one of the clean traces that are kept",
            do="keep more clean traces with storage.clean_traces_per_second",
        )
    return found, otlp


def _tagged(body: bytes, revision: int, media_type: str, if_none_match: str | None) -> Response:
    """Answer with an ETag of revision and content; 304 when the client has it."""
    tag = f'"r{revision}-{hashlib.blake2b(body, digest_size=8).hexdigest()}"'
    headers: dict[str, Any] = {"ETag": tag, "Vary": "Accept"} | _REVALIDATE
    known = {part.strip().removeprefix("W/") for part in (if_none_match or "").split(",")}
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(body, 200, headers, media_type)
