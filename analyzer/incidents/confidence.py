"""How sure a ranking is, from how its harm is spread.

In: harm of the candidates, worst first. Out: probabilities, whether to name anybody, the 90 % candidate set. The
constants were fitted on simulated incidents (docs/accuracy.md); nothing is learned at run time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_HARM_MIN = 0.004  # less than this share of requests is not enough to name anybody
_SHARPNESS = 1.5  # probabilities go with harm to this power
_NOISE = 0.004  # harm that anybody may have by chance
_COVERED = 0.9


def probabilities(harm: Floats) -> Floats:
    """float64[c]: P(this candidate is the cause), of harm sorted from the worst; sums to one at most."""
    if not len(harm):
        return np.zeros(0)
    weight = (np.maximum(harm, 0.0) + 1e-9) ** _SHARPNESS
    # Somebody who is not among the candidates, or chance.
    found: Floats = weight / (weight.sum() + _NOISE**_SHARPNESS)
    return found


def is_insufficient(harm: Floats) -> bool:
    """Say whether nobody should be named."""
    return not len(harm) or float(harm[0]) < _HARM_MIN


def candidate_set(names: list[str], chances: Floats) -> list[str]:
    """Return the smallest first part of the names that holds the cause with 90 %."""
    sums = np.cumsum(chances)
    wanted = int(np.searchsorted(sums, _COVERED * min(1.0, float(sums[-1])))) + 1 if len(sums) else 0
    return names[:wanted]
