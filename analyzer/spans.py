"""The words in: spans as columns.

What comes in is made by a translator (`collector.wire`): rows of `SPAN_DTYPE`,
128 bytes each, beside the original bytes of every span. What goes out is the
same rows, grouped by trace (`TraceBatch`). No Python object is made per span.

A log record that carries a trace id travels as a row too (`flags & FLAG_LOG`):
`parent_id` is the span it was written under, `start_ns` its time, `name` its
event name (or empty), `status` 2 when its severity is ERROR or worse. So logs wait, age and
leave with their trace, under the same limits.

Times are signed int64 nanoseconds. Strings are ids of a `StringTable`; 0 is the
empty string, 1 is `<other>` (the table was full; the true text is in the bytes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Rows: TypeAlias = npt.NDArray[np.void]
Bytes: TypeAlias = npt.NDArray[np.uint8]

SPAN_DTYPE = np.dtype(
    [
        ("trace_id_0", "<u8"),  # first 8 bytes of the trace id, as a little-endian load
        ("trace_id_1", "<u8"),  # last 8 bytes
        ("span_id", "<u8"),  # 8 bytes, little-endian load; of a log row: a content hash
        ("parent_id", "<u8"),  # 0: none given (a root)
        ("start_ns", "<i8"),  # as sent, unrepaired; values >= 2**63 wrap to negative
        ("end_ns", "<i8"),
        ("raw_offset", "<i8"),  # where the Span (LogRecord) message stands in `raw`
        ("raw_length", "<u4"),
        ("name", "<u4"),  # string id
        ("service", "<u4"),  # string id of service.name; 0 when missing
        ("operation", "<u4"),  # operation id: (service, kind, name)
        ("resource", "<u4"),  # resource id
        ("scope", "<u4"),  # scope id
        ("error_type", "<u4"),  # string id of error.type
        ("exception_type", "<u4"),  # string id; the span's own attribute, else its last exception event
        ("peer", "<u4"),  # string id of the other side, by PEER_PRECEDENCE
        ("system", "<u4"),  # string id of db.system / messaging.system / rpc.system
        ("http_status", "<u2"),  # 0: none
        ("rpc_status", "u1"),  # gRPC code; 255: none
        ("kind", "u1"),  # SpanKind; out of range -> 0
        ("status", "u1"),  # StatusCode; out of range -> 0
        ("peer_kind", "u1"),  # PeerKind
        ("message_class", "u1"),  # ErrorClass found by keyword in the status or exception message
        ("event_count", "u1"),  # saturates at 255
        ("flags", "<u4"),  # SpanFlag
        ("link_count", "<u2"),  # saturates
        ("attribute_count", "<u2"),  # saturates
        ("arrival_ms", "<u4"),  # arrival, milliseconds of the owner's monotonic clock; set by assembly
        ("next", "<i4"),  # assembly's own: next row of the same trace, -1 ends
        ("weight", "<f4"),  # 1 / sampling probability (tracestate ot=th), 1.0 when not said
        ("resend_count", "u1"),  # http.request.resend_count, saturates
        ("severity", "u1"),  # log rows: severity number
        ("reserved", "<u2"),
    ],
    align=False,
)
assert SPAN_DTYPE.itemsize == 128

NO_RPC_STATUS = 255
STRING_NONE = 0
STRING_OTHER = 1


class SpanKind(IntEnum):
    """OTLP span kinds."""

    UNSPECIFIED = 0
    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class StatusCode(IntEnum):
    """OTLP status codes."""

    UNSET = 0
    OK = 1
    ERROR = 2


class PeerKind(IntEnum):
    """What stands on the other side of a span, as its attributes say."""

    NONE = 0
    SERVICE = 1
    DATABASE = 2
    QUEUE = 3


class SpanFlag(IntFlag):
    """Bits of the `flags` column."""

    LOG = 1 << 0  # the row is a log record
    EXCEPTION = 1 << 1  # has an exception event, or exception.* attributes
    ROOT = 1 << 2  # no parent id was given
    REMOTE_PARENT = 1 << 3  # the span's flags say its parent is remote
    SAMPLED = 1 << 4  # W3C sampled bit
    BAD_PARENT_ID = 1 << 5  # the parent id had a wrong length; treated as missing, not as a root
    BAD_TEXT = 1 << 6  # some text was not UTF-8
    NO_SERVICE = 1 << 7  # service.name missing
    EMPTY_SERVICE = 1 << 8  # service.name empty
    SERVICE_NOT_TEXT = 1 << 9  # service.name is not a string
    NO_NAME = 1 << 10  # the span has no name
    THRESHOLD = 1 << 11  # tracestate carries ot=th: the trace was sampled
    ESCAPED = 1 << 12  # an exception event with exception.escaped = true
    OWN_SCOPE = 1 << 13  # written by firstfault itself; never analysed
    TRUNCATED = 1 << 14  # attributes, events or links were dropped (dropped_*_count > 0)
    DUPLICATE_KEY = 1 << 15  # an attribute key stood twice; the last one won


FLAG_LOG = int(SpanFlag.LOG)

# Which attribute fills which column; the new semantic-convention name first, old ones after it.
# A later row of the same slot fills the column only when no earlier one was there.
ERROR_TYPE_KEYS = ("error.type",)
EXCEPTION_TYPE_KEYS = ("exception.type",)
EXCEPTION_MESSAGE_KEYS = ("exception.message",)
HTTP_STATUS_KEYS = ("http.response.status_code", "http.status_code")
RPC_STATUS_KEYS = ("rpc.response.status_code", "rpc.grpc.status_code", "rpc.status_code")
RESEND_KEYS = ("http.request.resend_count", "http.resend_count")
DATABASE_SYSTEM_KEYS = ("db.system.name", "db.system")
MESSAGING_SYSTEM_KEYS = ("messaging.system",)
RPC_SYSTEM_KEYS = ("rpc.system.name", "rpc.system")
# The peer's name: the first key of this list that is there, whatever order they stand in.
PEER_PRECEDENCE = (
    "service.peer.name",
    "peer.service",
    "messaging.destination.name",
    "messaging.destination",
    "server.address",
    "net.peer.name",
    "db.namespace",
    "db.name",
    "rpc.service",
    "network.peer.address",
    "net.peer.ip",
)
# Resource attributes kept as columns of `ResourceTable`.
RESOURCE_KEYS: Mapping[str, tuple[str, ...]] = {
    "service": ("service.name",),
    "namespace": ("service.namespace",),
    "version": ("service.version",),
    "instance": ("service.instance.id", "k8s.pod.name", "container.id"),
    "host": ("host.name", "k8s.node.name", "host.id"),
    "zone": ("cloud.availability_zone",),
    "environment": ("deployment.environment.name", "deployment.environment"),
    "language": ("telemetry.sdk.language",),
    "tenant": ("tenant.id",),
    "owner": ("firstfault.tenant",),  # the tenant of the credential it was sent with; receivers write it
}
TENANT_PATTERN = r"[A-Za-z0-9._-]{1,128}"
OWN_SCOPE_NAME = "firstfault"
MISSING_SERVICE = "unknown_service"
MISSING_NAME = "(no name)"


class StringTable(Protocol):
    """Text by id. Ids are dense, from 0, and never change while the process lives."""

    def intern(self, text: bytes) -> int:
        """Return the id of `text`, adding it when new; `STRING_OTHER` when the table is full."""

    def text(self, index: int) -> str:
        """Return the text of an id; invalid UTF-8 is shown as U+FFFD."""

    def __len__(self) -> int: ...


class OperationTable(Protocol):
    """Operations by id: who does what, as which kind. Id 0 is `<other>`."""

    def intern(self, service: int, name: int, kind: int) -> int:
        """Return the id of (service string id, name string id, kind), adding it when new; 0 when the table is full."""

    def key(self, index: int) -> tuple[int, int, int]:
        """Return (service string id, name string id, kind) of an operation id."""

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource in words; empty strings where the attribute is missing."""

    service: str = ""
    namespace: str = ""
    version: str = ""
    instance: str = ""
    host: str = ""
    zone: str = ""
    environment: str = ""
    language: str = ""
    tenant: str = ""
    owner: str = ""


class ResourceTable(Protocol):
    """Resources by id. Id 0 is `<other>`: the table was full, or no resource was sent."""

    def resource(self, index: int) -> Resource: ...

    def raw(self, index: int) -> bytes:
        """Return the Resource message as it was sent."""

    def __len__(self) -> int: ...


class ScopeTable(Protocol):
    """Instrumentation scopes by id; 0: none."""

    def raw(self, index: int) -> bytes: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tables that the ids of a batch refer to; shared by all batches of an engine."""

    strings: StringTable
    operations: OperationTable
    resources: ResourceTable
    scopes: ScopeTable


@dataclass(frozen=True, slots=True)
class SpanBatch:
    """Spans as they were decoded, in the order they stood in the request.

    rows : SPAN_DTYPE[n]
    raw : uint8[...]      `rows["raw_offset"]` points into it
    """

    rows: Rows
    raw: Bytes
    vocabulary: Vocabulary


class ReleaseReason(IntEnum):
    """Why a trace left assembly. Each is a counter label and part of every answer."""

    ROOT_IDLE = 0
    IDLE = 1
    MAX_AGE = 2
    SPAN_LIMIT = 3
    BYTE_LIMIT = 4
    MEMORY_PRESSURE = 5
    SHUTDOWN = 6
    REPLAY = 7
    OPEN = 8  # not released: somebody asked while it was still open
    OFFLINE = 9  # read from a file


# Where programs put local variables of frames, as values or as JSON text: read by the analyzer, masked inside before.
VARIABLES_KEYS = ("exception.frames", "frames", "exception.values")

AttributeValue: TypeAlias = "str | bool | int | float | bytes | list[AttributeValue] | dict[str, AttributeValue] | None"


@dataclass(frozen=True, slots=True)
class EventDetail:
    """One span event, in words."""

    name: str
    time_ns: int
    attributes: Mapping[str, AttributeValue]


@dataclass(frozen=True, slots=True)
class LinkDetail:
    """One span link; ids in lower-case hex."""

    trace_id: str
    span_id: str
    attributes: Mapping[str, AttributeValue]


@dataclass(frozen=True, slots=True)
class SpanDetail:
    """What a row leaves out, read from the span's bytes; only for traces that are shown."""

    name: str = ""
    status_message: str = ""
    trace_state: str = ""
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    events: Sequence[EventDetail] = ()
    links: Sequence[LinkDetail] = ()
    body: AttributeValue = None  # log records
    severity_text: str = ""  # log records


class DetailReader(Protocol):
    """Reads the bytes of one row. Kept out of the analyzer: it knows protobuf."""

    def __call__(self, raw: memoryview, *, log: bool) -> SpanDetail: ...


@dataclass(frozen=True, slots=True)
class TraceBatch:
    """Released traces: rows grouped by trace.

    rows : SPAN_DTYPE[n]          rows of trace t are rows[trace_ptr[t]:trace_ptr[t + 1]], any order
    trace_ptr : int64[n_traces + 1]
    reasons : uint8[n_traces]     ReleaseReason
    revisions : int32[n_traces]   1 for the first verdict of a trace, +1 for each re-opening
    dropped : int32[n_traces]     spans of the trace that were counted, not kept (limits)
    raw : uint8[...]              bytes the rows point into; valid until the batch is let go
    """

    rows: Rows
    trace_ptr: npt.NDArray[np.int64]
    reasons: npt.NDArray[np.uint8]
    revisions: npt.NDArray[np.int32]
    dropped: npt.NDArray[np.int32]
    raw: Bytes
    vocabulary: Vocabulary
    details: DetailReader

    @property
    def trace_count(self) -> int:
        return len(self.trace_ptr) - 1

    def detail(self, row: int) -> SpanDetail:
        """Read the whole span (or log record) of one row from its bytes."""
        record = self.rows[row]
        offset, length = int(record["raw_offset"]), int(record["raw_length"])
        view = self.raw[offset : offset + length].data
        return self.details(view, log=bool(int(record["flags"]) & FLAG_LOG))

    def trace(self, index: int) -> TraceBatch:
        """Return one trace as a batch of its own (views, nothing is copied)."""
        start, stop = int(self.trace_ptr[index]), int(self.trace_ptr[index + 1])
        return TraceBatch(
            rows=self.rows[start:stop],
            trace_ptr=np.array([0, stop - start], np.int64),
            reasons=self.reasons[index : index + 1],
            revisions=self.revisions[index : index + 1],
            dropped=self.dropped[index : index + 1],
            raw=self.raw,
            vocabulary=self.vocabulary,
            details=self.details,
        )


def hex_id(*words: int | np.uint64) -> str:
    """Write id words (little-endian loads) as the lower-case hex everybody shows."""
    return b"".join(int(word).to_bytes(8, "little") for word in words).hex()


def id_words(hex_text: str) -> tuple[int, ...]:
    """Turn 16 or 32 hex digits into the little-endian words of the id columns.

    Raises
    ------
    ValueError
        When the text is not hex, or not 16 or 32 digits long.
    """
    raw = bytes.fromhex(hex_text)
    if len(raw) not in (8, 16):
        raise ValueError(f"id {hex_text!r} has {len(hex_text)} digits; expected 16 (span) or 32 (trace)")
    return tuple(int.from_bytes(raw[i : i + 8], "little") for i in range(0, len(raw), 8))
