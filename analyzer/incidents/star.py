"""Whose fault is it when calls get worse: the callee's, the caller's, or the way between?

In: what each edge (caller, callee) gained, how often it was called, what each candidate gained by itself. Out: the
gains charged to callees (ingress), callers (egress) and edges alone. The pattern decides, never a fixed side
(algorithms 3.3, E2b): a node is charged when most of its calls on that side gained alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Edge = tuple[int, int]
Floats = npt.NDArray[np.float64]

_ALIKE_MIN = 0.2  # gain of a call over the largest gain of its star, to count as the same trouble
_SHARED_MIN = 0.6  # share of the rays of a star that have to gain before the star is charged
_CALLS_MIN = 5  # of a ray that is well, to say so
_OWN_TOO = 1.2  # its own spans, or its calls on the other side, got worse as well: that speaks for the node
_OWN_MIN = 0.15  # of what the star gained: less of its own is the doubt that is left of the same failures
_GONE = 2.0  # it sends no spans any more while it is called: that speaks for the callee
_ONE_RAY = 0.9  # one ray alone says least
_CALLEE_FIRST = 1.2  # when both ends look alike: more goes wrong behind a door than before it


@dataclass(frozen=True, slots=True)
class Charged:
    """ingress, egress : float64[c]; alone : what is left on single edges; callee_share : of that, the callee's part.

    The other calls into the callee and out of the caller went well or not: that is what shares an edge's gain out.
    """

    ingress: Floats
    egress: Floats
    alone: dict[Edge, float]
    callee_share: dict[Edge, float]

    def nodes(self) -> Floats:
        """float64[c]: everything charged, edges shared out between their ends."""
        nodes: Floats = self.ingress + self.egress
        for edge, gain in self.alone.items():
            nodes[edge[1]] += self.callee_share[edge] * gain
            nodes[edge[0]] += (1.0 - self.callee_share[edge]) * gain
        return nodes


def charge(
    gains: Mapping[Edge, float], calls: Mapping[Edge, int], own: Floats, gone: npt.NDArray[np.bool_] | None = None
) -> Charged:
    """Charge what edges gained to nodes, the star that explains most of it first.

    Parameters
    ----------
    gains : by (caller, callee); 0 for edges that did not gain. Any unit.
    calls : how often each edge of `gains` was used
    own : float64[c]
        What each candidate gained by itself, in the same unit; only whether it is worth a word is used.
    gone : bool[c], optional
        Candidates that send nothing any more (`analyzer.incidents.gone`).
    """
    ingress, egress = np.zeros(len(own)), np.zeros(len(own))
    per_call = {edge: gain / max(1, calls[edge]) for edge, gain in gains.items()}
    stars: dict[tuple[int, bool], list[Edge]] = {}
    for edge in gains:
        stars.setdefault((edge[1], True), []).append(edge)
        stars.setdefault((edge[0], False), []).append(edge)
    left = {edge: gain for edge, gain in gains.items() if gain > 0.0}
    while left:
        best: tuple[float, float, int, bool] | None = None
        for (node, into), rays in stars.items():
            most = max(per_call[edge] for edge in rays)
            grown = [edge for edge in rays if per_call[edge] > 0.0 and per_call[edge] >= _ALIKE_MIN * most]
            gain = sum(left.get(edge, 0.0) for edge in grown)
            if gain <= 0.0:
                continue
            share = len(grown) / (len(grown) + sum(calls[edge] >= _CALLS_MIN for edge in rays if edge not in grown))
            # One call out that got worse says nothing of the caller, unless it got worse by itself, or to its callers.
            other_side = max((gains[edge] for edge in stars.get((node, not into), ())), default=0.0)
            beside = own[node] > _OWN_MIN * gain or other_side > _OWN_MIN * gain
            unlike = not into and len(grown) < 2 and not beside
            if share < _SHARED_MIN or unlike:
                continue
            weight = gain * share * (_OWN_TOO if beside else 1.0) * (1.0 if len(grown) > 1 else _ONE_RAY)
            weight *= _GONE if into and gone is not None and gone[node] and _is_alone(grown, gains, stars) else 1.0
            if best is None or weight > best[0]:
                best = (weight, gain, node, into)
        if best is None:
            break
        _, gain, node, into = best
        (ingress if into else egress)[node] += gain
        left = {edge: at for edge, at in left.items() if (edge[1] if into else edge[0]) != node}
    shares = {}
    for caller, callee in left:
        inward, out = stars[callee, True], stars[caller, False]
        callee_bad = _CALLEE_FIRST * sum(gains[edge] > 0.0 for edge in inward) / len(inward)
        caller_bad = sum(gains[edge] > 0.0 for edge in out) / len(out)
        shares[caller, callee] = callee_bad / (callee_bad + caller_bad)
    return Charged(ingress, egress, left, shares)


def _is_alone(rays: list[Edge], gains: Mapping[Edge, float], stars: Mapping[tuple[int, bool], list[Edge]]) -> bool:
    """Whether the callers of these rays reach all others: who reaches nobody makes everybody fall silent."""
    return not any(
        gains[other] > _OWN_MIN * gains[ray] for ray in rays for other in stars[ray[0], False] if other[1] != ray[1]
    )
