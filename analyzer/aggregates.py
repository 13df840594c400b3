"""Running sums per operation and per edge of the service graph, between two takes.

In: measured batches. Out: plain tuples for the store's minute rollups. One owner thread (the engine's);
bounded by the operation table and `EDGE_CAPACITY`; what finds no room is counted in `lost_edge_calls`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzer.analysis import Analysis
from analyzer.kernels.aggregate import RULES, sum_edges, sum_operations
from analyzer.spans import MISSING_SERVICE, PeerKind, Vocabulary

EDGE_CAPACITY = 1 << 14  # services are few; 16 384 slots hold a graph of some 8 000 edges well
_CALLEE_KINDS = {
    PeerKind.NONE: "peer",
    PeerKind.SERVICE: "peer",
    PeerKind.DATABASE: "database",
    PeerKind.QUEUE: "queue",
}


@dataclass(frozen=True, slots=True)
class OperationTotal:
    """Calls of one operation since the last take."""

    service: str
    operation: str
    kind: int
    count: int
    error_count: int
    duration_sum_ns: int
    duration_max_ns: int


@dataclass(frozen=True, slots=True)
class EdgeTotal:
    """Calls along one edge since the last take."""

    caller: str
    callee: str
    callee_kind: str
    rule: str
    count: int
    error_count: int
    duration_sum_ns: int


class Aggregates:
    """Sums of everything analysed since the last take. Owner: the thread that analyses."""

    def __init__(self) -> None:
        self._operations = np.zeros((1024, 4), np.int64)
        self._edge_keys = np.zeros(EDGE_CAPACITY, np.uint64)
        self._edges = np.zeros((EDGE_CAPACITY, 4), np.int64)
        self.lost_edge_calls = 0

    def add(self, analysis: Analysis) -> None:
        """Add a measured batch."""
        forest, rows = analysis.forest, analysis.traces.rows
        needed = len(analysis.traces.vocabulary.operations)
        if needed > len(self._operations):
            larger = np.zeros((max(needed, 2 * len(self._operations)), 4), np.int64)
            larger[: len(self._operations)] = self._operations
            self._operations = larger
        sum_operations(rows, forest.row, forest.start_ns, forest.end_ns, analysis.failed, self._operations)
        self.lost_edge_calls += int(
            sum_edges(
                rows,
                forest.row,
                forest.parent,
                forest.child_ptr,
                forest.child,
                forest.start_ns,
                forest.end_ns,
                analysis.failed,
                self._edge_keys,
                self._edges,
            )
        )

    def take(self, vocabulary: Vocabulary) -> tuple[list[OperationTotal], list[EdgeTotal]]:
        """Return the sums in words and start again from zero."""
        strings = vocabulary.strings
        operations = []
        for index in np.flatnonzero(self._operations[:, 0]):
            service, name, kind = vocabulary.operations.key(int(index))
            count, errors, total, most = (int(value) for value in self._operations[index])
            operations.append(
                OperationTotal(
                    strings.text(service) or MISSING_SERVICE, strings.text(name), kind, count, errors, total, most
                )
            )
        edges = []
        for index in np.flatnonzero(self._edges[:, 0]):
            pair = int(self._edge_keys[index])
            count, errors, total, key = (int(value) for value in self._edges[index])
            rule = RULES[key & 15]
            kind_of_callee = _CALLEE_KINDS[PeerKind(key >> 4)] if rule == "peer_attribute" else "service"
            caller = strings.text(pair >> 32) or MISSING_SERVICE
            callee = strings.text(pair & 0xFFFFFFFF) or MISSING_SERVICE
            edges.append(EdgeTotal(caller, callee, kind_of_callee, rule, count, errors, total))
        self._operations[:] = 0
        self._edges[:] = 0
        return operations, edges
