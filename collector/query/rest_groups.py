"""Questions about groups of errors, and decisions of people about them.

In: filters, an id, a decision. Out: groups. Reads the shelf; a decision is handed to the engine, which owns the groups,
and holds when it says so.
"""

# No postponed annotations: FastAPI reads those of the routes, and they name bounds of the enclosing function.
import re
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool

from analyzer.errors.group_words import ErrorGroup, GroupChange, GroupStatus
from analyzer.errors.note_words import FrameNote
from analyzer.errors.own_past import lately_of
from analyzer.errors.trends import trend_of
from collector.contracts import GroupQuery
from collector.errors import BadRequestError, RefusedError
from collector.group_words import why
from collector.query.bodies import read_body
from collector.query.desk import Desk
from collector.query.models import body_of
from collector.query.models_groups import (
    GROUP_EXAMPLE,
    GROUP_ID,
    LATELY_EXAMPLE,
    NOTE_EXAMPLE,
    TREND_EXAMPLE,
    GroupDetail,
    GroupList,
    TopError,
    TopErrors,
)
from collector.query.problems import ProblemError, harmless, problem_responses

_NAME_MAX = 1024
LATELY_NS = 7_200_000_000_000  # what a group is compared with
_BODY_BYTES_MAX = 2_048  # what the control socket takes, and some
_LIST, _TOP = TypeAdapter(GroupList), TypeAdapter(TopErrors)
_GROUP_ID = re.compile(r"[0-9a-fA-F]{16}", re.ASCII)
_TOP_EXAMPLE = {
    key: GROUP_EXAMPLE[key]
    for key in ("group_id", "fine", "type", "message", "service", "status", "count", "users", "last_seen_ns")
}
GroupId = Annotated[str, Path(description="16 hex digits", openapi_examples={"group": {"value": GROUP_ID}})]


def group_routes(desk: Desk) -> tuple[APIRouter, APIRouter]:
    """Routes below /groups and /errors."""
    router, errors = APIRouter(prefix="/groups", tags=["errors"]), APIRouter(prefix="/errors", tags=["errors"])
    settings = desk.settings

    @router.get(
        "",
        summary="Groups of errors",
        response_model=None,
        responses={
            200: body_of(GroupList, {"groups": [GROUP_EXAMPLE]}, "Groups"),
            **problem_responses(400, 503),
        },
    )
    def groups(
        status: Annotated[GroupStatus | None, Query(description="only these")] = None,
        service: Annotated[
            str | None, Query(max_length=_NAME_MAX, description="where it began, or which failed because of it")
        ] = None,
        sort: Annotated[
            str, Query(pattern="^(last_seen|first_seen|count|users)$", description="largest or latest first")
        ] = "last_seen",
        limit: Annotated[int, Query(ge=1, le=settings.groups_max)] = min(100, settings.groups_max),
        spiking: Annotated[
            bool | None, Query(description="only those far above their own past now; false: the others")
        ] = None,
    ) -> Response:
        """Each error once, however many traces failed with it: since when, how often, in which releases."""
        found = desk.store.groups(GroupQuery(status, service, sort, limit, spiking))
        return _json(_LIST.dump_json(GroupList(groups=found)))

    @router.get(
        "/{group_id}",
        summary="One group: why it was grouped, examples, trend",
        response_model=None,
        responses={
            200: body_of(
                GroupDetail,
                {
                    "group": GROUP_EXAMPLE,
                    "why": "same type CardError, same application frames from acme.Charge:authorize outwards",
                    "trend": TREND_EXAMPLE,
                    "lately": LATELY_EXAMPLE,
                    "examples": [f"/api/v1/traces/{GROUP_EXAMPLE['example_trace_ids'][0]}/root-cause"],
                    "notes": [NOTE_EXAMPLE],
                },
                "The group",
            ),
            **problem_responses(400, 404, 503),
        },
    )
    def group(group_id: GroupId) -> Response:
        """`group.parts` is what was hashed, in its order; `why` says it in a sentence."""
        wanted = read_group_id(group_id)
        found = desk.store.group(wanted)
        if found is None:
            raise group_not_known(wanted)
        now_ns = desk.clock.now_ns()
        detail = GroupDetail(
            group=found,
            why=why(found),
            trend=trend_of(found, now_ns),
            lately=lately_of(found, desk.store.calls(found.service, now_ns - LATELY_NS, now_ns), now_ns),
            examples=[f"/api/v1/traces/{trace_id}/root-cause" for trace_id in found.example_trace_ids],
            notes=_notes(desk, wanted),
        )
        return _json(detail.model_dump_json().encode())

    @router.patch(
        "/{group_id}",
        summary="Resolve, ignore or open a group again",
        response_model=None,
        responses={
            200: body_of(ErrorGroup, GROUP_EXAMPLE, "The group as it is now"),
            **problem_responses(400, 404, 413, 501, 503),
        },
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {
                        "schema": GroupChange.model_json_schema(),
                        "example": {"status": "resolved", "in_version": "2.4.1"},
                    }
                },
            }
        },
    )
    async def decide(group_id: GroupId, request: Request) -> Response:
        """A resolved group that is seen again (with `in_version`: in that release or a newer one) is regressed."""
        wanted = read_group_id(group_id)
        if desk.decisions is None:
            raise ProblemError(
                501,
                "decisions_off",
                "Decisions are not taken here",
                "this firstfault was started without an engine to tell",
                do="send it to the server that receives the traces",
            )
        change = await read_body(request, GroupChange, _BODY_BYTES_MAX, "a decision is some hundred")
        found = await run_in_threadpool(desk.decisions.decide, wanted, change, settings.decide_timeout_s)
        if found is None:
            raise group_not_known(wanted)
        return _json(found.model_dump_json().encode())

    @errors.get(
        "/top",
        summary="Fingerprints by errors and by users",
        response_model=None,
        responses={
            200: body_of(TopErrors, {"by_count": [_TOP_EXAMPLE], "by_users": [_TOP_EXAMPLE]}, "Two rankings"),
            **problem_responses(400, 503),
        },
    )
    def top(
        top: Annotated[int, Query(ge=1, le=100, description="lines of each ranking")] = 10,
        service: Annotated[str | None, Query(max_length=_NAME_MAX)] = None,
    ) -> Response:
        """Which errors happen most often, and which hit most users; ignored and resolved ones too."""
        rankings = [
            [_line(one) for one in desk.store.groups(GroupQuery(service=service, sort=sort, limit=top))]
            for sort in ("count", "users")
        ]
        return _json(_TOP.dump_json(TopErrors(by_count=rankings[0], by_users=rankings[1])))

    return router, errors


def _notes(desk: Desk, group_id: str) -> list[FrameNote] | None:
    try:
        return desk.notes.notes(group_id) if desk.notes is not None else []
    except RefusedError:  # costs the notes, not the group
        return None


def _line(group: ErrorGroup) -> TopError:
    return TopError(**{name: getattr(group, name) for name in TopError.model_fields})


def read_group_id(text: str) -> str:
    """Read a group id as everybody shows it.

    Raises
    ------
    BadRequestError
        Not 16 hex digits.
    """
    if not _GROUP_ID.fullmatch(text):
        raise BadRequestError(f"group id {text[:80]!r} has {len(text)} characters; expected 16 hex digits", "group_id")
    return text.lower()


def group_not_known(group_id: str) -> ProblemError:
    """No such group is kept."""
    return ProblemError(
        404,
        "group_unknown",
        "Group not known",
        f"no group {group_id} is kept",
        found=group_id,
        expected="the id of a group of GET /api/v1/groups",
        do="check the id; a group is forgotten 90 days after it was last seen",
    )


def _json(body: bytes) -> Response:
    return Response(harmless(body), 200, {"Cache-Control": "no-store"}, "application/json")
