"""Sums per edge and window: who called whom, how often, how it ended, and where a failure came from.

In: `TraceFacts`. Out: `EdgeSums` of every caller and callee, and `ServiceSums`. The callee is the service that answered
below the call, else the peer that the call names. Everything that finds cascades, breakers and queues reads these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from analyzer.error_classes import ErrorClass
from analyzer.incidents.facts import TraceFacts
from analyzer.spans import PeerKind, SpanKind, Vocabulary

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

WINDOWS_MAX = 1_000
EDGES_MAX = 5_000  # a hostile trace can name a peer per span; calls over more are left out and counted
_CALLING = (int(SpanKind.CLIENT), int(SpanKind.PRODUCER))
_KINDS = {int(PeerKind.DATABASE): "database", int(PeerKind.QUEUE): "queue"}
_DEAD_LETTERS = ("dlq", "dead-letter", "dead_letter", "deadletter", ".dlt", "-dlt", "poison")


@dataclass(slots=True)
class EdgeSums:
    """One edge; every array is per window.

    calls, failed : int64[n]
    answered : int64[n]      calls below which a span of the callee is
    retries : int64[n]       calls that repeat a failed like one of the same visit
    carried : int64[n]       failed visits of the caller in which a call here failed
    timed_out, exhausted, refused : int64[n]    failed calls of that class
    abandoned : int64[n]     timed out while the callee went on, and did well: the caller is less patient than it is
    duration_ns : float64[n] sum
    failed_ns : float64[n]   of failed calls, sum
    """

    caller: str
    callee: str
    kind: str
    calls: Ints
    failed: Ints
    answered: Ints
    retries: Ints
    carried: Ints
    timed_out: Ints
    exhausted: Ints
    refused: Ints
    abandoned: Ints
    duration_ns: Floats
    failed_ns: Floats


@dataclass(slots=True)
class ServiceSums:
    """One service; every array is per window.

    visits, failed : int64[n]    requests that entered, and those that failed
    own : int64[n]               failed without a failed call
    sent, received : int64[n]    messages it produced and consumed
    """

    service: str
    visits: Ints
    failed: Ints
    own: Ints
    sent: Ints
    received: Ints


@dataclass(slots=True)
class SystemSums:
    """All of it. `begin_ns` is where window 0 begins."""

    begin_ns: int
    window_ns: int
    edges: dict[tuple[str, str], EdgeSums] = field(default_factory=dict)
    services: dict[str, ServiceSums] = field(default_factory=dict)
    dead_letters: dict[str, Ints] = field(default_factory=dict)  # queue -> messages per window
    left_out_calls: int = 0

    @property
    def windows(self) -> int:
        return len(next(iter(self.services.values())).visits) if self.services else 0


def sum_edges(facts: TraceFacts, vocabulary: Vocabulary, window_ns: int) -> SystemSums:
    """Sum the spans of traces per edge and window.

    Parameters
    ----------
    facts : TraceFacts
    vocabulary : Vocabulary
    window_ns : int
        At most `WINDOWS_MAX` windows are made: a longer time gets longer windows.

    Raises
    ------
    ValueError
        `window_ns` is not above 0.
    """
    if window_ns <= 0:
        raise ValueError(f"window_ns is {window_ns}; expected above 0")
    if not len(facts):
        return SystemSums(0, window_ns)
    begin, end = int(facts.start_ns.min()), int(facts.start_ns.max())
    window_ns = max(window_ns, (end - begin) // WINDOWS_MAX + 1)
    windows = (end - begin) // window_ns + 1
    window = (facts.start_ns - begin) // window_ns
    found = SystemSums(begin, window_ns)
    head = visits_of(facts)
    names: dict[int, str] = {}

    def name(index: int) -> str:
        if index not in names:
            names[index] = vocabulary.strings.text(index)
        return names[index]

    callee = _callees(facts)
    calling = np.isin(facts.kind, _CALLING)
    retries = _retries(facts, calling, callee)
    _sum_services(found, facts, head, window, windows, name, calling)
    answered = np.zeros(len(facts), bool)
    below = np.flatnonzero(facts.entering & (facts.parent >= 0))
    answered[facts.parent[below]] = True
    abandoned = _abandoned(facts, below)
    carried_seen: set[tuple[int, int]] = set()
    for i in np.flatnonzero(calling & (callee > 0)).tolist():
        key = name(int(facts.service[i])), name(int(callee[i]))
        edge = found.edges.get(key)
        if edge is None:
            if len(found.edges) >= EDGES_MAX:
                found.left_out_calls += 1
                continue
            kind = "service" if answered[i] else _KINDS.get(int(facts.peer_kind[i]), "peer")
            edge = found.edges[key] = _edge(*key, kind, windows)
        at = int(window[i])
        edge.calls[at] += 1
        edge.answered[at] += bool(answered[i])
        edge.retries[at] += bool(retries[i])
        edge.duration_ns[at] += facts.duration_ns[i]
        if not facts.failed[i]:
            continue
        kind_of = int(facts.error_class[i])
        edge.failed[at] += 1
        edge.failed_ns[at] += facts.duration_ns[i]
        edge.timed_out[at] += kind_of == ErrorClass.TIMEOUT
        edge.exhausted[at] += kind_of == ErrorClass.EXHAUSTED
        edge.refused[at] += kind_of == ErrorClass.UNAVAILABLE
        edge.abandoned[at] += bool(abandoned[i])
        visit = int(head[i]), int(callee[i])
        if facts.failed[head[i]] and visit not in carried_seen:
            carried_seen.add(visit)
            edge.carried[at] += 1
    return found


def _edge(caller: str, callee: str, kind: str, windows: int) -> EdgeSums:
    def none() -> Ints:
        return np.zeros(windows, np.int64)

    return EdgeSums(
        caller=caller,
        callee=callee,
        kind=kind,
        calls=none(),
        failed=none(),
        answered=none(),
        retries=none(),
        carried=none(),
        timed_out=none(),
        exhausted=none(),
        refused=none(),
        abandoned=none(),
        duration_ns=np.zeros(windows),
        failed_ns=np.zeros(windows),
    )


def visits_of(facts: TraceFacts) -> Ints:
    """int64[n]: the span by which the request entered the service that this span is of."""
    visit = np.where(facts.entering, np.arange(len(facts)), facts.parent.astype(np.int64))
    while len(visit):
        above = visit[visit]
        if np.array_equal(above, visit):
            break
        visit = above  # pointer jumping: as many rounds as the depth has binary digits
    return visit


def _callees(facts: TraceFacts) -> Ints:
    """String id of who is called: the service below, else the peer that is named; 0 when nobody is."""
    found = facts.peer.astype(np.int64)
    below = np.flatnonzero(facts.entering & (facts.parent >= 0))
    found[facts.parent[below]] = facts.service[below]
    return found


def _retries(facts: TraceFacts, calling: npt.NDArray[np.bool_], callee: Ints) -> npt.NDArray[np.bool_]:
    """Calls that follow a failed one of the same parent to the same operation of the same callee."""
    found = np.zeros(len(facts), bool)
    chosen = np.flatnonzero(calling & (facts.parent >= 0))
    order = chosen[np.lexsort((facts.start_ns[chosen], facts.operation[chosen], callee[chosen], facts.parent[chosen]))]
    if len(order) < 2:
        return found
    before, after = order[:-1], order[1:]
    same = (
        (facts.parent[before] == facts.parent[after])
        & (facts.operation[before] == facts.operation[after])
        & (callee[before] == callee[after])
    )
    ended = facts.start_ns[before] + facts.duration_ns[before] <= facts.start_ns[after]
    found[after[same & ended & facts.failed[before]]] = True
    return found


def _abandoned(facts: TraceFacts, below: npt.NDArray[np.intp]) -> npt.NDArray[np.bool_]:
    """Calls that failed while the callee went on for longer, and did well."""
    found = np.zeros(len(facts), bool)
    parent = facts.parent[below]
    outlives = facts.start_ns[below] + facts.duration_ns[below] > facts.start_ns[parent] + facts.duration_ns[parent]
    found[parent[outlives & ~facts.failed[below] & facts.failed[parent]]] = True
    return found


def _sum_services(
    found: SystemSums,
    facts: TraceFacts,
    head: Ints,
    window: Ints,
    windows: int,
    name: Callable[[int], str],
    calling: npt.NDArray[np.bool_],
) -> None:
    failed_call = np.bincount(head, facts.failed & calling, len(facts)) > 0
    is_head = head == np.arange(len(facts))
    for service in np.unique(facts.service).tolist():
        mine = facts.service == service
        sums = [
            np.bincount(window[mine & chosen], minlength=windows).astype(np.int64)
            for chosen in (
                is_head,
                is_head & facts.failed,
                is_head & facts.failed & ~failed_call,
                facts.kind == int(SpanKind.PRODUCER),
                facts.kind == int(SpanKind.CONSUMER),
            )
        ]
        visits, failed, own, sent, received = sums
        found.services[name(service)] = ServiceSums(name(service), visits, failed, own, sent, received)
    producing = np.flatnonzero(facts.kind == int(SpanKind.PRODUCER))
    for i in producing.tolist():
        queue = name(int(facts.peer[i])) or name(int(facts.name[i]))
        if any(word in queue.lower() or word in name(int(facts.name[i])).lower() for word in _DEAD_LETTERS):
            if queue not in found.dead_letters and len(found.dead_letters) >= EDGES_MAX:
                continue
            found.dead_letters.setdefault(queue, np.zeros(windows, np.int64))[int(window[i])] += 1
