"""Calls not made: a span ended well but did without what nearly all its like do.

In: an `Analysis`, one trace, what was learned. Out: causes and notes in `Found`. Says nothing when an error, an
exception or a cache hit explains the gap; in a trace with holes it only leaves a note.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from analyzer.analysis import Analysis
from analyzer.findings import Evidence
from analyzer.forest import Defect
from analyzer.pair_table import operation_name
from analyzer.spans import ReleaseReason, SpanFlag
from analyzer.structure.finds import DETAILS_MAX, MS, Found, evidence_of, who
from analyzer.structure.memory import StructureMemory
from analyzer.words import duration_ns, named, row_of

SILENT = "structure.silent_missing_call"
_SAMPLED_CONFIDENCE = 0.5

_CUT_SHORT = {
    ReleaseReason.MAX_AGE,
    ReleaseReason.SPAN_LIMIT,
    ReleaseReason.BYTE_LIMIT,
    ReleaseReason.MEMORY_PRESSURE,
    ReleaseReason.SHUTDOWN,
    ReleaseReason.OPEN,
}
_HOLES = (Defect.MISSING_PARENT, Defect.ROOTLESS, Defect.BAD_PARENT_ID, Defect.CYCLE)
_CACHE_KEYS = ("cache.hit", "cache_hit", "cached", "from_cache", "cache.result", "cache.status")
_CACHE_WORDS = ("true", "hit", "1", "yes")


def missing_calls(analysis: Analysis, trace: int, memory: StructureMemory, found: Found) -> None:
    """Origin: the highest span that should have made a call, is there, fine, and did not."""
    nodes = analysis.forest.nodes(trace)
    missing = analysis.structure.missing[nodes.start : nodes.stop]
    named: set[int] = set()
    for at in np.flatnonzero(missing > 0).tolist():
        node = nodes.start + at
        if _below_any(analysis, node, named) or _failure_at_or_below(analysis, node) or _cache_hit(analysis, node):
            continue
        calls = memory.missing_calls(analysis.traces, analysis.forest, node)
        if not calls:
            continue
        named.add(node)
        held_back = _why_incomplete(analysis, trace)
        evidence = [_missing_evidence(analysis, node, call) for call in calls]
        if held_back:
            claim = f"{evidence[0].claim}; not counted as a finding: {held_back}"
            found.notes.append(evidence[0].model_copy(update={"claim": claim}))
            continue
        if analysis.duration.p_low[node] <= 0.05 and not math.isnan(analysis.duration.expected_ns[node]):
            usual_ms, took_ms = analysis.duration.expected_ns[node] / MS, duration_ns(analysis, node) / MS
            claim = f"it took {took_ms:.1f} ms, less than usual ({usual_ms:.1f} ms)"
            evidence.append(evidence_of(analysis, claim, [node], duration_ms=took_ms, usual_ms=usual_ms))
        surprise = float(analysis.structure.missing[node])
        probability = 0.95 - math.exp(-0.35 * surprise)  # 6 nats 0.83, 7 nats 0.86; a prior, to be calibrated
        if _sampled(analysis, trace):
            probability *= _SAMPLED_CONFIDENCE
            evidence.append(evidence_of(analysis, "the trace was sampled: the call may have been left out", [node]))
        sentence = (
            f"{who(analysis, node)} ended without an error but never called {_called(analysis, calls[0][0])}, "
            f"which is in {100 * calls[0][1]:.1f} % of its healthy executions."
        )
        found.add(analysis, SILENT, probability, node, sentence, evidence)


def _missing_evidence(analysis: Analysis, node: int, call: tuple[int, float, float]) -> Evidence:
    operation, share, executions = call
    claim = (
        f"the call to {_called(analysis, operation)} is missing; it was there in {100 * share:.2f} % "
        f"of {executions:.0f} healthy executions"
    )
    surprise = float(analysis.structure.missing[node])
    return evidence_of(analysis, claim, [node], share=share, executions=executions, surprise_nats=surprise)


def _why_incomplete(analysis: Analysis, trace: int) -> str:
    """Why spans may merely not have come; empty when the trace is whole."""
    reason = ReleaseReason(int(analysis.traces.reasons[trace]))
    if reason in _CUT_SHORT:
        return f"the trace was released early ({reason.name.lower()})"
    if int(analysis.traces.dropped[trace]):
        return f"{int(analysis.traces.dropped[trace])} spans were over a limit"
    for defect in _HOLES:
        if int(analysis.forest.defects[trace, defect]):
            return f"the trace has holes ({defect.name.lower()})"
    return ""


def _sampled(analysis: Analysis, trace: int) -> bool:
    start, stop = int(analysis.traces.trace_ptr[trace]), int(analysis.traces.trace_ptr[trace + 1])
    return bool((analysis.traces.rows["flags"][start:stop] & int(SpanFlag.THRESHOLD)).any())


def _below_any(analysis: Analysis, node: int, named: set[int]) -> bool:
    while node >= 0:
        if node in named:
            return True
        node = int(analysis.forest.parent[node])
    return False


def _failure_at_or_below(analysis: Analysis, node: int) -> bool:
    """Whether an error, an exception or an error log in the subtree can be why a call was left out."""
    below = {node}
    for other in range(node, len(analysis.forest.parent)):
        parent = int(analysis.forest.parent[other])
        if other != node and parent not in below:
            if parent < 0:
                break
            continue
        below.add(other)
        if analysis.failed[other] or analysis.weak[other]:
            return True
    return False


def _cache_hit(analysis: Analysis, node: int) -> bool:
    """Whether the span, or one it called, says that a cache had the answer."""
    for other in [node, *analysis.forest.children(node)[:DETAILS_MAX].tolist()]:
        if int(row_of(analysis, other)["raw_length"]) and _says_hit(analysis.detail(other).attributes):
            return True
    return False


def _says_hit(attributes: Mapping[str, object]) -> bool:
    return any(
        key.lower().endswith(_CACHE_KEYS) and str(value).lower() in _CACHE_WORDS for key, value in attributes.items()
    )


def _called(analysis: Analysis, operation: int) -> str:
    return named(*operation_name(analysis.traces.vocabulary, operation)[:2])
