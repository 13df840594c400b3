"""Scores from healthy drawings, the plain way: all values kept, medians and ranks by sorting.

For rooms that only read scores. Not a truth for the baselines; those have their own twin.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np

from analyzer.analysis import Analysis, Score, StructureScore, no_calls
from analyzer.forest import Forest, build_forest
from analyzer.kernels.critical_path import critical_time, own_time
from analyzer.spans import NO_RPC_STATUS, TraceBatch, Vocabulary
from tests.support.drawing import Drawing, batch, healthy
from tests.support.naive.vocabulary import vocabulary


class Learned:
    """What is normal, from drawings; measures other drawings against it."""

    def __init__(self, *normal: Drawing, count: int = 300, share: float = 0.05) -> None:
        self.words: Vocabulary = vocabulary()
        self.own: dict[int, list[int]] = defaultdict(list)
        self.duration: dict[int, list[int]] = defaultdict(list)
        self.repeated: dict[int, list[int]] = defaultdict(list)
        self.answered: dict[int, list[bool]] = defaultdict(list)
        for drawing in normal:
            self._learn(healthy(drawing, count, share))

    def _learn(self, drawings: Iterable[Drawing]) -> None:
        traces = batch(drawings, self.words)
        forest = build_forest(traces)
        own = own_time(*columns(forest))
        rows = traces.rows[forest.row]
        for node, row in enumerate(rows):
            operation = int(row["operation"])
            self.own[operation].append(int(own[node]))
            self.duration[operation].append(int(forest.end_ns[node] - forest.start_ns[node]))
            self.repeated[operation].append(repeated(traces, forest, node))
            if row["kind"] == 3:
                self.answered[operation].append(any(rows[child]["kind"] == 2 for child in forest.children(node)))

    def measure(self, *drawings: Drawing) -> Analysis:
        traces = batch(list(drawings), self.words)
        forest = build_forest(traces)
        rows = traces.rows[forest.row]
        own = own_time(*columns(forest))
        operations = rows["operation"].tolist()
        count = len(forest.row)
        usual = [self.repeated.get(operation) for operation in operations]
        answered = [self.answered.get(operation) for operation in operations]
        return Analysis(
            traces=traces,
            forest=forest,
            own_ns=own,
            critical_ns=critical_time(*columns(forest)),
            failed=(rows["status"] == 2)
            | (rows["http_status"] >= 500)
            | ((rows["rpc_status"] != NO_RPC_STATUS) & (rows["rpc_status"] > 0)),
            weak=np.zeros(count, np.bool_),
            error_class=np.zeros(count, np.uint8),
            own=score(self.own, operations, own.tolist()),
            duration=score(self.duration, operations, (forest.end_ns - forest.start_ns).tolist()),
            structure=StructureScore(
                missing=np.zeros(count, np.float32),
                repeated=np.array([repeated(traces, forest, node) for node in range(count)], np.int32),
                repeated_usual=np.array([np.quantile(one, 0.95) if one else np.nan for one in usual], np.float32),
                server_share=np.array([np.mean(one) if one else np.nan for one in answered], np.float32),
                wait_p=np.full(count, np.nan, np.float32),
                calls=no_calls(),
            ),
        )


def columns(forest: Forest):
    return forest.parent, forest.child_ptr, forest.child, forest.start_ns, forest.end_ns, forest.flags


def repeated(traces: TraceBatch, forest: Forest, node: int) -> int:
    called = Counter(traces.rows["operation"][forest.row[forest.children(node)]].tolist())
    return max(called.values(), default=0)


def score(known: dict[int, list[int]], operations: list[int], observed: list[int]) -> Score:
    """Conformal p of each value among those learned of its operation."""
    values = [known.get(operation, []) for operation in operations]
    pairs = list(zip(values, observed, strict=True))
    return Score(
        p=np.array([(1 + sum(v >= x for v in vs)) / (1 + len(vs)) if vs else 1.0 for vs, x in pairs], np.float32),
        p_low=np.array([(1 + sum(v <= x for v in vs)) / (1 + len(vs)) if vs else 1.0 for vs, x in pairs], np.float32),
        expected_ns=np.array([np.median(vs) if vs else np.nan for vs in values], np.float64),
        count=np.array([len(vs) for vs in values], np.float32),
        level=np.array([1 if vs else 0 for vs in values], np.uint8),
    )
