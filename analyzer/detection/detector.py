"""Alarms from a stream of measured batches: which entity is other than usual, in what, since when.

In: measured batches and the owner's time. Out: `Alarm`s under a budget of false alarms per hour. Never reads a clock,
never sees a label, never grows beyond `entities_max`.

    observe   counts per entity into the open tick                                    every span, one kernel
    tick      closes it: expected, p-values, evidence, alarms, learning               every entity, arrays

An entity with few calls is looked at when enough calls are to be expected (its window), not in every tick.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.analysis import Analysis
from analyzer.detection import history, load, raising
from analyzer.detection.alarms import Alarm, entity_name
from analyzer.detection.config import DetectionConfig
from analyzer.detection.entities import DOWN, ERRORS, LATENCY, LOST, UP, Entities
from analyzer.detection.evidence import Budget
from analyzer.detection.keeping import Names, read_state, write_state
from analyzer.detection.windows import Seen, is_call, is_within, look
from analyzer.incident_words import Symptom
from analyzer.kernels.detection import CALLS, OPERATION, SCORED
from analyzer.spans import Vocabulary

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]

_SYMPTOMS: tuple[Symptom, ...] = ("errors", "latency", "silence", "traffic_up", "traffic_down")
_STALL_TICKS = 6  # after so many ticks without a look, rates of the time between are not compared
_RUSH = 4.0  # a window closes early when it holds so many times the calls it waits for
_KIND = np.uint64(62)
_QUEUED_MAX = 4096


class Detector:
    """Detects. One owner thread, the engine's.

    Parameters
    ----------
    config : DetectionConfig, optional

    Examples
    --------
    >>> detector = Detector()
    >>> detector.observe(verdicts.analysis, now_ns)     # doctest: +SKIP
    >>> for alarm in detector.tick(now_ns): ...         # doctest: +SKIP
    """

    def __init__(self, config: DetectionConfig | None = None) -> None:
        self.config = config or DetectionConfig()
        self.entities = Entities(self.config.entities_max, self.config.ring_ticks)
        self.untold = 0  # alarms beyond `alarms_per_tick_max`
        self.raised = 0
        self.vocabulary: Vocabulary | None = None
        self._tick_ns = int(self.config.tick_s * 1e9)
        self._open: int | None = None
        self._budget = Budget(self.config.false_alarms_per_hour, self.config.earned_false_alarms, self.config.tick_s)
        self._queued: list[Alarm] = []
        self._waiting: Names | None = None

    def observe(self, analysis: Analysis, now_ns: int) -> None:
        """Count a measured batch; it belongs to the tick of the owner's time.

        Raises
        ------
        ValueError
            When the batch has another vocabulary than the batches before.
        """
        self.meet(analysis.traces.vocabulary)
        self._reach(now_ns)
        self.entities.count(analysis)

    def meet(self, vocabulary: Vocabulary) -> None:
        """Bind to the vocabulary, and give what was loaded to the entities by their names.

        Raises
        ------
        ValueError
            When it is another than before: its ids would mean other entities.
        """
        if self.vocabulary is None:
            self.vocabulary = vocabulary
        if self.vocabulary is not vocabulary:
            raise ValueError("this batch has another vocabulary than the detector; one engine has one vocabulary")
        if self._waiting is not None:
            self._waiting.give(self.entities, vocabulary)
            self._waiting = None

    def add_counts(
        self,
        keys: npt.NDArray[np.uint64],
        counts: npt.NDArray[np.int32],
        now_ns: int,
        services: npt.NDArray[np.uint64] | None = None,
    ) -> None:
        """Add counts by entity to the open tick; for streams that are no spans.

        Parameters
        ----------
        keys : uint64[n]
        counts : int32[n, COLUMNS]
        now_ns : int
        services : uint64[n], optional
            Key of the service of each instance; 0 of what is none.
        """
        self._reach(now_ns)
        slots = self.entities.add(keys)
        known = slots >= 0
        np.add.at(self.entities.counts, slots[known], counts[known])
        if services is not None:
            self.entities.group[slots[known]] = self.entities.find(services)[known]

    def tick(self, now_ns: int) -> list[Alarm]:
        """Close the ticks that have elapsed; return what was raised or cleared since the last time.

        At most `alarms_per_tick_max` alarms are told for each tick, strongest first; `untold` counts the others.
        """
        self._reach(now_ns)
        told, self._queued = self._queued, []
        return told

    def save(self) -> bytes:
        """Return what was learned and which alarms stand, keyed by names. Instances and past ticks are left out."""
        return write_state(self.entities, self.vocabulary, self._open, self._budget.coming, self._waiting)

    def load(self, blob: bytes) -> None:
        """Take what was saved; it is given to the entities when the vocabulary is met.

        Raises
        ------
        ValueError
            When the blob is not one that `save` wrote, or is cut or changed; nothing is changed then.
        """
        waiting, opened, coming = read_state(blob, self.config.entities_max)
        self._budget.coming[:] = coming
        self.entities = Entities(self.config.entities_max, self.config.ring_ticks)
        self._waiting, self._open = waiting, opened
        if self.vocabulary is not None:
            self.meet(self.vocabulary)

    def _reach(self, now_ns: int) -> None:
        number = now_ns // self._tick_ns
        if self._open is None:
            self._open = number
        if number > self._open:
            elapsed = number - self._open
            self._close(self._open, elapsed)
            self._open = number

    def _close(self, number: int, elapsed: int) -> None:
        """Close the open tick; `elapsed` is more than 1 when nobody came by for some ticks."""
        entities, config = self.entities, self.config
        used, tick = entities.used, number + elapsed
        counts = entities.counts[:used]
        for gone in range(1, min(elapsed, entities.ring_ticks)):
            entities.ring[:used, (number + gone) % entities.ring_ticks] = 0
        entities.ring[:used, number % entities.ring_ticks] = counts
        live = entities.keys[:used] != 0
        met = counts.any(axis=1)
        entities["last_tick"][:used][met] = tick
        entities["age_ticks"][:used][live] += elapsed
        at_s = (number + 0.5 * elapsed) * config.tick_s
        season = load.season_factors(entities, used, at_s, config)
        load.turn_seasonal(entities, used, season)
        looked = elapsed <= _STALL_TICKS
        if looked:
            expected = self._expected_per_tick(season) * elapsed
            calls = counts[:, CALLS].astype(np.float64)
            load.count_mix(entities, used, calls, elapsed, config)
            common = load.common_factor(entities, used, calls, expected, config)
            factors = load.asked_factors(entities, used, calls, expected, common, config)
            entities["wait_expected"][:used] += expected * factors
            entities["wait_looked"][:used] += elapsed
        entities["wait_counts"][:used] += counts
        entities["wait_ticks"][:used] += elapsed
        entities["wait_season"][:used] += season * elapsed
        counts[:] = 0
        waited = entities["wait_ticks"][:used]
        rushed = entities["wait_counts"][:used, CALLS] >= _RUSH * config.calls_per_window
        rows = np.flatnonzero(live & ((waited >= entities["due"][:used]) | rushed))
        allowed = self._budget.spend(elapsed)
        if len(rows):
            self._look(rows, tick, at_s, allowed, season[rows])
        self._retire(used, tick)
        entities.make_room()
        entities.forget_callees()

    def _expected_per_tick(self, season: Floats) -> Floats:
        """float64[used]: calls of a tick by the rate so far and the time of day; 0 where no rate is known yet."""
        entities, used = self.entities, len(season)
        ticks = entities["rate_season"][:used]
        return np.where(ticks > 0, entities["rate_sum"][:used] / np.maximum(ticks, 1e-9) * season, 0.0)

    def _look(self, rows: Rows, tick: int, at_s: float, allowed: float, season: Floats) -> None:
        """Close the windows of some entities: how unusual, enough for an alarm, what to learn."""
        entities, config = self.entities, self.config
        counts = entities["wait_counts"][rows]
        ticks = entities["wait_ticks"][rows]
        n, k = history.share_counts(counts)
        seen = look(entities, rows, counts, n, k, config)
        streams = self._streams()
        # Each stream is looked at once a window, so it may spend what its ticks allow: false alarms per look.
        alpha = allowed * ticks / max(streams, 1)
        height = -np.log(np.clip(alpha, 1e-300, 0.1))
        raising.add_evidence(entities, rows, seen, height, tick, config)
        slots, which = raising.raised(entities, rows, height)
        self._raise(slots, which, tick)
        raising.hold(entities, rows, n, k, counts[:, CALLS], entities["wait_season"][rows], ticks)
        self._learn(rows, seen, n, k, counts, at_s)
        self._clear(rows, tick)
        entities["total"][rows] += counts[:, [CALLS, SCORED]]
        for name in (
            "wait_counts",
            "wait_expected",
            "wait_ticks",
            "wait_looked",
            "wait_season",
            "wait_asked",
            "wait_mix",
        ):
            entities[name][rows] = 0.0
        rate = entities["rate_sum"][rows] / np.maximum(entities["rate_season"][rows], 1e-9) * season
        most = max(1.0, config.window_s_max // config.tick_s)
        entities["due"][rows] = np.clip(np.ceil(config.calls_per_window / np.maximum(rate, 1e-9)), 1.0, most)

    def _streams(self) -> float:
        """How many streams are tested: they share the budget."""
        entities, config = self.entities, self.config
        used = entities.used
        kind = entities.keys[:used] >> _KIND
        live = (entities.keys[:used] != 0) & (entities["age_ticks"][:used] * config.tick_s >= config.cold_s)
        # An edge has one more (lost calls), an entry operation, too (missing calls); an instance has only shares, and
        # so has an operation within traces.
        own = np.array([5.0, 4.0, 5.0, 2.0])[kind[live].astype(np.intp)].sum()
        within = np.count_nonzero(is_within(entities.keys[:used][live]))
        calls = np.count_nonzero(is_call(entities.keys[:used][live]))  # of these nothing but their absence
        return float(own) - 2.0 * (within + calls) + 2.0 * float(np.count_nonzero(~live))

    def _learn(self, rows: Rows, seen: Seen, n: Floats, k: Floats, counts: Floats, at_s: float) -> None:
        entities, config = self.entities, self.config
        ticks = entities["wait_ticks"][rows]
        standing = np.where(entities["alarmed"][rows] > 0, np.inf, raising.standing(entities, rows))
        by_share = standing[:, [ERRORS, LATENCY, LATENCY, LOST, LATENCY]]
        weight = history.taught(seen.shares, by_share, history.SUSPICIOUS_SHARE, config)
        history.learn_shares(entities, rows, n, k, weight, ticks, config)
        rate_p = np.fmin(seen.p[:, UP], seen.p[:, DOWN])
        of_rate = np.maximum(standing[:, UP], standing[:, DOWN])
        weight = history.taught(rate_p, of_rate, history.SUSPICIOUS_RATE, config)
        calls, expected = counts[:, CALLS], entities["wait_expected"][rows]
        weight = np.where(entities["wait_looked"][rows] == ticks, weight, 0.0)  # nobody knows the rate of a stall
        history.learn_rates(entities, rows, calls, expected, weight, ticks, entities["wait_season"][rows], config)
        usual = weight == 1.0
        load.learn_seasons(entities, rows[usual], calls[usual], ticks[usual], at_s, config)

    def _raise(self, slots: Rows, streams: Rows, tick: int) -> None:
        if not len(slots):
            return
        entities = self.entities
        self._budget.earn()
        self.raised += len(slots)
        raising.begin(entities, slots, streams, tick)
        told = self.config.alarms_per_tick_max
        self.untold += max(0, len(slots) - told)
        expected = self._expected_per_tick(np.ones(entities.used))
        for slot, stream in zip(slots[:told].tolist(), streams[:told].tolist(), strict=True):
            found = raising.behind(entities, slot, stream, tick, float(expected[slot]))
            entities["onset_tick"][slot, stream] = found.onset_tick
            entities["factor"][slot, stream] = found.factor
            self._tell(slot, stream, tick, found)

    def _clear(self, rows: Rows, tick: int) -> None:
        entities = self.entities
        for slot, stream in zip(*(array.tolist() for array in raising.over(entities, rows, self.config)), strict=True):
            self._tell(slot, stream, tick, None)
            raising.end(entities, np.array([slot]), np.array([stream]))
        slots, streams = raising.lasting(entities, rows, tick, self.config)
        for slot, stream in zip(slots.tolist(), streams.tolist(), strict=True):
            self._tell(slot, stream, tick, None, new_normal=True)
        if len(slots):
            raising.accept(entities, slots, streams)

    def _retire(self, used: int, tick: int) -> None:
        """Forget what has been silent for so long that it is gone for good."""
        entities = self.entities
        silent = (tick - entities["last_tick"][:used]) * self.config.tick_s >= self.config.retire_s
        slots = np.flatnonzero(silent & (entities.keys[:used] != 0) & (entities["last_tick"][:used] > 0))
        for slot, stream in zip(*np.nonzero(entities["alarmed"][slots] > 0), strict=True):
            self._tell(int(slots[slot]), int(stream), tick, None, new_normal=True)
        entities.forget(slots)

    def _tell(self, slot: int, stream: int, tick: int, found: raising.Behind | None, new_normal: bool = False) -> None:
        entities = self.entities
        if self.vocabulary is None or len(self._queued) >= _QUEUED_MAX:
            self.untold += 1
            return
        onset = int(entities["onset_tick"][slot, stream])
        symptom = _SYMPTOMS[stream]
        if stream == DOWN and found is not None and found.silent:
            symptom = "silence"
        if stream == LOST and int(entities.keys[slot]) >> 62 == OPERATION:
            symptom = "structure"
        self._queued.append(
            Alarm(
                entity=entity_name(int(entities.keys[slot]), self.vocabulary),
                symptom=symptom,
                e_value=float(np.exp(min(entities["peak"][slot, stream], 700.0))),
                onset_ns=onset * self._tick_ns,
                at_ns=tick * self._tick_ns,
                ticks=tick - onset if found is None else found.ticks,
                calls=0 if found is None else found.calls,
                observed=0.0 if found is None else found.observed,
                expected=0.0 if found is None else found.expected,
                cleared=found is None,
                new_normal=new_normal,
            )
        )
