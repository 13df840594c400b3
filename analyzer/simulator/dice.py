"""Seeded chance, cheap enough to be asked for every span.

In: a numpy Generator. Out: one number at a time from blocks drawn together (a single draw from a Generator costs
ten times as much). All chance of the simulator comes from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import exp, log
from typing import TypeVar

import numpy as np

T = TypeVar("T")
Law = Callable[[], float]

MS = 1e6  # nanoseconds
_BLOCK = 4096
LAW_NAMES = ("log_normal", "log_normal", "gamma", "pareto", "bimodal", "weibull", "stepped")


class Dice:
    """Owner of the Generator. `uniform()` and `normal()` are the two sources."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.uniform: Law = _uniforms(rng).__next__
        self.normal: Law = _normals(rng).__next__

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * self.uniform()

    def log_between(self, low: float, high: float) -> float:
        return exp(self.between(log(low), log(high)))

    def whole(self, low: int, high: int) -> int:
        """Return an integer from low to high, both included."""
        return low + int(self.uniform() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        return self.uniform() < probability

    def pick(self, items: Sequence[T]) -> T:
        return items[int(self.uniform() * len(items))]

    def weighted(self, items: Sequence[T], weights: Sequence[float]) -> T:
        left = self.uniform() * sum(weights)
        for item, weight in zip(items, weights, strict=True):
            left -= weight
            if left < 0:
                return item
        return items[-1]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        return [items[i] for i in self.rng.permutation(len(items))]

    def law(self, name: str, median: float, spread: float) -> Law:
        """Return a law of positive numbers around `median`.

        Parameters
        ----------
        name : one of `LAW_NAMES`
        median : float
        spread : float
            About the standard deviation of the logarithm, 0.05 to 1.
        """
        uniform, normal = self.uniform, self.normal
        if name == "pareto":  # heavy: shape 1.5 to 4
            shape = max(1.5, min(4.0, 0.9 / spread))
            least = median / 2 ** (1 / shape)
            return lambda: least * (1.0 - uniform()) ** (-1 / shape)
        if name == "gamma":
            draw = _gammas(self.rng, max(1.0, 1 / spread**2)).__next__
            return lambda: median * draw()
        if name == "weibull":
            shape = max(0.8, 1.2 / spread)
            scale = median / log(2) ** (1 / shape)
            return lambda: scale * (-log(1.0 - uniform())) ** (1 / shape)
        if name == "bimodal":  # a fast path and, one in five times, a slow one
            return lambda: median * (0.9 if uniform() < 0.8 else 3.0) * exp(spread * 0.5 * normal())
        if name == "stepped":  # work in whole time slices
            step = median / 4
            return lambda: step * max(1.0, round(4 + 4 * spread * normal())) * (1 + 0.02 * uniform())
        return lambda: median * exp(spread * normal())


def _uniforms(rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from rng.random(_BLOCK).tolist()


def _normals(rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from rng.standard_normal(_BLOCK).tolist()


def _gammas(rng: np.random.Generator, shape: float) -> Iterator[float]:
    middle = shape - 1 / 3 if shape > 0.5 else shape  # the median of a gamma law, to a few per cent
    while True:
        yield from (rng.standard_gamma(shape, 256) / middle).tolist()
