"""Errors as RFC 9457 problem details: what was found, what was expected, what to do.

In: our refusals, the framework's, anything else. Out: `application/problem+json`. Never shows a traceback; text of
the client is shortened and shown without control characters.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from analyzer.graph_text import visible
from collector.errors import RefusedError, RetryableError, response_for

MEDIA_TYPE = "application/problem+json"
SHOWN_MAX = 200  # characters of a client's text that come back
ERRORS_MAX = 20

log = logging.getLogger(__name__)


class FieldProblem(BaseModel):
    """One fault of a request."""

    field: str = Field(description="where: path, query or body, then the name", examples=["query.limit"])
    found: str = Field(description="what was sent, shortened", examples=["0"])
    expected: str = Field(examples=["Input should be greater than or equal to 1"])


class Problem(BaseModel):
    """RFC 9457 problem details, with what was found, expected, and what to do."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:firstfault:problem:trace_unknown",
                "title": "Trace not known",
                "status": 404,
                "detail": "no trace 4bf92f3577b34da6a3ce929d0e0e4736 was received",
                "instance": "/api/v1/traces/4bf92f3577b34da6a3ce929d0e0e4736/root-cause",
                "found": "4bf92f3577b34da6a3ce929d0e0e4736",
                "expected": "the id of a trace that was sent here",
                "do": "check the id; if the trace is new, ask again with wait=10",
                "correlation_id": "0b54ac2c0c6e4b0c9d86e6a2a4f8c2ce",
                "errors": [],
            }
        }
    )

    type: str = Field(description="urn:firstfault:problem:<word>; the word is stable")
    title: str
    status: int
    detail: str
    instance: str = Field(description="the path that was asked for")
    found: str = ""
    expected: str = ""
    do: str = Field("", description="what to do about it")
    correlation_id: str = ""
    errors: list[FieldProblem] = []


class ProblemError(Exception):
    """Answer with a problem. `word` is the last part of its type."""

    def __init__(
        self,
        status: int,
        word: str,
        title: str,
        detail: str,
        *,
        found: str = "",
        expected: str = "",
        do: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.word, self.title, self.detail = status, word, title, detail
        self.found, self.expected, self.do = found, expected, do
        self.headers = dict(headers or {})


def json_bytes(value: Any) -> bytes:
    """Write JSON that stays text even where somebody reads it as HTML or script."""
    return harmless(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))


def harmless(body: bytes) -> bytes:
    """Escape what would open a tag or end a line of script; in JSON these stand inside strings only."""
    for sign, escape in (
        (b"<", b"\\u003c"),
        (b">", b"\\u003e"),
        (b"&", b"\\u0026"),
        (b"\xe2\x80\xa8", b"\\u2028"),
        (b"\xe2\x80\xa9", b"\\u2029"),
    ):
        body = body.replace(sign, escape)
    return body


def shown(text: object) -> str:
    """Shorten and clean a client's text for a message."""
    words = str(text)
    return visible(words if len(words) <= SHOWN_MAX else words[: SHOWN_MAX - 1] + "…")


def problem_body(
    path: str, correlation_id: str, error: ProblemError, errors: list[FieldProblem] | None = None
) -> bytes:
    """Write a problem."""
    problem = Problem(
        type=f"urn:firstfault:problem:{error.word}",
        title=error.title,
        status=error.status,
        detail=error.detail,
        instance=shown(path),
        found=shown(error.found),
        expected=error.expected,
        do=error.do,
        correlation_id=correlation_id,
        errors=errors or [],
    )
    return json_bytes(problem.model_dump())


def install(app: FastAPI) -> None:
    """Make every error of the application a problem."""
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(RefusedError, _on_refused)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_http)


def not_here(reason: str, title: str, without: str) -> ProblemError:
    """This instance was started without what the question is about."""
    return ProblemError(
        501,
        reason,
        title,
        f"this firstfault was started without {without}",
        do="ask one that was started with `firstfault serve`",
    )


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries for the problems a route can answer with."""
    words = {
        400: "The request cannot be read; `errors` names each fault",
        404: "Not here; `type` says which thing",
        406: "None of the accepted types can be made",
        409: "There is no room for it, or its id stands for several; `detail` says which",
        410: "It was here; `type` says what happened to it",
        412: "It was changed since it was read; read it again",
        413: "The body is too large",
        415: "The content type or encoding is not spoken here",
        428: "Say which version was read, in If-Match",
        501: "This firstfault was started without that part",
        503: "No room now; Retry-After says when",
    }
    schema = {"$ref": "#/components/schemas/Problem"}
    return {status: {"description": words[status], "content": {MEDIA_TYPE: {"schema": schema}}} for status in statuses}


def _respond(request: Request, error: ProblemError, errors: list[FieldProblem] | None = None) -> Response:
    correlation_id = request.scope.get("correlation_id", "")
    body = problem_body(_path(request), correlation_id, error, errors)
    return Response(body, error.status, error.headers, MEDIA_TYPE)


def _path(request: Request) -> str:
    """Not `request.url`: that decodes the query too, and raises when it is not UTF-8."""
    return str(request.scope["path"])


def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return _respond(request, error)


def _on_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    status = response_for(error).http
    headers, do = {}, "change the request; the same one would fail again"
    if isinstance(error, RetryableError):
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
        do = "try again after the time in Retry-After"
    return _respond(
        request, ProblemError(status, error.reason, "Request refused", shown(error), do=do, headers=headers)
    )


def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [
        FieldProblem(
            field=shown(".".join(str(part) for part in detail["loc"])),
            found=shown(detail.get("input", "")),
            expected=shown(detail["msg"]),
        )
        for detail in error.errors()[:ERRORS_MAX]
    ]
    first = faults[0] if faults else FieldProblem(field="", found="", expected="")
    problem = ProblemError(
        400,
        "invalid_request",
        "Request cannot be read",
        f"{len(faults)} fault(s); first {first.field}: {first.expected}",
        found=first.found,
        expected=first.expected,
        do="see /api/v1/openapi.json for what each parameter takes",
    )
    return _respond(request, problem, faults)


def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        problem = ProblemError(
            404,
            "no_such_path",
            "No such path",
            "nothing stands under this path",
            found=f"{request.method} {_path(request)}",
            expected="a path of /api/v1/openapi.json",
            do="see /api/v1/openapi.json",
        )
    elif error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        problem = ProblemError(
            405,
            "method_not_allowed",
            "Method not allowed",
            f"this path does not take {shown(request.method)}",
            found=request.method,
            expected=allowed,
            do=f"send {allowed}",
        )
    else:
        problem = ProblemError(error.status_code, "http", "Request refused", shown(error.detail))
    problem.headers |= dict(error.headers or {})
    return _respond(request, problem)
