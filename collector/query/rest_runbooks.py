"""Runbooks over REST: read with what people wrote in them, written, taken back.

In: a trace, an incident or a group; sections of a runbook. Out: its runbook. It belongs to the group of errors, else
to the rule, the service and the known kind of failure: another trace of the same kind shows the same edits. An edit
says which version it was made from (If-Match); where that is not the last any more it is refused, not mixed.
"""

# No postponed annotations: FastAPI reads those of the routes, and they name types of the enclosing function.
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from analyzer.reports.hand_edits import RunbookWords, SectionWords, next_edits
from analyzer.reports.model import Runbook
from collector.contracts_people import RunbookLog
from collector.query.bodies import read_body
from collector.query.desk import Desk
from collector.query.if_match import IfMatch, matches, not_said, not_the_last
from collector.query.models import body_of
from collector.query.problems import ProblemError, harmless, not_here, problem_responses
from collector.query.report_writer import GroupId, IncidentId, ReportWriter, TraceId

BODY_BYTES_MAX = 64 * 1024  # a runbook is a page or two
_PUT_EXAMPLE = {"sections": [{"section": "mitigate", "text": "Switch PAYMENT_FALLBACK on, then call the gateway."}]}
_EXAMPLE: dict[str, Any] = {
    "runbook_id": "5f1d8c0a9b3e7742",
    "version": "1.0f3a9c21-hand.3",
    "title": "Runbook: gateway GET /checkout failed",
    "steps": [
        {
            "number": 1,
            "section": "mitigate",
            "title": "Stop the harm",
            "text": "Switch PAYMENT_FALLBACK on, then call the gateway.",
            "commands": [],
            "generated_version": "7be1d04c",
            "by_hand": {
                "edit": 3,
                "edited_ns": 1760000000000000000,
                "edited_at": "2025-10-09 08:53:20 UTC",
                "newer": False,
                "title": "Stop the harm",
                "text": "Roll back, scale out, switch a feature off, fail over, hot fix.",
                "commands": [],
            },
        }
    ],
    "edit": 3,
}


def runbook_routes(desk: Desk, writer: ReportWriter) -> APIRouter:
    """Routes /{traces,incidents,groups}/{id}/runbook."""
    router = APIRouter()
    kinds: Sequence[tuple[str, str, Any, Callable[[str, Any], str]]] = (
        ("/traces/{trace_id}/runbook", "traces", TraceId, writer.of_trace),
        ("/incidents/{incident_id}/runbook", "incidents", IncidentId, writer.of_incident),
        ("/groups/{group_id}/runbook", "errors", GroupId, writer.of_group),
    )
    for path, tag, id_type, write in kinds:
        _add(router, desk, path, tag, id_type, write)
    return router


def _add(router: APIRouter, desk: Desk, path: str, tag: str, id_type: Any, write: Callable[[str, Any], str]) -> None:
    """Three routes of one path: read, write, take back."""
    shown = body_of(Runbook, _EXAMPLE, "The runbook; `ETag` is its version")

    @router.get(
        path,
        tags=[tag],
        summary="The runbook, with what people wrote in it",
        response_model=None,
        responses={200: shown, **problem_responses(400, 404, 410, 501, 503)},
    )
    def read(subject_id: id_type) -> Response:
        """As it stands in the report. `by_hand` marks edited sections and holds what is generated in their place."""
        _log(desk)
        return _json(_runbook(write, subject_id))

    @router.put(
        path,
        tags=[tag],
        summary="Write sections of the runbook by hand",
        response_model=None,
        responses={200: shown, **problem_responses(400, 404, 410, 412, 413, 428, 501, 503)},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _words_schema(), "example": _PUT_EXAMPLE}},
            }
        },
    )
    async def put(subject_id: id_type, request: Request, if_match: IfMatch = None) -> Response:
        """All sections written by hand, the earlier ones too: those that are left out are generated again."""
        _log(desk)
        words = await read_body(request, RunbookWords, BODY_BYTES_MAX, "a runbook is a page or two")
        return await run_in_threadpool(_edit, desk, write, subject_id, if_match, words.sections)

    @router.delete(
        path,
        tags=[tag],
        summary="Take the edits back",
        response_model=None,
        responses={200: shown, **problem_responses(400, 404, 410, 412, 428, 501, 503)},
    )
    def take_back(subject_id: id_type, if_match: IfMatch = None) -> Response:
        """All of the runbook is generated again. What was written is not kept."""
        _log(desk)
        return _edit(desk, write, subject_id, if_match, [])


def _words_schema() -> dict[str, Any]:
    """JSON Schema of what is written, in one piece: OpenAPI knows no definitions of its own inside a body."""
    schema = RunbookWords.model_json_schema()
    schema["properties"]["sections"]["items"] = schema.pop("$defs")["SectionWords"]
    return schema


def _edit(
    desk: Desk,
    write: Callable[[str, Any], str],
    subject_id: str,
    if_match: str | None,
    words: Sequence[SectionWords],
) -> Response:
    """Keep the words, when what was read is still what is there; answer with the runbook as it is then."""
    log = _log(desk)
    runbook = _runbook(write, subject_id)
    if if_match is None:
        raise not_said(runbook.version, "the runbook")
    if not matches(if_match, runbook.version):
        raise _stale(if_match, runbook)
    before = log.edits(runbook.runbook_id)
    if (before.edit if before is not None else 0) != runbook.edit:
        raise _stale(if_match, runbook)  # between the two looks
    if not words and (before is None or not before.sections):
        return _json(runbook)  # there is nothing to take back
    if not log.put_edits(next_edits(runbook, before, words, desk.clock.now_ns())):
        raise _stale(if_match, runbook)
    return _json(_runbook(write, subject_id))


def _stale(found: str, runbook: Runbook) -> ProblemError:
    return not_the_last(
        "runbook_changed",
        "runbook",
        runbook.version,
        found,
        stands_at=f"version {runbook.version} or a later one",
        do="put your words into what is there now, and send that",
    )


def _runbook(write: Callable[[str, Any], str], subject_id: str) -> Runbook:
    return Runbook.model_validate(orjson.loads(write(subject_id, "json"))["runbook"])


def _log(desk: Desk) -> RunbookLog:
    if desk.runbooks is None:
        raise not_here("no_runbooks", "No edits are kept here", "a place for edits of runbooks")
    return desk.runbooks


def _json(runbook: Runbook) -> Response:
    headers = {"Cache-Control": "no-store", "ETag": f'"{runbook.version}"'}
    return Response(harmless(runbook.model_dump_json().encode()), 200, headers, "application/json")
