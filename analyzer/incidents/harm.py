"""How much harm each candidate does: three kinds, charged once each, added up.

In: facts of a reference and of a window. Out: `Harm`. Harm is the share of the window's requests that a candidate
spoils: failures that began at it, time it added (in durations of a usual request), requests whose shape changed at
it. Every failed trace, millisecond and changed request is charged to one candidate, so a victim inherits
nothing and the loudest service has no advantage. Never sees a label; knows no names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.incidents.asking import find_asking
from analyzer.incidents.cast import Cast, cast_of
from analyzer.incidents.facts import TraceFacts
from analyzer.incidents.failing import Failing, find_failing
from analyzer.incidents.gone import find_gone
from analyzer.incidents.redirect import find_troubled, find_unanswered, learn_usual
from analyzer.incidents.reshaped import Reshaped, find_reshaped
from analyzer.incidents.slower import Slower, find_slower
from analyzer.incidents.traffic import find_traffic
from analyzer.kernels.grouping import count_blocks
from analyzer.spans import Vocabulary

Floats = npt.NDArray[np.float64]

_SHAPE_WEIGHT = 0.7  # a request that took another way may still have been a good one
_LOST_WEIGHT = 0.5  # requests that did not come may not have been meant to come
_LOAD_SHARE = 0.9  # of the time that callees of a surging entry got slower, charged to who asks
_HINT_WEIGHT = 1e-3  # what is within its margin of error orders those that have nothing else
_PRIOR_WEIGHT = 3e-4  # who is in every request is likelier to be the cause, when nothing at all is seen


@dataclass(frozen=True, slots=True)
class Harm:
    """Shares of requests by candidate, float64[c] each, and what they were charged from."""

    failing: Floats
    slower: Floats
    reshaped: Floats
    unasked: Floats
    hint: Floats
    exposure: Floats
    cast: Cast
    found_failing: Failing
    found_slower: Slower
    found_reshaped: Reshaped

    @property
    def total(self) -> Floats:
        """float64[c]: harm of all kinds; hints only tell ties apart."""
        total: Floats = (
            self.failing
            + self.slower
            + _SHAPE_WEIGHT * self.reshaped
            + _LOST_WEIGHT * self.unasked
            + _HINT_WEIGHT * self.hint
        )
        return total + _PRIOR_WEIGHT * self.exposure


def measure_harm(reference: TraceFacts, window: TraceFacts, vocabulary: Vocabulary) -> Harm:
    """Charge everything that got worse to somebody."""
    cast = cast_of(reference, window, vocabulary)
    gone = find_gone(reference, window, cast)
    operations = max(int(facts.operation.max(initial=0)) for facts in (reference, window)) + 1
    usual = learn_usual(reference, cast, operations, gone)
    unanswered = (
        find_unanswered(reference, cast.reference, usual),
        find_unanswered(window, cast.window, usual),
    )
    failing = find_failing(reference, window, cast, usual, gone, unanswered)
    troubled = (
        find_troubled(reference, cast.reference, unanswered[0]),
        find_troubled(window, cast.window, unanswered[1]),
    )
    reshaped = find_reshaped(reference, window, cast, gone, troubled)
    slower = find_slower(reference, window, cast, find_asking(reference, window, cast, failing, reshaped), troubled)
    traffic = find_traffic(reference, window, cast)
    usual_ms = _usual_ms(reference)
    nodes_ms = slower.own_ms + slower.charged.nodes()
    moved = _load(window, cast, traffic.surged, nodes_ms)
    nodes_failing = failing.own + failing.charged.nodes()
    nodes_failing = nodes_failing + _load(window, cast, traffic.surged, failing.throttled)
    slow = (nodes_ms + moved) / usual_ms
    return Harm(
        failing=nodes_failing,
        slower=slow / (1.0 + slow.sum()),
        reshaped=reshaped.share,
        unasked=traffic.lost,
        hint=_hints(slower, len(cast.names)) / usual_ms,
        exposure=_exposure(window, cast),
        cast=cast,
        found_failing=failing,
        found_slower=slower,
        found_reshaped=reshaped,
    )


def _load(window: TraceFacts, cast: Cast, surged: Mapping[int, list[int]], nodes: Floats) -> Floats:
    """float64[c]: what to move, from those that a surging entry reaches to the owner of the entry."""
    moved = np.zeros(len(nodes))
    for owner, operations in surged.items():
        first = window.trace_ptr[:-1][np.diff(window.trace_ptr) > 0]
        traces = np.isin(window.operation[first], operations)
        asked = np.zeros(window.trace_count, np.bool_)
        asked[np.diff(window.trace_ptr) > 0] = traces
        spans = asked[window.trace]
        reached = np.zeros(len(nodes), np.bool_)
        reached[cast.window.owner[spans]] = True
        reached[cast.window.callee[spans & cast.window.is_call]] = True
        reached[owner] = False
        part = np.where(reached, _LOAD_SHARE * (nodes + moved), 0.0)
        moved -= part
        moved[owner] += part.sum()
    return moved


def _usual_ms(reference: TraceFacts) -> float:
    """Mean duration of an entry of the reference, its slowest twentieth left out."""
    durations = np.sort(reference.duration_ns[reference.parent < 0])
    kept = durations[: max(1, int(0.95 * len(durations)))]
    return max(1e-3, float(kept.mean()) / 1e6) if len(kept) else 1.0


def _exposure(window: TraceFacts, cast: Cast) -> Floats:
    """float64[c]: share of the window's traces that went through a candidate."""
    counts, last = np.zeros(len(cast.names), np.int64), np.full(len(cast.names), -1, np.int32)
    count_blocks(window.trace, cast.window.owner, last, counts)
    share: Floats = counts / max(1, window.trace_count)
    return share


def _hints(slower: Slower, count: int) -> Floats:
    """float64[c]: milliseconds a call gained that are within their margin of error, by how far they are into it."""
    hint = np.zeros(count)
    for group in slower.groups:
        node = group.owner if group.callee < 0 else group.callee
        gain = max(0.0, group.after_ms - group.before_ms)
        hint[node] = max(hint[node], gain * min(1.0, max(0.0, group.z) / 3.0))
    return hint
