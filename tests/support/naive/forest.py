"""The plain twin of the tree kernels: one object a span, dicts and sets, written for the eye.

Truth for `analyzer.forest.build_forest`: every array must be equal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from analyzer.forest import DEFECT_COUNT, Defect, Forest, NodeFlag
from analyzer.spans import NO_RPC_STATUS, SpanFlag, SpanKind, TraceBatch

YEAR_2200_NS = 7_258_118_400_000_000_000
DETACH_SLACK_NS = 1_000_000
NO_SERVICE = SpanFlag.NO_SERVICE | SpanFlag.EMPTY_SERVICE | SpanFlag.SERVICE_NOT_TEXT

NOTHING = NodeFlag(0)


def signed(word: int) -> int:
    return word - (1 << 64) if word >= 1 << 63 else word


@dataclass(eq=False)
class Span:
    row: int
    record: Any
    start: int = 0
    end: int = 0
    flags: NodeFlag = NOTHING
    parent: Span | None = None
    children: list[Span] = field(default_factory=list)
    offset: int = 0

    @property
    def id(self) -> int:
        return int(self.record["span_id"])

    @property
    def parent_id(self) -> int:
        return int(self.record["parent_id"])

    @property
    def kind(self) -> int:
        return int(self.record["kind"])

    @property
    def sent(self) -> SpanFlag:
        return SpanFlag(int(self.record["flags"]))

    @property
    def process(self) -> tuple[int, int]:
        return int(self.record["resource"]), int(self.record["service"])

    def identity(self) -> tuple[int, ...]:
        """Equal for two copies of one span."""
        record = self.record
        times = int(record["start_ns"]), int(record["end_ns"])
        return self.id, *times, signed(self.parent_id), self.kind, int(record["service"])

    def content(self) -> tuple[int, ...]:
        """Among copies the smallest says most."""
        record = self.record
        said = (int(record[name]) for name in ("status", "http_status", "attribute_count"))
        names = ("name", "raw_length", "resource", "error_type", "exception_type", "peer")
        return *(-value for value in said), *(int(record[name]) for name in names)

    def order(self) -> tuple[int, ...]:
        return self.start, self.end, self.id, *self.identity(), *self.content()


def naive_forest(traces: TraceBatch, clock_skew_max_ns: int = 2_000_000_000) -> Forest:
    """Build the forest of a batch, trace by trace."""
    nodes: list[Span] = []
    ends = [0]
    defects = np.zeros((traces.trace_count, DEFECT_COUNT), np.int32)
    row_node = np.full(len(traces.rows), -1, np.int32)
    place: dict[Span, int] = {}
    for trace in range(traces.trace_count):
        found = defects[trace]
        rows = range(int(traces.trace_ptr[trace]), int(traces.trace_ptr[trace + 1]))
        kept, by_id, logs = _spans_and_logs(traces, rows, found)
        _repair_times(kept, found)
        _link(kept, by_id, found)
        _cut_cycles(kept, found)
        _repair_skew(kept, clock_skew_max_ns, found)
        _relate(kept)
        for span in _pre_order(kept):
            place[span] = len(nodes)
            row_node[span.row] = len(nodes)
            nodes.append(span)
        for row in logs:
            _attach(traces.rows[row], row, by_id, place, row_node, found)
        found[Defect.TRUNCATED] += traces.dropped[trace]
        ends.append(len(nodes))
    children = [sorted(place[child] for child in span.children) for span in nodes]
    return Forest(
        row=np.array([span.row for span in nodes], np.int32),
        parent=np.array([place[span.parent] if span.parent else -1 for span in nodes], np.int32),
        trace_ptr=np.array(ends, np.int64),
        child_ptr=np.concatenate([[0], np.cumsum([len(one) for one in children])]).astype(np.int32),
        child=np.array([child for one in children for child in one], np.int32),
        start_ns=np.array([span.start for span in nodes], np.int64),
        end_ns=np.array([span.end for span in nodes], np.int64),
        flags=np.array([int(span.flags) for span in nodes], np.uint16),
        row_node=row_node,
        defects=defects,
    )


def _spans_and_logs(traces: TraceBatch, rows: range, found: Any) -> tuple[list[Span], dict[int, Span], list[int]]:
    """Spans that stay, who gets the children of each id, and rows of logs."""
    kept: dict[tuple[int, ...], Span] = {}
    logs = []
    for row in rows:
        span = Span(row, traces.rows[row])
        if span.sent & SpanFlag.OWN_SCOPE:
            found[Defect.OWN_SCOPE] += 1
        elif span.sent & SpanFlag.LOG:
            logs.append(row)
        elif span.identity() in kept:
            found[Defect.DUPLICATE] += 1
            kept[span.identity()] = min(kept[span.identity()], span, key=Span.content)
        else:
            kept[span.identity()] = span
    groups: dict[int, list[Span]] = {}
    for span in sorted(kept.values(), key=lambda span: (*span.identity(), *span.content())):
        groups.setdefault(span.id, []).append(span)
    for group in groups.values():
        if len(group) > 1:
            for span in group:
                span.flags |= NodeFlag.SPLIT_ID
            if sorted(span.kind for span in group) != [SpanKind.SERVER, SpanKind.CLIENT]:
                found[Defect.DUP_SPAN_ID] += len(group) - 1
    by_id: dict[int, Span] = {}
    for identity, group in groups.items():
        clients = [span for span in group if span.kind == SpanKind.CLIENT]
        servers = [span for span in group if span.kind == SpanKind.SERVER]
        by_id[identity] = servers[0] if clients and servers else group[0]
        for server in servers:
            server.parent = clients[0] if clients else None
    return list(kept.values()), by_id, logs


def _repair_times(spans: list[Span], found: Any) -> None:
    timeless = []
    for span in spans:
        start, end = int(span.record["start_ns"]), int(span.record["end_ns"])
        good = [time for time in (start, end) if 0 < time < YEAR_2200_NS]
        if len(good) < 2:
            span.flags |= NodeFlag.NO_TIME
            found[Defect.NO_TIME] += 1
            found[Defect.TIME_OUT_OF_RANGE] += any(time < 0 or time >= YEAR_2200_NS for time in (start, end))
            span.start = span.end = good[0] if good else 0
            if not good:
                timeless.append(span)
        else:
            span.start, span.end = start, end
            if end < start:
                span.flags |= NodeFlag.NEGATIVE_DURATION
                found[Defect.NEGATIVE_DURATION] += 1
                span.end = start
    earliest = min((span.start for span in spans if span.start > 0), default=0)
    for span in timeless:
        span.start = span.end = earliest
    for span in spans:
        found[Defect.MISSING_SERVICE] += bool(span.sent & NO_SERVICE)
        found[Defect.BAD_TEXT] += bool(span.sent & SpanFlag.BAD_TEXT)
        found[Defect.BAD_PARENT_ID] += bool(span.sent & SpanFlag.BAD_PARENT_ID)
        found[Defect.TRUNCATED] += bool(span.sent & SpanFlag.TRUNCATED)
        found[Defect.MISSING_NAME] += bool(span.sent & SpanFlag.NO_NAME)


def _link(spans: list[Span], by_id: dict[int, Span], found: Any) -> None:
    entries = 0
    for span in spans:
        if span.parent:  # the server half of a shared id
            continue
        if span.sent & SpanFlag.BAD_PARENT_ID or (span.parent_id and span.parent_id not in by_id):
            span.flags |= NodeFlag.ORPHAN
            found[Defect.MISSING_PARENT] += 1
        elif span.parent_id == 0:
            entries += 1
        elif span.parent_id == span.id:
            span.flags |= NodeFlag.SELF_PARENT
            found[Defect.SELF_PARENT] += 1
            entries += 1
        else:
            span.parent = by_id[span.parent_id]
    found[Defect.ROOTLESS] = bool(spans) and entries == 0
    found[Defect.MULTI_ROOT] = entries if entries > 1 else 0


def _cut_cycles(spans: list[Span], found: Any) -> None:
    safe: set[Span] = set()
    for span in spans:
        walk: list[Span] = []
        at: Span | None = span
        while at and at not in safe and at not in walk:
            walk.append(at)
            at = at.parent
        if at and at in walk:
            circle = walk[walk.index(at) :]
            first = min(circle, key=lambda one: (one.start, one.id, *one.identity(), *one.content()))
            first.parent = None
            first.flags |= NodeFlag.CYCLE_CUT
            found[Defect.CYCLE] += 1
        safe |= set(walk)


def _gave_up(client: Span) -> bool:
    record = client.record
    return record["status"] == 2 or record["http_status"] >= 400 or record["rpc_status"] not in (0, NO_RPC_STATUS)


def _repair_skew(spans: list[Span], most: int, found: Any) -> None:
    """One offset per pair of processes, or none at all."""
    if most == 0:
        return
    pairs: dict[tuple[tuple[int, int], tuple[int, int]], list[Span]] = {}
    for server in spans:
        client = server.parent
        if not client or client.kind != SpanKind.CLIENT or server.kind != SpanKind.SERVER:
            continue
        comparable = not (client.flags | server.flags) & NodeFlag.NO_TIME and client.process != server.process
        if comparable and not _gave_up(client) and server.end - server.start <= client.end - client.start:
            pairs.setdefault((client.process, server.process), []).append(server)
    own: dict[Span, int] = {}
    for calls in pairs.values():
        bounds = [(call.parent.start - call.start, call.parent.end - call.end) for call in calls if call.parent]
        fits = [low <= 0 <= high for low, high in bounds]
        if all(fits):
            continue
        low, high = max(low for low, _ in bounds), min(high for _, high in bounds)
        middle = low + (high - low) // 2
        if any(fits) or low > high or abs(middle) > most:
            found[Defect.SKEW_INCONSISTENT] += 1
            continue
        for call in calls:
            own[call] = middle
    for span in spans:
        at: Span | None = span
        while at:
            span.offset += own.get(at, 0)
            if at.parent and at.kind == SpanKind.CONSUMER and at.process != at.parent.process:
                break
            at = at.parent
    for span in spans:
        span.start += span.offset
        span.end += span.offset
        if span.offset:
            span.flags |= NodeFlag.SKEW_ADJUSTED
            found[Defect.SKEW_ADJUSTED] += 1


def _relate(spans: list[Span]) -> None:
    for span in spans:
        parent = span.parent
        if not parent:
            continue
        if span.kind == SpanKind.CONSUMER and parent.kind == SpanKind.PRODUCER:
            span.flags |= NodeFlag.DETACHED
        if span.end > parent.end and not (span.flags | parent.flags) & NodeFlag.NO_TIME:
            span.flags |= NodeFlag.OUTLIVES_PARENT
            call = span.kind == SpanKind.SERVER and parent.kind == SpanKind.CLIENT
            if not call and span.end - parent.end > DETACH_SLACK_NS:
                span.flags |= NodeFlag.DETACHED


def _pre_order(spans: list[Span]) -> list[Span]:
    for span in sorted(spans, key=Span.order):
        if span.parent:
            span.parent.children.append(span)
    waiting = sorted((span for span in spans if not span.parent), key=Span.order, reverse=True)
    laid = []
    while waiting:
        laid.append(waiting.pop())
        waiting += reversed(laid[-1].children)
    return laid


def _attach(record: Any, row: int, by_id: dict[int, Span], place: dict[Span, int], row_node: Any, found: Any) -> None:
    span = by_id.get(int(record["parent_id"]))
    if int(record["parent_id"]) == 0:
        return
    if span is None:
        found[Defect.LOG_WITHOUT_SPAN] += 1
        return
    row_node[row] = place[span]
    if record["status"] == 2:
        span.flags |= NodeFlag.ERROR_LOG
    if int(record["flags"]) & SpanFlag.EXCEPTION:
        span.flags |= NodeFlag.EXCEPTION_LOG
