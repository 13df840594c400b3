"""Which cases make up a set: every archetype, the hard ones more often, true negatives among them.

In: how many, a seed, perhaps a choice of archetypes. Out: (archetype, seed) pairs, the same for the same in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from analyzer.simulator.archetypes import ARCHETYPES, archetype_named


def plan_cases(count: int, seed: int, archetypes: Sequence[str] = ()) -> list[tuple[str, int]]:
    """Return (archetype, seed) of each case; seeds count up from `seed`, so sets of distant seeds share none.

    Without a choice an archetype stands in a round as often as its weight; with one, all chosen alike.

    Raises
    ------
    ValueError
        An archetype is unknown, the count or the seed is negative.
    """
    if count < 0 or seed < 0:
        raise ValueError(f"count is {count}, seed is {seed}; expected 0 or more")
    round_of = [n for n in archetypes or ARCHETYPES for _ in range(1 if archetypes else archetype_named(n).weight)]
    for name in archetypes:
        archetype_named(name)
    names = _rounds(round_of, np.random.default_rng([seed, 1]))
    return [(next(names), seed + i) for i in range(count)]


def _rounds(names: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    while True:
        yield from (names[i] for i in rng.permutation(len(names)))
