"""TraceRCA: suspicious services lie on many abnormal traces, and abnormal calls go in or out of them, not both.

Source: Li et al., Practical Root Cause Localization for Microservice Systems via Trace Analysis, IWQoS 2021, and
what its published program does: features of a call (duration, failure) are kept per kind of call when they moved
more than their history does; calls off by a spread are abnormal; a service scores the Jaccard index of "trace is
abnormal" and "trace visits the service" times |abnormal calls in - abnormal calls out|, in traces. A call takes as
long as its caller waits (the client span, where there is one). Changed: a kind of call is (calling service, called
operation), not a pair of services; the entry is a call from outside; when no feature moved enough, all are kept at
three spreads.
"""

from __future__ import annotations

import numpy as np

from analyzer.evaluation.methods.columns import (
    Bools,
    Floats,
    Ints,
    caller,
    duration_ms,
    ranked,
    table_size,
    usual,
)
from analyzer.evaluation.words import Scores
from analyzer.incidents.facts import TraceFacts
from analyzer.spans import SpanKind, Vocabulary

SUPPORT_MIN = 0.1
SELECTION_FACTOR, SELECTION_STEP = 2.0, 1.0  # kept when the mean deviation is over 2 x its history + 1 spread
SPREADS, SPREADS_UNSELECTED = 1.0, 3.0


def rank(reference: TraceFacts, window: TraceFacts, vocabulary: Vocabulary) -> Scores:
    """Rank services by Jaccard index times difference of abnormal calls in and out."""
    abnormal, calls = abnormal_calls(reference, window)
    size = table_size(reference.service, window.service)
    trace, target, source = window.trace[calls].astype(np.int64), window.service[calls], caller(window)[calls]
    bad_trace = np.zeros(window.trace_count, bool)
    bad_trace[trace[abnormal]] = True
    if not bad_trace.any():
        return []
    inner = source >= 0
    everyone = np.concatenate([target.astype(np.int64), source[inner]])
    visited = _pairs(np.concatenate([trace, trace[inner]]), everyone, size)
    visits = np.bincount(visited % size, minlength=size)
    bad_visits = np.bincount(visited[bad_trace[visited // size]] % size, minlength=size)
    into = np.bincount(_pairs(trace[abnormal], target[abnormal].astype(np.int64), size) % size, minlength=size)
    gone = abnormal & inner
    out = np.bincount(_pairs(trace[gone], source[gone], size) % size, minlength=size)
    jaccard = bad_visits / np.maximum(visits + bad_trace.sum() - bad_visits, 1)
    frequent = bad_visits >= SUPPORT_MIN * bad_trace.sum()
    return ranked(jaccard * np.abs(into - out), frequent & (bad_visits > 0), vocabulary)


def abnormal_calls(reference: TraceFacts, window: TraceFacts) -> tuple[Bools, Ints]:
    """(bool[calls] abnormal, int64[calls] the called spans of the window)."""
    before, after = np.flatnonzero(reference.entering), np.flatnonzero(window.entering)
    size = table_size(reference.operation, window.operation)
    kinds = _kind(reference, before, size), _kind(window, after, size)
    _, kind = np.unique(np.concatenate(kinds), return_inverse=True)
    kind_before, kind_after = kind[: len(before)], kind[len(before) :]
    kind_count = table_size(kind)
    deviations: list[Floats] = []
    kept: list[Bools] = []
    for values_before, values_after in (
        (_waited_ms(reference)[before], _waited_ms(window)[after]),
        (reference.failed[before].astype(np.float64), window.failed[after].astype(np.float64)),
    ):
        history = usual(kind_before, values_before, kind_count)
        off_before = np.abs(values_before - history.mean[kind_before]) / history.floored[kind_before]
        off = np.abs(values_after - history.mean[kind_after]) / history.floored[kind_after]
        usual_off = usual(kind_before, off_before, kind_count)
        moved = usual(kind_after, off, kind_count).mean > SELECTION_FACTOR * usual_off.mean + SELECTION_STEP
        kept.append((moved & (history.count > 0))[kind_after])
        deviations.append(np.where(history.count[kind_after] > 0, off, 0.0))
    if any(mark.any() for mark in kept):
        abnormal = np.any([mark & (off > SPREADS) for mark, off in zip(kept, deviations, strict=True)], axis=0)
    else:
        abnormal = np.any([off > SPREADS_UNSELECTED for off in deviations], axis=0)
    return np.asarray(abnormal, bool), after


def _waited_ms(facts: TraceFacts) -> Floats:
    """float64[n]: how long the caller of each span waited."""
    taken = duration_ms(facts)
    above = np.maximum(facts.parent, 0)
    asked = (facts.parent >= 0) & (facts.kind[above] == SpanKind.CLIENT)
    found: Floats = np.where(asked, taken[above], taken)
    return found


def _kind(facts: TraceFacts, calls: Ints, size: int) -> Ints:
    """(calling service, called operation) as one number."""
    found: Ints = (caller(facts)[calls] + 1) * size + facts.operation[calls]
    return found


def _pairs(trace: Ints, service: Ints, size: int) -> Ints:
    """Distinct (trace, service) as trace * size + service."""
    found: Ints = np.unique(trace * size + service)
    return found
