"""The requests that a change is judged by, taken from the facts of traces.

In: `TraceFacts` of the time before and after, a service. Out: `Requests` of it, one row a visit: from the span that
entered the service to those below it that are still its own. A failure that a callee passed up, or time spent waiting
for one, is not the service's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from analyzer.errors.change_words import Change, ChangeEffect
from analyzer.errors.changes import ChangeSettings, Requests, deployments, judge_change
from analyzer.errors.edge_sums import visits_of
from analyzer.incidents.facts import TraceFacts
from analyzer.spans import SpanKind, Vocabulary

CHANGES_MAX = 20  # judged of one sample: each reads all its requests a few times
_CALLS = (int(SpanKind.CLIENT), int(SpanKind.PRODUCER))


def requests_of(facts: TraceFacts, vocabulary: Vocabulary, service: int) -> Requests:
    """Return the visits to one service (string id), in the order of the facts."""
    visit = visits_of(facts)
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
    visit = visits_of(facts)
    heads = np.flatnonzero((visit == np.arange(len(facts))) & apart)
    return _requests(facts, vocabulary, visit, heads)


def judge_deployments(
    facts: TraceFacts,
    vocabulary: Vocabulary,
    others: Sequence[Change] = (),
    settings: ChangeSettings | None = None,
) -> list[tuple[Change, ChangeEffect]]:
    """Find the deployments that the traces show, and judge each; and what was told of that one service had.

    Parameters
    ----------
    facts : TraceFacts
        Of some time before and after.
    others : sequence of Change
        Told by somebody; judged as well, and they may have done what a deployment did.

    Returns
    -------
    list of (Change, ChangeEffect), in order of time, at most `CHANGES_MAX`
    """
    seen: list[tuple[Change, int, Requests]] = []
    for service in _services_of_versions(facts, vocabulary):
        requests = requests_of(facts, vocabulary, service)
        name = vocabulary.strings.text(service)
        seen += [(change, service, requests) for change in deployments(name, requests)]
    known = [change for change, _, _ in seen]
    news = [one for one in others if not any(_same(one, change) for change in known)]
    services = {vocabulary.strings.text(index): index for index in np.unique(facts.service).tolist() if index}
    for change in news:
        if change.service in services:
            index = services[change.service]
            seen.append((change, index, requests_of(facts, vocabulary, index)))
    seen.sort(key=lambda one: one[0].time_ns)
    known += news
    return [
        (
            change,
            judge_change(
                change,
                requests,
                elsewhere=requests_elsewhere(facts, vocabulary, service),
                others=[one for one in known if _rivals(change, one)],
                settings=settings,
            ),
        )
        for change, service, requests in seen[:CHANGES_MAX]
    ]


def _same(told: Change, shown: Change) -> bool:
    """A deployment that somebody told of and that the spans show too."""
    return told.kind == shown.kind and (told.service, told.version) == (shown.service, shown.version)


def _rivals(change: Change, other: Change) -> bool:
    """Could the other have done the same? What is judged is the service's own: the new version of another could not."""
    if other.change_id == change.change_id:
        return False
    return other.service in ("", change.service) or other.kind == "infrastructure"


def _services_of_versions(facts: TraceFacts, vocabulary: Vocabulary) -> list[int]:
    """Services (string ids) that were seen in more than one version."""
    versions: dict[int, set[str]] = {}
    pairs = np.unique(np.stack([facts.service, facts.resource], axis=1), axis=0)
    for service, index in pairs.tolist():
        version = vocabulary.resources.resource(index).version
        if service and version:
            versions.setdefault(service, set()).add(version)
    return [service for service, found in versions.items() if len(found) > 1]


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
