"""The plain twin of the sketches: every observation kept in a list, counted one by one."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field

from analyzer.kernels.bins import BINS, EDGES


def plain_bin(value_ns: int) -> int:
    """The bin whose first value is the largest not above this one."""
    return min(BINS - 1, max(0, bisect_right(EDGES.tolist(), value_ns) - 1))


@dataclass
class Observations:
    """What one key has seen: (value, weight)."""

    seen: list[tuple[int, float]] = field(default_factory=list)

    @property
    def count(self) -> float:
        return sum(weight for _, weight in self.seen)

    def upper(self, value_ns: int) -> float:
        """Conformal p by counting; equal bins count as equal."""
        above = sum(weight for other, weight in self.seen if plain_bin(other) >= plain_bin(value_ns))
        return (1.0 + above) / (1.0 + self.count)

    def lower(self, value_ns: int) -> float:
        below = sum(weight for other, weight in self.seen if plain_bin(other) <= plain_bin(value_ns))
        return (1.0 + below) / (1.0 + self.count)

    def quantile(self, q: float) -> float:
        ordered = sorted(self.seen)
        goal, below = q * self.count, 0.0
        for value, weight in ordered:
            below += weight
            if below >= goal:
                return float(value)
        return math.nan


class PlainTable:
    """The plain twin of the pair table: a dict that forgets the least active first."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.slots: dict[int, int] = {}

    def find(self, key: int) -> int:
        return self.slots.get(key, -1)
