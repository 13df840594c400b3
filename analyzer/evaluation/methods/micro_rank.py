"""MicroRank: a spectrum over abnormal and normal traces, weighted by personalised PageRank.

Source: Yu et al., MicroRank, WWW 2021, and its published program. A trace is abnormal when its duration is over the
sum of (mean + spread) of its operations' own times plus 50 ms. Operations of instances and traces make a bipartite
graph; PageRank over the abnormal traces prefers short traces of rare kinds, over the normal ones rare kinds. The
weights multiply the spectrum counts; the formula is Ochiai. Changed: the preference is the paper's convex
combination; when no trace is over by 50 ms the margin is dropped; when none is normal the reference's are taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.evaluation.methods.columns import (
    Bools,
    Floats,
    Ints,
    best_per_service,
    child_sum,
    duration_ms,
    ranked,
    table_size,
    usual,
)
from analyzer.evaluation.words import Scores
from analyzer.incidents.facts import TraceFacts, join_facts
from analyzer.spans import Vocabulary

MARGIN_MS = 50.0
DAMPING, CALL_WEIGHT, ITERATIONS = 0.85, 0.01, 25
SHORT_SHARE = 0.5  # of the preference; the rest is for rare kinds
NONE = 1e-7  # a count of an operation that one of the two graphs lacks
KIND_SEED = 20210419


@dataclass(frozen=True, slots=True)
class _Graph:
    """Who visits what: E distinct (trace, node) pairs of T traces, and distinct calls between nodes."""

    trace: Ints
    node: Ints
    calls_from: Ints
    calls_to: Ints
    span_count: Ints  # int64[T]
    trace_count: int


def rank(reference: TraceFacts, window: TraceFacts, vocabulary: Vocabulary) -> Scores:
    """Rank services by the best Ochiai score of their operations; without an abnormal trace nobody is named."""
    margin = MARGIN_MS
    abnormal = abnormal_traces(reference, window, margin)
    if not abnormal.any():
        margin = 0.0
        abnormal = abnormal_traces(reference, window, margin)
    if not abnormal.any():
        return []
    bad, good = window.select(abnormal), window.select(~abnormal)
    if not good.trace_count:
        good = reference.select(~abnormal_traces(reference, reference, margin))
    nodes, service = _nodes(join_facts([bad, good]))
    bad_nodes, good_nodes = nodes[: len(bad)], nodes[len(bad) :]
    count = len(service)
    bad_weight, bad_visits = _weigh(_graph(bad, bad_nodes, count), count, short=True)
    good_weight, good_visits = _weigh(_graph(good, good_nodes, count), count, short=False)
    in_bad, in_good = bad_visits > 0, good_visits > 0
    ef = np.where(in_bad, bad_weight * bad_visits, NONE)
    nf = np.where(in_bad, bad_weight * (bad.trace_count - bad_visits), NONE)
    ep = np.where(in_good, good_weight * good_visits, NONE)
    ochiai = ef / np.sqrt(np.maximum((ef + ep) * (ef + nf), 1e-300))
    size = table_size(reference.service, window.service)
    scores = best_per_service(service, ochiai, size)
    return ranked(scores, np.isfinite(scores), vocabulary)


def abnormal_traces(reference: TraceFacts, window: TraceFacts, margin_ms: float) -> Bools:
    """bool[T]: traces that took longer than their operations usually do together."""
    size = table_size(reference.operation, window.operation)
    self_ms = duration_ms(reference) - child_sum(reference, duration_ms(reference))
    before = usual(reference.operation, self_ms, size)
    expected = np.bincount(window.trace, (before.mean + before.spread)[window.operation], window.trace_count)
    roots = window.parent < 0
    taken = np.bincount(window.trace[roots], duration_ms(window)[roots], window.trace_count)
    found: Bools = taken > expected + margin_ms
    return found


def _nodes(facts: TraceFacts) -> tuple[Ints, Ints]:
    """(int64[n] node of each span: an operation of an instance, int64[nodes] its service)."""
    size = table_size(facts.operation)
    keys = facts.resource.astype(np.int64) * size + facts.operation
    _, first, node = np.unique(keys, return_index=True, return_inverse=True)
    return node.astype(np.int64), facts.service[first].astype(np.int64)


def _graph(facts: TraceFacts, nodes: Ints, node_count: int) -> _Graph:
    visits = np.unique(facts.trace.astype(np.int64) * node_count + nodes)
    inner = np.flatnonzero(facts.parent >= 0)
    calls = np.unique(nodes[facts.parent[inner]] * node_count + nodes[inner])
    return _Graph(
        trace=visits // node_count,
        node=visits % node_count,
        calls_from=calls // node_count,
        calls_to=calls % node_count,
        span_count=np.diff(facts.trace_ptr),
        trace_count=facts.trace_count,
    )


def _weigh(graph: _Graph, node_count: int, *, short: bool) -> tuple[Floats, Ints]:
    """(float64[nodes] PageRank weight, int64[nodes] traces that visit it)."""
    visits = np.bincount(graph.node, minlength=node_count)
    if not graph.trace_count:
        return np.zeros(node_count), visits
    to_node = 1.0 / np.bincount(graph.trace, minlength=graph.trace_count)[graph.trace]
    to_trace = 1.0 / visits[graph.node]
    along = 1.0 / np.bincount(graph.calls_from, minlength=node_count)[graph.calls_from]
    preference = _preference(graph, node_count, short=short)
    total = int((visits > 0).sum()) + graph.trace_count
    node = np.where(visits > 0, 1.0 / total, 0.0)
    trace = np.full(graph.trace_count, 1.0 / total)
    for _ in range(ITERATIONS):
        called = np.bincount(graph.calls_to, along * node[graph.calls_from], node_count)
        new = DAMPING * (np.bincount(graph.node, to_node * trace[graph.trace], node_count) + CALL_WEIGHT * called)
        back = np.bincount(graph.trace, to_trace * node[graph.node], graph.trace_count)
        trace = DAMPING * back + (1.0 - DAMPING) * preference
        node, trace = new / new.max(), trace / trace.max()
    return node * node.sum() / max(int((visits > 0).sum()), 1), visits


def _preference(graph: _Graph, node_count: int, *, short: bool) -> Floats:
    """float64[T], summing to 1: rare kinds of traces, and (when `short`) those of few spans."""
    rng = np.random.default_rng(KIND_SEED)
    marks: npt.NDArray[np.uint64] = rng.integers(0, 2**63, node_count, dtype=np.uint64)
    kinds = np.zeros(graph.trace_count, np.uint64)
    np.add.at(kinds, graph.trace, marks[graph.node])  # wraps; the same set of nodes gives the same sum
    _, kind, size = np.unique(kinds, return_inverse=True, return_counts=True)
    each = 1.0 / size[kind]
    rare: Floats = each / each.sum()
    if not short:
        return rare
    few = 1.0 / np.maximum(graph.span_count, 1)
    found: Floats = SHORT_SHARE * few / few.sum() + (1.0 - SHORT_SHARE) * rare
    return found
