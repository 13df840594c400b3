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
from analyzer.incidents.redirect import Usual, learn_usual, redirect
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
    operations = max(int(facts.operation.max(initial=0)) for facts in (reference, window)) + 1
    usual = learn_usual(reference, cast.reference, operations)
    own_before, edges_before = _masses(reference, cast.reference, usual, count)
    own_now, edges_now = _masses(window, cast.window, usual, count)
    calls = _calls(window, cast.window) | dict.fromkeys(edges_now, 0)
    calls |= {edge: max(calls[edge], round(mass)) for edge, mass in edges_now.items()}
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


def _masses(facts: TraceFacts, lines: Lines, usual: Usual, count: int) -> tuple[Floats, dict[Edge, float]]:
    """Blame by candidate and by edge, sums over traces."""
    fatal = facts.fatal[facts.trace]
    handled = facts.failed & ~facts.has_failed_child & ~fatal
    mass = np.where(fatal, facts.blame, np.where(handled, _HANDLED, 0.0)).astype(np.float64)
    blamed = np.flatnonzero(mass > 0.0)
    mass = mass[blamed]
    to = redirect(facts, lines, usual, blamed)
    share = np.where(np.isin(facts.error_class[blamed], _ASKED_WRONG), 0.0, to.share)
    own = np.bincount(to.owner, mass * (1.0 - share), count).astype(np.float64)
    edges: dict[Edge, float] = {}
    for at in np.flatnonzero(share > 0.0).tolist():
        edge = (int(to.owner[at]), int(to.callee[at]))
        edges[edge] = edges.get(edge, 0.0) + float(mass[at] * share[at])
    return own, edges


def _calls(facts: TraceFacts, lines: Lines) -> dict[Edge, int]:
    """How often each edge was used."""
    used = np.flatnonzero(lines.is_call)
    edges, counts = np.unique(lines.owner[used].astype(np.int64) << 32 | lines.callee[used], return_counts=True)
    return {(int(edge >> 32), int(edge & 0xFFFFFFFF)): int(n) for edge, n in zip(edges, counts, strict=True)}


def _more(before: Floats, now: Floats, traces_before: int, traces_now: int) -> Floats:
    """Shares of traces gained, less the margin of error of two binomial shares."""
    usual = (before + 0.5) / (traces_before + 1.0)
    share = now / traces_now
    # Under "nothing changed" both come from the usual share; at least one whole trace has to fail in the window.
    error = np.sqrt(usual * (1.0 - np.minimum(usual, 1.0)) * (1.0 / traces_now + 1.0 / traces_before))
    gain: Floats = np.where(now > 0.0, np.maximum(0.0, share - before / traces_before - _Z_MIN * error), 0.0)
    return gain
