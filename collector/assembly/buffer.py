"""The hall where traces wait.

In: request bytes, in the order they came, and the time. Out: traces that are due (`Released`), their
rows copied together, their bytes where they are. Never parses (the decoder does), never analyses,
never asks for the time, never grows beyond its limits.

A trace's way::

    (new) -> OPEN -> RELEASED -> KEPT -> CLOSED -> (forgotten)
              ^         |          |        |
              +---------+----------+--------+   a late row re-opens: revision + 1

OPEN traces are on the wheel. RELEASED ones are with the receiver of a batch until it calls `done`.
KEPT ones still have their rows, for late spans, while memory allows. Of CLOSED ones only the id and
the revision are left: a late row makes a release that has only the late rows.

When memory is short (reliability.md (c)): over `soft_share` nothing is kept; over `hard_share` the
traces that hold the oldest segment leave early (`MEMORY_PRESSURE`); when nothing is free the request is
refused, whole, and the caller releases and tries again. Under `shed` most new traces are left out besides.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from analyzer.spans import SPAN_DTYPE, DetailReader, ReleaseReason, Rows, TraceBatch, Vocabulary
from collector.assembly.counts import AssemblyCounts, counts_of
from collector.assembly.kernels import deadlines, expiry, gather, layout, link, oldest, pressure, table
from collector.assembly.release import AssemblyConfig, limits_of
from collector.assembly.segments import Segments
from collector.assembly.shedding import Shedding
from collector.assembly.tenant_keys import TenantKeys
from collector.contracts import Released, Signal, WireDecoder
from collector.errors import OverloadedError

_INDEX_LENGTH_MIN = 1 << 12
_CLOSE_AT_ONCE = 256  # kept traces closed between two looks at the segments
_NO_SLOTS = np.zeros(0, np.int32)
_Words: TypeAlias = npt.NDArray[np.int64]
_Indices: TypeAlias = npt.NDArray[np.int32]
_Tables: TypeAlias = tuple[Rows, Rows, _Words, _Indices, _Indices, _Indices, _Words, _Words, npt.NDArray[np.uint64]]


@dataclass(slots=True)
class _Ticket(Released):
    """A release that is still out."""

    slots: _Indices = field(default_factory=lambda: _NO_SLOTS)
    is_out: bool = True


class Assembler:
    """Puts the spans of each trace back together. Owner: the engine's thread; no locks.

    Parameters
    ----------
    config : AssemblyConfig
    decoder : WireDecoder
    vocabulary : Vocabulary
        The tables the decoder fills; goes into every batch.
    details : DetailReader
        Goes into every batch.
    seed : int, optional
        Fixes the hash multipliers, for tests; without it they come from the operating system.
    """

    def __init__(
        self,
        config: AssemblyConfig,
        decoder: WireDecoder,
        vocabulary: Vocabulary,
        details: DetailReader,
        seed: int | None = None,
    ) -> None:
        self.config = config
        self._decoder, self._vocabulary, self._details = decoder, vocabulary, details
        self._segments = Segments(config)
        self._traces = np.empty(config.open_traces_max + config.closed_traces_max, layout.TRACE_DTYPE)
        self._index: _Words = np.zeros(_INDEX_LENGTH_MIN, np.int64)
        self._lists: _Indices = np.full((layout.LIST_COUNT, 2), -1, np.int32)
        self._learned = np.zeros((config.root_operations_max, len(deadlines.SPREAD_EDGES_MS)), np.uint16)
        self._state: _Words = np.zeros(layout.STATE_COUNT, np.int64)
        self._state[layout.FREE_HEAD] = -1
        self._shedding = Shedding(self._state, config.age_max_ms)
        self._limits = limits_of(config)
        self._seeds = np.random.default_rng(seed).integers(1, 2**64, 8, np.uint64, endpoint=False) | np.uint64(1)
        self._keys = TenantKeys(vocabulary.resources, self._seeds.tobytes())
        self._order: _Indices = np.zeros(1024, np.int32)
        self._seen: _Indices = np.zeros(2048, np.int32)
        self._now_ms = 0
        self._refused_requests = 0

    def ingest(self, payload: bytes | memoryview, signal: Signal, now_ms: int) -> int:
        """Take one request: copy, decode, and link its rows into their traces.

        Returns
        -------
        int
            Rows the request decoded to: linked, or dropped and counted.

        Raises
        ------
        OverloadedError
            There is no room; nothing was taken. Traces were made due: take them with `due`, call
            `done`, and try again.
        BadRequestError
            The decoder cannot read it, or it can never fit into the arena; nothing was taken.
        """
        now = self._advance(now_ms)
        if self._state[layout.OPEN_TRACES] >= self.config.open_traces_max:
            self._refuse(f"{self.config.open_traces_max} traces are open")
        place = self._segments.decode(self._decoder, signal, payload)
        if place is None:
            self._relieve(now)
            place = self._segments.decode(self._decoder, signal, payload)
        if place is None:
            while self._close_kept(now):  # nothing that is kept is worth a refusal
                pass
            place = self._segments.decode(self._decoder, signal, payload)
        if place is None:
            self._refuse(f"all {self._segments.count} segments of the arena hold rows in use")
        assert place is not None
        first, count = place
        self._keys.turn(self._segments.rows[first : first + count])
        self._grow_index(count)
        link.link(
            self._segments.rows,
            self._traces,
            self._index,
            self._lists,
            self._segments.live,
            self._segments.head_of,
            self._learned,
            self._state,
            self._limits,
            self._seeds,
            self._shedding.filters,
            first,
            count,
            now,
        )
        return count

    def due(self, now_ms: int, traces_max: int = 1024) -> Released | None:
        """Release traces whose time has come; call again until it returns None.

        The batch's rows are the caller's; its bytes are the arena's until `done`. In
        `late_counts[t]` is how many rows of trace t came after its first release. When that is all of
        them the rows of earlier releases are gone: the revision has only what came late, to be merged
        with what was stored.
        """
        now = self._advance(now_ms)
        self._shedding.let_age(now)
        self._relieve(now)
        expiry.expire_now(*self._tables(), now)
        return self._release(now, traces_max)

    def flush(self, traces_max: int = 1024, reason: ReleaseReason = ReleaseReason.SHUTDOWN) -> Released | None:
        """Release what is open, whatever its deadline; call again until it returns None."""
        deadlines.make_all_due(self._traces, self._lists, int(reason))
        return self._release(self._now_ms, traces_max)

    def done(self, released: Released) -> None:
        """Let go of a batch: its rows are kept for late spans, or their memory is freed.

        Raises
        ------
        ValueError
            The batch is not ours, or was let go of before.
        """
        if not isinstance(released, _Ticket) or not released.is_out:
            raise ValueError("this release was not given out, or is done already; call done once for each release")
        released.is_out = False
        keep = self.config.late_keep_ms > 0 and not self._is_over(self.config.soft_share)
        expiry.let_go(*self._tables(), self._now_ms, int(keep), released.slots)

    def peek(self, name: bytes, now_ms: int) -> TraceBatch | None:
        """Copy what is held of a trace (`collector.trace_names`), bytes too; None when nothing is. Changes nothing.

        An open trace says reason OPEN and the revision its release will have; one that was released
        says the reason and revision it was released with.
        """
        self._advance(now_ms)
        slot = table.find(self._index, self._traces, self._seeds, *self._keys.words(name))
        if slot < 0 or self._traces[slot]["span_count"] == 0:
            return None
        trace = self._traces[slot]
        count = int(trace["span_count"])
        self._size_scratch(count)
        rows = np.empty(count, SPAN_DTYPE)
        arena = self._segments.arena
        copied = gather.copy_rows(
            arena, self._segments.rows, int(trace["head"]), count, self._seeds, self._order, self._seen, rows
        )
        rows = rows[:copied]
        self._keys.turn(rows)
        raw = np.empty(int(rows["raw_length"].sum()), np.uint8)
        gather.copy_bytes(arena, rows, raw)
        is_open = int(trace["state"]) == layout.OPEN
        return TraceBatch(
            rows=rows,
            trace_ptr=np.array([0, copied], np.int64),
            reasons=np.array([ReleaseReason.OPEN if is_open else trace["reason"]], np.uint8),
            revisions=np.array([trace["revision"] + is_open], np.int32),
            dropped=np.array([trace["dropped"]], np.int32),
            raw=raw,
            vocabulary=self._vocabulary,
            details=self._details,
        )

    def fill(self) -> float:
        """How full it is, from 0 to 1: of memory, or of open traces, whichever is more."""
        traces = int(self._state[layout.OPEN_TRACES]) / self.config.open_traces_max
        return max(self._segments.used() / self._segments.count, traces)

    def shed(self, keep_share: float | None) -> None:
        """Leave out new traces from now on but for a share of them, whole and counted; None: no longer.

        Open traces go on, and so do those that were released and are remembered. Which are left out follows from their
        ids and a secret of this process. What still comes of them afterwards is left out too, for `age_max_ms`.
        """
        if keep_share is None:
            self._shedding.end(self._now_ms)
        else:
            self._shedding.begin(keep_share, self._now_ms)

    def oldest_ms(self) -> int:
        """When the oldest open trace was opened, or re-opened; the time last heard of, when none is open."""
        return self._now_ms - max(0, int(oldest.oldest_age(self._traces, self._state, self._now_ms)))

    def counts(self) -> AssemblyCounts:
        """What was counted since the start, and what is held now."""
        return counts_of(self._state, self._refused_requests, self._segments.used(), self._segments.count)

    def _advance(self, now_ms: int) -> int:
        """Time never steps back, even if the caller's does."""
        self._now_ms = max(self._now_ms, now_ms)
        return self._now_ms

    def _tables(self) -> _Tables:
        return (
            self._segments.rows,
            self._traces,
            self._index,
            self._lists,
            self._segments.live,
            self._segments.head_of,
            self._state,
            self._limits,
            self._seeds,
        )

    def _release(self, now: int, traces_max: int) -> Released | None:
        slots = np.empty(traces_max, np.int32)
        while True:
            count = deadlines.collect_due(
                self._traces, self._lists, self._state, self._limits, now, self.config.release_spans_max, slots
            )
            if count == 0:
                return None
            released = self._gather(slots[:count], now)
            if released is not None:
                return released
            # Every one of them was re-opened by duplicates only: look for others.

    def _gather(self, slots: _Indices, now: int) -> Released | None:
        sizes = self._traces["span_count"][slots]
        self._size_scratch(int(sizes.max()))
        rows = np.empty(int(sizes.sum(dtype=np.int64)), SPAN_DTYPE)
        trace_ptr = np.zeros(len(slots) + 1, np.int64)
        meta = np.zeros((len(slots), layout.META_COUNT), np.int32)
        count = gather.gather(
            self._segments.arena,
            self._segments.rows,
            self._traces,
            self._lists,
            self._segments.live,
            self._segments.head_of,
            self._learned,
            self._state,
            self._limits,
            self._seeds,
            now,
            slots,
            self._order,
            self._seen,
            rows,
            trace_ptr,
            meta,
        )
        if count == 0:
            return None
        meta = meta[:count]
        rows = rows[: trace_ptr[count]]
        self._keys.turn(rows)
        traces = TraceBatch(
            rows=rows,
            trace_ptr=trace_ptr[: count + 1],
            reasons=meta[:, layout.META_REASON].astype(np.uint8),
            revisions=meta[:, layout.META_REVISION].copy(),
            dropped=meta[:, layout.META_DROPPED].copy(),
            raw=self._segments.arena,
            vocabulary=self._vocabulary,
            details=self._details,
        )
        return _Ticket(traces, meta[:, layout.META_LATE].tolist(), meta[:, layout.META_SLOT].copy())

    def _size_scratch(self, count: int) -> None:
        """Make the scratch hold a trace of `count` rows; bounded by trace_spans_max."""
        if len(self._order) < count:
            length = 1 << (count - 1).bit_length()
            self._order = np.zeros(length, np.int32)
            self._seen = np.zeros(2 * length, np.int32)

    def _grow_index(self, count: int) -> None:
        """Keep the index at most half full even if each of `count` rows is a new trace."""
        state = self._state
        traces = int(state[layout.OPEN_TRACES] + state[layout.KEPT_TRACES] + state[layout.CLOSED_TRACES])
        needed = 2 * min(traces + count, len(self._traces))
        if needed > len(self._index):
            larger = np.zeros(1 << (needed - 1).bit_length(), np.int64)
            table.rehash(self._index, larger)
            self._index = larger

    def _is_over(self, share: float) -> bool:
        return self._segments.used() > share * self._segments.count

    def _relieve(self, now: int) -> None:
        """Bring memory below its marks: first what is kept, then open traces."""
        while self._is_over(self.config.soft_share) and self._close_kept(now):
            pass
        open_traces = int(self._state[layout.OPEN_TRACES])
        if self._is_over(self.config.hard_share) or open_traces > self.config.hard_share * self.config.open_traces_max:
            self._press()

    def _close_kept(self, now: int) -> bool:
        return bool(expiry.close_kept(*self._tables(), now, _CLOSE_AT_ONCE) > 0)

    def _press(self) -> None:
        """Make the traces of the oldest segment due, unless some wait to be taken already."""
        if self._lists[layout.DUE, 0] >= 0:
            return
        for places in self._segments.oldest_first():
            rows = self._segments.rows
            if pressure.press(rows, self._traces, self._index, self._lists, self._seeds, places) > 0:
                return

    def _refuse(self, what: str) -> None:
        self._press()
        self._refused_requests += 1
        raise OverloadedError(f"assembly has no room: {what}. Raise assembly.arena_bytes, or send less at a time.")
