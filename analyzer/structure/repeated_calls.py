"""Calls made too often: N+1, and storms of retries.

In: an `Analysis`, a span with like calls below it, what was learned. Out: causes in `Found`. A loop nobody has a
baseline of is only named when it takes most of its parent's time.
"""

from __future__ import annotations

import math

import numpy as np

from analyzer.analysis import Analysis
from analyzer.config import AnalysisConfig
from analyzer.like_calls import Nodes, callees, covered_ns, covered_share
from analyzer.spans import PeerKind, SpanKind
from analyzer.structure.finds import DETAILS_MAX, MS, Found, evidence_of, who
from analyzer.structure.memory import StructureMemory
from analyzer.words import duration_ns, kind_of, row_of

N_PLUS_ONE, RETRY_STORM = "structure.n_plus_one", "structure.retry_storm"
_TRUST = {N_PLUS_ONE: 0.85, RETRY_STORM: 0.5}
_RETRIES_MIN = 5  # attempts of one call under one span; three is a policy, five is a storm
_LOOP_SHARE_MIN = 0.5  # of the parent's time, before a loop nobody has a baseline of is called N+1
_SEQUENTIAL_MIN = 0.9  # covered time over summed time, from which on calls ran one after another


def repeated_calls(
    analysis: Analysis, nodes: range, memory: StructureMemory, config: AnalysisConfig, found: Found
) -> None:
    """Look closer at the spans with many like calls below them."""
    repeated = analysis.structure.repeated[nodes.start : nodes.stop]
    for at in np.flatnonzero(repeated >= min(config.repeated_calls_min, _RETRIES_MIN)).tolist():
        _repeated_under(analysis, nodes.start + at, memory, config, found)


def _repeated_under(
    analysis: Analysis, node: int, memory: StructureMemory, config: AnalysisConfig, found: Found
) -> None:
    """N+1, or a storm of retries: like calls under one span, whatever stands between them."""
    operation = int(row_of(analysis, node)["operation"])
    children = analysis.forest.children(node)
    about = callees(analysis.traces, analysis.forest, children)
    groups, sizes = np.unique(about, return_counts=True)
    least = min(config.repeated_calls_min, _RETRIES_MIN)
    for callee in groups[(sizes >= least) & (groups != 0)].tolist():
        calls = children[about == callee]
        usual = memory.usual_count(operation, callee)
        if len(calls) < config.repeated_calls_ratio * (usual or 1.0) or not _outgoing(analysis, int(calls[0])):
            continue
        failures = calls[analysis.failed[calls]]
        if len(failures) >= len(calls) - 1:
            if len(calls) >= _RETRIES_MIN and covered_share(analysis.forest, calls) >= _SEQUENTIAL_MIN:
                _retry_storm(analysis, node, calls, len(failures), usual, found)
        elif len(calls) >= config.repeated_calls_min:
            known = usual is not None or memory.call_share(operation, callee)[1] >= config.baseline_count_min
            _n_plus_one(analysis, node, calls, usual, known, config, found)


def _outgoing(analysis: Analysis, node: int) -> bool:
    """Whether a span leaves its process: a call, a query, or a wrapper right around one."""
    nodes = [node, *analysis.forest.children(node)[:DETAILS_MAX].tolist()]
    return any(
        kind_of(analysis, other) == SpanKind.CLIENT or int(row_of(analysis, other)["peer_kind"]) == PeerKind.DATABASE
        for other in nodes
    )


def _n_plus_one(
    analysis: Analysis,
    node: int,
    calls: Nodes,
    usual: float | None,
    known: bool,
    config: AnalysisConfig,
    found: Found,
) -> None:
    ran_ns = covered_ns(analysis.forest, calls)
    share = ran_ns / max(1, duration_ns(analysis, node))
    if not known and (share < _LOOP_SHARE_MIN or covered_share(analysis.forest, calls) < _SEQUENTIAL_MIN):
        return
    mean_ns = ran_ns / len(calls)
    wasted_ms = (ran_ns - mean_ns * max(1.0, usual or 1.0)) / MS
    if wasted_ms < config.excess_min_ms:
        return
    callee = who(analysis, int(calls[0]))
    than = f"usually at most {usual:.0f}" if usual is not None else "no usual number is known"
    claim = f"{len(calls)} calls of {callee} under one span ({than}), {wasted_ms:.1f} ms more than needed"
    evidence = evidence_of(
        analysis,
        claim,
        calls,
        calls=len(calls),
        usual=math.nan if usual is None else usual,
        wasted_ms=wasted_ms,
        share_of_span=share,
    )
    sentence = (
        f"{who(analysis, node)} makes {len(calls)} like calls of {callee} one by one ({than}): "
        f"{ran_ns / MS:.1f} ms of its {duration_ns(analysis, node) / MS:.1f} ms."
    )
    trust = _TRUST[N_PLUS_ONE] if known else _TRUST[N_PLUS_ONE] * 0.8
    found.add(analysis, N_PLUS_ONE, trust, node, sentence, [evidence])


def _retry_storm(analysis: Analysis, node: int, calls: Nodes, failed: int, usual: float | None, found: Found) -> None:
    callee = who(analysis, int(calls[0]))
    claim = f"{len(calls)} attempts of {callee} one after another, {failed} of them failed"
    evidence = evidence_of(
        analysis, claim, calls, attempts=len(calls), failed=failed, usual=math.nan if usual is None else usual
    )
    sentence = f"{who(analysis, node)} tries {callee} {len(calls)} times in a row; retries add load where it hurts."
    found.add(analysis, RETRY_STORM, _TRUST[RETRY_STORM], node, sentence, [evidence])
