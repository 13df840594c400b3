"""A few traces that stand for an incident: of each common way to go wrong the most ordinary one.

In: a window (`Sample`). Out: what traces are asked for by (`Answer.name`). Bad traces are grouped by which operations
failed in them; of the largest groups the trace whose duration is the group's median is taken, so that who opens it sees
what most requests saw.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from analyzer.finding_ids import trace_name
from analyzer.incidents.recent import FAILED, SLOW, Sample
from analyzer.spans import ResourceTable, hex_id

EXAMPLES_MAX = 3
_MIX = np.uint64(0x9E3779B97F4A7C15)


def example_traces(window: Sample, services: set[int], resources: ResourceTable) -> list[str]:
    """Return up to three traces, the commonest way to go wrong first.

    Parameters
    ----------
    window : Sample
    services : set of int
        String ids of the services under suspicion; traces through one of them come first.
    resources : ResourceTable
    """
    facts = window.facts
    bad = facts.fatal | ((window.marks & SLOW) > 0)
    if not bad.any():
        bad = (window.marks & FAILED) > 0
    if not bad.any():
        bad = window.marks > 0
    trace = facts.trace
    if services:
        through = np.zeros(facts.trace_count, np.bool_)
        through[trace[np.isin(facts.service, list(services)) | np.isin(facts.peer, list(services))]] = True
        bad = bad & through if (bad & through).any() else bad
    chosen = np.flatnonzero(bad)
    if not len(chosen):
        return []
    way = _ways(window)[chosen]
    lengths = _lengths(window)[chosen]
    groups, place, sizes = np.unique(way, return_inverse=True, return_counts=True)
    found: list[int] = []
    for group in np.lexsort((groups, -sizes))[:EXAMPLES_MAX]:
        members = chosen[place == group]
        found += _middle(members, lengths[place == group], 1)
    if len(found) < EXAMPLES_MAX:  # few ways: more of the commonest
        largest = chosen[place == np.argmax(sizes)]
        more = _middle(largest, lengths[place == np.argmax(sizes)], EXAMPLES_MAX)
        found += [index for index in more if index not in found]
    return [_name(window, index, resources) for index in found[:EXAMPLES_MAX]]


def _name(window: Sample, trace: int, resources: ResourceTable) -> str:
    facts = window.facts
    first, end = facts.trace_ptr[trace : trace + 2]
    owner = resources.resource(int(facts.resource[first])).owner if end > first else ""
    return trace_name(hex_id(*facts.trace_id[trace]), owner)


def _ways(window: Sample) -> npt.NDArray[np.uint64]:
    """uint64[T]: alike for traces in which the same operations failed."""
    facts = window.facts
    words = (facts.operation.astype(np.uint64) + np.uint64(1)) * _MIX
    words ^= words >> np.uint64(29)
    failed = np.where(facts.failed, words, np.uint64(0))
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(failed, dtype=np.uint64)])
    found: npt.NDArray[np.uint64] = sums[facts.trace_ptr[1:]] - sums[facts.trace_ptr[:-1]]
    return found


def _lengths(window: Sample) -> npt.NDArray[np.int64]:
    """int64[T]: duration of the first root."""
    facts = window.facts
    found = np.zeros(facts.trace_count, np.int64)
    full = np.diff(facts.trace_ptr) > 0
    found[full] = facts.duration_ns[facts.trace_ptr[:-1][full]]
    return found


def _middle(members: npt.NDArray[np.intp], lengths: npt.NDArray[np.int64], count: int) -> list[int]:
    """The members whose lengths are nearest to the median; ties by their order."""
    away = np.abs(lengths - np.median(lengths))
    return [int(index) for index in members[np.argsort(away, kind="stable")[:count]]]
