"""Who suffers from an incident, and how: services with symptoms, entry operations with counts.

In: a reference and a window (`Sample`), exact counts of entry operations. Out: `Affected`, `BlastRadius`. It says
what differs, not why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.incident_words import BlastRadius, Symptom
from analyzer.incidents.recent import Sample
from analyzer.spans import MISSING_SERVICE, Vocabulary
from analyzer.words import named, shown

CALLS_MIN = 10  # entry calls of an operation before a median of them says anything
FAILED_MIN = 3
FAILED_SHARE_MIN = 0.05  # failed share above the reference that is worth a word
SLOWER_SHARE_MIN = 0.3  # of what is usual
SLOWER_MS_MIN = 2.0
SILENT_CALLS_MIN = 7.0  # expected calls of which none came before that is silence: chance gives that once in 1000
ENTRY_OPERATIONS_MAX = 20

Counts = Mapping[int, tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class ServiceChange:
    """How one service's entry calls differ from the reference."""

    service: str
    symptoms: tuple[Symptom, ...]
    failed_share: float
    slowdown_ms: float


@dataclass(frozen=True, slots=True)
class _Calls:
    """Entry calls of a sample: those that come from another service, or from outside."""

    service: npt.NDArray[np.uint32]
    operation: npt.NDArray[np.uint32]
    failed: npt.NDArray[np.bool_]
    duration_ns: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64]


def service_changes(reference: Sample, window: Sample, vocabulary: Vocabulary) -> dict[str, ServiceChange]:
    """Say which services fail more, answer slower, or answer no longer; by name.

    Shares and medians are those of the traffic: sampled traces count as many as they stand for.
    """
    before, now = _entry_calls(reference), _entry_calls(window)
    services = np.union1d(before.service, now.service)
    old, new = _summed(before, services), _summed(now, services)
    slower_ns, usual_ns = _slower(before, now, services)
    growth = window.weight.sum() / max(1.0, reference.weight.sum())  # requests now for one before
    found = {}
    for place, service in enumerate(services.tolist()):
        symptoms: list[Symptom] = []
        more = new.share[place] - old.share[place]
        if new.failed[place] >= FAILED_MIN and more >= FAILED_SHARE_MIN:
            symptoms.append("errors")
        slower_ms = float(slower_ns[place]) / 1e6
        if slower_ms >= SLOWER_MS_MIN and slower_ns[place] >= SLOWER_SHARE_MIN * usual_ns[place]:
            symptoms.append("latency")
        else:
            slower_ms = 0.0
        if not new.calls[place] and old.weight[place] * growth >= SILENT_CALLS_MIN:
            symptoms.append("silence")
        if symptoms:
            name = shown(vocabulary.strings.text(int(service))) or MISSING_SERVICE
            found[name] = ServiceChange(name, tuple(symptoms), float(new.share[place]), slower_ms)
    return found


def blast_radius(before: Counts, since: Counts, services: int, vocabulary: Vocabulary) -> BlastRadius | None:
    """Count the requests of the entry operations that fail or are slow more often than before.

    Parameters
    ----------
    before, since : (requests, failed, slow) by operation id, of the reference and of the incident
    services : how many services show symptoms

    Returns
    -------
    BlastRadius or None
        None when no entry operation is hit: nobody outside notices.
    """
    hit = [
        operation
        for operation, (requests, failed, slow) in since.items()
        if _worse(failed, requests, before.get(operation, (0, 0, 0))[1], before.get(operation, (0, 0, 0))[0])
        or _worse(slow, requests, before.get(operation, (0, 0, 0))[2], before.get(operation, (0, 0, 0))[0])
    ]
    if not hit:
        return None
    hit.sort(key=lambda operation: (-since[operation][1] - since[operation][2], operation))
    names = []
    for operation in hit[:ENTRY_OPERATIONS_MAX]:
        service, name, _ = vocabulary.operations.key(operation)
        names.append(named(vocabulary.strings.text(service), vocabulary.strings.text(name)))
    return BlastRadius(
        services=services,
        entry_operations=names,
        requests=sum(since[operation][0] for operation in hit),
        failed_requests=sum(since[operation][1] for operation in hit),
        slow_requests=sum(since[operation][2] for operation in hit),
    )


def _worse(now: int, requests: int, before: int, requests_before: int) -> bool:
    """Whether the share grew by more than the noise of counting: two standard deviations, and three at least."""
    usual = (before + 1) / (requests_before + 2) * requests
    return now >= FAILED_MIN and now > usual + 2 * usual**0.5


@dataclass(frozen=True, slots=True)
class _Sums:
    calls: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64]
    failed: npt.NDArray[np.int64]
    share: npt.NDArray[np.float64]


def _entry_calls(sample: Sample) -> _Calls:
    facts = sample.facts
    entering = np.flatnonzero(facts.entering)
    return _Calls(
        facts.service[entering],
        facts.operation[entering],
        facts.failed[entering],
        facts.duration_ns[entering],
        sample.weight[facts.trace][entering],
    )


def _summed(calls: _Calls, services: npt.NDArray[np.uint32]) -> _Sums:
    place, count = np.searchsorted(services, calls.service), len(services)
    weights = np.bincount(place, calls.weight, count).astype(np.float64)
    failed = np.bincount(place, calls.weight * calls.failed, count)
    return _Sums(
        np.bincount(place, minlength=count),
        weights,
        np.bincount(place[calls.failed], minlength=count),
        failed / np.maximum(weights, 1e-12),
    )


def _slower(
    before: _Calls, now: _Calls, services: npt.NDArray[np.uint32]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """How much slower each service answers than before, and how long it usually takes: mean over its operations.

    Medians are compared operation by operation: another mix of requests is no slowdown.
    """
    operations = np.intersect1d(before.operation, now.operation)
    slower, usual, weight = (np.zeros(len(services), np.float64) for _ in range(3))
    if not len(operations):
        return slower, usual
    old, new = _by_operation(before, operations), _by_operation(now, operations)
    known = np.flatnonzero(np.minimum(old.calls, new.calls) >= CALLS_MIN)
    place = np.searchsorted(services, new.service[known])
    np.add.at(weight, place, new.weight[known])
    np.add.at(slower, place, new.weight[known] * (new.median_ns - old.median_ns)[known])
    np.add.at(usual, place, new.weight[known] * old.median_ns[known])
    whole = np.maximum(weight, 1e-12)
    return slower / whole, usual / whole


@dataclass(frozen=True, slots=True)
class _Operations:
    calls: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64]
    median_ns: npt.NDArray[np.float64]
    service: npt.NDArray[np.uint32]


def _by_operation(calls: _Calls, operations: npt.NDArray[np.uint32]) -> _Operations:
    place = np.searchsorted(operations, calls.operation)
    mine = np.flatnonzero(operations[np.minimum(place, len(operations) - 1)] == calls.operation)
    place, count = place[mine], len(operations)
    service = np.zeros(count, np.uint32)
    service[place] = calls.service[mine]  # an operation is of one service
    return _Operations(
        np.bincount(place, minlength=count),
        np.bincount(place, calls.weight[mine], count).astype(np.float64),
        _medians(place, calls.duration_ns[mine], calls.weight[mine], count),
        service,
    )


def _medians(
    place: npt.NDArray[np.intp], values: npt.NDArray[np.int64], weight: npt.NDArray[np.float64], count: int
) -> npt.NDArray[np.float64]:
    """Weighted median of each group; 0 of an empty one."""
    found = np.zeros(count, np.float64)
    if not len(place):
        return found
    order = np.lexsort((values, place))
    place, values, running = place[order], values[order], np.cumsum(weight[order])
    ends = np.searchsorted(place, np.arange(count), side="right")
    starts = np.searchsorted(place, np.arange(count), side="left")
    full = np.flatnonzero(ends > starts)
    base = np.where(starts[full] > 0, running[starts[full] - 1], 0.0)
    middle = base + (running[ends[full] - 1] - base) / 2
    at = np.minimum(np.searchsorted(running, middle, side="left"), ends[full] - 1)
    found[full] = values[np.maximum(at, starts[full])]
    return found
