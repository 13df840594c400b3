"""How sure a ranking is, from how its harm is spread.

In: harm of the candidates, worst first. Out: probabilities, whether to name anybody, the 90 % candidate set. The
constants were fitted on simulated incidents (docs/accuracy.md); nothing is learned at run time.

The set is conformal (Sadinle, Lei and Wasserman 2019, least ambiguous set-valued classifiers): whoever is likelier than
a threshold that nine in ten true causes pass. Where nobody passes it is empty, and nobody is named: such incidents
count as missed when the threshold is fitted, so what is said of the others need not make up for them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_HARM_MIN = 0.006  # less than this share of requests is not enough to name anybody
_NAMED_MIN = 0.85  # nor is less than this: more than nine in ten true causes of development cases have it
# Logistic regression of "the first is the cause" on how far it is ahead of the second, and on how much there is.
_BASE, _AHEAD, _AMOUNT = 2.489, 0.669, 0.406
_CHANCE = 5e-4  # harm that anybody may have by chance
_FLATTEN = 0.7  # what is left is shared out by harm to this power
_COVERED = 0.9  # of calibrated probability: who is named with less has others beside it


def probabilities(harm: Floats) -> Floats:
    """float64[c]: P(this candidate is the cause), of harm sorted from the worst; sums to one."""
    if not len(harm):
        return np.zeros(0)
    first = float(max(0.0, harm[0]))
    second = float(max(0.0, harm[1])) if len(harm) > 1 else 0.0
    ahead, amount = np.log((first + 1e-4) / (second + _CHANCE)), np.log(first + 1e-3)
    chance = 1.0 / (1.0 + np.exp(-(_BASE + _AHEAD * ahead + _AMOUNT * amount)))
    rest = (np.maximum(harm[1:], 0.0) + _CHANCE) ** _FLATTEN
    found: Floats = np.concatenate([[chance], (1.0 - chance) * rest / rest.sum() if len(rest) else rest])
    return found


def is_insufficient(harm: Floats, chances: Floats) -> bool:
    """Say whether nobody should be named."""
    return not len(harm) or float(harm[0]) < _HARM_MIN or float(chances[0]) < _NAMED_MIN


def candidate_set(names: list[str], chances: Floats, insufficient: bool) -> list[str]:
    """Return the smallest first part of the names that holds the cause with 90 %; empty when nobody should be named."""
    return [] if insufficient else names[: int(np.searchsorted(np.cumsum(chances), _COVERED)) + 1]
