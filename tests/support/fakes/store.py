"""A shelf and an engine that do what the test tells them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from analyzer.errors.change_words import Change
from analyzer.errors.group_words import ErrorGroup, GroupChange
from analyzer.errors.note_words import FRAME_NOTES_MAX, GROUP_NOTES_MAX, FrameNote
from analyzer.findings import Answer
from analyzer.incident_words import Incident
from analyzer.reports.hand_edits import HandEdits
from collector.contracts import (
    ChangeQuery,
    EdgeRollup,
    FindingPage,
    FindingQuery,
    FindingRow,
    Found,
    GroupQuery,
    IncidentChange,
    IncidentQuery,
    OutboxItem,
    Rollup,
    StoredIncident,
    StoredTrace,
    StorePosition,
)
from collector.contracts_people import NotesFullError
from collector.errors import BadRequestError, OverloadedError
from collector.incident_services import services_of

MINUTE_NS = 60_000_000_000


class FakeStore:
    """Keeps everything in dictionaries; cursors are places in the list of findings."""

    def __init__(self) -> None:
        self.found: dict[bytes, Found] = {}
        self.rows: list[FindingRow] = []  # newest first
        self.rollups: list[Rollup] = []
        self.edge_rollups: list[EdgeRollup] = []
        self.queries: list[FindingQuery] = []
        self.windows: list[tuple[int, int]] = []
        self.looks = 0
        self.on_find: Callable[[bytes], None] = lambda name: None
        self.changes: list[IncidentChange] = []  # every revision, the newest last
        self.kept_groups: dict[str, ErrorGroup] = {}
        self.states: dict[str, bytes] = {}
        self.lock = threading.Lock()

    def find(self, name: bytes) -> Found:
        self.looks += 1
        self.on_find(name)
        return self.found.get(name, Found("unknown"))

    def namesakes(self, trace_id: bytes) -> list[bytes]:
        return sorted(name for name, found in self.found.items() if name[:16] == trace_id and found.answer is not None)

    def add(self, *rows: FindingRow) -> None:
        """New findings, the newest last."""
        with self.lock:
            self.rows = [*reversed(rows), *self.rows]

    def new_findings(self, after: StorePosition | None, limit: int) -> tuple[list[FindingRow], StorePosition]:
        with self.lock:
            begin = len(self.rows) if after is None else after.get(0, 0)
            found = self.rows[::-1][begin : begin + limit]
        return found, {0: begin + len(found)}

    def findings(self, query: FindingQuery) -> FindingPage:
        self.queries.append(query)
        if query.cursor is not None and not query.cursor.isdigit():
            raise BadRequestError(f"cursor {query.cursor!r} was not made by this server", "bad_query")
        with self.lock:
            rows = [
                row
                for row in self.rows
                if query.tenant in (None, row.tenant)
                and query.service in (None, row.service)
                and query.verdict in (None, row.verdict)
                and query.rule in (None, row.rule)
                and (query.from_ns is None or row.start_ns >= query.from_ns)
                and (query.to_ns is None or row.start_ns < query.to_ns)
            ]
        begin = int(query.cursor or 0)
        end = begin + query.limit
        return FindingPage(rows[begin:end], str(end) if end < len(rows) else None)

    def services(self, from_ns: int, to_ns: int) -> list[Rollup]:
        self.windows.append((from_ns, to_ns))
        return self.rollups

    def calls(self, service: str, from_ns: int, to_ns: int) -> dict[int, int]:
        found: dict[int, int] = {}
        for one in self.rollups:
            if one.service == service and from_ns // MINUTE_NS <= one.minute < -(-to_ns // MINUTE_NS):
                found[one.minute] = found.get(one.minute, 0) + one.count
        return found

    def edges(self, from_ns: int, to_ns: int) -> list[EdgeRollup]:
        self.windows.append((from_ns, to_ns))
        return self.edge_rollups

    def outbox_count(self) -> int:
        return 3

    def put(
        self,
        traces: Sequence[StoredTrace],
        clean_trace_ids: Sequence[bytes] = (),
        rollups: Sequence[Rollup] = (),
        edges: Sequence[EdgeRollup] = (),
    ) -> None:
        for trace in traces:
            self.found[trace.name] = Found("stored", trace.answer, trace.trace_otlp, trace.logs_otlp)

    def put_incidents(self, incidents: Sequence[StoredIncident]) -> None:
        with self.lock:
            self.changes += [IncidentChange(len(self.changes) + n, one.incident) for n, one in enumerate(incidents, 1)]

    def _now(self) -> dict[str, IncidentChange]:
        with self.lock:
            return {change.incident.incident_id: change for change in self.changes}

    def incident(self, incident_id: str) -> Incident | None:
        found = self._now().get(incident_id)
        return found.incident if found else None

    def incidents(self, query: IncidentQuery) -> list[Incident]:
        found = [change.incident for change in self._now().values()]
        found = [one for one in found if query.status in (None, one.status)]
        found = [one for one in found if query.service is None or query.service in services_of(one)]
        return sorted(found, key=lambda one: -one.onset_ns)[: query.limit]

    def incident_changes(self, after: int, limit: int) -> list[IncidentChange]:
        found = [change for change in self._now().values() if change.sequence > after]
        return sorted(found, key=lambda change: change.sequence)[:limit]

    def last_incident_change(self) -> int:
        return len(self.changes)

    def put_groups(self, groups: Sequence[ErrorGroup], messages: Sequence[OutboxItem] = ()) -> None:
        with self.lock:
            self.kept_groups |= {one.group_id: one for one in groups}

    def group(self, group_id: str) -> ErrorGroup | None:
        return self.kept_groups.get(group_id)

    def groups(self, query: GroupQuery) -> list[ErrorGroup]:
        found = [one for one in self.kept_groups.values() if query.status in (None, one.status)]
        if query.service is not None:
            found = [one for one in found if query.service in {seen.name for seen in one.services}]
        if query.spiking is not None:
            found = [one for one in found if query.spiking == (one.spike is not None)]
        keys = {"last_seen": "last_seen_ns", "first_seen": "first_seen_ns", "count": "count", "users": "users"}
        found.sort(key=lambda one: (-getattr(one, keys[query.sort]), one.group_id))
        return found[: query.limit]

    def outbox_take(self, destination: str, limit: int, now_ns: int) -> list[OutboxItem]:
        raise AssertionError("the query room never takes from the outbox")

    def outbox_done(self, row_ids: Iterable[int]) -> None:
        raise AssertionError("the query room never writes")

    def outbox_retry(self, row_ids: Iterable[int], due_ns: int) -> None:
        raise AssertionError("the query room never writes")

    def outbox_dead(self, row_ids: Iterable[int], reason: str) -> None:
        raise AssertionError("the query room never writes")

    def save_state(self, name: str, blob: bytes) -> None:
        raise AssertionError("the query room never writes")

    def load_state(self, name: str) -> bytes | None:
        return self.states.get(name)

    def retain(self, now_ns: int) -> None:
        raise AssertionError("the query room never writes")

    def close(self) -> None:
        pass


class FakeChangeLog:
    """Keeps changes in a dictionary, for ever."""

    def __init__(self) -> None:
        self.kept: dict[str, Change] = {}

    def put_change(self, change: Change) -> bool:
        return self.kept.setdefault(change.change_id, change) is change

    def changes(self, query: ChangeQuery) -> list[Change]:
        found = [
            one
            for one in self.kept.values()
            if query.service in (None, one.service)
            and query.kind in (None, one.kind)
            and (query.from_ns is None or one.time_ns >= query.from_ns)
            and (query.to_ns is None or one.time_ns < query.to_ns)
        ]
        return sorted(found, key=lambda one: (-one.time_ns, one.change_id))[: query.limit]

    def close(self) -> None:
        pass


class FakeRunbookLog:
    """Keeps edits in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[str, HandEdits] = {}

    def edits(self, runbook_id: str) -> HandEdits | None:
        return self.kept.get(runbook_id)

    def put_edits(self, edits: HandEdits) -> bool:
        before = self.kept.get(edits.runbook_id)
        if edits.edit != (before.edit if before else 0) + 1:
            return False
        self.kept[edits.runbook_id] = edits
        return True

    def close(self) -> None:
        pass


class FakeNoteLog:
    """Keeps notes in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[str, FrameNote] = {}

    def notes(self, group_id: str) -> list[FrameNote]:
        return [one for one in self.listed(len(self.kept), oldest=True) if one.group_id == group_id]

    def note(self, note_id: str) -> FrameNote | None:
        return self.kept.get(note_id)

    def listed(self, limit: int, *, oldest: bool = False) -> list[FrameNote]:
        found = sorted(self.kept.values(), key=lambda one: (one.written_ns, one.note_id), reverse=not oldest)
        return found[:limit]

    def add_note(self, note: FrameNote) -> FrameNote:
        here = self.notes(note.group_id)
        at_frame = [one for one in here if one.frame == note.frame]
        same = [one for one in at_frame if (one.author, one.text) == (note.author, note.text)]
        if same:
            return same[0]
        for bound, held, most in (("frame", at_frame, FRAME_NOTES_MAX), ("group", here, GROUP_NOTES_MAX)):
            if len(held) >= most:
                raise NotesFullError(bound, len(held))
        self.kept[note.note_id] = note
        return note

    def put_note(self, note: FrameNote) -> bool:
        before = self.kept.get(note.note_id)
        if before is None or before.edit + 1 != note.edit:
            return False
        self.kept[note.note_id] = note
        return True

    def remove_note(self, note_id: str, edit: int) -> bool:
        before = self.kept.get(note_id)
        if before is None or before.edit != edit:
            return False
        del self.kept[note_id]
        return True

    def close(self) -> None:
        pass


class FakeOpenTraces:
    """Holds what the test says it holds."""

    def __init__(self) -> None:
        self.answers: dict[bytes, Answer] = {}
        self.asked: list[bytes] = []
        self.on_ask: Callable[[bytes], None] = lambda name: None

    def ask(self, name: bytes, timeout_s: float) -> Answer | None:
        self.asked.append(name)
        self.on_ask(name)
        return self.answers.get(name)

    def explain(self, name: bytes, timeout_s: float) -> Answer | None:
        return None


class FakeDecisions:
    """An engine that lets decisions about the groups of a store hold, as long as it answers."""

    def __init__(self, store: FakeStore) -> None:
        self.store, self.answers = store, True
        self.decided: list[tuple[str, GroupChange]] = []

    def decide(self, group_id: str, change: GroupChange, timeout_s: float) -> ErrorGroup | None:
        if not self.answers:
            raise OverloadedError("the engine does not answer", "engine_silent")
        self.decided.append((group_id, change))
        group = self.store.group(group_id)
        return group.model_copy(update={"status": change.status}) if group is not None else None
