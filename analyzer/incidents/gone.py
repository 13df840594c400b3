"""Who is gone: asked as ever, and not one span of it any more.

In: facts and cast of reference and window. Out: a mark by candidate. A process that was killed says nothing, so it
cannot accuse itself; that it fell silent while others went on asking it speaks against it. Whose callers are silent
too is not gone: nobody asks it. Decides nothing by itself.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.incidents.cast import Cast
from analyzer.incidents.facts import TraceFacts

_SPANS_MIN = 10  # of the reference, to be somebody who sends spans
_ASKED_MIN = 8.0  # requests that should have reached it in the window


def find_gone(reference: TraceFacts, window: TraceFacts, cast: Cast) -> npt.NDArray[np.bool_]:
    """bool[c]: candidates that sent spans, send none now, and should have been reached `_ASKED_MIN` times at least."""
    count = len(cast.names)
    before = np.bincount(cast.reference.owner, minlength=count)
    now = np.bincount(cast.window.owner, minlength=count)
    silent: npt.NDArray[np.bool_] = (before >= _SPANS_MIN) & (now == 0)
    if not silent.any():
        return silent
    # Each execution of a caller's operation reached it so often; these operations go on being executed.
    entered = np.flatnonzero((reference.parent >= 0) & silent[cast.reference.owner])
    above = reference.parent[entered]
    foreign = cast.reference.owner[above] != cast.reference.owner[entered]
    callers, callees = reference.operation[above[foreign]], cast.reference.owner[entered[foreign]]
    size = max(int(facts.operation.max(initial=0)) for facts in (reference, window)) + 1
    executed = np.bincount(window.operation, minlength=size) / np.maximum(
        1, np.bincount(reference.operation, minlength=size)
    )
    asked = np.bincount(callees, executed[callers], count)
    gone: npt.NDArray[np.bool_] = silent & (asked >= _ASKED_MIN)
    return gone
