"""A drawn day of groups, judged every minute as the engine does: how many spikes are told, and how many were drawn.

    python -m tests.support.drawn_groups 1 200      # seed, groups of each kind

Three kinds of days: steady (Poisson), bursty (each minute's rate is a gamma of shape 2), and one with a rhythm (the rate
goes from a third to threefold and back within the day). Rates are 0.02 to 20 errors a minute, even in their logarithm.
In a fourth, steady one, each group rises threefold, tenfold or thirtyfold for twenty minutes, once.
"""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt

from analyzer.errors.fingerprint import fingerprint_of
from analyzer.errors.group_news import LOOKS_A_DAY
from analyzer.errors.group_state import MINUTE_NS
from analyzer.errors.groups import Groups
from analyzer.errors.model import ExceptionFact

T0 = 1_760_000_000_000_000_000 // MINUTE_NS * MINUTE_NS
WARM = 120  # minutes before anything is counted as told
RAISED = 20  # minutes
KINDS = ("steady", "bursty", "rhythm")


def day(kind: str, groups: int, seed: int) -> npt.NDArray[np.int64]:
    """Draw errors per group and minute, int64[groups, minutes]."""
    rng = np.random.default_rng(seed)
    rates = np.exp(rng.uniform(np.log(0.02), np.log(20.0), groups))[:, None] * np.ones(LOOKS_A_DAY)
    if kind == "bursty":
        rates = rates * rng.gamma(2.0, 0.5, rates.shape)
    if kind == "rhythm":
        hours = np.arange(LOOKS_A_DAY) / 60.0 + rng.uniform(0, 24, groups)[:, None]
        rates = rates * 3.0 ** np.sin(2.0 * np.pi * hours / 24.0)
    return rng.poisson(rates)


def raised(groups: int, factor: float, seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Draw a steady day in which each group rises once; the counts, and the minute in which each begins to rise."""
    rng = np.random.default_rng(seed)
    rates = np.exp(rng.uniform(np.log(0.02), np.log(20.0), groups))[:, None] * np.ones(LOOKS_A_DAY)
    begins = rng.integers(WARM + 60, LOOKS_A_DAY - RAISED - 10, groups)
    for one, begin in enumerate(begins):
        rates[one, begin : begin + RAISED] *= factor
    return rng.poisson(rates), begins


def told(counts: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Judge a day; (group, minute) of every spike that is told after the first two hours."""
    groups, found = Groups(), []
    groups.news.begin(T0)
    ids: dict[str, int] = {}
    for one in range(len(counts)):
        fact = ExceptionFact(f"{one:032x}", "01", f"service-{one}", "GET /", T0, f"Error{one}", "")
        ids[groups.observe(fact, fingerprint_of(fact), T0)] = one
    names = {one: group_id for group_id, one in ids.items()}
    for minute in range(counts.shape[1]):
        for one in np.flatnonzero(counts[:, minute]):
            groups.infer(names[int(one)], int(counts[one, minute]), T0 + minute * MINUTE_NS)
        groups.judge(T0 + (minute + 1) * MINUTE_NS)
        turns = [turn for turn in groups.news.take() if turn.what == "spike" and minute >= WARM]
        found += [(ids[turn.group_id], minute) for turn in turns]
    return found


def main(seed: int, groups: int) -> None:
    for kind in KINDS:
        found = told(day(kind, groups, seed))
        share = len({one for one, _ in found}) / groups
        print(f"{kind}: {len(found)} spikes told of {groups} groups in 22 hours ({share:.1%} of the groups)")
    for factor in (3.0, 10.0, 30.0):
        counts, begins = raised(groups, factor, seed)
        found = told(counts)
        true = [(one, minute) for one, minute in found if begins[one] <= minute < begins[one] + RAISED + 6]
        delays = sorted(minute - int(begins[one]) + 1 for one, minute in true)
        large = [one for one in range(groups) if counts[one, begins[one] : begins[one] + RAISED].sum() >= 20]
        seen = {one for one, _ in true}
        print(
            f"{factor:g}-fold: {len(seen)} of {groups} told ({sum(one in seen for one in large)} of {len(large)} with 20"
            f" errors or more), {len(found) - len(true)} others, median delay {delays[len(delays) // 2]} min"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
