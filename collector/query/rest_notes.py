"""Notes at frames of a group of errors: left, read, changed, taken away.

In: a group, a frame, words. Out: the frames of the group with what people left at them. A note belongs to fingerprint
and frame, so every report of the group, its traces and its incidents shows it. Written is who wrote it, as far as a
credential says; secrets are masked before anything is kept. Whoever changes a note says which version was read
(If-Match); where that is not the last any more it is refused.
"""

# No postponed annotations: FastAPI reads those of the routes, and they name bounds of the enclosing function.
from hashlib import blake2b
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool

from analyzer.errors.group_words import ErrorGroup
from analyzer.errors.note_words import (
    FRAME_NOTES_MAX,
    GROUP_NOTES_MAX,
    FrameNote,
    NewNote,
    NoteText,
    clean_note,
    frames_of,
    noted_frames,
)
from analyzer.words import shown
from collector.contracts_people import NoteLog, NotesFullError
from collector.query.access import asker
from collector.query.bodies import read_body
from collector.query.desk import Desk
from collector.query.if_match import IfMatch, matches, not_said, not_the_last
from collector.query.models import body_of
from collector.query.models_groups import GROUP_ID, NOTE_EXAMPLE, GroupNotes, NoteList
from collector.query.problems import ProblemError, harmless, not_here, problem_responses
from collector.query.report_writer import GroupId, ReportWriter
from collector.query.rest_groups import group_not_known, read_group_id

BODY_BYTES_MAX = 32 * 1024  # 2,000 characters, each written as two escapes of six letters, and a frame
FRAMES_TOLD_MAX = 5
_LIST = TypeAdapter(NoteList)
_FRAMES_EXAMPLE = {
    "group_id": GROUP_ID,
    "frames": [{"frame": NOTE_EXAMPLE["frame"], "grouped": True, "notes": [NOTE_EXAMPLE]}],
}
_ROOM = {
    "frame": f"at most {FRAME_NOTES_MAX} notes at one frame",
    "group": f"at most {GROUP_NOTES_MAX} notes at the frames of one group",
    "shelf": "fewer notes in all",
}
NoteId = Annotated[
    str,
    Path(
        pattern="^[0-9a-f]{16}$",
        description="16 hex digits",
        openapi_examples={"note": {"value": NOTE_EXAMPLE["note_id"]}},
    ),
]


def note_routes(desk: Desk) -> APIRouter:
    """Routes /groups/{group_id}/notes and /notes."""
    router = APIRouter(tags=["errors"])
    writer = ReportWriter(desk)
    settings = desk.settings
    frames_shown = body_of(GroupNotes, _FRAMES_EXAMPLE, "The frames with their notes")
    note_shown = body_of(FrameNote, NOTE_EXAMPLE, "The note; `ETag` is its `edit`")

    @router.get(
        "/groups/{group_id}/notes",
        summary="The frames of a group, and the notes at them",
        response_model=None,
        responses={200: frames_shown, **problem_responses(400, 404, 501, 503)},
    )
    def notes(group_id: GroupId) -> Response:
        """`frames` are what a note can be left at. Notes outlive their group: its fingerprint may come again."""
        return _frames(desk, read_group_id(group_id))

    @router.post(
        "/groups/{group_id}/notes",
        summary="Leave a note at a frame of a group",
        response_model=None,
        status_code=201,
        responses={
            201: note_shown,
            200: body_of(FrameNote, NOTE_EXAMPLE, "The same words of the same author stand there: kept once"),
            **problem_responses(400, 404, 409, 413, 501, 503),
        },
        openapi_extra=_body(NewNote, {"frame": NOTE_EXAMPLE["frame"], "text": NOTE_EXAMPLE["text"]}),
    )
    async def leave(group_id: GroupId, request: Request) -> Response:
        """Shown in every report of the group, its traces and its incidents. Who wrote is read from the credential."""
        log, wanted = _log(desk), read_group_id(group_id)
        words = await read_body(request, NewNote, BODY_BYTES_MAX, "a note is some lines")
        return await run_in_threadpool(_leave, desk, writer, log, wanted, words, asker(request))

    @router.get(
        "/groups/{group_id}/notes/{note_id}",
        summary="One note",
        response_model=None,
        responses={200: note_shown, **problem_responses(400, 404, 501, 503)},
    )
    def one(group_id: GroupId, note_id: NoteId) -> Response:
        """With its `ETag`, which a change of it has to name."""
        return _note(_require(_log(desk), read_group_id(group_id), note_id))

    @router.put(
        "/groups/{group_id}/notes/{note_id}",
        summary="Change the words of a note",
        response_model=None,
        responses={200: note_shown, **problem_responses(400, 404, 412, 413, 428, 501, 503)},
        openapi_extra=_body(NoteText, {"text": NOTE_EXAMPLE["text"]}),
    )
    async def change(group_id: GroupId, note_id: NoteId, request: Request, if_match: IfMatch = None) -> Response:
        """Who wrote it first stays; who changed it last stands beside. The words before are not kept."""
        log, wanted = _log(desk), read_group_id(group_id)
        words = await read_body(request, NoteText, BODY_BYTES_MAX, "a note is some lines")
        return await run_in_threadpool(_change, desk, log, wanted, note_id, if_match, words, asker(request))

    @router.delete(
        "/groups/{group_id}/notes/{note_id}",
        summary="Take a note away",
        response_model=None,
        responses={200: frames_shown, **problem_responses(400, 404, 412, 428, 501, 503)},
    )
    def take_away(group_id: GroupId, note_id: NoteId, if_match: IfMatch = None) -> Response:
        """Answered with what is there then."""
        log, wanted = _log(desk), read_group_id(group_id)
        found = _read(log, wanted, note_id, if_match)
        if not log.remove_note(note_id, found.edit):
            raise _stale(log, wanted, note_id, if_match)
        return _frames(desk, wanted, known=True)

    @router.get(
        "/notes",
        summary="Notes of all groups",
        response_model=None,
        responses={200: body_of(NoteList, {"notes": [NOTE_EXAMPLE]}, "Notes"), **problem_responses(400, 501, 503)},
    )
    def listed(
        order: Annotated[Literal["newest", "oldest"], Query(description="by when they were written")] = "newest",
        limit: Annotated[int, Query(ge=1, le=settings.notes_max)] = min(100, settings.notes_max),
    ) -> Response:
        """Also of groups that are not kept any more: where there is no room left, look here for what may go."""
        found = _log(desk).listed(limit, oldest=order == "oldest")
        return _json(_LIST.dump_json(NoteList(notes=found)))

    return router


def _leave(desk: Desk, writer: ReportWriter, log: NoteLog, group_id: str, words: NewNote, author: str) -> Response:
    group = desk.store.group(group_id)
    if group is None:
        raise group_not_known(group_id)
    frame, text, now_ns = _known(desk, writer, group, words.frame), _clean(desk, words.text), desk.clock.now_ns()
    author = shown(author)
    seed = orjson.dumps([group_id, frame, text, author, now_ns])
    note = FrameNote(
        note_id=blake2b(seed, digest_size=8).hexdigest(),
        group_id=group_id,
        frame=frame,
        text=text,
        author=author,
        written_ns=now_ns,
    )
    try:
        kept = log.add_note(note)
    except NotesFullError as error:
        raise ProblemError(
            409,
            error.reason,
            "No room for the note",
            str(error),
            found=f"{error.held} notes",
            expected=_ROOM[error.bound],
            do="change one that is there (PUT), or take away what is not needed (DELETE); GET /api/v1/notes lists all",
        ) from error
    return _note(kept, 201 if kept is note else 200)


def _change(
    desk: Desk, log: NoteLog, group_id: str, note_id: str, if_match: str | None, words: NoteText, author: str
) -> Response:
    found = _read(log, group_id, note_id, if_match)
    text = _clean(desk, words.text)
    if text == found.text:
        return _note(found)
    now_ns = desk.clock.now_ns()
    changed = found.model_copy(
        update={"text": text, "edit": found.edit + 1, "edited_by": shown(author), "edited_ns": now_ns}
    )
    if not log.put_note(changed):
        raise _stale(log, group_id, note_id, if_match)
    return _note(changed)


def _known(desk: Desk, writer: ReportWriter, group: ErrorGroup, wanted: str) -> str:
    """The frame by its name, as the fingerprint has it; else as a report of the group has it: libraries, rules."""
    frames, frame = frames_of(group), shown(wanted)
    if frame in frames:
        return frame
    if desk.report_group is not None:
        frames += [one["frame"] for one in orjson.loads(writer.of_group(group.group_id, "json"))["frames"]]
        if frame in frames:
            return frame
    told = ", ".join(list(dict.fromkeys(frames))[:FRAMES_TOLD_MAX])
    raise ProblemError(
        400,
        "frame_unknown",
        "No such frame",
        "the group has no frame of this name" if told else "the group has no frames: it was grouped without a stack",
        found=wanted,
        expected=f"module or file and function, no line; of this group {told}" if told else "a group with frames",
        do=f"take one of `frames` of GET /api/v1/groups/{group.group_id}/notes, or of the report of the group",
    )


def _clean(desk: Desk, text: str) -> str:
    cleaned = clean_note(desk.mask(clean_note(text)))
    if not cleaned.strip():
        raise ProblemError(
            400,
            "invalid_request",
            "Request cannot be read",
            "the note holds nothing that can be read",
            found=text,
            expected="some words",
            do="say what whoever comes next should know",
        )
    return cleaned


def _require(log: NoteLog, group_id: str, note_id: str) -> FrameNote:
    found = log.note(note_id)
    if found is None or found.group_id != group_id:
        raise ProblemError(
            404,
            "note_unknown",
            "Note not known",
            f"there is no note {note_id} at group {group_id}",
            found=note_id,
            expected="the id of a note of the group",
            do=f"see GET /api/v1/groups/{group_id}/notes; somebody may have taken it away",
        )
    return found


def _read(log: NoteLog, group_id: str, note_id: str, if_match: str | None) -> FrameNote:
    """The note, when its last version is the one that was read."""
    found = _require(log, group_id, note_id)
    if if_match is None:
        raise not_said(str(found.edit), "the note")
    if not matches(if_match, str(found.edit)):
        raise _changed(found, if_match)
    return found


def _stale(log: NoteLog, group_id: str, note_id: str, if_match: str | None) -> ProblemError:
    """Between the two looks it was changed, or taken away."""
    return _changed(_require(log, group_id, note_id), if_match or "")


def _changed(note: FrameNote, found: str) -> ProblemError:
    return not_the_last(
        "note_changed",
        "note",
        str(note.edit),
        found,
        stands_at=f"edit {note.edit}",
        do="and decide whether your change is still wanted",
    )


def _frames(desk: Desk, group_id: str, *, known: bool = False) -> Response:
    notes, group = _log(desk).notes(group_id), desk.store.group(group_id)
    if group is None and not notes and not known:
        raise group_not_known(group_id)
    frames = noted_frames(group, notes)
    return _json(GroupNotes(group_id=group_id, frames=frames).model_dump_json().encode())


def _log(desk: Desk) -> NoteLog:
    if desk.notes is None:
        raise not_here("no_notes", "No notes are kept here", "a place for notes")
    return desk.notes


def _body(model: type[NoteText], example: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": model.model_json_schema(), "example": example}}
    return {"requestBody": {"required": True, "content": content}}


def _note(note: FrameNote, status: int = 200) -> Response:
    return _json(note.model_dump_json().encode(), status, {"ETag": f'"{note.edit}"'})


def _json(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(harmless(body), status, {"Cache-Control": "no-store"} | (headers or {}), "application/json")
