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
from analyzer.incidents.grouping import number_alike
from analyzer.incidents.redirect import Usual, redirect
from analyzer.incidents.star import Charged, Edge, charge

Floats = npt.NDArray[np.float64]
Marks = npt.NDArray[np.bool_]

_Z_MIN = 3.0
_HANDLED = 0.3  # weight of a failure that did not reach the entry
# A call that fails like this fails because of what was asked: it is the caller's.
_ASKED_WRONG = (int(ErrorClass.CLIENT), int(ErrorClass.DATA), int(ErrorClass.AUTH), int(ErrorClass.BUSINESS))


@dataclass(frozen=True, slots=True)
class Failing:
    """own : float64[c], share of traces whose failure began inside a candidate, more than usual.

    charged : the same of its calls. rate : share of traces that failed more than usual, anywhere.
    throttled : float64[c], of `own`, what was refused because too much was asked
    hurried : (caller, callee) of calls that are given up too early now -> share of traces that failed by it
    """

    own: Floats
    charged: Charged
    rate: float
    throttled: Floats
    hurried: dict[Edge, float]


def find_failing(
    reference: TraceFacts,
    window: TraceFacts,
    cast: Cast,
    usual: Usual,
    gone: Marks,
    unanswered: tuple[Marks, Marks],
) -> Failing:
    """Say where failures begin that did not before, as shares of the window's traces.

    Parameters
    ----------
    usual : Usual
        What the reference knows of operations.
    gone : bool[c]
        Candidates that are asked and send nothing any more (`analyzer.incidents.gone`).
    unanswered : bool[n], bool[n]
        Calls of reference and window that nobody answered (`redirect.find_unanswered`).
    """
    count = len(cast.names)
    old = _masses(reference, cast.reference, usual, unanswered[0], count)
    new = _masses(window, cast.window, usual, unanswered[1], count)
    calls = _calls(cast.window) | dict.fromkeys(new.edges, 0)
    calls |= {edge: max(calls[edge], round(mass)) for edge, mass in new.edges.items()}
    before, now = max(1, reference.trace_count), max(1, window.trace_count)
    own = _more(old.own, new.own, before, now)
    edges = sorted(calls)
    gained = _more(
        np.array([old.edges.get(edge, 0.0) for edge in edges]),
        np.array([new.edges.get(edge, 0.0) for edge in edges]),
        before,
        now,
    )
    gains = {edge: float(gain) for edge, gain in zip(edges, gained, strict=True)}
    return Failing(
        own=own,
        charged=charge(gains, calls, own, gone),
        rate=float(own.sum() + gained.sum()),
        throttled=np.minimum(own, _more(old.throttled, new.throttled, before, now)),
        hurried={edge: mass / now - old.hurried.get(edge, 0.0) / before for edge, mass in new.hurried.items()},
    )


@dataclass(frozen=True, slots=True)
class _Masses:
    """Sums over traces: blame by candidate, what of it was throttled, by edge, of calls given up too early."""

    own: Floats
    edges: dict[Edge, float]
    throttled: Floats
    hurried: dict[Edge, float]


def _masses(facts: TraceFacts, lines: Lines, usual: Usual, unanswered: Marks, count: int) -> _Masses:
    fatal = facts.fatal[facts.trace]
    handled = facts.failed & ~facts.has_failed_child & ~fatal
    mass = np.where(fatal, facts.blame, np.where(handled, _HANDLED, 0.0)).astype(np.float64)
    mass[unanswered & ~fatal] = _HANDLED
    blamed = np.flatnonzero(mass > 0.0)
    mass = mass[blamed]
    to = redirect(facts, lines, usual, blamed)
    error_class = facts.error_class[blamed]
    share = np.where(np.isin(error_class, _ASKED_WRONG), 0.0, to.share)
    inside = mass * (1.0 - share)
    own = np.bincount(to.owner, inside, count).astype(np.float64)
    throttled = np.bincount(to.owner, inside * (error_class == int(ErrorClass.THROTTLED)), count).astype(np.float64)
    at = np.flatnonzero(share > 0.0)
    edges = _by_edge(to.owner[at], to.callee[at], mass[at] * share[at])
    at = np.flatnonzero(to.hurried >= 0)
    return _Masses(own, edges, throttled, _by_edge(to.owner[at], to.hurried[at], mass[at]))


def _calls(lines: Lines) -> dict[Edge, int]:
    """How often each edge was used."""
    used = np.flatnonzero(lines.is_call)
    counts = _by_edge(lines.owner[used], lines.callee[used], np.ones(len(used)))
    return {edge: int(count) for edge, count in counts.items()}


def _by_edge(caller: npt.NDArray[np.int32], callee: npt.NDArray[np.int32], mass: Floats) -> dict[Edge, float]:
    """Sums over (caller, callee); the edges ascending."""
    keys, (numbers,) = number_alike([caller.astype(np.int64) << 32 | callee])
    sums = np.bincount(numbers, mass, len(keys))
    return {(key >> 32, key & 0xFFFFFFFF): found for key, found in zip(keys.tolist(), sums.tolist(), strict=True)}


def _more(before: Floats, now: Floats, traces_before: int, traces_now: int) -> Floats:
    """Shares of traces gained, less the margin of error of two binomial shares."""
    usual = (before + 0.5) / (traces_before + 1.0)
    share = now / traces_now
    # Under "nothing changed" both come from the usual share; at least one whole trace has to fail in the window.
    error = np.sqrt(usual * (1.0 - np.minimum(usual, 1.0)) * (1.0 / traces_now + 1.0 / traces_before))
    gain: Floats = np.where(now > 0.0, np.maximum(0.0, share - before / traces_before - _Z_MIN * error), 0.0)
    return gain
