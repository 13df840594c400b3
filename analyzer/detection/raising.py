"""From p-values to alarms: evidence adds up per stream, alarms are raised, cleared, or become normal.

In: p-values of closed windows. Out: which streams changed their state. Knows no names.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.detection.change_points import cusum
from analyzer.detection.config import DetectionConfig
from analyzer.detection.entities import BET_STREAM, DOWN, ERRORS, LATENCY, LOST, STREAMS, UP, Entities
from analyzer.detection.evidence import log_bet
from analyzer.detection.history import FARTHEST, SLOW, SLOWEST, share_counts, usual_shares
from analyzer.detection.windows import GONE, MORE, SHARE_OF, Seen
from analyzer.kernels.detection import CALLS

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Marks = npt.NDArray[np.bool_]

_BETS_ON = [[bet for bet, on in enumerate(BET_STREAM) if on == stream] for stream in range(STREAMS)]
_QUIET_P = 0.05
_RELIEF = 7.0  # log likelihood ratio of "over" to "as it was" that ends an alarm
_NOTHING_SEEN = 0.2  # a window without calls is a fifth of a usual one
_SILENT_SHARE = 0.02  # of the expected calls
_HEIGHT_MAX = 700.0  # exp of it is the largest number a float holds


@dataclass(frozen=True, slots=True)
class Behind:
    """What stands behind one alarm: since which tick, how many ticks, calls, with the symptom, expected with it."""

    onset_tick: int
    ticks: int
    calls: int
    observed: float
    expected: float

    @property
    def factor(self) -> float:
        return self.observed / max(self.expected, 1e-9)

    @property
    def silent(self) -> bool:
        return self.observed <= _SILENT_SHARE * self.expected


def standing(entities: Entities, rows: Rows) -> Floats:
    """float64[m, STREAMS]: log of the mean of the e-processes; 0 is the floor, where nothing speaks for a change.

    The mean of what several bets have won is worth as much as any of them less the log of their number, however long
    they run; bets that were mixed in each window would lose that much in each.
    """
    won = entities["log_ratio"][rows]
    by_bets = np.stack(
        [np.logaddexp.reduce(won[:, on], axis=1) - np.log(len(on)) for on in _BETS_ON], axis=1
    )  # fmt: skip
    mean: Floats = np.logaddexp(entities["log_e"][rows], by_bets) - np.log(2.0)
    return mean


def add_evidence(
    entities: Entities, rows: Rows, seen: Seen, height: Floats, tick: int, config: DetectionConfig
) -> None:
    """Multiply the e-processes of closed windows, each floored at 1.

    Parameters
    ----------
    seen : Seen
        Of m windows.
    height : float64[m]
        Log of what raises an alarm; one window alone never brings more than its share of it (`persistence`).
    tick : int
        Of the end of the windows.
    """
    alarmed = entities["alarmed"][rows] > 0
    before = standing(entities, rows)
    most = height[:, None] / config.persistence
    # An alarm that has been raised needs no more evidence; without a cap it would take hours to cool down.
    cap = np.where(alarmed, height[:, None], _HEIGHT_MAX)
    for name, gain, highest in (
        ("log_e", log_bet(seen.p, config.bet), cap),
        ("log_ratio", np.where(np.isnan(seen.ratio), 0.0, seen.ratio), cap[:, BET_STREAM]),
    ):
        entities[name][rows] = np.clip(entities[name][rows] + np.minimum(gain, most), 0.0, highest)
    after = standing(entities, rows)
    began = tick - entities["wait_ticks"][rows]
    fresh = (before <= 0) & (after > 0)
    entities["run_tick"][rows] = np.where(fresh, began[:, None], entities["run_tick"][rows])
    entities["peak"][rows] = np.where(alarmed, np.maximum(entities["peak"][rows], after), after)
    # A single usual window says little where windows are small: that it is over needs evidence, too.
    nothing = np.isnan(seen.p)
    usual = np.where(nothing, _NOTHING_SEEN, 1.0)
    unusual = ~nothing & (seen.p <= _QUIET_P)
    relief = np.where(np.isnan(seen.still), usual, -seen.still)
    entities["quiet"][rows] = np.where(alarmed & ~unusual, entities["quiet"][rows] + usual, 0.0)
    entities["relief"][rows] = np.where(alarmed, np.maximum(entities["relief"][rows] + relief, 0.0), 0.0)


def raised(entities: Entities, rows: Rows, height: Floats) -> tuple[Rows, Rows]:
    """Return (slots, streams) whose evidence has just reached the height, strongest first."""
    stands = standing(entities, rows)
    at, stream = np.nonzero((stands >= height[:, None]) & (entities["alarmed"][rows] == 0))
    order = np.argsort(height[at] - stands[at, stream], kind="stable")
    return rows[at[order]], stream[order]


def begin(entities: Entities, slots: Rows, streams: Rows, tick: int) -> None:
    """Put streams in alarm."""
    entities["alarmed"][slots, streams] = 1.0
    entities["since_tick"][slots, streams] = tick
    entities["factor"][slots, streams] = np.where(streams == DOWN, GONE, MORE)
    for name in ("quiet", "relief", "held_n", "held_k", "held_ticks"):
        entities[name][slots, streams] = 0.0


def end(entities: Entities, slots: Rows, streams: Rows) -> None:
    """Arm streams again."""
    entities["alarmed"][slots, streams] = 0.0
    entities["log_e"][slots, streams] = 0.0
    for bet, stream in enumerate(BET_STREAM):
        entities["log_ratio"][slots[streams == stream], bet] = 0.0


def hold(entities: Entities, rows: Rows, n: Floats, k: Floats, calls: Floats, season: Floats, ticks: Floats) -> None:
    """Sum up what is seen while in alarm: what would be normal if it lasted."""
    alarmed = entities["alarmed"][rows] > 0
    for stream in np.flatnonzero(alarmed.any(axis=0)).tolist():
        marked = np.flatnonzero(alarmed[:, stream])
        slots = rows[marked]
        share = SHARE_OF.get(stream)
        if share is None:
            entities["held_n"][slots, stream] += season[marked]
            entities["held_k"][slots, stream] += calls[marked]
        else:
            entities["held_n"][slots, stream] += n[marked, share]
            entities["held_k"][slots, stream] += k[marked, share]
        entities["held_ticks"][slots, stream] += ticks[marked]


def over(entities: Entities, rows: Rows, config: DetectionConfig) -> tuple[Rows, Rows]:
    """Return (slots, streams) in alarm that have been as usual long enough."""
    usual = (entities["quiet"][rows] >= config.clear_windows) & (entities["relief"][rows] >= _RELIEF)
    at, stream = np.nonzero((entities["alarmed"][rows] > 0) & usual)
    return rows[at], stream


def lasting(entities: Entities, rows: Rows, tick: int, config: DetectionConfig) -> tuple[Rows, Rows]:
    """Return (slots, streams) whose shift has lasted so long, without errors, that it is normal now."""
    alarmed = entities["alarmed"][rows] > 0
    old = (tick - entities["since_tick"][rows]) * config.tick_s >= config.new_normal_s
    calm = ~alarmed[:, ERRORS] & ~alarmed[:, LOST]
    found = alarmed & old & calm[:, None]
    found[:, DOWN] &= entities["held_k"][rows, DOWN] > 0  # silence is never normal
    at, stream = np.nonzero(found)
    return rows[at], stream


def accept(entities: Entities, slots: Rows, streams: Rows) -> None:
    """Let what was seen in alarm be what is usual."""
    rate = slots[(streams == UP) | (streams == DOWN)]
    held = entities["held_n"], entities["held_k"], entities["held_ticks"]
    for stream in (UP, DOWN):
        rate = slots[streams == stream]
        season, calls, ticks = (array[rate, stream] for array in held)
        entities["rate_sum"][rate], entities["rate_ticks"][rate] = calls, ticks
        entities["rate_season"][rate] = season
        entities["ratio_calls"][rate] = entities["ratio_asked"][rate] = 0.0  # by the rate until it is learned anew
    late = slots[streams == LATENCY]
    n, k = held[0][late, LATENCY], held[1][late, LATENCY]
    lately = np.minimum(entities["near_k"][late] / np.maximum(entities["near_n"][late], 1.0), 1.0)
    for share, hits in ((SLOW, k), (SLOWEST, n * lately[:, SLOWEST]), (FARTHEST, n * lately[:, FARTHEST])):
        entities["share_n"][late, share] = n
        entities["share_k"][late, share] = hits
        for name in ("share_z", "share_one", "share_size"):
            entities[name][late, share] = 0.0
    end(entities, slots, streams)


def behind(entities: Entities, slot: int, stream: int, tick: int, expected_per_tick: float) -> Behind:
    """Look back over the ticks of one entity: when did it begin, and what was seen since.

    The likelihood ratio of every tick, "as since the evidence rose" to "as usual", is added up; the change is where
    the running sum was lowest (`cusum`).
    """
    ring = entities.ring_ticks
    age = int(min(entities["age_ticks"][slot], ring - 1, tick))
    ticks = np.arange(tick - age, tick)
    counts = entities.ring[slot, ticks % ring].astype(np.float64)
    run = np.clip(np.searchsorted(ticks, entities["run_tick"][slot, stream]), 0, max(age - 1, 0))
    if stream in SHARE_OF:
        n, k = (array[:, SHARE_OF[stream]] for array in share_counts(counts))
        usual = float(usual_shares(entities, np.array([slot], np.intp))[0, SHARE_OF[stream]])
        new = (k[run:].sum() + 0.5) / (n[run:].sum() + 1.0)
        new = float(np.clip(max(new, 1.2 * usual), 1e-6, 1 - 1e-6))
        usual = min(max(usual, 1e-6), new)
        gains = k * np.log(new / usual) + (n - k) * np.log((1 - new) / (1 - usual))
        seen, foreseen = k, n * usual
    else:
        calls = counts[:, CALLS]
        ratio = (calls[run:].sum() + 0.5) / (expected_per_tick * max(1, len(calls) - run) + 0.5)
        ratio = max(ratio, 1.2) if stream == UP else min(ratio, 0.8)
        gains = calls * np.log(ratio) - expected_per_tick * (ratio - 1)
        seen, foreseen = calls, np.full(len(calls), expected_per_tick)
    _, onset = cusum(gains[None, :])
    first = min(int(onset[0]), int(run)) if onset[0] == len(gains) else int(onset[0])
    told = slice(first, None)
    started = tick - age + first
    if first == 0:  # longer ago than ticks are kept
        started = min(started, max(int(entities["run_tick"][slot, stream]), 0))
    return Behind(
        onset_tick=started,
        ticks=tick - started,
        calls=int(counts[told, CALLS].sum()),
        observed=float(seen[told].sum()),
        expected=float(foreseen[told].sum()),
    )
