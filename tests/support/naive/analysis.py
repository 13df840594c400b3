"""A drawn batch, measured with nothing learned: what the error topic needs, and neutral scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from analyzer.analysis import Analysis, Score, StructureScore, no_calls
from analyzer.forest import build_forest
from analyzer.origins import StringClasses, classify
from analyzer.spans import TraceBatch


def measure(traces: TraceBatch, classes: StringClasses | None = None) -> Analysis:
    """Measure a batch; every time is as unusual as can be said without a baseline: not at all."""
    forest = build_forest(traces)
    count = len(forest.row)
    failed, weak, error_class = classify(traces, forest, classes or StringClasses())
    own_ns = np.zeros(count, np.int64)
    for node in range(count):
        until, covered = int(forest.start_ns[node]), 0
        for child in forest.children(node):
            low, high = (
                max(int(forest.start_ns[child]), until),
                min(int(forest.end_ns[child]), int(forest.end_ns[node])),
            )
            if high > low:
                covered, until = covered + high - low, high
        own_ns[node] = forest.end_ns[node] - forest.start_ns[node] - covered
    nothing = Score(
        p=np.ones(count, np.float32),
        p_low=np.ones(count, np.float32),
        expected_ns=np.full(count, np.nan),
        count=np.zeros(count, np.float32),
        level=np.zeros(count, np.uint8),
    )
    structure = StructureScore(
        missing=np.zeros(count, np.float32),
        repeated=np.zeros(count, np.int32),
        repeated_usual=np.full(count, np.nan, np.float32),
        server_share=np.full(count, np.nan, np.float32),
        wait_p=np.full(count, np.nan, np.float32),
        calls=no_calls(),
    )
    return Analysis(
        traces=traces,
        forest=forest,
        own_ns=own_ns,
        critical_ns=own_ns,
        failed=failed,
        weak=weak,
        error_class=error_class,
        own=nothing,
        duration=nothing,
        structure=structure,
    )


def with_server_share(analysis: Analysis, share: float) -> Analysis:
    """The same, where every CLIENT call is known to have a server span below it that often."""
    filled = np.full(len(analysis.forest.row), share, np.float32)
    return replace(analysis, structure=replace(analysis.structure, server_share=filled))


def with_missing(analysis: Analysis, surprise: float) -> Analysis:
    """The same, where every span lacks calls that usually follow."""
    filled = np.full(len(analysis.forest.row), surprise, np.float32)
    return replace(analysis, structure=replace(analysis.structure, missing=filled))
