"""The plain twin of assembly: a dict of traces, every deadline looked at every time.

Truth for `collector.assembly`: which traces leave when, with which reason, revision and rows, and
every counter. It knows nothing of memory: no arena, no pressure.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from analyzer.spans import ReleaseReason
from collector.assembly import AssemblyConfig

EDGES_MS = [round(25 * 2 ** (k / 2)) for k in range(24)]


def keeps(seeds: Sequence[int], share: float, trace_id: bytes) -> bool:
    """Whether a trace is of the share that is kept under stress: a hash of its id, in whole numbers."""
    words = [int.from_bytes(trace_id[at : at + 4], "little") for at in range(0, 16, 4)]
    found = (sum(seed * word for seed, word in zip(seeds, words, strict=False)) + seeds[4]) % 2**64 >> 32
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        found = (found ^ found >> shift) * factor % 2**32
    return found % 2**31 < round(share * 2**31)


@dataclass(frozen=True)
class Row:
    """What assembly looks at. Two equal rows are duplicates."""

    trace_id: bytes
    raw: bytes
    operation: int
    is_root: bool
    is_error: bool
    is_own: bool
    identity: tuple[int, ...]


@dataclass
class Trace:
    trace_id: bytes
    rows: list[Row] = field(default_factory=list)
    released_count: int = 0
    early_count: int = 0
    first_ms: int = 0
    last_ms: int = 0
    root_ms: int | None = None
    root_operation: int = 0
    wait_ms: int = 0
    since_ms: int = 0
    revision: int = 0
    dropped: int = 0
    holds: int = 0
    state: str = "open"
    limited: bool = False
    reopened: bool = False
    due_reason: ReleaseReason | None = None
    reason: ReleaseReason | None = None
    spread_bin: int | None = None

    @property
    def size(self) -> int:
        return sum(len(row.raw) for row in self.rows)


@dataclass(frozen=True)
class Left:
    """One released trace."""

    trace_id: bytes
    reason: ReleaseReason
    revision: int
    dropped: int
    late: int
    raws: tuple[bytes, ...]


class NaiveAssembler:
    def __init__(self, config: AssemblyConfig) -> None:
        self.config = config
        self.traces: dict[bytes, Trace] = {}
        self.kept: OrderedDict[bytes, Trace] = OrderedDict()
        self.closed: OrderedDict[bytes, Trace] = OrderedDict()
        self.learned: dict[int, list[int]] = {}
        self.counts: Counter[str] = Counter()
        self.now = 0
        self.keeps: Callable[[bytes], bool] | None = None  # under stress: which new traces are
        self.shed: dict[bytes, int] = {}  # traces left out: in which generation last
        self.generation = self.turned = 0
        self.ended: int | None = None

    def ingest(self, rows: Iterable[Row], now: int) -> None:
        self._advance(now)
        for row in rows:
            self.counts["received"] += 1
            self._take(row)

    def begin_stress(self, keeps: Callable[[bytes], bool]) -> None:
        if self.keeps is None:
            self.turned = self.now
        self.keeps, self.ended = keeps, None

    def end_stress(self) -> None:
        if self.keeps is not None and self.ended is None:
            self.ended = self.now

    def due(self, now: int) -> list[Left]:
        self._advance(now)
        self._forget_stress()
        leaving = []
        for trace in self.traces.values():
            if trace.state == "open":
                reason = trace.due_reason or self._reason_now(trace)
                if reason is not None:
                    leaving.append((trace, reason))
        return self._release(leaving)

    def flush(self, reason: ReleaseReason) -> list[Left]:
        return self._release([(t, t.due_reason or reason) for t in self.traces.values() if t.state == "open"])

    def done(self, trace_ids: Sequence[bytes]) -> None:
        for trace_id in trace_ids:
            trace = self.traces[trace_id]
            trace.holds -= 1
            if trace.holds == 0 and trace.state == "released":
                if self.config.late_keep_ms > 0 and not trace.limited:
                    self._keep(trace)
                else:
                    self._close(trace, self.now)

    @property
    def open_spans(self) -> int:
        return sum(len(trace.rows) - trace.released_count for trace in self.traces.values())

    @property
    def oldest_ms(self) -> int:
        return min((t.first_ms for t in self.traces.values() if t.state in ("open", "released")), default=self.now)

    def _advance(self, now: int) -> None:
        self.now = max(self.now, now)
        for trace in list(self.kept.values()):
            if self.now - trace.since_ms >= self.config.late_keep_ms:
                self._close(trace, trace.since_ms + self.config.late_keep_ms)
        for trace in list(self.closed.values()):
            if self.now - trace.since_ms >= self.config.late_window_ms:
                self._forget(trace)

    def _take(self, row: Row) -> None:
        config = self.config
        if row.is_own:
            self.counts["own_scope"] += 1
            return
        share = 1.0 if row.is_root or row.is_error else 1.0 - config.reserve_share
        spans_max = max(1, int(config.trace_spans_max * share))
        bytes_max = max(1, int(config.trace_bytes_max * share))
        trace = self.traces.get(row.trace_id)
        if trace is None:
            if self._sheds(row.trace_id):
                self.counts["stress"] += 1
                return
            if len(row.raw) > bytes_max:
                self.counts["trace_too_large"] += 1
                return
            trace = self.traces[row.trace_id] = Trace(row.trace_id, first_ms=self.now, last_ms=self.now)
        if trace.limited and trace.state != "open":
            trace.dropped += 1
            self.counts["trace_too_large"] += 1
            return
        over_spans = len(trace.rows) >= spans_max
        if over_spans or trace.size + len(row.raw) > bytes_max:
            trace.dropped += 1
            self.counts["trace_too_large"] += 1
            if trace.state == "open" and not trace.limited:
                trace.limited = True
                trace.due_reason = ReleaseReason.SPAN_LIMIT if over_spans else ReleaseReason.BYTE_LIMIT
            return
        if trace.state != "open":
            self.kept.pop(trace.trace_id, None)
            self.closed.pop(trace.trace_id, None)
            trace.state, trace.reopened, trace.first_ms = "open", True, self.now
            self.counts["reopened"] += 1
        trace.rows.append(row)
        trace.last_ms = self.now
        if trace.revision:
            self.counts["late"] += 1
        if row.is_root and trace.root_ms is None:
            trace.root_operation = row.operation if row.operation < config.root_operations_max else 0
            trace.root_ms, trace.wait_ms = self.now, self._wait(trace.root_operation)

    def _sheds(self, trace_id: bytes) -> bool:
        if self.keeps is None or self.keeps(trace_id):
            return False
        known = trace_id in self.shed
        if self.ended is not None:
            return known
        self.counts["shed traces"] += not known
        self.shed[trace_id] = self.generation
        return True

    def _forget_stress(self) -> None:
        if self.keeps is None:
            return
        if self.ended is not None and self.now - self.ended >= self.config.age_max_ms:
            self.keeps, self.ended, self.shed = None, None, {}
        elif self.now - self.turned >= self.config.age_max_ms:
            self.turned = self.now
            self.generation += 1
            self.shed = {one: last for one, last in self.shed.items() if last >= self.generation - 1}

    def _wait(self, operation: int) -> int:
        config = self.config
        seen = self.learned.get(operation, [])
        wait = config.root_idle_ms
        if sum(seen) >= config.root_observations_min:
            need, total = -(-sum(seen) * round(config.root_quantile * 1000) // 1000), 0
            for edge, count in zip(EDGES_MS, seen, strict=True):
                total += count
                if total >= need:
                    wait = edge
                    break
        return min(max(wait, config.root_idle_min_ms), config.root_idle_max_ms)

    def _observe(self, trace: Trace) -> None:
        if trace.root_ms is None:
            return
        bins = self.learned.setdefault(trace.root_operation, [0] * len(EDGES_MS))
        if trace.spread_bin is not None and bins[trace.spread_bin] > 0:
            bins[trace.spread_bin] -= 1
        trace.spread_bin = None
        spread = trace.last_ms - trace.root_ms
        if spread > self.config.root_idle_max_ms:
            return
        trace.spread_bin = next((i for i, edge in enumerate(EDGES_MS) if spread <= edge), len(EDGES_MS) - 1)
        if sum(bins) >= 1024:
            bins[:] = [count // 2 for count in bins]
        bins[trace.spread_bin] += 1

    def _reason_now(self, trace: Trace) -> ReleaseReason | None:
        config = self.config
        if trace.root_ms is not None and not trace.reopened:
            end = max(trace.root_ms + trace.wait_ms, trace.last_ms + config.root_idle_min_ms)
            reason = ReleaseReason.ROOT_IDLE
        else:
            end, reason = trace.last_ms + config.idle_ms, ReleaseReason.IDLE
        if trace.first_ms + config.age_max_ms < end:
            end, reason = trace.first_ms + config.age_max_ms, ReleaseReason.MAX_AGE
        return reason if self.now >= end else None

    def _release(self, leaving: list[tuple[Trace, ReleaseReason]]) -> list[Left]:
        left = []
        for trace, reason in leaving:
            before = len(trace.rows)
            trace.rows = list({row.identity: row for row in trace.rows}.values())
            self.counts["deduped"] += before - len(trace.rows)
            trace.state, trace.due_reason = "released", None
            if len(trace.rows) == trace.released_count:
                if trace.holds == 0:
                    self._keep(trace)
                continue
            if reason in (ReleaseReason.ROOT_IDLE, ReleaseReason.IDLE, ReleaseReason.MAX_AGE):
                self._observe(trace)
            if trace.revision == 0:
                trace.early_count = len(trace.rows)
            new = len(trace.rows) - trace.released_count
            self.counts[f"released {reason.name.lower()}"] += new
            self.counts["released"] += new
            trace.revision += 1
            trace.released_count = len(trace.rows)
            trace.holds += 1
            left.append(
                Left(
                    trace.trace_id,
                    reason,
                    trace.revision,
                    trace.dropped,
                    len(trace.rows) - trace.early_count,
                    tuple(row.raw for row in trace.rows),
                )
            )
        return left

    def _keep(self, trace: Trace) -> None:
        trace.state, trace.since_ms = "kept", self.now
        self.kept[trace.trace_id] = trace

    def _close(self, trace: Trace, then: int) -> None:
        self.kept.pop(trace.trace_id, None)
        trace.rows, trace.released_count, trace.early_count = [], 0, 0
        trace.state, trace.since_ms = "closed", then
        self.closed[trace.trace_id] = trace
        if len(self.closed) > self.config.closed_traces_max:
            self._forget(next(iter(self.closed.values())))

    def _forget(self, trace: Trace) -> None:
        del self.closed[trace.trace_id]
        del self.traces[trace.trace_id]
