"""What is asked: entry operations that are asked far more, or far less, than they were, against the others.

In: facts and cast of reference and window. Out: the owners of entries that surge or dry up, with how much of the
requests that is. Only the mix is looked at: how many requests a file or a sample holds says nothing of how many
there were. Needs two entry operations at least; a moderate shift of the mix is no news.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.incidents.cast import Cast
from analyzer.incidents.facts import TraceFacts

Floats = npt.NDArray[np.float64]

_SURGE_MIN = 2.5
_DROP_MAX = 0.3
_TRACES_MIN = 10
_Z_MIN = 4.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """surged : owner candidate -> entry operations; lost : float64[c], share of usual requests that stay away."""

    surged: dict[int, list[int]]
    lost: Floats


def find_traffic(reference: TraceFacts, window: TraceFacts, cast: Cast) -> Traffic:
    """Say which entries are asked far more or far less than the others now are."""
    before, now = _entries(reference), _entries(window)
    owner_of = dict(zip(reference.operation[before].tolist(), cast.reference.owner[before].tolist(), strict=True))
    owner_of |= dict(zip(window.operation[now].tolist(), cast.window.owner[now].tolist(), strict=True))
    lost = np.zeros(len(cast.names))
    surged = _surged(reference.operation[before], window.operation[now], owner_of, lost)
    return Traffic(surged, lost)


def _surged(
    before: npt.NDArray[np.uint32], now: npt.NDArray[np.uint32], owner_of: dict[int, int], lost: Floats
) -> dict[int, list[int]]:
    """Entries that surge, by owner; adds what stays away to `lost`."""
    surged: dict[int, list[int]] = {}
    operations = np.union1d(before, now)
    if len(operations) < 2:
        return surged
    old, new = (np.array([(found == one).sum() for one in operations], np.float64) for found in (before, now))
    log_ratio = np.log((new + 0.5) / (old + 0.5))
    # What most entries did is the usual: one vote each, for one that surges may be most of all requests.
    voting = old >= min(_TRACES_MIN, old.max())
    change = log_ratio - np.median(log_ratio[voting])
    # Square roots of counts scatter alike, however few there are: what dried up to nothing has an error, too.
    scale = np.exp(np.median(log_ratio[voting]))
    away = 2.0 * (np.sqrt(new + 0.375) - np.sqrt(scale * old + 0.375)) / np.sqrt(1.0 + scale)
    for index, operation in enumerate(operations.tolist()):
        if old[index] + new[index] < _TRACES_MIN or abs(away[index]) < _Z_MIN:
            continue
        if change[index] >= np.log(_SURGE_MIN):
            surged.setdefault(owner_of[operation], []).append(operation)
        elif change[index] <= np.log(_DROP_MAX):
            lost[owner_of[operation]] += (1.0 - np.exp(change[index])) * old[index] / old.sum()
    return surged


def _entries(facts: TraceFacts) -> npt.NDArray[np.intp]:
    """First span of each trace, where it is an entry."""
    full = np.diff(facts.trace_ptr) > 0
    first = facts.trace_ptr[:-1][full].astype(np.intp)
    return first[facts.parent[first] < 0]
