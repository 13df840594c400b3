"""Results of several methods over the same cases -> one report, ready for JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analyzer.evaluation.calibration import calibrate
from analyzer.evaluation.metrics import CaseResult, chance, mcnemar, summarise
from analyzer.evaluation.words import Method

CHANCE = "random"  # one drawn order; what is expected of all of them is said beside it


def report(results: Mapping[str, Sequence[CaseResult]], methods: Mapping[str, Method], seed: int = 0) -> dict[str, Any]:
    """Summarise every method, each tested against the best of the others.

    Parameters
    ----------
    results : the same cases in the same order, by name of the method
    methods : what they are
    seed : of the bootstrap

    Returns
    -------
    dict
        Name to the dictionary of `summarise`, with `mcnemar`, `can_abstain`, `source` and, where a method gives
        probabilities, `calibration`; of chance also what is `expected`.
    """
    found = {name: summarise(rows, seed) for name, rows in results.items()}
    for name, summary in found.items():
        summary["can_abstain"] = methods[name].can_abstain
        summary["source"] = methods[name].source
        others = [other for other in found if other != name and found[other]["ac@1"] is not None]
        if name == CHANCE:
            summary["expected"] = chance(results[name])
        if others:
            best = max(others, key=lambda other: (found[other]["ac@1"], found[other]["avg@5"]))
            summary["mcnemar"] = {"against": best, **mcnemar(results[name], results[best])}
        calibration = calibrate(results[name])
        if calibration is not None:
            summary["calibration"] = calibration
    return found
