"""Columns that several methods need: what is usual per operation, who calls whom, slices of time.

In: `TraceFacts`. Out: arrays over operations, services, spans or slices. Knows no method.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.evaluation.words import Scores
from analyzer.incidents.facts import TraceFacts
from analyzer.spans import MISSING_SERVICE, Vocabulary

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NS_PER_MS = 1e6
SPREAD_MIN_SHARE = 0.01  # a spread below 1 % of the mean is a clock's grain, not a law
SPREAD_MIN_MS = 0.01


@dataclass(frozen=True, slots=True)
class Usual:
    """Count, mean and spread of a value per key; float64[keys] each. Mean and spread are 0 without observations."""

    count: Floats
    mean: Floats
    spread: Floats

    @property
    def floored(self) -> Floats:
        """float64[keys]: the spread, kept away from 0."""
        return np.maximum(self.spread, SPREAD_MIN_SHARE * np.abs(self.mean) + SPREAD_MIN_MS)


def usual(keys: npt.NDArray[np.integer], values: Floats, size: int) -> Usual:
    """Return count, mean and standard deviation of `values` per key."""
    count = np.bincount(keys, minlength=size).astype(np.float64)
    safe = np.maximum(count, 1.0)
    mean = np.bincount(keys, values, size) / safe
    spread = np.sqrt(np.bincount(keys, (values - mean[keys]) ** 2, size) / safe)
    return Usual(count, mean, spread)


def share(keys: npt.NDArray[np.integer], marks: Bools, size: int) -> Floats:
    """Smoothed share of marked rows per key, never 0 or 1 (half a row is added to each side)."""
    count = np.bincount(keys, minlength=size)
    found: Floats = (np.bincount(keys, marks.astype(np.float64), size) + 0.5) / (count + 1.0)
    return found


def duration_ms(facts: TraceFacts) -> Floats:
    """float64[n]."""
    found: Floats = facts.duration_ns / NS_PER_MS
    return found


def table_size(*columns: npt.NDArray[np.integer]) -> int:
    """One more than the largest id."""
    return 1 + max((int(column.max()) for column in columns if len(column)), default=0)


def service_of(size: int, *parts: TraceFacts) -> Ints:
    """int64[operations]: the service of each operation id, 0 where unseen."""
    found = np.zeros(size, np.int64)
    for facts in parts:
        found[facts.operation] = facts.service
    return found


def caller(facts: TraceFacts) -> Ints:
    """int64[n]: the service of the parent span, -1 of a root."""
    found = np.full(len(facts), -1, np.int64)
    has = facts.parent >= 0
    found[has] = facts.service[facts.parent[has]]
    return found


def child_sum(facts: TraceFacts, values: Floats) -> Floats:
    """float64[n]: the sum of `values` over the children of each span."""
    has = facts.parent >= 0
    found: Floats = np.bincount(facts.parent[has], values[has], len(facts)).astype(np.float64)
    return found


def name_of(service: int, vocabulary: Vocabulary) -> str:
    """Return a service's name as it is written in a label."""
    return vocabulary.strings.text(service) if service else MISSING_SERVICE


def best_per_service(keys_service: Ints, scores: Floats, size: int) -> Floats:
    """float64[services]: the largest score of a service's keys; -inf without keys."""
    found = np.full(size, -np.inf)
    np.maximum.at(found, keys_service, scores)
    return found


def ranked(scores: Floats, listed: Bools, vocabulary: Vocabulary) -> Scores:
    """Return the listed services with their scores, best first; equal ones by name, so that runs are repeatable."""
    found = [(name_of(int(service), vocabulary), float(scores[service])) for service in np.flatnonzero(listed)]
    return sorted(found, key=lambda one: (-one[1], one[0]))


def slices(facts: TraceFacts, length_ns: int) -> tuple[Ints, int]:
    """Cut by time: (int64[n] slice of each span's trace, how many); only slices with traces are counted."""
    start = facts.trace_start_ns
    if not len(start):
        return np.zeros(0, np.int64), 0
    _, of_trace = np.unique((start - start.min()) // max(length_ns, 1), return_inverse=True)
    return of_trace.astype(np.int64)[facts.trace], int(of_trace.max()) + 1
