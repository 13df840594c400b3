"""The plain twin of the aggregate kernels: dicts keyed by words."""

from __future__ import annotations

from collections import defaultdict

from analyzer.analysis import Analysis
from analyzer.spans import MISSING_SERVICE, PeerKind, SpanKind

Operations = dict[tuple[str, str, int], list[int]]
Edges = dict[tuple[str, str, str, str], list[int]]


def aggregate(analysis: Analysis) -> tuple[Operations, Edges]:
    """Sums per (service, operation, kind) and per (caller, callee, kind of callee, rule)."""
    operations: Operations = defaultdict(lambda: [0, 0, 0, 0])
    edges: Edges = defaultdict(lambda: [0, 0, 0])
    forest, rows = analysis.forest, analysis.traces.rows
    strings = analysis.traces.vocabulary.strings

    def service(node: int) -> str:
        return analysis.service(node)

    def duration(node: int) -> int:
        return int(forest.end_ns[node] - forest.start_ns[node])

    for node in range(len(forest.row)):
        row = rows[forest.row[node]]
        kind = SpanKind(int(row["kind"]))
        sums = operations[service(node), strings.text(int(row["name"])), int(kind)]
        sums[0] += 1
        sums[1] += int(analysis.failed[node])
        sums[2] += duration(node)
        sums[3] = max(sums[3], duration(node))
        parent = int(forest.parent[node])
        if parent >= 0 and service(parent) != service(node):
            above = SpanKind(int(rows[forest.row[parent]]["kind"]))
            rule, took, wrong = "parent_child", duration(node), bool(analysis.failed[node])
            if (above, kind) == (SpanKind.CLIENT, SpanKind.SERVER):
                rule, took, wrong = "client_server", duration(parent), wrong or bool(analysis.failed[parent])
            elif (above, kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER):
                rule = "producer_consumer"
            _add(edges[service(parent), service(node), "service", rule], took, wrong)
        alone = all(service(int(child)) == service(node) for child in forest.children(node))
        if kind in (SpanKind.CLIENT, SpanKind.PRODUCER) and int(row["peer"]) and alone:
            kinds = {PeerKind.DATABASE: "database", PeerKind.QUEUE: "queue"}
            callee = strings.text(int(row["peer"])) or MISSING_SERVICE
            key = (service(node), callee, kinds.get(PeerKind(int(row["peer_kind"])), "peer"), "peer_attribute")
            _add(edges[key], duration(node), bool(analysis.failed[node]))
    return dict(operations), dict(edges)


def _add(sums: list[int], took: int, wrong: bool) -> None:
    sums[0] += 1
    sums[1] += int(wrong)
    sums[2] += took
