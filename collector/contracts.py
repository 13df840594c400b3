"""Where rooms meet: small promises, one sentence of ownership each.

Rooms on the way never import one another; they import this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol, TypeAlias

from analyzer.errors.change_words import Change
from analyzer.errors.group_words import ErrorGroup, GroupChange
from analyzer.findings import Answer
from analyzer.incident_words import Incident
from analyzer.spans import Bytes, Rows, TraceBatch
from collector.trace_names import name_of

STATE_NAME = "analyzer"  # what the engine's learned state is kept under, and found by who analyses on request
DETECTION_STATE_NAME = "detection"  # what is usual for every service, operation and edge; alarms that are raised
INCIDENTS_STATE_NAME = "incidents"  # incidents that are open
GROUPS_STATE_NAME = "groups"  # users of every group, and which traces were counted last
IMPACT_STATE_NAME = "impact"  # whom the errors of today hit, as words; found by who answers for it
IMPACT_BOOKS_STATE_NAME = "impact_books"  # the sketches it is counted in
GROUP_SORTS = ("last_seen", "first_seen", "count", "users")
StorePosition: TypeAlias = Mapping[int, int]  # how far somebody has read, by file: a row; only who made it reads it


class Signal(IntEnum):
    """Which OTLP request the bytes are."""

    TRACES = 0
    LOGS = 1
    METRICS = 2


class Encoding(IntEnum):
    """How a request is written."""

    PROTOBUF = 0
    JSON = 1


class Clock(Protocol):
    """Time as an argument. Tests bring a manual one."""

    def now_ns(self) -> int:
        """Wall time, Unix nanoseconds; only for what people see."""

    def monotonic_ns(self) -> int:
        """Never steps back; for every deadline and age."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What a receiver is told of a request it handed in.

    accepted_count : spans or log records taken
    rejected_count : those that were bad by themselves; their neighbours live
    message : English, at most 4 KiB; set only when something was rejected
    """

    accepted_count: int
    rejected_count: int = 0
    message: str = ""


class Intake(Protocol):
    """The way in: guard, hand over, and only then acknowledge.

    Called by receiver threads, any number at once. The bytes belong to the caller again when it returns.
    """

    def take(self, payload: bytes, signal: Signal, encoding: Encoding, protocol: str, tenant: str = "") -> Admission:
        """Take one decompressed request.

        `protocol` is a counter label: "grpc" or "http". A `tenant` (of the credential) is written into every resource.

        Raises
        ------
        PermanentError
            The request cannot be read; sending it again would not help.
        RetryableError
            There is no room now; nothing of the request was taken.
        """


@dataclass(frozen=True, slots=True)
class StoredTrace:
    """One answer on its way to the shelf. Immutable; the store keeps no reference after `put`."""

    name: bytes  # of the trace (collector.trace_names): its 16 bytes, as on the wire, and a tenant behind them
    answer: Answer
    trace_otlp: bytes | None  # ExportTraceServiceRequest with the spans as they were sent; None: not kept
    logs_otlp: bytes | None = None  # ExportLogsServiceRequest with the logs of the trace
    exports: Sequence[OutboxItem] = ()


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """One message to a destination; byte-identical on every try.

    key : deterministic; a second put of the same key and destination is ignored
    signal : TRACES or LOGS
    payload : a serialised Export*ServiceRequest; to Sentry, an envelope
    """

    key: bytes
    destination: str
    signal: Signal
    payload: bytes
    attempts: int = 0
    row_id: int = 0  # given by the store


@dataclass(frozen=True, slots=True)
class FindingQuery:
    """Which findings to list, newest first. `tenant`: of what it sent; None: of all."""

    service: str | None = None
    verdict: str | None = None
    rule: str | None = None
    from_ns: int | None = None
    to_ns: int | None = None
    limit: int = 100
    cursor: str | None = None
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One line of a list of findings. Ask for the answer by `name`."""

    trace_id: str
    revision: int
    start_ns: int
    end_ns: int
    root_service: str
    root_operation: str
    verdict: str
    entity_kind: str
    entity_name: str
    service: str
    rule: str
    probability: float
    summary: str
    tenant: str = ""

    @property
    def name(self) -> bytes:
        return name_of(bytes.fromhex(self.trace_id), self.tenant)


@dataclass(frozen=True, slots=True)
class FindingPage:
    rows: list[FindingRow]
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True)
class StoredIncident:
    """One revision of an incident on its way to the shelf."""

    incident: Incident
    exports: Sequence[OutboxItem] = ()


@dataclass(frozen=True, slots=True)
class IncidentQuery:
    """Which incidents to list, newest onset first. `service` shows symptoms, or is suspected."""

    status: str | None = None
    service: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class IncidentChange:
    """One incident as it is now, and the number of its last change; numbers only grow."""

    sequence: int
    incident: Incident


@dataclass(frozen=True, slots=True)
class ChangeQuery:
    """Which changes to list, newest first; from_ns <= time_ns < to_ns."""

    service: str | None = None
    kind: str | None = None
    from_ns: int | None = None
    to_ns: int | None = None
    limit: int = 100


class ChangeLog(Protocol):
    """Keeps what was changed in the system. Any thread."""

    def put_change(self, change: Change) -> bool:
        """Keep one; on disk when it returns. False: its id is kept already, and nothing was changed."""

    def changes(self, query: ChangeQuery) -> list[Change]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class GroupQuery:
    """Which groups of errors to list. `sort`: one of `GROUP_SORTS`, largest or latest first.

    spiking : only those far above their own past now, or only the others
    """

    status: str | None = None
    service: str | None = None
    sort: str = "last_seen"
    limit: int = 100
    spiking: bool | None = None


@dataclass(frozen=True, slots=True)
class Rollup:
    """One minute of one operation."""

    minute: int  # Unix minutes
    service: str
    operation: str
    kind: int
    count: int
    error_count: int
    duration_sum_ns: int
    duration_max_ns: int


@dataclass(frozen=True, slots=True)
class EdgeRollup:
    """One minute of one edge of the service graph. `rule` names how the edge was seen."""

    minute: int
    caller: str
    callee: str
    callee_kind: str  # service | peer | database | queue
    rule: str  # client_server | parent_child | peer_attribute | producer_consumer | link
    count: int
    error_count: int
    duration_sum_ns: int


@dataclass(frozen=True, slots=True)
class Found:
    """What the shelf knows of a trace id.

    status : "stored" (answer is set), "clean" (analysed, nothing to say, bytes not kept), "partial" (the same of
        what came; spans are missing),
        "expired" (retention took it), "dropped" (something was wrong with it that was not told, or its answer cannot
        be read), "unknown" (never seen)
    """

    status: str
    answer: Answer | None = None
    trace_otlp: bytes | None = None
    logs_otlp: bytes | None = None
    reason: str = ""


class Store(Protocol):
    """The shelf. One writer thread a process owns `put*`; readers open their own instance, read only."""

    def put(
        self,
        traces: Sequence[StoredTrace],
        clean_trace_ids: Sequence[bytes] = (),
        rollups: Sequence[Rollup] = (),
        edges: Sequence[EdgeRollup] = (),
        partial_trace_ids: Sequence[bytes] = (),
        untold_trace_ids: Sequence[bytes] = (),
    ) -> None:
        """Keep all of it in one transaction: answers and their outbox rows together, or nothing."""

    def find(self, name: bytes) -> Found: ...

    def namesakes(self, trace_id: bytes) -> list[bytes]:
        """Names under which a trace of this id is kept, of whichever tenants."""

    def findings(self, query: FindingQuery) -> FindingPage: ...

    def new_findings(self, after: StorePosition | None, limit: int) -> tuple[list[FindingRow], StorePosition]:
        """What was stored behind a position, in that order, and the position behind it; None: none, and the end."""

    def services(self, from_ns: int, to_ns: int) -> list[Rollup]:
        """Sum the rollups of a window per operation (`minute` is the first of the window)."""

    def calls(self, service: str, from_ns: int, to_ns: int) -> dict[int, int]:
        """Sum the spans that enter a service (all of its spans when none do), by Unix minute."""

    def edges(self, from_ns: int, to_ns: int) -> list[EdgeRollup]: ...

    def put_incidents(self, incidents: Sequence[StoredIncident]) -> None:
        """Keep the highest revision of each; the same or a lower one is ignored with its messages."""

    def incident(self, incident_id: str) -> Incident | None: ...

    def incidents(self, query: IncidentQuery) -> list[Incident]: ...

    def incident_changes(self, after: int, limit: int) -> list[IncidentChange]:
        """Return what changed after the change of that number, oldest first; each incident once, as it is now."""

    def last_incident_change(self) -> int:
        """Return the number of the last change; 0 when there was none."""

    def put_groups(self, groups: Sequence[ErrorGroup], messages: Sequence[OutboxItem] = ()) -> None:
        """Keep the highest revision of each; the same or a lower one is ignored. Messages once for each key."""

    def group(self, group_id: str) -> ErrorGroup | None: ...

    def groups(self, query: GroupQuery) -> list[ErrorGroup]: ...

    def outbox_take(self, destination: str, limit: int, now_ns: int) -> list[OutboxItem]:
        """Return the oldest rows that are due; they stay until `outbox_done`."""

    def outbox_done(self, row_ids: Iterable[int]) -> None: ...

    def outbox_retry(self, row_ids: Iterable[int], due_ns: int) -> None: ...

    def outbox_dead(self, row_ids: Iterable[int], reason: str) -> None:
        """Move rows that will never be taken to the dead letters, with the reason."""

    def outbox_count(self) -> int: ...

    def save_state(self, name: str, blob: bytes) -> None:
        """Keep one named blob (baselines); the newest replaces the one before."""

    def load_state(self, name: str) -> bytes | None: ...

    def retain(self, now_ns: int) -> None:
        """Let go of what is older than retention or over quota."""

    def close(self) -> None: ...


class OpenTraces(Protocol):
    """Ask the engine about a trace that is still open (or was just closed). Any thread."""

    def ask(self, name: bytes, timeout_s: float) -> Answer | None:
        """Return an `in_progress` answer, or None when the engine does not hold the trace."""

    def explain(self, name: bytes, timeout_s: float) -> Answer | None:
        """Explain a trace that was told in brief, and keep that; None: its spans are not kept, or there is no time."""


class Decisions(Protocol):
    """Tell the engine what a person decided about a group; it owns the groups. Any thread."""

    def decide(self, group_id: str, change: GroupChange, timeout_s: float) -> ErrorGroup | None:
        """Return the group as it is now; None when there is no such group.

        Raises
        ------
        OverloadedError
            The engine did not answer in time; the decision may hold or not. Send it again.
        """


@dataclass(slots=True)
class Released:
    """Traces that left assembly in one go. The receiver of it must call `done` when it has let go of the bytes."""

    traces: TraceBatch
    late_counts: Sequence[int] = field(default_factory=list)


class WireDecoder(Protocol):
    """Request bytes -> rows. One owner thread (the engine's): it also owns the vocabulary."""

    def decode_into(
        self,
        signal: Signal,
        raw: Bytes,
        offset: int,
        length: int,
        rows: Rows,
        first_row: int,
    ) -> int:
        """Decode the request at raw[offset : offset + length] into rows[first_row:].

        `raw` must have 16 readable bytes behind the request. Spans with a bad id, and log records
        without a trace id, give no row. `raw_offset` of each row is absolute in `raw`; `next` is -1.

        Returns
        -------
        int
            Rows written; -1 when `rows` has no room for all of them (nothing may be used then).

        Raises
        ------
        BadRequestError
            The bytes cannot be read (the guard lets nothing of that kind in; counted as undecodable).
        """
