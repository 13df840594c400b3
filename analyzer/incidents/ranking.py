"""Which candidate is breaking the system: harm of three kinds, charged once each, added up.

In: facts of a reference and of a window. Out: `Ranking`. Harm is the share of the window's requests that a candidate
spoils: failures that began at it, time it added (in durations of a usual request), requests whose shape changed at
it. Every failed trace, millisecond and changed request is charged to one candidate, so a victim inherits
nothing and the loudest service has no advantage. Never sees a label; knows no names.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from analyzer.incident_words import Suspect
from analyzer.incidents.cast import Cast, cast_of
from analyzer.incidents.facts import TraceFacts
from analyzer.incidents.failing import Failing, find_failing
from analyzer.incidents.reshaped import Reshaped, find_reshaped
from analyzer.incidents.slower import Slower, find_slower
from analyzer.spans import Vocabulary

Floats = npt.NDArray[np.float64]

_SHAPE_WEIGHT = 0.7  # a request that took another way may still have been a good one
_CALLEE_SHARE = 0.6  # of an edge that got worse alone, when neither end shows anything else
_HINT_WEIGHT = 1e-3  # what is within its margin of error orders those that have nothing else
_PRIOR_WEIGHT = 3e-4  # who is in every request is likelier to be the cause, when nothing at all is seen
_HARM_MIN = 0.004  # less than this share of requests is not enough to name anybody


@dataclass(frozen=True, slots=True)
class Ranking:
    """What is breaking the system, ranked.

    services : (name, harm), worst first, every candidate once; probability : calibrated, of the first.
    insufficient : nobody should be named. roots : independent causes. coverage : share of calls whose other
    side was seen.
    """

    services: list[tuple[str, float]]
    probability: float
    insufficient: bool
    candidate_set: list[str]
    roots: list[str] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)
    coverage: float = 1.0
    next_probe: str | None = None


@dataclass(frozen=True, slots=True)
class Harm:
    """Shares of requests by candidate, float64[c] each, and what they were charged from."""

    failing: Floats
    slower: Floats
    reshaped: Floats
    hint: Floats
    exposure: Floats
    cast: Cast
    found_failing: Failing
    found_slower: Slower
    found_reshaped: Reshaped

    @property
    def total(self) -> Floats:
        """float64[c]: harm of all kinds; hints only tell ties apart."""
        total: Floats = self.failing + self.slower + _SHAPE_WEIGHT * self.reshaped + _HINT_WEIGHT * self.hint
        return total + _PRIOR_WEIGHT * self.exposure


def measure_harm(reference: TraceFacts, window: TraceFacts, vocabulary: Vocabulary) -> Harm:
    """Charge everything that got worse to somebody."""
    cast = cast_of(reference, window, vocabulary)
    failing, slower = find_failing(reference, window, cast), find_slower(reference, window, cast)
    reshaped = find_reshaped(reference, window, cast)
    nodes_failing = failing.own + failing.charged.ingress + failing.charged.egress
    nodes_slower = slower.own_ms + slower.charged.ingress + slower.charged.egress
    for alone, nodes in ((failing.charged.alone, nodes_failing), (slower.charged.alone, nodes_slower)):
        known = nodes.copy()
        for (caller, callee), gain in alone.items():
            share = _CALLEE_SHARE
            if known[caller] > 0.0 and known[callee] <= 0.0:
                share = 0.0
            elif known[callee] > 0.0 and known[caller] <= 0.0:
                share = 1.0
            nodes[callee] += share * gain
            nodes[caller] += (1.0 - share) * gain
    usual_ms = _usual_ms(reference)
    slow = nodes_slower / usual_ms
    return Harm(
        failing=nodes_failing,
        slower=slow / (1.0 + slow.sum()),
        reshaped=reshaped.share,
        hint=_hints(slower, len(cast.names)) / usual_ms,
        exposure=_exposure(window, cast),
        cast=cast,
        found_failing=failing,
        found_slower=slower,
        found_reshaped=reshaped,
    )


def rank_services(reference: TraceFacts, window: TraceFacts, vocabulary: Vocabulary) -> Ranking:
    """Rank the candidates of an incident.

    Parameters
    ----------
    reference, window : TraceFacts
        Healthy traces, and those since the onset, of one vocabulary.
    """
    harm = measure_harm(reference, window, vocabulary)
    total = harm.total
    order = np.lexsort((np.arange(len(total)), -total))
    services = [(harm.cast.names[index], float(total[index])) for index in order]
    first = float(total[order[0]]) if len(order) else 0.0
    share = first / float(total.sum()) if first > 0.0 else 0.0
    return Ranking(
        services=services,
        probability=share,
        insufficient=first < _HARM_MIN,
        candidate_set=[name for name, _ in services[:3]],
    )


def _usual_ms(reference: TraceFacts) -> float:
    """Mean duration of an entry of the reference, its slowest twentieth left out."""
    durations = np.sort(reference.duration_ns[reference.parent < 0])
    kept = durations[: max(1, int(0.95 * len(durations)))]
    return max(1e-3, float(kept.mean()) / 1e6) if len(kept) else 1.0


def _exposure(window: TraceFacts, cast: Cast) -> Floats:
    """float64[c]: share of the window's traces that went through a candidate."""
    pairs = np.unique(window.trace.astype(np.int64) * len(cast.names) + cast.window.owner)
    share: Floats = np.bincount(pairs % len(cast.names), minlength=len(cast.names)) / max(1, window.trace_count)
    return share


def _hints(slower: Slower, count: int) -> Floats:
    """float64[c]: milliseconds a call gained that are within their margin of error, by how far they are into it."""
    hint = np.zeros(count)
    for group in slower.groups:
        node = group.owner if group.callee < 0 else group.callee
        gain = max(0.0, group.after_ms - group.before_ms)
        hint[node] = max(hint[node], gain * min(1.0, max(0.0, group.z) / 3.0))
    return hint
