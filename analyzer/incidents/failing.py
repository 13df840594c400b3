"""Which candidates fail more than they did: the blame of failed traces, tested, and charged by the star rule.

In: facts and cast of reference and window. Out: the share of traces whose failure began at each candidate, beyond
the usual share and its margin of error. Blame that rests on a call lies between two; the pattern of failing calls
says whose it is. Failures that somebody handled count less than those that reached the entry.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.error_classes import ErrorClass
from analyzer.incidents.cast import Cast, Lines
from analyzer.incidents.facts import TraceFacts
from analyzer.incidents.star import Charged, Edge, charge

Floats = npt.NDArray[np.float64]

_Z_MIN = 3.0
_HANDLED = 0.3  # weight of a failure that did not reach the entry
# A call that fails like this fails because of what was asked: it is the caller's.
_ASKED_WRONG = (int(ErrorClass.CLIENT), int(ErrorClass.DATA), int(ErrorClass.AUTH), int(ErrorClass.BUSINESS))


@dataclass(frozen=True, slots=True)
class Failing:
    """own : float64[c], share of traces whose failure began inside a candidate, more than usual.

    charged : the same of its calls. rate : share of traces that failed more than usual, anywhere.
    """

    own: Floats
    charged: Charged
    rate: float


def find_failing(reference: TraceFacts, window: TraceFacts, cast: Cast) -> Failing:
    """Say where failures begin that did not before, as shares of the window's traces."""
    count = len(cast.names)
    own_before, edges_before, _ = _masses(reference, cast.reference, count)
    own_now, edges_now, calls = _masses(window, cast.window, count)
    before, now = max(1, reference.trace_count), max(1, window.trace_count)
    own = _more(own_before, own_now, before, now)
    edges = sorted(calls)
    gained = _more(
        np.array([edges_before.get(edge, 0.0) for edge in edges]),
        np.array([edges_now.get(edge, 0.0) for edge in edges]),
        before,
        now,
    )
    gains = {edge: float(gain) for edge, gain in zip(edges, gained, strict=True)}
    return Failing(own, charge(gains, calls, own), float(own.sum() + gained.sum()))


def _masses(facts: TraceFacts, lines: Lines, count: int) -> tuple[Floats, dict[Edge, float], dict[Edge, int]]:
    """Blame by candidate and by edge (sums over traces), and how often each edge was used."""
    fatal = facts.fatal[facts.trace]
    has_failed_child = np.zeros(len(facts), np.bool_)
    below = facts.failed & (facts.parent >= 0)
    has_failed_child[facts.parent[below]] = True
    handled = facts.failed & ~has_failed_child & ~fatal
    mass = np.where(fatal, facts.blame, np.where(handled, _HANDLED, 0.0)).astype(np.float64)
    between = lines.is_call & ~np.isin(facts.error_class, _ASKED_WRONG)
    own = np.bincount(lines.owner[~between], mass[~between], count).astype(np.float64)
    used = np.flatnonzero(lines.is_call)
    keys = lines.owner[used].astype(np.int64) << 32 | lines.callee[used]
    edges, place, calls = np.unique(keys, return_inverse=True, return_counts=True)
    sums = np.bincount(place, np.where(between[used], mass[used], 0.0), len(edges))
    names = [(int(edge >> 32), int(edge & 0xFFFFFFFF)) for edge in edges]
    return (
        own,
        dict(zip(names, (float(value) for value in sums), strict=True)),
        dict(zip(names, (int(value) for value in calls), strict=True)),
    )


def _more(before: Floats, now: Floats, traces_before: int, traces_now: int) -> Floats:
    """Shares of traces gained, less the margin of error of two binomial shares."""
    usual = (before + 0.5) / (traces_before + 1.0)
    share = now / traces_now
    # Under "nothing changed" both come from the usual share; at least one whole trace has to fail in the window.
    error = np.sqrt(usual * (1.0 - np.minimum(usual, 1.0)) * (1.0 / traces_now + 1.0 / traces_before))
    gain: Floats = np.where(now > 0.0, np.maximum(0.0, share - before / traces_before - _Z_MIN * error), 0.0)
    return gain
