"""What else a trace shows that may explain its failure: like calls, calls that were open, services that said nothing.

In: a measured trace and its answer. Out: `Observed`, numbers and spans; no blame. O(n) over the spans of the trace.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from analyzer.analysis import Analysis
from analyzer.findings import Answer, SpanRef
from analyzer.spans import PeerKind, SpanKind, id_words
from analyzer.words import span_ref

REPEATED_MIN = 5  # like calls under one span; below it is a list, not a loop
SPANS_MAX = 50  # ids kept of one observation


@dataclass(frozen=True, slots=True)
class Repeated:
    """Like calls under one span."""

    parent: SpanRef
    operation: str
    count: int
    total_ns: int
    span_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """Database calls of one service that were open at the origin's failure or before it, in this trace."""

    service: str
    count: int
    busy_ns: int  # sum of their durations: connection time
    longest: SpanRef
    span_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Observed:
    """repeated : the most repeated first; held : None when the origin's service made no database call."""

    repeated: tuple[Repeated, ...] = ()
    held: Held | None = None
    language: str = ""
    version: str = ""


def observe(analysis: Analysis, trace: int, answer: Answer) -> Observed:
    """Look at a trace around the origin of its answer."""
    forest = analysis.forest
    nodes = forest.nodes(trace)
    origin = origin_node(analysis, trace, answer)
    if origin is None:
        return Observed(repeated=_repeated(analysis, nodes))
    rows = analysis.traces.rows[forest.row[nodes.start : nodes.stop]]
    here = rows["service"] == analysis.traces.rows[forest.row[origin]]["service"]
    calls = np.flatnonzero(
        here
        & (rows["peer_kind"] == int(PeerKind.DATABASE))
        & (forest.start_ns[nodes.start : nodes.stop] <= int(forest.end_ns[origin]))
    )
    others = [nodes.start + int(at) for at in calls if nodes.start + int(at) != origin]
    held = None
    if others:
        refs = [span_ref(analysis, node) for node in others]
        longest = max(refs, key=lambda ref: ref.duration_ns)
        ids = tuple(ref.span_id for ref in refs[:SPANS_MAX])
        held = Held(analysis.service(origin), len(refs), sum(ref.duration_ns for ref in refs), longest, ids)
    resource = analysis.traces.vocabulary.resources.resource(int(analysis.traces.rows[forest.row[origin]]["resource"]))
    return Observed(_repeated(analysis, nodes), held, resource.language, resource.version)


def origin_node(analysis: Analysis, trace: int, answer: Answer) -> int | None:
    """Node of the first origin span; None when it is not in the trace."""
    if not answer.root_causes or not answer.root_causes[0].origin_spans:
        return None
    return node_of(analysis, trace, answer.root_causes[0].origin_spans[0].span_id)


def node_of(analysis: Analysis, trace: int, span_id: str) -> int | None:
    """Node of a span id; the first when several have it, None when none has."""
    nodes = analysis.forest.nodes(trace)
    rows = analysis.traces.rows[analysis.forest.row[nodes.start : nodes.stop]]
    (word,) = id_words(span_id)
    found = np.flatnonzero(rows["span_id"] == np.uint64(word))
    return nodes.start + int(found[0]) if len(found) else None


def _repeated(analysis: Analysis, nodes: range) -> tuple[Repeated, ...]:
    forest = analysis.forest
    groups: dict[tuple[int, int], list[int]] = defaultdict(list)
    for node in nodes:
        row = analysis.traces.rows[forest.row[node]]
        if int(row["kind"]) == SpanKind.CLIENT and int(forest.parent[node]) >= 0:
            groups[int(forest.parent[node]), int(row["operation"])].append(node)
    found = []
    for (parent, _), calls in groups.items():
        if len(calls) < REPEATED_MIN:
            continue
        total = sum(int(forest.end_ns[node] - forest.start_ns[node]) for node in calls)
        ids = tuple(span_ref(analysis, node).span_id for node in calls[:SPANS_MAX])
        found.append(Repeated(span_ref(analysis, parent), analysis.operation(calls[0]), len(calls), total, ids))
    return tuple(sorted(found, key=lambda one: (-one.count, one.parent.span_id)))
