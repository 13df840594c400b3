"""Cascades: which service began, what made it worse, who only suffers.

In: `SystemSums` of some time. Out: a `Cascade` for each beginning: trigger, amplifiers, victims in order, and how it
spread. An edge is part of a cascade when traces prove it: the caller's failed visits held a failed call to the callee.
A victim need not raise an alarm of its own, and a cycle of services is walked once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.errors.breakers import Condition
from analyzer.errors.edge_sums import ServiceSums, SystemSums
from analyzer.errors.tails import upper_tail
from analyzer.words import shown

FAILED_MIN = 5  # failed visits of a service that is part of a cascade
RISE_P = 1e-4
CARRIED_MIN = 0.5  # of a victim's failures come through failing callees
OWN_MIN = 0.5  # of a trigger's failures are its own, or those of somebody who sends no spans
RECOVERED_SHARE = 0.8  # of the usual traffic: load is back to normal


@dataclass(frozen=True, slots=True)
class Victim:
    """A service that fails because another does. `carried` of its `failed` visits held a failed call to `through`."""

    service: str
    through: str
    depth: int
    failed: int
    carried: int
    onset_ns: int


@dataclass(frozen=True, slots=True)
class Cascade:
    """One beginning and what came of it.

    trigger : the service (or the database, queue or peer without spans) where it began
    unseen : the trigger sends no spans itself; it is where calls fail
    amplifiers : conditions at edges of the cascade (retry storm, pool, deadline)
    depth, width : hops to the furthest victim, and most victims at one depth
    seconds_a_hop : from onset to onset; nan when it is quicker than the windows
    amplification : calls per visit along the edges, now against before; the largest
    self_sustaining : the trigger is well again, its load is usual, and the others still fail
    """

    trigger: str
    unseen: bool
    onset_ns: int
    failed: int
    victims: tuple[Victim, ...]
    amplifiers: tuple[Condition, ...]
    depth: int
    width: int
    seconds_a_hop: float
    amplification: float
    self_sustaining: bool
    sentence: str


def find_cascades(sums: SystemSums, split: int, conditions: list[Condition] | None = None) -> list[Cascade]:
    """Find what began where.

    Parameters
    ----------
    sums : SystemSums
    split : int
        First window that is not usual; those before it are the reference.
    conditions : list of Condition
        What wears out (`breakers.conditions_of`).

    Returns
    -------
    list of Cascade, the one with the most failed visits first

    Raises
    ------
    ValueError
        `split` leaves no windows on one side.
    """
    if not 0 < split < max(1, sums.windows):
        raise ValueError(f"split is {split}; expected 1 to {sums.windows - 1}: windows before and after it")
    failing = {name: one for name, one in sums.services.items() if _fails(one, split)}
    carried = _carried(sums, failing, split)
    triggers = _triggers(sums, failing, carried, split)
    found = [_cascade(sums, name, unseen, failing, carried, split, conditions or []) for name, unseen in triggers]
    return sorted(found, key=lambda one: (-(one.failed + sum(v.failed for v in one.victims)), one.trigger))


def _fails(one: ServiceSums, split: int) -> bool:
    failed, before = int(one.failed[split:].sum()), int(one.failed[:split].sum())
    usual = (before + 0.5) / max(1, int(one.visits[:split].sum())) * int(one.visits[split:].sum())
    return failed >= FAILED_MIN and upper_tail(failed, usual, before + 0.5) < RISE_P and failed > 2.0 * usual


def _carried(sums: SystemSums, failing: dict[str, ServiceSums], split: int) -> dict[str, dict[str, int]]:
    """Caller -> callee -> failed visits that held a failed call to it."""
    found: dict[str, dict[str, int]] = {}
    for (caller, callee), edge in sums.edges.items():
        count = int(edge.carried[split:].sum())
        if caller in failing and count >= FAILED_MIN:
            found.setdefault(caller, {})[callee] = count
    return found


def _triggers(
    sums: SystemSums, failing: dict[str, ServiceSums], carried: dict[str, dict[str, int]], split: int
) -> list[tuple[str, bool]]:
    """Services that fail by themselves; else who they call and nobody sees from inside; of a pure cycle, the first."""
    found: dict[str, bool] = {}
    for name, one in failing.items():
        failed = int(one.failed[split:].sum())
        unseen = {callee: count for callee, count in carried.get(name, {}).items() if callee not in failing}
        if int(one.own[split:].sum()) >= OWN_MIN * failed:
            found.setdefault(name, False)
        for callee, count in unseen.items():
            if count >= OWN_MIN * failed:
                found.setdefault(callee, callee not in sums.services)
    if not found and failing:
        first = min(failing, key=lambda name: (_onset(failing[name], split), name))
        found[first] = False
    return sorted(found.items())


def _onset(one: ServiceSums, split: int) -> int:
    """First window from `split` on with failures like those of a bad time."""
    counts = one.failed[split:]
    bad = np.flatnonzero(counts >= max(1.0, 0.2 * float(counts.max())))
    return split + int(bad[0]) if len(bad) else split


def _cascade(
    sums: SystemSums,
    trigger: str,
    unseen: bool,
    failing: dict[str, ServiceSums],
    carried: dict[str, dict[str, int]],
    split: int,
    conditions: list[Condition],
) -> Cascade:
    victims = _victims(sums, trigger, failing, carried, split)
    names = {trigger} | {victim.service for victim in victims}
    edges = {(victim.service, victim.through) for victim in victims}
    amplifiers = tuple(one for one in conditions if (one.caller, one.callee) in edges or one.callee in names)
    own = failing.get(trigger)
    onset = _onset(own, split) if own else min((_window(sums, v.onset_ns) for v in victims), default=split)
    depth = max((victim.depth for victim in victims), default=0)
    width = max((sum(v.depth == d for v in victims) for d in range(1, depth + 1)), default=0)
    onset_ns = sums.begin_ns + onset * sums.window_ns
    hops = [(v.onset_ns - onset_ns) / 1e9 / v.depth for v in victims if v.onset_ns > onset_ns]
    speed = float(np.median(hops)) if hops else float("nan")
    amplification = max((_amplification(sums, edge, split) for edge in edges), default=1.0)
    lasting = bool(victims) and _outlasts(sums, trigger, victims, split)
    failed = int(own.failed[split:].sum()) if own else 0
    sentence = _sentence(trigger, unseen, victims, amplifiers, lasting)
    return Cascade(
        trigger,
        unseen,
        onset_ns,
        failed,
        tuple(victims),
        amplifiers,
        depth,
        width,
        speed,
        amplification,
        lasting,
        sentence,
    )


def _window(sums: SystemSums, time_ns: int) -> int:
    return (time_ns - sums.begin_ns) // sums.window_ns


def _victims(
    sums: SystemSums,
    trigger: str,
    failing: dict[str, ServiceSums],
    carried: dict[str, dict[str, int]],
    split: int,
) -> list[Victim]:
    """Breadth first up the calls, each service once."""
    seen, level, found, depth = {trigger}, [trigger], [], 0
    while level:
        depth += 1
        following = []
        for callee in level:
            for caller in sorted(carried):
                count = carried[caller].get(callee, 0)
                failed = int(failing[caller].failed[split:].sum())
                if caller in seen or count < CARRIED_MIN * failed:
                    continue
                seen.add(caller)
                following.append(caller)
                at = sums.begin_ns + _onset(failing[caller], split) * sums.window_ns
                found.append(Victim(caller, callee, depth, failed, count, at))
        level = following
    return found


def _amplification(sums: SystemSums, edge: tuple[str, str], split: int) -> float:
    calls, visits = sums.edges[edge].calls, sums.services[edge[0]].visits
    before = int(calls[:split].sum()) / max(1, int(visits[:split].sum()))
    now = int(calls[split:].sum()) / max(1, int(visits[split:].sum()))
    return now / before if before > 0.0 else 1.0


def _outlasts(sums: SystemSums, trigger: str, victims: list[Victim], split: int) -> bool:
    """In the last quarter: the trigger fails no more than usual, as much is asked as usual, and victims still fail."""
    own = sums.services.get(trigger)
    last = sums.windows - max(1, (sums.windows - split) // 4)
    if own is None or last <= split:
        return False
    usual = float(own.visits[:split].mean())
    well = int(own.failed[last:].sum()) <= 0.05 * max(1, int(own.visits[last:].sum()))
    load = RECOVERED_SHARE <= float(own.visits[last:].mean()) / max(1.0, usual) <= 1.0 / RECOVERED_SHARE
    others = [sums.services[victim.service] for victim in victims]
    ill = any(int(one.failed[last:].sum()) > 0.2 * max(1, int(one.visits[last:].sum())) for one in others)
    return well and load and ill


def _sentence(
    trigger: str, unseen: bool, victims: list[Victim], amplifiers: tuple[Condition, ...], lasting: bool
) -> str:
    where = f"calls to {shown(trigger)} fail" if unseen else f"{shown(trigger)} fails by itself"
    words = f"It began where {where}"
    if victims:
        named = ", ".join(shown(victim.service) for victim in victims[:5])
        more = f" and {len(victims) - 5} more" if len(victims) > 5 else ""
        words += f"; {named}{more} only {'pass' if len(victims) > 1 else 'passes'} it on"
    for one in amplifiers[:3]:
        words += f"; {one.sentence}"
    if lasting:
        words += "; it keeps itself going: the beginning is well again, the others are not"
    return words + "."
