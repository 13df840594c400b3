"""What the engine's thread works with, and what it counts. Nothing here runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from analyzer.engine import Analyzer, Verdicts
from analyzer.errors.group_words import ErrorGroup
from analyzer.errors.trace_groups import Explained
from analyzer.findings import Answer, SpanRef
from analyzer.spans import TraceBatch
from collector.contracts import (
    Clock,
    EdgeRollup,
    Found,
    OutboxItem,
    Released,
    Rollup,
    Signal,
    StoredIncident,
    StoredTrace,
)
from collector.handover import Position
from collector.recall import Recalled


class Source(Protocol):
    """Where requests come from. One reader: the engine's thread."""

    def wait(self, timeout_s: float) -> None: ...

    def take(self) -> tuple[memoryview | bytes, Signal] | None:
        """Return the oldest request, or None. It stays the oldest until `release`."""

    def release(self) -> Position | None:
        """Go on to the next one; where in a journal the request stood, if anywhere."""


class LiveSource(Source, Protocol):
    """One that receivers fill."""

    def fill(self) -> float:
        """How full the way to here is, from 0 to 1; the fullest of several."""


class Assembling(Protocol):
    """The hall where traces wait (collector.assembly)."""

    def ingest(self, payload: memoryview | bytes, signal: Signal, now_ms: int) -> int: ...

    def due(self, now_ms: int, traces_max: int) -> Released | None: ...

    def flush(self, traces_max: int) -> Released | None: ...

    def done(self, released: Released) -> None: ...

    def peek(self, name: bytes, now_ms: int) -> TraceBatch | None: ...

    def oldest_ms(self) -> int: ...


class Shelf(Protocol):
    """The store's writer: takes batches in order, from this one thread."""

    def put(
        self,
        traces: Sequence[StoredTrace],
        clean_trace_ids: Sequence[bytes],
        rollups: Sequence[Rollup],
        edges: Sequence[EdgeRollup],
        partial_trace_ids: Sequence[bytes] = (),
        untold_trace_ids: Sequence[bytes] = (),
    ) -> None: ...

    def put_incidents(self, incidents: Sequence[StoredIncident]) -> None: ...

    def put_groups(self, groups: Sequence[ErrorGroup], messages: Sequence[OutboxItem] = ()) -> None: ...

    def save_state(self, name: str, blob: bytes) -> None: ...

    @property
    def handed(self) -> int:
        """Batches taken so far."""

    @property
    def written(self) -> int:
        """Batches on disk so far, in order."""


class Journal(Protocol):
    """Who knows what of the journals is decided (collector.journal.keeper). Owner: the engine's thread."""

    def taken(self, journal: str, sequence: int, now_ms: int) -> None:
        """Note that assembly took a record."""

    def keep_house(self, oldest_ms: int, handed: int, written: int) -> None:
        """Let go of what is decided and on the shelf. Never raises."""


class Incidents(Protocol):
    """Who looks over many traces (collector.incidents). Owner: the engine's thread."""

    def observe(self, verdicts: Verdicts) -> None:
        """Take a batch, before it is learned. Never raises."""

    def keep_house(self) -> None:
        """Detect, rank, tell: what is due and there is time for. Never raises."""

    def save(self) -> None:
        """Hand what was learned to the shelf."""


class Groups(Protocol):
    """Who keeps the groups of errors (collector.groups). Owner: the engine's thread."""

    def observe(self, verdicts: Verdicts) -> None:
        """Count the calls of a batch. Never raises."""

    def take(self, explained: Explained, index: int) -> None:
        """Count the errors of one explained trace of the batch observed last; -1: it is not of it. Never raises."""

    def open(self, explained: Explained) -> None:
        """Count the errors of a trace explained when somebody asked in groups nobody keeps so far. Never raises."""

    def rest(self, explained: Collection[int]) -> None:
        """Count the failing traces of the batch observed last that were not explained. Never raises."""

    def hear(self, payload: bytes | memoryview) -> None:
        """Count the errors of a request of logs that belong to no trace. Never raises."""

    def keep_house(self) -> None:
        """Let decisions of people hold, let time pass, tell what changed. Never raises."""

    def save(self) -> None:
        """Hand everything to the shelf."""


class Stress(Protocol):
    """Who has new traces left out under pressure (collector.stress). Owner: the engine's thread."""

    def look(self, now_ns: int) -> None:
        """Begin or end it, when it is time to."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the pipeline is made of, and how it turns an answer into bytes."""

    source: Source
    assembler: Assembling
    analyzer: Analyzer
    shelf: Shelf
    clock: Clock
    encode_traces: Callable[[TraceBatch, int], bytes]
    encode_logs: Callable[[TraceBatch, int], bytes]
    exports: Callable[[Explained, int], list[OutboxItem]]  # of a trace that was explained, now
    # Of a trace told in brief: its answer, its entry, now. What is acknowledged and found is told, explained or not.
    brief_exports: Callable[[Answer, SpanRef | None, int], list[OutboxItem]]
    # What the shelf has of a trace; and its spans, at the next revision, when they are kept.
    find: Callable[[bytes], Found] = lambda name: Found("unknown")
    reread: Callable[[Found], TraceBatch | None] = lambda found: None
    # What a trace has become with what is stored of it, when assembly no longer holds that.
    recall: Callable[[bytes, TraceBatch, int], Recalled | None] = lambda name, traces, index: None
    clean_traces_per_second: float = 20.0
    incidents: Incidents | None = None
    groups: Groups | None = None
    journal: Journal | None = None
    stress: Stress | None = None


@dataclass(slots=True)
class PipelineCounts:
    """Plain counters; written by the engine's thread, read by anybody."""

    requests: int = 0
    undecodable: int = 0
    analysed_traces: int = 0
    analysed_spans: int = 0
    findings: dict[str, int] = field(default_factory=dict)
    clean_traces: int = 0
    failed_traces: int = 0
    explained_traces: int = 0
    analysis_ns: int = 0
    explain_ns: int = 0
    recalled_traces: int = 0
    brief_traces: int = 0
    untold_traces: int = 0
    known_traces: int = 0
    asked_traces: int = 0
    refused_asks: int = 0
    evicted_kinds: int = 0  # accounts of `FairShares`
    evicted_asks: int = 0  # numbers of answers kept on request
    oldest_open_ms: int = 0
    replayed_requests: int = 0
    replayed_rows: int = 0
