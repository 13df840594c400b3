"""Whom the errors of today hit: users, sessions, tenants of each group and each service, with a score.

In: a service, a group, how many. Out: lines with the counts a score is made of. Reads what the engine wrote last.
"""

# No postponed annotations: FastAPI reads those of the routes, and they name bounds of the enclosing function.
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field, ValidationError

from analyzer.errors.impact_sheet import NO_USERS, SHOWN_MAX, ImpactSheet, ImpactWord
from collector.contracts import IMPACT_STATE_NAME
from collector.query.desk import Desk
from collector.query.models import body_of
from collector.query.models_groups import GROUP_ID
from collector.query.problems import harmless, problem_responses
from collector.query.rest_groups import read_group_id

_NAME_MAX = 1024
COUNTED = (
    "Only failing traces that were explained are counted, each once in a group and in a service, since 00:00 UTC;"
    " requests that went well and failures counted by their look are not."
)
NOTHING_YET = "Nothing was counted yet; the engine tells once a minute."
LEFT_OUT = "Some groups or services found no room and are not listed; see `left_out` and `unshown`."
_REACH = {"known": True, "hit": 31, "new": 12, "returning": 19}
_LINE: dict[str, Any] = {
    "entity": "payment",
    "service": "payment",
    "requests": 120,
    "failed": 100,
    "handled": 20,
    "synthetic": 0,
    "users": _REACH,
    "sessions": {**_REACH, "hit": 40, "new": 21},
    "tenants": {"known": False, "hit": 0, "new": 0, "returning": 0},
    "score": 33.3,
    "sentence": "payment: 120 explained failing traces today, 100 failed for their caller and 20 were worked around; "
    "about 31 users (12 new, 19 returning); about 40 sessions (21 new, 19 returning).",
}
IMPACT_EXAMPLE = {
    "from_ns": 1759968000000000000,
    "to_ns": 1760003600000000000,
    "users_known": True,
    "notes": [COUNTED],
    "groups": [{**_LINE, "entity": GROUP_ID}],
    "services": [_LINE],
    "left_out": 0,
    "unshown": 0,
}


class ImpactAnswer(BaseModel):
    """Whom errors hit, the highest score first."""

    from_ns: int = Field(description="begin of the day (UTC) that is counted; 0: nothing yet")
    to_ns: int = Field(description="when it was counted last")
    users_known: bool = Field(description="false: no line names a user; 0 users then means that nobody said")
    notes: list[str] = Field(description="what the counts rest on, for people")
    groups: list[ImpactWord]
    services: list[ImpactWord]
    left_out: int = Field(description="failing traces that found no room in the counts")
    unshown: int = Field(description="groups and services that are counted and found no room here")


def impact_routes(desk: Desk) -> APIRouter:
    """The route /impact."""
    router = APIRouter(prefix="/impact", tags=["errors"])

    @router.get(
        "",
        summary="Whom errors hit: users, sessions, tenants",
        response_model=None,
        responses={
            200: body_of(ImpactAnswer, IMPACT_EXAMPLE, "Groups and services by their score"),
            **problem_responses(400, 503),
        },
    )
    def impact(
        service: Annotated[
            str | None, Query(max_length=_NAME_MAX, description="only it, and the groups that began in it")
        ] = None,
        group: Annotated[
            str | None, Query(max_length=_NAME_MAX, description="16 hex digits: only it, and the service it began in")
        ] = None,
        top: Annotated[int, Query(ge=1, le=SHOWN_MAX, description="lines of each list")] = 20,
    ) -> Response:
        """Of explained failing traces of today; names are hashed and estimated, within some 5 %."""
        wanted = read_group_id(group) if group is not None else None
        answer = answered(_sheet(desk.store.load_state(IMPACT_STATE_NAME)), service, wanted, top)
        body = harmless(answer.model_dump_json().encode())
        return Response(body, 200, {"Cache-Control": "no-store"}, "application/json")

    return router


def answered(sheet: ImpactSheet, service: str | None, group: str | None, top: int) -> ImpactAnswer:
    """Choose the lines that were asked for."""
    groups = [one for one in sheet.groups if group in (None, one.entity) and service in (None, one.service)]
    began_in = {one.service for one in groups}
    services = [
        one for one in sheet.services if service in (None, one.entity) and (group is None or one.entity in began_in)
    ]
    users_known = any(one.users.known for one in (*groups, *services))
    notes = [COUNTED] if groups or services else [COUNTED, NOTHING_YET]
    if (groups or services) and not users_known:
        notes.append(NO_USERS[0].upper() + NO_USERS[1:] + ".")
    if sheet.left_out or sheet.unshown:
        notes.append(LEFT_OUT)
    return ImpactAnswer(
        from_ns=sheet.from_ns,
        to_ns=sheet.to_ns,
        users_known=users_known,
        notes=notes,
        groups=groups[:top],
        services=services[:top],
        left_out=sheet.left_out,
        unshown=sheet.unshown,
    )


def _sheet(state: bytes | None) -> ImpactSheet:
    """Read what the engine wrote; of another version, it is as if it had not yet: it writes again in a minute."""
    try:
        return ImpactSheet.model_validate_json(state) if state else ImpactSheet()
    except ValidationError:
        return ImpactSheet()
