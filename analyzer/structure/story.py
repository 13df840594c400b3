"""What is wrong with the shape of one trace: calls not made, made too often, too late, or one after another.

In: an `Analysis`, one trace of it, what `StructureMemory` learned. Out: `StructureStory`. Total: never raises on
data. Says nothing rather than something doubtful: a missing call is only named in a complete trace, and only
when no error, exception or cache hit explains it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analyzer.analysis import Analysis
from analyzer.config import AnalysisConfig
from analyzer.findings import Evidence, RootCause, SpanRole
from analyzer.structure.finds import Found, evidence_of, who
from analyzer.structure.memory import StructureMemory
from analyzer.structure.missing_calls import missing_calls
from analyzer.structure.order_and_wait import queue_waits, serialised
from analyzer.structure.repeated_calls import repeated_calls
from analyzer.words import span_ref

_NOTES_MAX = 10


@dataclass(frozen=True, slots=True)
class StructureStory:
    """What the shape of a trace has to say.

    candidates : ranked by probability, which sum to at most 1
    rules : names of the rules that found something
    notes : informative only (new calls, findings held back and why)
    """

    candidates: Sequence[RootCause] = ()
    roles: Sequence[SpanRole] = ()
    rules: frozenset[str] = frozenset()
    notes: Sequence[Evidence] = ()


def explain_structure(
    analysis: Analysis, trace: int, memory: StructureMemory, config: AnalysisConfig
) -> StructureStory:
    """Say what is wrong with the shape of one trace.

    Parameters
    ----------
    analysis : Analysis
        Scored by `memory` just before (`missing_calls` answers as last scored).
    trace : int
        Index of the trace in the batch.
    memory : StructureMemory
    config : AnalysisConfig

    Returns
    -------
    StructureStory
        Empty when nothing is odd.
    """
    found = Found()
    nodes = analysis.forest.nodes(trace)
    missing_calls(analysis, trace, memory, found)
    repeated_calls(analysis, nodes, memory, config, found)
    serialised(analysis, nodes, memory, config, found)
    queue_waits(analysis, nodes, memory, config, found)
    for node in memory.new_calls(analysis.traces, analysis.forest, trace)[:_NOTES_MAX].tolist():
        claim = f"{who(analysis, int(analysis.forest.parent[node]))} has not called {who(analysis, node)} before"
        found.notes.append(evidence_of(analysis, claim, [node]))
    return _story(analysis, found)


def _story(analysis: Analysis, found: Found) -> StructureStory:
    """Rank; when the probabilities sum to more than 0.95 they share that."""
    if not found.causes:
        return StructureStory(notes=tuple(found.notes))
    scale = min(1.0, 0.95 / sum(probability for probability, _, _ in found.causes))
    ranked = sorted(found.causes, key=lambda cause: (-cause[0], cause[2]))
    candidates = [
        cause.model_copy(update={"rank": rank, "probability": probability * scale})
        for rank, (probability, cause, _) in enumerate(ranked, start=1)
    ]
    roles: dict[int, SpanRole] = {}
    for _, _, node in ranked:
        ref = span_ref(analysis, node)
        roles.setdefault(
            node, SpanRole(span_id=ref.span_id, service=ref.service, operation=ref.operation, role="origin")
        )
    rules = frozenset(cause.rule for cause in candidates)
    return StructureStory(tuple(candidates), tuple(roles.values()), rules, tuple(found.notes))
