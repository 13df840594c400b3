"""POST /analyze: spans, or what people have without them, in; answers out; nothing stored.

In: an ExportTraceServiceRequest, protobuf or JSON; or text: an error message, a stack trace, a log of JSON lines; plain
or gzip. Out: an answer per trace, or one for the text; with the evidence that was there and that was missing. The body
is counted while it comes, and while it is unpacked; at most `analyses_max` run at the same time.
"""

# No postponed annotations: FastAPI reads those of the routes, and they name bounds of the enclosing function.
import threading
import zlib
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from starlette.concurrency import run_in_threadpool

from analyzer.errors.text_words import kinds
from collector.contracts import Encoding, Signal
from collector.errors import BadRequestError, OverloadedError, TooLargeError, UnsupportedError
from collector.query.desk import Desk
from collector.query.models import ANSWER_EXAMPLE, TRACE_ID, Analysed, body_of
from collector.query.problems import json_bytes, not_here, problem_responses, shown

_ENCODINGS = {"application/x-protobuf": Encoding.PROTOBUF, "application/json": Encoding.JSON}
_TEXTS = ("text/plain", "application/x-ndjson")
_REQUEST_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "ExportTraceServiceRequest (OTLP), or text; Content-Encoding identity or gzip",
        "content": {
            "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
            "text/plain": {
                "schema": {"type": "string", "description": "an error message or a stack trace"},
                "example": "TimeoutException: Operation timed out after 30000ms",
            },
            "application/x-ndjson": {
                "schema": {"type": "string", "description": "log records, a JSON object a line"},
                "example": '{"level":"ERROR","message":"charge failed","service":"payment"}',
            },
            "application/json": {
                "schema": {"type": "object", "properties": {"resourceSpans": {"type": "array"}}},
                "example": {
                    "resourceSpans": [
                        {
                            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "payment"}}]},
                            "scopeSpans": [
                                {
                                    "spans": [
                                        {
                                            "traceId": TRACE_ID,
                                            "spanId": "00f067aa0ba902b7",
                                            "name": "Charge",
                                            "kind": 2,
                                            "startTimeUnixNano": "1760000000050000000",
                                            "endTimeUnixNano": "1760000000090000000",
                                            "status": {"code": 2},
                                        }
                                    ]
                                }
                            ],
                        }
                    ]
                },
            },
        },
    }
}


_EXAMPLE: dict[str, Any] = {
    "answers": [ANSWER_EXAMPLE],
    "answers_left_out": 0,
    "evidence": {"present": ["trace"], "missing": [{"kind": "log", "would_tell": "how often it happens"}]},
}


def analyze_routes(desk: Desk) -> APIRouter:
    """The one route that takes spans."""
    router = APIRouter()
    settings = desk.settings
    room = threading.BoundedSemaphore(settings.analyses_max)

    @router.post(
        "/analyze",
        tags=["analyze"],
        summary="Analyse spans, a message, a stack trace or a log without storing them",
        response_model=None,
        openapi_extra=_REQUEST_BODY,
        responses={
            200: body_of(Analysed, _EXAMPLE, "An answer per trace, or `text`"),
            **problem_responses(400, 413, 415, 501, 503),
        },
    )
    async def analyze(
        request: Request,
        content_type: Annotated[str | None, Header(include_in_schema=False)] = None,
        content_encoding: Annotated[str | None, Header(include_in_schema=False)] = None,
    ) -> Response:
        """Each trace of the body is taken as whole. Baselines that were learned are used; nothing is learned."""
        if desk.analyze is None:
            raise not_here("no_analyzer", "No analyzer here", "an analyzer")
        kind = (content_type or "").partition(";")[0].strip().lower()
        encoding = None if kind in _TEXTS else _encoding(content_type)
        packed = await _body(request, settings.body_bytes_max)
        payload = _unpack(packed, content_encoding, settings.body_bytes_max)
        if not room.acquire(blocking=False):
            raise OverloadedError(f"{settings.analyses_max} analyses are running; that is the bound")
        try:
            if encoding is None:
                return _json(await run_in_threadpool(_of_text, payload))
            answers = await run_in_threadpool(desk.analyze, payload, Signal.TRACES, encoding)
        finally:
            room.release()
        shown_answers = answers[: settings.answers_max]
        body = {
            "answers": [answer.model_dump() for answer in shown_answers],
            "answers_left_out": len(answers) - len(shown_answers),
            "evidence": kinds(["trace"]).model_dump(),
        }
        return _json(body)

    return router


def _of_text(payload: bytes) -> dict[str, Any]:
    from collector.text_analysis import analyze_text  # with numba; only who brings a text needs it

    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise BadRequestError(f"byte {error.start} is not UTF-8; send the text as UTF-8") from error
    found = analyze_text(text)
    evidence = found.evidence.model_dump()
    return {"answers": [], "answers_left_out": 0, "text": found.model_dump(exclude={"evidence"}), "evidence": evidence}


def _json(body: dict[str, Any]) -> Response:
    return Response(json_bytes(body), 200, {"Cache-Control": "no-store"}, "application/json")


def _encoding(content_type: str | None) -> Encoding:
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind not in _ENCODINGS:
        raise UnsupportedError(
            f"Content-Type is {shown(content_type or '')!r}; expected {' or '.join(sorted((*_ENCODINGS, *_TEXTS)))}"
        )
    return _ENCODINGS[kind]


async def _body(request: Request, bytes_max: int) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > bytes_max:
            raise TooLargeError(f"the body has more than {bytes_max} bytes; send its traces in parts")
        parts.append(part)
    return b"".join(parts)


def _unpack(packed: bytes, content_encoding: str | None, bytes_max: int) -> bytes:
    name = (content_encoding or "identity").strip().lower()
    if name == "identity":
        return packed
    if name != "gzip":
        raise UnsupportedError(f"Content-Encoding is {shown(name)!r}; expected identity or gzip")
    unpacker = zlib.decompressobj(31)  # 31: gzip framing only
    try:
        payload = unpacker.decompress(packed, bytes_max + 1)
    except zlib.error as error:
        raise BadRequestError(f"the body is not gzip: {error}") from error
    if len(payload) > bytes_max:
        raise TooLargeError(f"the body unpacks to more than {bytes_max} bytes; send its traces in parts")
    if not unpacker.eof:
        raise BadRequestError("the gzip body ends in the middle; send all of it")
    return payload
