"""What is normal per operation and context: learn, score, forget, keep.

In: released traces with their own times, weights, the owner's time. Out: `Score` (how unusual each span's
time is), announcements of a new normal, bytes to keep across restarts. Never reads a clock, never grows beyond
`baseline_keys_max` keys (6 KiB each, touched only when used), never says anything of an operation it hardly knows.

An operation has one key, and one more for each root operation it was called under (its context). A key holds
own times and durations on two horizons: slow (what is normal; scores come from it) and fast (what is).
A shift that fills the fast horizon for `new_normal_s` while errors stay as they were becomes normal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.analysis import Score
from analyzer.config import AnalysisConfig
from analyzer.decayed_rows import DecayedRows
from analyzer.forest import Forest, NodeFlag
from analyzer.kernels import sketch
from analyzer.kernels.bins import BINS
from analyzer.kernels.pairs import find_contexts
from analyzer.keyed_batch import KeyedBatch, Operations, root_operations
from analyzer.new_normal import Announcements, NewNormal
from analyzer.pair_table import Slots
from analyzer.shifts import announce, lasting_shifts, restart
from analyzer.spans import TraceBatch

_UNUSABLE = int(NodeFlag.NO_TIME | NodeFlag.NEGATIVE_DURATION)
_HOUSEKEEPING_NS = 60 * 10**9  # how often shifts are looked for and every view is renewed
_SUSPICIOUS_P = 0.001


@dataclass(slots=True)
class BaselineCounts:
    """What happened so far; each is a counter."""

    learned: int = 0  # spans
    suspicious: int = 0  # spans of bad traces, or far out of the usual
    kept_out: int = 0  # suspicious spans that were not learned at all
    untracked: int = 0  # keys that found no room
    evicted: int = 0  # keys given up for others
    new_normals: int = 0


class Baselines:
    """What is normal. One owner thread, the engine's: `score_*`, then `learn`, batch after batch.

    Smallest number of observations n at which an outlier of a healthy key is called slow:
    by counting, p = 1 / (n + 1) <= trace_latency_p_max, so n = 499 at the default 0.002; below that by the tail
    rule of `sketch.upper_p` (a value that at most two others reach, and far beyond the fifth largest on a log scale),
    from baseline_count_min (200) while serving and from robust_count_min (20) after `learn_robust`.
    """

    def __init__(self, config: AnalysisConfig) -> None:
        self.config = config
        self.counts = BaselineCounts()
        half_lives_s = (config.slow_half_life_s, config.fast_half_life_s)
        self._store = DecayedRows("baselines", config.baseline_keys_max, (sketch.LAYERS, BINS), half_lives_s)
        self._views = np.zeros((config.baseline_keys_max, 2, sketch.VIEW), np.float32)
        self._usual_errors = np.zeros(config.baseline_keys_max)  # share of failed calls when a shift began
        self._count_min = config.baseline_count_min
        self._housekept_ns: int | None = None
        self._announced = Announcements[NewNormal]()
        self._keyed: KeyedBatch | None = None

    def __len__(self) -> int:
        """Return how many keys are held."""
        return len(self._store.table)

    def score_own(
        self,
        traces: TraceBatch,
        forest: Forest,
        own_ns: npt.NDArray[np.int64],
        included: npt.NDArray[np.float32] | None = None,
    ) -> Score:
        """Say how unusual the own time of every span is.

        Parameters
        ----------
        traces, forest
            m nodes.
        own_ns : int64[m]
        included : float32[m], optional
            Weight with which each span has been learned already; it is taken out before it is scored
            (leave one out). Zeros when left out: score first, learn later.

        Returns
        -------
        Score

        Raises
        ------
        ValueError
            When the batch has another vocabulary than the batches before.
        """
        return self._score(traces, forest, np.ascontiguousarray(own_ns, np.int64), included, sketch.OWN)

    def score_duration(
        self,
        traces: TraceBatch,
        forest: Forest,
        included: npt.NDArray[np.float32] | None = None,
        roots_only: bool = False,
    ) -> Score:
        """Say how unusual the duration of every span is; as `score_own`.

        With `roots_only` the others stay as if nothing were known of them: whether a trace is slow is asked of
        every trace, how long its inner spans took only of those that are explained (`add_durations`).
        """
        wanted = forest.parent < 0 if roots_only else None
        return self._score(traces, forest, forest.end_ns - forest.start_ns, included, sketch.DURATION, wanted)

    def add_durations(
        self,
        score: Score,
        traces: TraceBatch,
        forest: Forest,
        nodes: range,
        included: npt.NDArray[np.float32] | None = None,
    ) -> None:
        """Score the durations of one trace's nodes into a score that was made with `roots_only`; again is harmless."""
        here = slice(nodes.start, nodes.stop)
        slots = self._usable(traces, forest)[here]
        times_ns = forest.end_ns[here] - forest.start_ns[here]
        found = self._score_slots(slots, times_ns, None if included is None else included[here], sketch.DURATION)
        score.p[here], score.p_low[here], score.count[here] = found.p, found.p_low, found.count
        score.expected_ns[here], score.level[here] = found.expected_ns, found.level

    def is_slow(self, score: Score, observed_ns: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Say which times are slow enough to speak of: rare, far from the median, and worth the milliseconds.

        Meant for durations of roots (thresholds `trace_latency_p_max`, `trace_latency_ratio_min`,
        `excess_min_ms`). False where nothing is known.

        Parameters
        ----------
        score : Score
            Of the same nodes (or of a part of them, indexed alike).
        observed_ns : int64[m]

        Returns
        -------
        bool[m]
        """
        config = self.config
        with np.errstate(invalid="ignore"):  # nan compares as False: nothing known, nothing said
            far = observed_ns >= config.trace_latency_ratio_min * score.expected_ns
            worth = observed_ns - score.expected_ns >= config.excess_min_ms * 1e6
        slow: npt.NDArray[np.bool_] = (score.level > 0) & (score.p <= config.trace_latency_p_max) & far & worth
        return slow

    def error_rate(self, operation: int) -> tuple[float, float]:
        """Return (share of calls that failed, effective calls) of an operation over the slow horizon."""
        slot = int(self._store.table.find(np.array([operation << 32], np.uint64))[0])
        if slot < 0 or self._store.mass[slot, sketch.CALLS] <= 0.0:
            return 0.0, 0.0
        calls = float(self._store.mass[slot, sketch.CALLS])
        return float(self._store.mass[slot, sketch.ERRORS]) / calls, calls / self._store.scales[0]

    def contamination_weights(
        self, forest: Forest, bad: npt.NDArray[np.bool_], own_p: npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float32]:
        """Return the weights to learn a batch with: `contamination_weight` for suspicious spans, 1 for the others.

        Parameters
        ----------
        forest : Forest
        bad : bool[T]
            Traces that something was found in.
        own_p : float32[m]
            `Score.p` of own times.

        Returns
        -------
        float32[m]
            Suspicious: in a bad trace, or p < 0.001. How much of them is let in is decided in `learn`.
        """
        suspicious = np.repeat(bad, np.diff(forest.trace_ptr)) | (own_p < _SUSPICIOUS_P)
        # Below one even when configured as one: it is what marks a span as suspicious.
        weight = min(self.config.contamination_weight, 0.999)
        return np.where(suspicious, np.float32(weight), np.float32(1.0))

    def learn(
        self,
        traces: TraceBatch,
        forest: Forest,
        own_ns: npt.NDArray[np.int64],
        weights: npt.NDArray[np.float32],
        now_ns: int,
        failed: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Learn a batch.

        Parameters
        ----------
        traces, forest
            m nodes.
        own_ns : int64[m]
        weights : float32[m]
            0: do not learn. Below 1: suspicious (see `sketch.insert`). 1 and above: as it is.
        now_ns : int
            The owner's time, never one read from a span: a span from the year 2100 would age everything.
            A time before the last one counts as the last one.
        failed : bool[m], optional
            Says itself that it failed; for error rates.

        Raises
        ------
        ValueError
            When the batch has another vocabulary than the batches before.
        """
        store = self._store
        store.advance(now_ns)
        keyed = self._look_up(traces, forest)
        slots = keyed.slots
        weights = np.where((forest.flags & _UNUSABLE) == 0, weights, 0).astype(np.float32)
        unknown = np.flatnonzero((weights > 0) & ((slots[:, 0] | slots[:, 1]) < 0))
        if len(unknown):
            added = store.add(keyed.keys(unknown))
            self._views[added.evicted] = 0
            self.counts.evicted += len(added.evicted)
            self.counts.untracked += added.refused
            slots = self._find(keyed.operation, keyed.root, forest)
        if failed is None:
            failed = np.zeros(len(weights), np.bool_)
        suspicious, kept_out = sketch.insert(
            slots,
            np.ascontiguousarray(own_ns, np.int64),
            np.stack([forest.start_ns, forest.end_ns]),
            weights,
            np.ascontiguousarray(failed, np.bool_),
            store.rows,
            self._views,
            store.mass,
            *store.scales,
        )
        few = float(min(self._count_min, self.config.context_count_min))
        # Whichever is shorter: the keys met, or all keys in order. A key that was not met has not grown.
        grown = slots if slots.size < store.table.used else np.arange(store.table.used, dtype=np.int32).reshape(-1, 1)
        sketch.refresh(grown, store.rows, self._views, store.mass, store.scales[0], few)
        self.counts.learned += int(np.count_nonzero(weights))
        self.counts.suspicious += suspicious
        self.counts.kept_out += kept_out
        self._keyed = None  # rows may have changed hands, and the batch need not be held any longer
        if self._housekept_ns is None:
            self._housekept_ns = now_ns
            self._renew()  # what was loaded has faded since
        if now_ns - self._housekept_ns >= _HOUSEKEEPING_NS:
            self._housekept_ns = now_ns
            self._accept_shifts(now_ns)

    def learn_robust(
        self,
        traces: TraceBatch,
        forest: Forest,
        own_ns: npt.NDArray[np.int64],
        now_ns: int,
        failed: npt.NDArray[np.bool_] | None = None,
    ) -> npt.NDArray[np.float32]:
        """Learn a whole file that holds its own bad traces, and lower the cold-start limit to `robust_count_min`.

        Spans that failed are left out. Score afterwards with what is returned as `included`: each span is then
        compared with the others only, so one slow trace among n has p = 1 / n, or less by the tail rule.

        Returns
        -------
        float32[m]
            The weight with which each span was learned.
        """
        weights = np.where((forest.flags & _UNUSABLE) == 0, np.float32(1.0), np.float32(0.0))
        if failed is not None:
            weights[failed] = 0.0
        self._count_min = min(self.config.baseline_count_min, self.config.robust_count_min)
        self.learn(traces, forest, own_ns, weights, now_ns, failed)
        self._renew()
        return weights

    def take_announcements(self) -> list[NewNormal]:
        """Return what became normal since the last time."""
        return self._announced.take()

    def save(self) -> bytes:
        """Return everything learned, keyed by names. Loading it gives the same scores."""
        self._renew()
        return self._store.save({"count_min": self._count_min})

    def load(self, blob: bytes) -> None:
        """Take what was saved; a key is back as soon as its operation is met again.

        Raises
        ------
        ValueError
            When the blob is not one that `save` wrote, or is cut or changed; nothing is changed then.
        """
        store, words = self._store.load(blob)
        count_min = words.get("count_min")
        if not isinstance(count_min, int) or count_min < 1:
            raise ValueError(f"baselines snapshot: count_min is {count_min!r}; expected a number from 1")
        self._store, self._count_min = store, count_min
        self._views = np.zeros_like(self._views)
        self._keyed = None
        self._housekept_ns = None

    def _score(
        self,
        traces: TraceBatch,
        forest: Forest,
        values_ns: npt.NDArray[np.int64],
        included: npt.NDArray[np.float32] | None,
        what: int,
        wanted: npt.NDArray[np.bool_] | None = None,
    ) -> Score:
        slots = self._usable(traces, forest)
        if wanted is not None:
            slots = np.where(wanted[:, None], slots, np.int32(-1))
        return self._score_slots(slots, values_ns, included, what)

    def _usable(self, traces: TraceBatch, forest: Forest) -> Slots:
        """Slots of every node; none where its times say nothing."""
        slots = self._look_up(traces, forest).slots
        unusable = (forest.flags & _UNUSABLE) != 0
        return np.where(unusable[:, None], np.int32(-1), slots) if unusable.any() else slots

    def _score_slots(
        self, slots: Slots, values_ns: npt.NDArray[np.int64], included: npt.NDArray[np.float32] | None, what: int
    ) -> Score:
        count = len(values_ns)
        if included is None:
            included = np.zeros(count, np.float32)
        lent = self.config.context_count_min
        limits = np.array([self._count_min, self.config.context_count_min, lent], np.float64)
        numbers = np.empty((3, count), np.float32)
        expected_ns = np.empty(count, np.float64)
        levels = np.empty(count, np.uint8)
        included = np.ascontiguousarray(included, np.float32)
        sketch.score(slots, values_ns, included, self._views, what, limits, numbers, expected_ns, levels)
        return Score(p=numbers[0], p_low=numbers[1], expected_ns=expected_ns, count=numbers[2], level=levels)

    def _look_up(self, traces: TraceBatch, forest: Forest) -> KeyedBatch:
        """Operations and slots of both levels of every node; kept until the batch is learned."""
        filled, evicted = self._store.meet(traces.vocabulary)
        if len(filled):
            self._keyed = None
            self._views[evicted] = 0
            self._renew(filled)
        if self._keyed is None or self._keyed.forest is not forest:
            operation = traces.rows["operation"][forest.row]
            root = root_operations(operation, forest)
            keyed = KeyedBatch(forest, operation, root, self._find(operation, root, forest))
            if self._keyed is not None and traces.trace_count == 1:
                return keyed  # one trace, looked at again aside: the batch it is from is still to be learned
            self._keyed = keyed
        return self._keyed

    def _find(self, operation: Operations, root: Operations, forest: Forest) -> Slots:
        slots = np.empty((len(operation), 2), np.int32)
        find_contexts(operation, forest.trace_ptr, root, *self._store.table.arrays, slots)
        return slots

    def _renew(self, slots: Slots | None = None) -> None:
        """Make the views of some slots (or of all) say what the rows hold."""
        store = self._store
        if slots is None:
            slots = np.arange(store.table.used, dtype=np.int32)
        sketch.refresh(slots.reshape(-1, 1), store.rows, self._views, store.mass, store.scales[0], -1.0)

    def _accept_shifts(self, now_ns: int) -> None:
        """Renew every view, and let shifts that have lasted long enough be what is normal."""
        self._renew()
        lasting = lasting_shifts(self._store, self._views, self._usual_errors, self._count_min, self.config, now_ns)
        slots = np.flatnonzero(lasting.any(axis=1)).astype(np.int32)
        if not len(slots):
            return
        before = self._views[slots, :, sketch.MEDIAN].copy()
        restart(self._store, self._views, slots)
        self._renew(slots)
        after = self._views[slots, :, sketch.MEDIAN]
        self._announced.add(announce(self._store, slots, lasting[slots], before, after))
        self._store.since_ns[slots] = 0
        self.counts.new_normals += len(slots)
