"""Traces with attributes, of which one slice goes wrong. `python -m tests.support.drawn_slices` prints how well it is found.

Values are drawn unevenly (a few common, many rare), zones belong to regions, some traces go wrong anywhere, and some of
the slice go well.
"""

from __future__ import annotations

import numpy as np

from analyzer.errors.slices import find_slices

VALUES = {"region": 4, "zone": 12, "tenant": 60, "version": 3, "host": 30, "device": 5, "hour": 24}


def draw_traces(
    seed: int, size: int, attributes: int
) -> tuple[dict[str, list[str]], np.ndarray, frozenset[tuple[str, str]]]:
    """Attributes, bad traces, and the slice that is at fault (0: none is)."""
    dice = np.random.default_rng([seed, attributes])
    found: dict[str, list[str]] = {}
    codes = {}
    for name, count in VALUES.items():
        weights = 1.0 / np.arange(1, count + 1) ** dice.uniform(0.2, 1.0)
        codes[name] = dice.choice(count, size, p=weights / weights.sum())
    codes["zone"] = codes["region"] * 3 + codes["zone"] % 3
    for name, column in codes.items():
        found[name] = [f"{name}-{code}" for code in column]
    bad = dice.random(size) < dice.uniform(0.002, 0.02)
    names = [str(name) for name in dice.permutation([n for n in VALUES if n != "zone"])[:attributes]]
    inside = np.ones(size, bool)
    where = set()
    for name in names:
        # Common enough to be seen: one of the five values that most traces have.
        code = int(dice.choice(np.argsort(-np.bincount(codes[name]))[:5]))
        inside &= codes[name] == code
        where.add((name, f"{name}-{code}"))
    if attributes:
        bad |= inside & (dice.random(size) < dice.uniform(0.3, 1.0))
    return found, bad, frozenset(where)


def measure(seeds: range, attributes: int, size: int = 4_000) -> float:
    """F1 of the attribute values that are told against those that are at fault, over all seeds (PSqueeze's measure)."""
    right = told = put = 0
    for seed in seeds:
        columns, bad, where = draw_traces(seed, size, attributes)
        found = {frozenset(one.where) for one in find_slices(columns, bad)}
        right += where in found
        told += len(found)
        put += 1
    return 2 * right / (told + put)


def false_slices(seeds: range, size: int = 4_000) -> int:
    """Slices told where none is at fault."""
    return sum(len(find_slices(*draw_traces(seed, size, 0)[:2])) for seed in seeds)


if __name__ == "__main__":
    for attributes in (1, 2):
        print(f"{attributes} attribute(s) at fault: F1 {measure(range(100), attributes):.3f}")
    print(f"none at fault: {false_slices(range(100))} slices told in 100 cases")
