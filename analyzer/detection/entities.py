"""Entities and what is kept of each: one row per entity in arrays, bounded.

In: measured batches, or counts by key. Out: rows of counts and columns of state for the tick. Never reads a clock,
never grows: when it is nearly full the entities met longest ago are given up; what finds no room is counted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.analysis import Analysis, CallCounts
from analyzer.kernels.detection import (
    CALLEES,
    CALLEES_REFUSED,
    CALLS,
    COLUMNS,
    FREE,
    HEADER,
    OPERATION,
    REFUSED,
    SERVED,
    USED,
    count_entities,
)
from analyzer.kernels.pairs import find_slots, put_slots
from analyzer.node_words import NodeFlag

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Keys = npt.NDArray[np.uint64]

SHARES = 5  # failed, rare (p <= 0.05), rarest (p <= 0.01), lost (of an operation: calls missing below it), extreme
STREAMS = 5
ERRORS, LATENCY, LOST, UP, DOWN = range(STREAMS)
# What each bet (`windows.look`) is on: some changes are looked for in several ways, each with evidence of its own.
BET_STREAM = (ERRORS, ERRORS, LATENCY, LATENCY, LATENCY, LATENCY, LOST, UP, DOWN)
BETS = len(BET_STREAM)
SEASONS = 16  # eight parts of a day, weekday and weekend

_NO_ENTRY = int(NodeFlag.ORPHAN | NodeFlag.CYCLE_CUT | NodeFlag.SELF_PARENT)
_CALLEES = 1 << 14  # kinds of calls whose callee is remembered; at most half full
_EVICT_SHARE = 16

# What is kept across restarts: name, columns. All are float64, finite and not negative.
KEPT: dict[str, int] = {
    "total": 2,  # calls, scored times since it was first met; not decayed
    "age_ticks": 1,
    "share_n": SHARES,  # decayed: calls or scored times, and how many of them had it
    "share_k": SHARES,
    "share_z": SHARES,  # dispersion: sums of z**2, of 1, and of n - 1 (`history.dispersion`)
    "share_one": SHARES,
    "share_size": SHARES,
    "rate_sum": 1,  # decayed: calls, ticks, ticks times season
    "rate_ticks": 1,
    "rate_season": 1,
    "rate_z": 1,
    "rate_one": 1,
    "rate_size": 1,
    "ratio_calls": 1,  # of edges, decayed slowly: calls, and calls of the caller
    "ratio_asked": 1,
    "season_sum": SEASONS,
    "season_ticks": SEASONS,
    "seasonal": 1,
    "log_e": STREAMS,  # evidence by p-values
    "log_ratio": BETS,  # evidence by likelihood ratios
    "peak": STREAMS,  # highest log e of the alarm
    "alarmed": STREAMS,  # 0 or 1
    "quiet": STREAMS,  # usual windows in a row while in alarm
    "relief": STREAMS,  # evidence that it is over
    "factor": STREAMS,  # by how much it was more than the border of the usual when the alarm was raised
    "since_tick": STREAMS,  # of the alarm
    "onset_tick": STREAMS,
    "run_tick": STREAMS,  # since when the evidence has stood above its floor
    "held_n": STREAMS,  # what was seen while in alarm: calls or times, those with the symptom, ticks
    "held_k": STREAMS,
    "held_ticks": STREAMS,
    "wait_counts": COLUMNS,  # the open window
    "wait_expected": 1,
    "wait_ticks": 1,
    "wait_looked": 1,  # ticks of it in which rates could be compared
    "wait_season": 1,
    "wait_mix": 1,  # log: how far the mix of what the caller of an edge is asked has moved in the window
    "wait_asked": 1,  # calls of the caller of an edge
    "due": 1,  # ticks a window takes
    "last_tick": 1,  # met last
}
# Decayed quickly, of use within minutes only.
_PASSING: dict[str, int] = {"near_n": SHARES, "near_k": SHARES, "mix": 1, "vote_seen": 1, "vote_expected": 1}


class Entities:
    """Rows of state by entity. One owner thread, the detector's."""

    def __init__(self, capacity: int, ring_ticks: int) -> None:
        self.capacity = capacity
        self.ring_ticks = ring_ticks
        self.keys: Keys = np.zeros(capacity, np.uint64)
        self.group = np.full(capacity, -1, np.int32)  # service of an instance
        self.owner = np.full(capacity, -1, np.int32)  # service of an operation
        self.counts = np.zeros((capacity, COLUMNS), np.int32)
        # calloc gives these pages out only when they are touched, so a small system stays small.
        self.ring = np.zeros((capacity, ring_ticks, COLUMNS), np.int32)
        self.state: dict[str, Floats] = {
            name: np.zeros((capacity, columns) if columns > 1 else capacity)
            for name, columns in (KEPT | _PASSING).items()
        }
        size = 1 << max(4, (2 * capacity - 1).bit_length())
        self._table_keys: Keys = np.zeros(size, np.uint64)
        self._table_slots = np.zeros(size, np.int32)
        self._free = np.zeros(capacity, np.int32)
        self._header = np.zeros(HEADER, np.int64)
        self._callee_keys: Keys = np.zeros(_CALLEES, np.uint64)
        self._callees = np.zeros(_CALLEES, np.uint32)
        self.evicted = 0

    def __getitem__(self, name: str) -> Floats:
        return self.state[name]

    def __len__(self) -> int:
        """Return how many entities are held."""
        return self.used - int(self._header[FREE])

    @property
    def used(self) -> int:
        """Slots from here on were never given out."""
        return int(self._header[USED])

    @property
    def refused(self) -> int:
        """Times an entity was met that found no room."""
        return int(self._header[REFUSED])

    @property
    def refused_callees(self) -> int:
        """Times a kind of call was met whose callee could not be remembered."""
        return int(self._header[CALLEES_REFUSED])

    def count(self, analysis: Analysis) -> None:
        """Add a measured batch to the open tick."""
        forest = analysis.forest
        count_entities(
            np.require(analysis.traces.rows, requirements=["C", "A", "W"]),
            forest.row,
            forest.parent,
            forest.child_ptr,
            forest.child,
            forest.flags,
            _NO_ENTRY,
            np.ascontiguousarray(analysis.failed, np.bool_),
            np.ascontiguousarray(analysis.own.p, np.float32),
            np.ascontiguousarray(analysis.own.level, np.uint8),
            np.ascontiguousarray(analysis.duration.p, np.float32),
            np.ascontiguousarray(analysis.duration.level, np.uint8),
            np.ascontiguousarray(analysis.structure.missing, np.float32),
            np.ascontiguousarray(analysis.structure.wait_p, np.float32),
            self._table_keys,
            self._table_slots,
            self.keys,
            self._free,
            self.group,
            self.owner,
            self._callee_keys,
            self._callees,
            self._header,
            self.counts,
        )
        self._count_calls(analysis.structure.calls)

    def _count_calls(self, calls: CallCounts) -> None:
        """Add the calls that operations usually make: executions, and in how many of them they were made."""
        high = calls.callee.astype(np.uint64) + np.uint64(1)
        slots = self.add(np.uint64(OPERATION << 62) | high << np.uint64(31) | calls.operation)
        known = slots >= 0
        counts, executions = self.counts, calls.executions[known]
        counts[slots[known], CALLS] += executions  # every key comes up once
        counts[slots[known], SERVED] += executions - calls.left_out[known]

    def find(self, keys: Keys) -> npt.NDArray[np.int32]:
        """Return the slot of each key, -1 where there is none."""
        slots = np.empty(len(keys), np.int32)
        find_slots(np.ascontiguousarray(keys, np.uint64), self._table_keys, self._table_slots, slots)
        return slots

    def add(self, keys: Keys) -> npt.NDArray[np.int32]:
        """Return the slot of each key, giving one to the new; -1 where there was no room (counted)."""
        for key in np.unique(keys[self.find(keys) < 0]).tolist():
            if key == 0:
                continue
            if self._header[FREE] > 0:
                self._header[FREE] -= 1
                slot = int(self._free[self._header[FREE]])
            elif self.used < self.capacity:
                slot = self.used
                self._header[USED] += 1
            else:
                self._header[REFUSED] += 1
                continue
            self.keys[slot] = key
            put_slots(np.array([key], np.uint64), np.array([slot], np.int32), self._table_keys, self._table_slots)
        return self.find(keys)

    def make_room(self) -> None:
        """Give up the entities met longest ago when fewer than one sixteenth of the slots is left."""
        share = max(1, self.capacity // _EVICT_SHARE)
        if self.capacity - len(self) >= share:
            return
        live = np.flatnonzero(self.keys[: self.used])
        # Of those met in the same tick, the one with less behind it.
        order = np.lexsort((self["total"][live, 0], self["last_tick"][live]))
        self.forget(live[order[:share]])
        self.evicted += share

    def forget(self, slots: Rows) -> None:
        """Empty some slots for others."""
        if not len(slots):
            return
        self.keys[slots] = 0
        for above in (self.group, self.owner):
            above[slots] = -1
            above[np.isin(above, slots)] = -1
        self.counts[slots] = 0
        self.ring[slots] = 0
        for array in self.state.values():
            array[slots] = 0.0
        free = int(self._header[FREE])
        self._free[free : free + len(slots)] = slots
        self._header[FREE] += len(slots)
        self._table_keys[:] = 0
        live = np.flatnonzero(self.keys[: self.used]).astype(np.int32)
        put_slots(self.keys[live], live, self._table_keys, self._table_slots)

    def forget_callees(self) -> None:
        """Start the memory of callees anew when it is full; it is learned again within minutes."""
        if 2 * (self._header[CALLEES] + 1) > _CALLEES:
            self._callee_keys[:] = 0
            self._callees[:] = 0
            self._header[CALLEES] = 0
