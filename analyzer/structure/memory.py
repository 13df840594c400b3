"""Which calls an operation makes: learn, score, forget, keep.

In: released traces, what failed, which traces were bad, the owner's time. Out: `StructureScore`, what is
usual of a call, announcements, bytes to keep across restarts. Never explains, never reads a clock, never grows beyond
`PAIRS_PER_KEY * baseline_keys_max` rows of half a KiB, touched only when used.

An absence is evidence only when the call was in nearly every clean execution (lower 99 % bound of its share at
least `missing_call_q`, `baseline_count_min` executions), and when executions without it are unheard of, or come
far more often than they used to. So an optional call is silent, however its traffic mixes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.analysis import StructureScore
from analyzer.config import AnalysisConfig
from analyzer.decayed_rows import DecayedRows
from analyzer.forest import Forest, NodeFlag
from analyzer.kernels import call_shapes, structure
from analyzer.kernels.bins import FIRST_OCTAVE
from analyzer.like_calls import callees
from analyzer.new_normal import Announcements, CallGone
from analyzer.pair_table import Slots, pack
from analyzer.spans import SpanKind, TraceBatch
from analyzer.structure.acceptance import accept_counts, accept_lost_calls
from analyzer.structure.usual_calls import USUAL_SHARE, count_calls, list_calls

Operations = npt.NDArray[np.uint32]

PAIRS_PER_KEY = 4  # rows a key of the baselines has here: operations make a handful of different calls
SURPRISE_MIN = 5.9  # nats: a share of 1 in 365, which 200 executions with the call just reach; less is never evidence
_HOUSEKEEPING_NS = 60 * 10**9
_REBUILD_GROWTH = 1.02


@dataclass(slots=True)
class StructureCounts:
    """What happened so far; each is a counter."""

    learned: int = 0  # spans seen
    untracked: int = 0  # operations and calls that found no room
    evicted: int = 0
    new_normals: int = 0


@dataclass(frozen=True, slots=True)
class _Keyed:
    """One batch, looked up. operation, callee : uint32[m], kind : uint8[m], own, pair : int32[m] (slots)."""

    forest: Forest
    operation: Operations
    callee: Operations
    kind: npt.NDArray[np.uint8]
    own: Slots
    pair: Slots


class StructureMemory:
    """Shapes of healthy traces. One owner thread, the engine's: `score`, then `learn`, batch after batch."""

    def __init__(self, config: AnalysisConfig) -> None:
        self.config = config
        self.counts = StructureCounts()
        capacity = PAIRS_PER_KEY * config.baseline_keys_max
        half_lives_s = (config.slow_half_life_s, config.fast_half_life_s)
        self._store = DecayedRows("structure", capacity, (2, call_shapes.WIDTH), half_lives_s)
        self._announced = Announcements[CallGone]()
        self._housekept_ns: int | None = None
        self._executions = 0.0  # spans learned; the expectations rest on `_expected_at` of them
        self._expected_at = -1.0
        self._left_out = False
        self._first: Slots = np.zeros(1, np.int32)
        self._pairs: Slots = np.zeros(0, np.int32)
        self._surprise = np.zeros(0, np.float32)
        self._usual_first, self._usual_pairs = self._first, self._pairs
        self._keyed: _Keyed | None = None

    def __len__(self) -> int:
        """Return how many operations and calls are held."""
        return len(self._store.table)

    def score(
        self, traces: TraceBatch, forest: Forest, failed: npt.NDArray[np.bool_], included: bool = False
    ) -> StructureScore:
        """Say what is odd in the shape below each span.

        Parameters
        ----------
        traces, forest
            m nodes.
        failed : bool[m]
            Says itself that it failed.
        included : bool
            The batch has been learned already (a file that is its own reference): one execution and one
            absence are taken out of the counts.

        Returns
        -------
        StructureScore
            `missing` is the sum over calls that are expected, not there, and whose absence is not a usual thing;
            0 for CLIENT and PRODUCER spans (what is below them may be another trace, or lost on its way),
            for spans that failed and for those with a failed child.

        Raises
        ------
        ValueError
            When the batch has another vocabulary than the batches before.
        """
        self._meet(traces)
        self._expect(included)
        keyed = self._look_up(traces, forest)
        operation, callee, kind = keyed.operation, keyed.callee, keyed.kind
        out, repeated = np.empty((4, len(operation)), np.float32), np.empty(len(operation), np.int32)
        calls = np.zeros((2, len(self._usual_pairs)), np.int32)
        config = self.config
        known = [config.baseline_count_min, config.context_count_min]
        limits = np.array([*known, self._store.scales[0], config.repeated_calls_ratio])
        structure.score(
            operation,
            callee,
            kind,
            np.ascontiguousarray(failed, np.bool_),
            forest.parent,
            forest.child_ptr,
            forest.child,
            (forest.flags & int(NodeFlag.NO_TIME)) == 0,
            np.stack([forest.start_ns, forest.end_ns]),
            keyed.own,
            keyed.pair,
            self._store.rows,
            self._store.mass,
            limits,
            self._store.table.keys,
            self._first,
            self._pairs,
            self._surprise,
            self._usual_first,
            self._usual_pairs,
            *_room(callee),
            out,
            repeated,
            calls,
        )
        return StructureScore(
            missing=out[0],
            repeated=repeated,
            repeated_usual=out[1],
            server_share=out[2],
            wait_p=out[3],
            calls=count_calls(self._store, self._usual_pairs, calls),
        )

    def learn(
        self,
        traces: TraceBatch,
        forest: Forest,
        failed: npt.NDArray[np.bool_],
        bad: npt.NDArray[np.bool_],
        now_ns: int,
    ) -> None:
        """Learn a batch. Clean traces teach what is normal.

        Bad ones teach only that an absence comes up at all, while it is rarer than 0.1 %: so a rare healthy branch is
        reported once or twice and then known, and a fault cannot teach itself.

        Parameters
        ----------
        traces, forest
            m nodes, T traces.
        failed : bool[m]
        bad : bool[T]
            Traces that something was found in.
        now_ns : int
            The owner's time.

        Raises
        ------
        ValueError
            When the batch has another vocabulary than the batches before.
        """
        store = self._store
        self._meet(traces)
        store.advance(now_ns)
        keyed = self._look_up(traces, forest)
        if call_shapes.count_new(
            keyed.operation, keyed.kind, forest.parent, forest.child_ptr, keyed.own, keyed.pair
        ) and self._add_new(keyed, forest, bad):
            keyed = self._look_up(traces, forest)
        operation, callee, kind = keyed.operation, keyed.callee, keyed.kind
        structure.learn(
            operation,
            callee,
            kind,
            np.ascontiguousarray(failed, np.bool_),
            np.ascontiguousarray(bad, np.bool_),
            forest.trace_ptr,
            forest.child_ptr,
            forest.child,
            np.stack([forest.start_ns, forest.end_ns]),
            keyed.own,
            keyed.pair,
            store.rows,
            store.mass,
            np.array([*store.scales, self.config.baseline_count_min]),
            store.table.keys,
            self._first,
            self._pairs,
            *_room(callee),
        )
        self._keyed = None  # the batch need not be held any longer
        self.counts.learned += len(operation)
        self._executions += len(operation)
        if self._housekept_ns is None:
            self._housekept_ns = now_ns
        if now_ns - self._housekept_ns >= _HOUSEKEEPING_NS:
            self._housekept_ns = now_ns
            self._expect(False, now=True)
            self._accept(now_ns)

    def missing_calls(self, traces: TraceBatch, forest: Forest, node: int) -> list[tuple[int, float, float]]:
        """Calls that a node should have made, as last scored: (operation id, share of clean executions, executions).

        The most surprising first. Only those whose absence counts (see `score`).
        """
        operation = int(traces.rows["operation"][forest.row[node]])
        made = set(callees(traces, forest, forest.children(node)).tolist())
        found = [(-surprise, callee) for surprise, callee in self.expected_calls(operation) if callee not in made]
        return [(callee, *self.call_share(operation, callee)) for surprise, callee in sorted(found) if surprise < 0]

    def expected_calls(self, operation: int) -> list[tuple[float, int]]:
        """Return (surprise of its absence, operation) of the calls that an operation is expected to make."""
        slot = self._slot(operation, 0)
        if slot < 0 or slot + 1 >= len(self._first):
            return []
        here = slice(int(self._first[slot]), int(self._first[slot + 1]))
        keys = self._store.table.keys[self._pairs[here]].tolist()
        return [(surprise, key & 0xFFFFFFFF) for surprise, key in zip(self._surprise[here].tolist(), keys, strict=True)]

    def new_calls(self, traces: TraceBatch, forest: Forest, trace: int) -> npt.NDArray[np.int32]:
        """Return the nodes of calls that their operation, well known by now, has never made before."""
        nodes = np.arange(forest.trace_ptr[trace], forest.trace_ptr[trace + 1], dtype=np.int32)
        nodes = nodes[forest.parent[nodes] >= 0]
        above = traces.rows[forest.row[forest.parent[nodes]]]
        callee = callees(traces, forest, nodes)
        counted = (above["kind"] != SpanKind.CLIENT) & (above["operation"] != 0) & (callee != 0)
        nodes, operation, callee = nodes[counted], above["operation"][counted], callee[counted]
        own = self._store.table.find(pack(operation, np.zeros(1, np.uint32)))
        known = (own >= 0) & (
            self._store.mass[own, call_shapes.PRESENT] >= self.config.baseline_count_min * self._store.scales[0]
        )
        fresh: npt.NDArray[np.int32] = nodes[known & (self._store.table.find(pack(operation, callee)) < 0)]
        return fresh

    def is_odd(self, score: StructureScore) -> npt.NDArray[np.bool_]:
        """Say which spans are worth a closer look: a call is missing, or like calls are far more than usual.

        A closer look may still find a good reason (`explain_structure`).

        Returns
        -------
        bool[m]
        """
        config = self.config
        usual = np.where(np.isnan(score.repeated_usual), 1.0, score.repeated_usual)
        many = (score.repeated >= config.repeated_calls_min) & (score.repeated >= config.repeated_calls_ratio * usual)
        odd: npt.NDArray[np.bool_] = (score.missing > 0) | many
        return odd

    def call_share(self, operation: int, callee: int) -> tuple[float, float]:
        """Return (share of clean executions of an operation that make a call, executions)."""
        executions = self._count(operation, 0, call_shapes.PRESENT)
        if executions <= 0.0:
            return 0.0, 0.0
        return min(1.0, self._count(operation, callee, call_shapes.PRESENT) / executions), executions

    def usual_count(self, operation: int, callee: int) -> float | None:
        """Return how many like calls an operation makes at most, mostly (`call_shapes.usual_count`), or None."""
        slot = self._slot(operation, callee)
        if slot < 0 or self._count(operation, 0, call_shapes.PRESENT) < self.config.baseline_count_min:
            return None
        usual = float(call_shapes.usual_count(self._store.rows[slot, 0], self.config.repeated_calls_ratio))
        return None if math.isnan(usual) else usual

    def overlap_share(self, operation: int) -> tuple[float, float]:
        """Return (share of its executions with several children in which two overlapped, such executions)."""
        several = self._count(operation, 0, call_shapes.SEVERAL)
        return (self._count(operation, 0, call_shapes.OVERLAPPED) / several, several) if several > 0 else (0.0, 0.0)

    def usual_wait_ns(self, producer: int, consumer: int) -> tuple[float, float] | None:
        """Return (wait that 99 % of consumers stay below, observations), or None when nothing is known."""
        slot = self._slot(producer, consumer)
        if slot < 0:
            return None
        row = self._store.rows[slot, 0]
        column = call_shapes.upper_bin(row, call_shapes.GAPS, call_shapes.WIDTH, 0.99)
        if column < 0:
            return None
        return 2.0 ** (FIRST_OCTAVE + 1 + column), float(row[call_shapes.GAPS :].sum()) / self._store.scales[0]

    def take_announcements(self) -> list[CallGone]:
        """Return what is not expected any more since the last time."""
        return self._announced.take()

    def save(self) -> bytes:
        """Return everything learned, keyed by names. Loading it gives the same scores."""
        self._expect(False, now=True)
        return self._store.save({"executions": self._executions})

    def load(self, blob: bytes) -> None:
        """Take what was saved; every row is back with the first batch.

        Raises
        ------
        ValueError
            When the blob is not one that `save` wrote, or is cut or changed; nothing is changed then.
        """
        store, words = self._store.load(blob)
        executions = words.get("executions")
        if not isinstance(executions, float) or not 0.0 <= executions < float("inf"):
            raise ValueError(f"structure snapshot: executions is {executions!r}; expected a number from 0")
        self._store, self._executions, self._housekept_ns = store, executions, None
        self._keyed = None
        self._expect(False, now=True)

    def _look_up(self, traces: TraceBatch, forest: Forest) -> _Keyed:
        """What every span is about, and its slots; kept until the batch is learned."""
        if self._keyed is None or self._keyed.forest is not forest:
            operation, kind = traces.rows["operation"][forest.row], traces.rows["kind"][forest.row]
            callee = np.empty_like(operation)
            call_shapes.find_callees(operation, kind, forest.child_ptr, forest.child, callee)
            own, pair = np.empty(len(operation), np.int32), np.empty(len(operation), np.int32)
            call_shapes.find_edges(operation, callee, kind, forest.parent, *self._store.table.arrays, own, pair)
            keyed = _Keyed(forest, operation, callee, kind, own, pair)
            if self._keyed is not None and traces.trace_count == 1:
                return keyed  # one trace, looked at again aside: the batch it is from is still to be learned
            self._keyed = keyed
        return self._keyed

    def _add_new(self, keyed: _Keyed, forest: Forest, bad: npt.NDArray[np.bool_]) -> bool:
        """Give rows to the operations and calls that clean traces are the first to show; whether there were any."""
        operation, parent = keyed.operation, np.maximum(forest.parent, 0)
        clean = ~np.repeat(bad, np.diff(forest.trace_ptr))
        below = clean & (forest.parent >= 0) & (keyed.pair < 0) & (operation != 0)
        below &= (keyed.kind[parent] != SpanKind.CLIENT) & (operation[parent] != 0)
        alone = clean & (keyed.own < 0) & ((np.diff(forest.child_ptr) > 0) | (keyed.kind == SpanKind.CLIENT))
        if not (below.any() or alone.any()):
            return False
        pairs = pack(operation[parent[below]], keyed.callee[below])
        added = self._store.add(np.concatenate([pack(operation[alone], np.zeros(1, np.uint32)), pairs]))
        self._keyed = None
        self.counts.evicted += len(added.evicted)
        self.counts.untracked += added.refused
        if len(added.evicted):
            self._expect(False, now=True)  # the expectations point at slots
        return True

    def _meet(self, traces: TraceBatch) -> None:
        filled, _ = self._store.meet(traces.vocabulary)
        if len(filled):
            self._keyed = None
            self._expect(False, now=True)

    def _expect(self, left_out: bool, now: bool = False) -> None:
        """Draw up what is expected anew, when enough was learned since the last time."""
        grown = self._executions > _REBUILD_GROWTH * self._expected_at
        if not (now or grown or left_out != self._left_out):
            return
        limits = float(self.config.baseline_count_min), SURPRISE_MIN, float(left_out)
        self._first, self._pairs, self._surprise = list_calls(self._store, self.config.missing_call_q, *limits)
        self._usual_first, self._usual_pairs, _ = list_calls(self._store, USUAL_SHARE, *limits)
        self._expected_at, self._left_out = self._executions, left_out

    def _accept(self, now_ns: int) -> None:
        """Let lasting changes be what is normal."""
        gone = accept_lost_calls(self._store, self._first, self._pairs, self.config, now_ns)
        if gone:
            self._expect(False, now=True)
        self._announced.add(gone)
        self.counts.new_normals += len(gone) + accept_counts(self._store, self.config, now_ns)

    def _slot(self, operation: int, callee: int) -> int:
        if operation == 0:
            return -1
        return int(self._store.table.find(np.array([operation << 32 | callee], np.uint64))[0])

    def _count(self, operation: int, callee: int, column: int) -> float:
        slot = self._slot(operation, callee)
        return float(self._store.mass[slot, column]) / self._store.scales[0] if slot >= 0 else 0.0


def _room(callee: Operations) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Room to count callees in, by operation id (`kernels.call_shapes.tally`)."""
    size = int(callee.max(initial=0)) + 1
    return np.zeros(size, np.int32), np.full(size, -1, np.int32)
