"""What was changed in the system: told by whoever deploys, asked by whoever looks for a cause.

In: a deployment, a setting, a flag; filters. Out: changes, newest first. Telling the same change twice keeps it once:
its id is made of what it says, unless the teller gives one.
"""

# No postponed annotations: FastAPI reads those of the routes, and they name bounds of the enclosing function.
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter

from analyzer.errors.change_words import TEXT_MAX, Change, ChangeKind
from collector.contracts import ChangeLog, ChangeQuery
from collector.query.desk import Desk
from collector.query.models import body_of
from collector.query.problems import ProblemError, harmless, not_here, problem_responses
from collector.query.rest_lists import From, To, read_time

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INT64_MAX = 2**63 - 1
_Text = Annotated[str, Field(max_length=TEXT_MAX)]
CHANGE_EXAMPLE: dict[str, Any] = {
    "change_id": "5f1c0d5c2f5e4d1a9c3b7a6e8d9f0a1b",
    "kind": "deployment",
    "service": "payment",
    "time_ns": 1760000000000000000,
    "version": "v2.3.1",
    "previous": "v2.3.0",
    "environment": "production",
    "description": "release train 41",
    "url": "https://ci.example.org/builds/41",
    "source": "api",
}


class NewChange(BaseModel):
    """A change to keep."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"kind": "deployment", "service": "payment", "version": "v2.3.1"}},
    )

    kind: ChangeKind = "deployment"
    service: _Text = Field("", description="what was changed; empty: not one service")
    time: AwareDatetime | None = Field(None, description="RFC 3339 with an offset; default now")
    time_ns: Annotated[int, Field(ge=0, le=_INT64_MAX)] | None = Field(None, description="instead of `time`")
    version: _Text = Field("", description="the new version, the flag or the setting")
    previous: _Text = ""
    environment: _Text = ""
    description: Annotated[str, Field(max_length=4 * TEXT_MAX)] = ""
    url: _Text = Field("", description="where more is written; shown, never fetched")
    change_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._@:/+-]{1,128}$")] | None = Field(
        None, description="your own id; default: made of the other fields"
    )


class ChangeList(BaseModel):
    """Changes, newest first."""

    changes: list[Change]


_LIST = TypeAdapter(ChangeList)


def change_routes(desk: Desk) -> APIRouter:
    """Routes below /changes."""
    router = APIRouter(prefix="/changes", tags=["changes"])
    settings = desk.settings

    @router.post(
        "",
        summary="Tell of a deployment, a setting or a flag",
        response_model=None,
        status_code=201,
        responses={
            201: body_of(Change, CHANGE_EXAMPLE, "Kept"),
            200: body_of(Change, CHANGE_EXAMPLE, "It was told before: kept once"),
            **problem_responses(400, 501, 503),
        },
    )
    def tell(body: NewChange) -> Response:
        """Kept for storage.retention_hours, at most 10,000; incidents and reports look for causes among them."""
        log = _log(desk)
        change = made(body, desk.clock.now_ns())
        added = log.put_change(change)
        return _json(change.model_dump_json().encode(), 201 if added else 200)

    @router.get(
        "",
        summary="Changes, newest first",
        response_model=None,
        responses={
            200: body_of(ChangeList, {"changes": [CHANGE_EXAMPLE]}, "Changes"),
            **problem_responses(400, 501, 503),
        },
    )
    def changes(
        service: Annotated[str | None, Query(max_length=TEXT_MAX, examples=["payment"])] = None,
        kind: Annotated[ChangeKind | None, Query()] = None,
        from_: From = None,
        to: To = None,
        limit: Annotated[int, Query(ge=1, le=settings.changes_max)] = min(100, settings.changes_max),
    ) -> Response:
        """What was told of; new versions that only the spans show stand in the timeline of an incident."""
        query = ChangeQuery(service, kind, read_time("from", from_), read_time("to", to), limit)
        return _json(_LIST.dump_json(ChangeList(changes=_log(desk).changes(query))))

    return router


def made(body: NewChange, now_ns: int) -> Change:
    """Make the change that is kept: with its time, and an id that the same words always give.

    Raises
    ------
    ProblemError
        Both `time` and `time_ns` are given, or the time lies before 1970.
    """
    if body.time is not None and body.time_ns is not None:
        raise ProblemError(
            400,
            "invalid_request",
            "Request cannot be read",
            "time and time_ns are both given",
            expected="one of them, or neither for now",
            do="leave one out",
        )
    time_ns = now_ns if body.time_ns is None else body.time_ns
    if body.time is not None:
        since = body.time - _EPOCH
        time_ns = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
        if not 0 <= time_ns <= _INT64_MAX:
            raise ProblemError(
                400,
                "invalid_request",
                "Request cannot be read",
                f"time is {body.time.isoformat()}",
                expected="between 1970 and 2262",
                do="send when the change was made",
            )
    words = (body.kind, body.service, body.version, body.previous, body.environment)
    # Without a time the id is of the minute: a script that tries again tells of the same change.
    when = time_ns if body.time is not None or body.time_ns is not None else time_ns // 60_000_000_000
    seed = "\x00".join((*words, str(when))).encode("utf-8", "surrogatepass")
    return Change(
        change_id=body.change_id or blake2b(seed, digest_size=16).hexdigest(),
        kind=body.kind,
        service=body.service,
        time_ns=time_ns,
        version=body.version,
        previous=body.previous,
        environment=body.environment,
        description=body.description,
        url=body.url,
    )


def _log(desk: Desk) -> ChangeLog:
    if desk.changes is None:
        raise not_here("no_changes", "No changes are kept here", "a place for changes")
    return desk.changes


def _json(body: bytes, status: int = 200) -> Response:
    return Response(harmless(body), status, {"Cache-Control": "no-store"}, "application/json")
