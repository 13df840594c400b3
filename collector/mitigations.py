"""Counts the calls of whoever an incident blames: before the onset, until a mitigation, after it.

In: an incident, the shelf's minutes, told changes. Out: judged mitigations. A mitigation is a change of kind `rollback`
or `mitigation` that was told since the onset; where none was, the end of the alarms is asked about.
"""

from __future__ import annotations

from analyzer.errors.change_words import Change
from analyzer.errors.exact_shares import Calls
from analyzer.findings import Entity
from analyzer.incident_words import Incident
from analyzer.reports.mitigation import WINDOW_S_AFTER, WINDOW_S_BEFORE, Attempt, mitigation_of
from analyzer.reports.model import Mitigation
from analyzer.spans import SpanKind
from collector.contracts import ChangeLog, ChangeQuery, Store

KINDS = ("rollback", "mitigation")
ATTEMPTS_MAX = 5  # the first ones; each is two sums of minutes
MINUTE_NS = 60_000_000_000
_ENTERING = (SpanKind.SERVER, SpanKind.CONSUMER)


def mitigations_of(incident: Incident, store: Store, changes: ChangeLog, now_ns: int) -> list[Mitigation]:
    """Judge what was done against an incident; empty when nobody is blamed, or nothing was told and it goes on."""
    if incident.verdict != "cause" or not incident.suspects:
        return []
    blamed = incident.suspects[0].entity
    told = _told(incident, changes, now_ns)
    if not told and incident.ended_ns is not None:
        told = [(incident.ended_ns, "the end of the alarms")]
    if not told:
        return []
    onset_ns = _minute(incident.onset_ns)
    before = calls_of(blamed, store, onset_ns - WINDOW_S_BEFORE * 1_000_000_000, onset_ns)
    # The minute that runs is not whole, and the one before still gets traces that closed late.
    until_ns = _minute(now_ns) - MINUTE_NS
    found = []
    for place, (at_ns, what) in enumerate(told):
        began_ns = _minute(told[place - 1][0]) + MINUTE_NS if place else onset_ns
        done_ns = _minute(at_ns) + MINUTE_NS
        # Calls are counted in the minute in which their trace closed: one minute more is neither before nor after.
        after_ns = done_ns + MINUTE_NS
        next_ns = _minute(told[place + 1][0]) if place + 1 < len(told) else until_ns
        end_ns = min(next_ns, until_ns, after_ns + WINDOW_S_AFTER * 1_000_000_000)
        during = calls_of(blamed, store, began_ns, done_ns)
        found.append(
            mitigation_of(blamed.name, before, Attempt(at_ns, what, during, calls_of(blamed, store, after_ns, end_ns)))
        )
    return found


def calls_of(blamed: Entity, store: Store, from_ns: int, to_ns: int) -> Calls:
    """Sum whole minutes: of a service the spans that enter it, of an edge, a peer or a queue the calls to it."""
    if from_ns >= to_ns:
        return Calls(0, 0)
    if blamed.kind == "edge" or blamed.peer:
        wanted = blamed.callee or blamed.peer or blamed.name
        edges = [edge for edge in store.edges(from_ns, to_ns) if edge.callee in (wanted, blamed.name)]
        if blamed.caller:
            edges = [edge for edge in edges if edge.caller == blamed.caller]
        return Calls(sum(edge.error_count for edge in edges), sum(edge.count for edge in edges))
    service = blamed.service or blamed.name
    mine = [one for one in store.services(from_ns, to_ns) if one.service == service]
    if blamed.operation:
        mine = [one for one in mine if one.operation == blamed.operation] or mine
    mine = [one for one in mine if one.kind in _ENTERING] or mine
    return Calls(sum(one.error_count for one in mine), sum(one.count for one in mine))


def _told(incident: Incident, changes: ChangeLog, now_ns: int) -> list[tuple[int, str]]:
    """Mitigations since the onset, in order of time: of the one who is blamed, or of nobody in particular; else any."""
    found: list[Change] = []
    for kind in KINDS:
        found += changes.changes(ChangeQuery(kind=kind, from_ns=incident.onset_ns, to_ns=now_ns + 1))
    blamed = incident.suspects[0].entity
    names = {"", blamed.service, blamed.name, blamed.callee, blamed.caller}
    found = [one for one in found if one.service in names] or found
    found.sort(key=lambda one: (one.time_ns, one.change_id))
    if incident.ended_ns is not None:
        found = [one for one in found if one.time_ns <= incident.ended_ns]
    return [
        (one.time_ns, " ".join(word for word in (one.kind, one.version or one.description, _of(one.service)) if word))
        for one in found[:ATTEMPTS_MAX]
    ]


def _of(service: str) -> str:
    return f"of {service}" if service else ""


def _minute(time_ns: int) -> int:
    return time_ns // MINUTE_NS * MINUTE_NS
