"""The requests that a change is judged by, taken from the facts of traces.

In: `TraceFacts` of the time before and after, a service. Out: `Requests` of it, one row a visit: from the span that
entered the service to those below it that are still its own. A failure that a callee passed up, or time spent waiting
for one, is not the service's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.errors.change_words import Change, ChangeEffect
from analyzer.errors.changes import ChangeSettings, Requests, deployments, judge_change
from analyzer.incidents.facts import TraceFacts
from analyzer.spans import SpanKind, Vocabulary

DEPLOYMENTS_MAX = 20  # judged of one sample: each reads all its requests a few times
_CALLS = (int(SpanKind.CLIENT), int(SpanKind.PRODUCER))


def requests_of(facts: TraceFacts, vocabulary: Vocabulary, service: int) -> Requests:
    """Return the visits to one service (string id), in the order of the facts."""
    visit = _visits(facts)
    heads = np.flatnonzero((visit == np.arange(len(facts))) & (facts.service == service))
    return _requests(facts, vocabulary, visit, heads)


def requests_elsewhere(facts: TraceFacts, vocabulary: Vocabulary, service: int) -> Requests:
    """Return the visits to services that share no trace with it: what a change of it cannot have reached.

    A trace without the service is not enough: its span may have been lost, and its caller then seems to fail alone.
    """
    touched = np.zeros(facts.trace_count, bool)
    trace = facts.trace
    touched[trace[facts.service == service]] = True
    apart = ~np.isin(facts.service, np.unique(facts.service[touched[trace]]))
    visit = _visits(facts)
    heads = np.flatnonzero((visit == np.arange(len(facts))) & apart)
    return _requests(facts, vocabulary, visit, heads)


def judge_deployments(
    facts: TraceFacts,
    vocabulary: Vocabulary,
    others: list[Change] | None = None,
    settings: ChangeSettings | None = None,
) -> list[tuple[Change, ChangeEffect]]:
    """Find the deployments that the traces show, and judge each.

    Parameters
    ----------
    facts : TraceFacts
        Of some time before and after.
    others : list of Change
        Known from elsewhere; they may have done what a deployment did.

    Returns
    -------
    list of (Change, ChangeEffect), in order of time, at most `DEPLOYMENTS_MAX`
    """
    found: list[tuple[Change, int, Requests]] = []
    for service in _services_of_versions(facts, vocabulary):
        requests = requests_of(facts, vocabulary, service)
        name = vocabulary.strings.text(service)
        found += [(change, service, requests) for change in deployments(name, requests)]
    found.sort(key=lambda one: one[0].time_ns)
    known = [change for change, _, _ in found] + list(others or [])
    return [
        (
            change,
            judge_change(
                change,
                requests,
                elsewhere=requests_elsewhere(facts, vocabulary, service),
                others=_rivals(change, known),
                settings=settings,
            ),
        )
        for change, service, requests in found[:DEPLOYMENTS_MAX]
    ]


def _rivals(change: Change, known: list[Change]) -> list[Change]:
    """Who could have done the same. What is judged is the service's own, so another service's new version could not."""
    return [
        one
        for one in known
        if one.change_id != change.change_id and (one.service in ("", change.service) or one.kind == "infrastructure")
    ]


def _services_of_versions(facts: TraceFacts, vocabulary: Vocabulary) -> list[int]:
    """Services (string ids) that were seen in more than one version."""
    versions: dict[int, set[str]] = {}
    pairs = np.unique(np.stack([facts.service, facts.resource], axis=1), axis=0)
    for service, index in pairs.tolist():
        version = vocabulary.resources.resource(index).version
        if service and version:
            versions.setdefault(service, set()).add(version)
    return [service for service, found in versions.items() if len(found) > 1]


def _visits(facts: TraceFacts) -> npt.NDArray[np.int64]:
    """int64[n]: the span by which the request entered the service that this span is of."""
    visit = np.where(facts.entering, np.arange(len(facts)), facts.parent.astype(np.int64))
    while len(visit):
        above = visit[visit]
        if np.array_equal(above, visit):
            break
        visit = above  # pointer jumping: as many rounds as the depth has binary digits
    return visit


def _requests(
    facts: TraceFacts, vocabulary: Vocabulary, visit: npt.NDArray[np.int64], heads: npt.NDArray[np.intp]
) -> Requests:
    own = ~np.isin(facts.kind, _CALLS)
    above_failed = facts.failed[np.maximum(facts.parent, 0)] & (facts.parent >= 0) if len(facts) else facts.failed
    # Some only write the exception down and leave the status unset; who called them saw the failure.
    says_so = facts.failed | (facts.weak & above_failed)
    began_here = says_so & ~facts.has_failed_child & own
    failed = np.bincount(visit, began_here, len(facts))[heads] > 0 if len(facts) else np.zeros(0, bool)
    own_ns = np.bincount(visit, np.where(own, facts.own_ns, 0), len(facts))[heads] if len(facts) else np.zeros(0)
    _, stratum = np.unique(facts.operation[heads], return_inverse=True)
    names = {index: vocabulary.resources.resource(index).version for index in np.unique(facts.resource).tolist()}
    return Requests(
        time_ns=facts.start_ns[heads],
        failed=failed,
        own_ns=own_ns.astype(np.float64),
        stratum=stratum.astype(np.int64).reshape(-1),
        version=[names[index] for index in facts.resource[heads].tolist()],
    )
