"""Streams of error counts with known spikes. `python -m tests.support.drawn_counts` prints how well they are found.

Every stream has its own rate, from one event in hours to hundreds a window, a daily and weekly rhythm, and a spread
from window to window (gamma, so that counts are negative binomial). The rhythm is not told to the detector.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.errors.spikes import HOUR_NS, Series, find_drops, find_spikes

WINDOW_NS = HOUR_NS // 12
WEEK = 7 * 24 * 12  # windows
END_NS = 1_760_000_400_000_000_000 // HOUR_NS * HOUR_NS + 7 * WINDOW_NS


@dataclass(frozen=True, slots=True)
class Found:
    """Spikes told, and how many of them were put there; `put` were there to be found."""

    told: int
    right: int
    put: int

    @property
    def precision(self) -> float:
        return self.right / max(1, self.told)

    @property
    def recall(self) -> float:
        return self.right / max(1, self.put)


def draw_streams(
    seed: int, groups: int, *, weeks: float, spiked: float, factor: float
) -> tuple[list[Series], list[bool]]:
    """Draw groups of which a share has `factor` times the rate in the last window."""
    dice = np.random.default_rng(seed)
    windows = int(weeks * WEEK)
    ages = np.arange(windows)[::-1]
    day = (END_NS - ages * WINDOW_NS) / (24 * HOUR_NS)
    series, truth = [], []
    for group in range(groups):
        level = 10.0 ** dice.uniform(-2.0, 2.0)
        rhythm = 1.0 + dice.uniform(0.0, 0.7) * np.sin(2 * np.pi * (day + dice.uniform()))
        rhythm *= np.where(np.floor(day) % 7 < 5, 1.0, dice.uniform(0.4, 1.0))
        size = 10.0 ** dice.uniform(0.7, 3.0)
        rate = level * rhythm
        is_spike = bool(dice.uniform() < spiked)
        if is_spike:
            rate[-1] *= factor
        counts = dice.poisson(rate * dice.gamma(size, 1.0 / size, windows))
        series.append(Series(f"group {group}", counts, known_before=True))
        truth.append(is_spike)
    return series, truth


def measure(seeds: range, *, weeks: float, spiked: float = 0.1, factor: float = 8.0, groups: int = 200) -> Found:
    """Count over many seeds; a spike of fewer events than are told counts as there to be found all the same."""
    told = right = put = 0
    state = "spike" if factor > 1.0 else "drop"
    find = find_spikes if factor > 1.0 else find_drops
    for seed in seeds:
        series, truth = draw_streams(seed, groups, weeks=weeks, spiked=spiked, factor=factor)
        found = find(series, window_ns=WINDOW_NS, end_ns=END_NS)
        says = [one.state in (state, "no_data") for one in found]
        told += sum(says)
        right += sum(says and is_spike for says, is_spike in zip(says, truth, strict=True))
        put += sum(truth)
    return Found(told, right, put)


if __name__ == "__main__":
    for factor in (8.0, 3.0, 0.05):
        for weeks in (1 / 7, 1.0, 4.0):
            found = measure(range(20), weeks=weeks, factor=factor)
            print(f"x{factor:g}, {weeks:.2f} weeks of past: {found.told} told, precision {found.precision:.3f}, "
                  f"recall {found.recall:.3f} of {found.put}")  # fmt: skip
    quiet = measure(range(20), weeks=1.0, spiked=0.0)
    print(f"no spikes at all: {quiet.told} told of {20 * 200} groups")
