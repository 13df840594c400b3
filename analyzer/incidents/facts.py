"""What is kept of many traces to say what is breaking the system: a few columns per span.

In: measured batches (`Analysis`). Out: `TraceFacts`, about 80 bytes a span, ids of one shared vocabulary. Everything
that compares a window with a reference (ranking, detection, the published methods of the evaluation) works on
these columns and on nothing else; labels are not among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from analyzer.analysis import Analysis
from analyzer.origins import PropagationMemory, spread_blame

_PER_TRACE = ("trace_id", "fatal")


@dataclass(frozen=True, slots=True)
class TraceFacts:
    """n spans of T traces; traces contiguous, parents before their children.

    trace_ptr : int64[T + 1]  spans of trace t are trace_ptr[t]:trace_ptr[t + 1]
    trace_id : uint64[T, 2]   as in SPAN_DTYPE
    fatal : bool[T]           the failure reached the entry of the trace
    parent : int32[n]         index into these columns, -1 root
    operation : uint32[n]     id in `vocabulary.operations`: (service, name, kind)
    service : uint32[n]       string id; 0 missing
    name : uint32[n]          string id of the span's name
    resource : uint32[n]      id in `vocabulary.resources`: instance, version, host, zone
    peer : uint32[n]          string id of the other side, as the span names it; 0 none
    kind : uint8[n]           SpanKind
    peer_kind : uint8[n]      PeerKind
    start_ns : int64[n]       repaired (`Forest`)
    duration_ns : int64[n]
    own_ns : int64[n]         time that no blocking child covers
    critical_ns : int64[n]    own time on the critical path; sums to the root's duration
    failed : bool[n]          says itself that it failed
    weak : bool[n]            hints only
    error_class : uint8[n]    ErrorClass
    blame : float32[n]        share of the failure of its trace; sums to 1 over a fatal trace, else 0
    missing : float32[n]      surprise (nats) of expected calls that are not there, against what was learned
    flags : uint16[n]         NodeFlag
    """

    trace_ptr: npt.NDArray[np.int64]
    trace_id: npt.NDArray[np.uint64]
    fatal: npt.NDArray[np.bool_]
    parent: npt.NDArray[np.int32]
    operation: npt.NDArray[np.uint32]
    service: npt.NDArray[np.uint32]
    name: npt.NDArray[np.uint32]
    resource: npt.NDArray[np.uint32]
    peer: npt.NDArray[np.uint32]
    kind: npt.NDArray[np.uint8]
    peer_kind: npt.NDArray[np.uint8]
    start_ns: npt.NDArray[np.int64]
    duration_ns: npt.NDArray[np.int64]
    own_ns: npt.NDArray[np.int64]
    critical_ns: npt.NDArray[np.int64]
    failed: npt.NDArray[np.bool_]
    weak: npt.NDArray[np.bool_]
    error_class: npt.NDArray[np.uint8]
    blame: npt.NDArray[np.float32]
    missing: npt.NDArray[np.float32]
    flags: npt.NDArray[np.uint16]

    def __len__(self) -> int:
        """Return the number of spans."""
        return len(self.parent)

    @property
    def trace_count(self) -> int:
        return len(self.trace_ptr) - 1

    @property
    def trace(self) -> npt.NDArray[np.int32]:
        """int32[n]: the trace of each span."""
        return np.repeat(np.arange(self.trace_count, dtype=np.int32), np.diff(self.trace_ptr))

    @property
    def trace_start_ns(self) -> npt.NDArray[np.int64]:
        """int64[T]: when each trace began (its earliest span); 0 of a trace without spans."""
        found = np.zeros(self.trace_count, np.int64)
        full = np.diff(self.trace_ptr) > 0
        if full.any():
            found[full] = np.minimum.reduceat(self.start_ns, self.first)
        return found

    @property
    def first(self) -> npt.NDArray[np.intp]:
        """intp[k]: the first span of each trace that has any; a root."""
        return self.trace_ptr[:-1][np.diff(self.trace_ptr) > 0].astype(np.intp)

    @property
    def entering(self) -> npt.NDArray[np.bool_]:
        """bool[n]: a request enters a service here: a root, or a span whose parent is of another service."""
        above = self.service[np.maximum(self.parent, 0)] if len(self) else self.service
        entering: npt.NDArray[np.bool_] = (self.parent < 0) | (above != self.service)
        return entering

    @property
    def has_failed_child(self) -> npt.NDArray[np.bool_]:
        """bool[n]: one of the span's children says itself that it failed."""
        found = np.zeros(len(self), np.bool_)
        found[self.parent[self.failed & (self.parent >= 0)]] = True
        return found

    def select(self, traces: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> TraceFacts:
        """Return some traces, by mark or by index (in the given order)."""
        chosen = np.flatnonzero(traces) if traces.dtype == np.bool_ else np.asarray(traces, np.intp)
        sizes = np.diff(self.trace_ptr)[chosen]
        ptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        shift = self.trace_ptr[:-1][chosen] - ptr[:-1]
        spans = np.arange(ptr[-1]) + np.repeat(shift, sizes)
        parent = self.parent[spans].astype(np.int64)
        parent = np.where(parent >= 0, parent - np.repeat(shift, sizes), -1).astype(np.int32)
        columns = {
            column.name: getattr(self, column.name)[chosen if column.name in _PER_TRACE else spans]
            for column in fields(self)
            if column.name not in ("trace_ptr", "parent")
        }
        return TraceFacts(trace_ptr=ptr, parent=parent, **columns)


def gather_facts(analysis: Analysis, memory: PropagationMemory) -> TraceFacts:
    """Take the facts of a measured batch (copies; the batch may be let go afterwards)."""
    traces, forest = analysis.traces, analysis.forest
    rows = traces.rows[forest.row]
    first = traces.trace_ptr[:-1]
    ids = np.zeros((traces.trace_count, 2), np.uint64)
    full = np.diff(traces.trace_ptr) > 0
    ids[full, 0], ids[full, 1] = traces.rows["trace_id_0"][first[full]], traces.rows["trace_id_1"][first[full]]
    blame = spread_blame(analysis, memory)
    return TraceFacts(
        trace_ptr=forest.trace_ptr.copy(),
        trace_id=ids,
        fatal=blame.fatal.copy(),
        parent=forest.parent.copy(),
        operation=rows["operation"].copy(),
        service=rows["service"].copy(),
        name=rows["name"].copy(),
        resource=rows["resource"].copy(),
        peer=rows["peer"].copy(),
        kind=rows["kind"].copy(),
        peer_kind=rows["peer_kind"].copy(),
        start_ns=forest.start_ns.copy(),
        duration_ns=forest.end_ns - forest.start_ns,
        own_ns=analysis.own_ns.copy(),
        critical_ns=analysis.critical_ns.copy(),
        failed=analysis.failed.copy(),
        weak=analysis.weak.copy(),
        error_class=analysis.error_class.copy(),
        blame=blame.share.copy(),
        missing=analysis.structure.missing.copy(),
        flags=forest.flags.copy(),
    )


def join_facts(parts: Sequence[TraceFacts]) -> TraceFacts:
    """Put facts of the same vocabulary one after the other.

    Raises
    ------
    ValueError
        When there are none.
    """
    if not parts:
        raise ValueError("no facts to join: found an empty list, expected at least one part")
    if len(parts) == 1:
        return parts[0]
    bases = np.cumsum([0, *(len(part) for part in parts)])
    ptr = np.concatenate([[0], *(part.trace_ptr[1:] + base for part, base in zip(parts, bases, strict=False))])
    parent = np.concatenate(
        [np.where(part.parent >= 0, part.parent + base, -1) for part, base in zip(parts, bases, strict=False)]
    )
    columns = {
        column.name: np.concatenate([getattr(part, column.name) for part in parts])
        for column in fields(TraceFacts)
        if column.name not in ("trace_ptr", "parent")
    }
    return TraceFacts(trace_ptr=ptr.astype(np.int64), parent=parent.astype(np.int32), **columns)


_DTYPES = {
    "trace_ptr": np.int64, "trace_id": np.uint64, "fatal": np.bool_, "parent": np.int32, "operation": np.uint32,
    "service": np.uint32, "name": np.uint32, "resource": np.uint32, "peer": np.uint32, "kind": np.uint8,
    "peer_kind": np.uint8, "start_ns": np.int64, "duration_ns": np.int64, "own_ns": np.int64, "critical_ns": np.int64,
    "failed": np.bool_, "weak": np.bool_, "error_class": np.uint8, "blame": np.float32, "missing": np.float32,
    "flags": np.uint16,
}  # fmt: skip


def no_facts() -> TraceFacts:
    """Return the facts of no trace."""
    columns: dict[str, npt.NDArray[np.generic]] = {name: np.zeros(0, dtype) for name, dtype in _DTYPES.items()}
    columns["trace_ptr"], columns["trace_id"] = np.zeros(1, np.int64), np.zeros((0, 2), np.uint64)
    return TraceFacts(**columns)  # type: ignore[arg-type]
