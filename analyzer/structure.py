"""What is wrong with the shape of one trace: calls not made, made too often, too late, or one after another.

In: an `Analysis`, one trace of it, what `StructureMemory` learned. Out: `StructureStory`. Total: never raises on
data. Says nothing rather than something doubtful: a missing call is only named in a complete trace, and only
when no error, exception or cache hit explains it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from analyzer.analysis import Analysis
from analyzer.config import AnalysisConfig
from analyzer.findings import Entity, Evidence, RootCause, SpanRole
from analyzer.forest import Defect, NodeFlag
from analyzer.like_calls import Nodes, callees, covered_ns, covered_share, overlap
from analyzer.pair_table import operation_name
from analyzer.spans import PeerKind, ReleaseReason, SpanFlag, SpanKind
from analyzer.structure_memory import StructureMemory, warm
from analyzer.words import duration_ns, kind_of, peer_name, row_of, service_entity, shown, span_ref

__all__ = ["StructureMemory", "StructureStory", "explain_structure", "warm"]

SILENT, N_PLUS_ONE, RETRY_STORM = "structure.silent_missing_call", "structure.n_plus_one", "structure.retry_storm"
SERIALISED, QUEUE_WAIT = "structure.serialised", "structure.queue_wait"

_MS = 1_000_000
_EVIDENCE_SPANS_MAX = 100
_NOTES_MAX = 10
_DETAILS_MAX = 32  # spans whose attributes are read for one question
_RETRIES_MIN = 5  # attempts of one call under one span; three is a policy, five is a storm
_LOOP_SHARE_MIN = 0.5  # of the parent's time, before a loop nobody has a baseline of is called N+1
_SEQUENTIAL_MIN = 0.9  # covered time over summed time, from which on calls ran one after another
_OVERLAP_SHARE_MIN = 0.95  # of clean executions, before the lack of overlap is news
_WAIT_RATIO = 4.0  # over the wait that 99 % stay below (told to an octave)
_SAMPLED_CONFIDENCE = 0.5
_TRUST = {N_PLUS_ONE: 0.85, RETRY_STORM: 0.5, SERIALISED: 0.6, QUEUE_WAIT: 0.7}

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


@dataclass(slots=True)
class _Found:
    """Candidates as they are found: (probability, cause, span that began it)."""

    causes: list[tuple[float, RootCause, int]] = field(default_factory=list)
    notes: list[Evidence] = field(default_factory=list)


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
    found = _Found()
    _missing_calls(analysis, trace, memory, found)
    nodes = analysis.forest.nodes(trace)
    repeated = analysis.structure.repeated[nodes.start : nodes.stop]
    for at in np.flatnonzero(repeated >= min(config.repeated_calls_min, _RETRIES_MIN)).tolist():
        _repeated_calls(analysis, nodes.start + at, memory, config, found)
    _serialised(analysis, nodes, memory, config, found)
    _queue_waits(analysis, nodes, memory, config, found)
    for node in memory.new_calls(analysis.traces, analysis.forest, trace)[:_NOTES_MAX].tolist():
        claim = f"{_who(analysis, int(analysis.forest.parent[node]))} has not called {_who(analysis, node)} before"
        found.notes.append(_evidence(analysis, claim, [node]))
    return _story(analysis, found)


# ---- calls not made


def _missing_calls(analysis: Analysis, trace: int, memory: StructureMemory, found: _Found) -> None:
    """Origin: the highest span that should have made a call, is there, fine, and did not."""
    nodes = analysis.forest.nodes(trace)
    missing = analysis.structure.missing[nodes.start : nodes.stop]
    if not (missing > 0).any():
        return
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
            usual_ms, took_ms = analysis.duration.expected_ns[node] / _MS, duration_ns(analysis, node) / _MS
            claim = f"it took {took_ms:.1f} ms, less than usual ({usual_ms:.1f} ms)"
            evidence.append(_evidence(analysis, claim, [node], duration_ms=took_ms, usual_ms=usual_ms))
        surprise = float(analysis.structure.missing[node])
        probability = 0.95 - math.exp(-0.35 * surprise)  # 6 nats 0.83, 7 nats 0.86; a prior, to be calibrated
        if _sampled(analysis, trace):
            probability *= _SAMPLED_CONFIDENCE
            evidence.append(_evidence(analysis, "the trace was sampled: the call may have been left out", [node]))
        service, name, _ = _operation(analysis, calls[0][0])
        sentence = (
            f"{_who(analysis, node)} ended without an error but never called {service} {name}, "
            f"which is in {100 * calls[0][1]:.1f} % of its healthy executions."
        )
        _add(analysis, found, SILENT, probability, node, sentence, evidence)


def _missing_evidence(analysis: Analysis, node: int, call: tuple[int, float, float]) -> Evidence:
    operation, share, executions = call
    service, name, _ = _operation(analysis, operation)
    claim = (
        f"the call to {service} {name} is missing; it was there in {100 * share:.2f} % "
        f"of {executions:.0f} healthy executions"
    )
    surprise = float(analysis.structure.missing[node])
    return _evidence(analysis, claim, [node], share=share, executions=executions, surprise_nats=surprise)


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
    for other in [node, *analysis.forest.children(node)[:_DETAILS_MAX].tolist()]:
        if int(row_of(analysis, other)["raw_length"]) and _says_hit(analysis.detail(other).attributes):
            return True
    return False


def _says_hit(attributes: Mapping[str, object]) -> bool:
    return any(
        key.lower().endswith(_CACHE_KEYS) and str(value).lower() in _CACHE_WORDS for key, value in attributes.items()
    )


# ---- calls made too often


def _repeated_calls(
    analysis: Analysis, node: int, memory: StructureMemory, config: AnalysisConfig, found: _Found
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
    nodes = [node, *analysis.forest.children(node)[:_DETAILS_MAX].tolist()]
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
    found: _Found,
) -> None:
    ran_ns = covered_ns(analysis.forest, calls)
    share = ran_ns / max(1, duration_ns(analysis, node))
    if not known and (share < _LOOP_SHARE_MIN or covered_share(analysis.forest, calls) < _SEQUENTIAL_MIN):
        return
    mean_ns = ran_ns / len(calls)
    wasted_ms = (ran_ns - mean_ns * max(1.0, usual or 1.0)) / _MS
    if wasted_ms < config.excess_min_ms:
        return
    callee = _who(analysis, int(calls[0]))
    than = f"usually at most {usual:.0f}" if usual is not None else "no usual number is known"
    claim = f"{len(calls)} calls of {callee} under one span ({than}), {wasted_ms:.1f} ms more than needed"
    evidence = _evidence(
        analysis,
        claim,
        calls,
        calls=len(calls),
        usual=math.nan if usual is None else usual,
        wasted_ms=wasted_ms,
        share_of_span=share,
    )
    sentence = (
        f"{_who(analysis, node)} makes {len(calls)} like calls of {callee} one by one ({than}): "
        f"{ran_ns / _MS:.1f} ms of its {duration_ns(analysis, node) / _MS:.1f} ms."
    )
    trust = _TRUST[N_PLUS_ONE] if known else _TRUST[N_PLUS_ONE] * 0.8
    _add(analysis, found, N_PLUS_ONE, trust, node, sentence, [evidence])


def _retry_storm(analysis: Analysis, node: int, calls: Nodes, failed: int, usual: float | None, found: _Found) -> None:
    callee = _who(analysis, int(calls[0]))
    claim = f"{len(calls)} attempts of {callee} one after another, {failed} of them failed"
    evidence = _evidence(
        analysis, claim, calls, attempts=len(calls), failed=failed, usual=math.nan if usual is None else usual
    )
    sentence = f"{_who(analysis, node)} tries {callee} {len(calls)} times in a row; retries add load where it hurts."
    _add(analysis, found, RETRY_STORM, _TRUST[RETRY_STORM], node, sentence, [evidence])


# ---- calls made one after another, or answered late


def _serialised(
    analysis: Analysis, nodes: range, memory: StructureMemory, config: AnalysisConfig, found: _Found
) -> None:
    """Calls that used to overlap and do not now, under a span that became slow."""
    duration, here = analysis.duration, slice(nodes.start, nodes.stop)
    slow = (duration.level[here] > 0) & (duration.p[here] <= config.latency_p_max)
    for at in np.flatnonzero(slow).tolist():
        node = nodes.start + at
        calls = analysis.forest.children(node)
        took_ns, expected_ns = duration_ns(analysis, node), float(duration.expected_ns[node])
        far = took_ns >= config.trace_latency_ratio_min * expected_ns
        if len(calls) < 2 or not far or took_ns - expected_ns < config.excess_min_ms * _MS:
            continue
        share, executions = memory.overlap_share(int(row_of(analysis, node)["operation"]))
        if share < _OVERLAP_SHARE_MIN or executions < config.baseline_count_min or overlap(analysis.forest, calls):
            continue
        lost_ms = (covered_ns(analysis.forest, calls) - _longest_ns(analysis, calls)) / _MS
        if lost_ms < config.excess_min_ms:
            continue
        claim = (
            f"its {len(calls)} calls ran one after another; in {100 * share:.1f} % of healthy executions they overlap"
        )
        evidence = _evidence(analysis, claim, calls, share=share, executions=executions, lost_ms=lost_ms)
        sentence = f"{_who(analysis, node)} makes its calls one after another that used to run side by side."
        _add(analysis, found, SERIALISED, _TRUST[SERIALISED], node, sentence, [evidence])


def _longest_ns(analysis: Analysis, nodes: Nodes) -> int:
    return int((analysis.forest.end_ns[nodes] - analysis.forest.start_ns[nodes]).max())


def _queue_waits(
    analysis: Analysis, nodes: range, memory: StructureMemory, config: AnalysisConfig, found: _Found
) -> None:
    """Messages that lay in their queue far longer than usual."""
    rows = analysis.traces.rows[analysis.forest.row[nodes.start : nodes.stop]]
    for at in np.flatnonzero(rows["kind"] == SpanKind.CONSUMER).tolist():
        consumer = nodes.start + at
        producer = int(analysis.forest.parent[consumer])
        if producer < 0 or kind_of(analysis, producer) != SpanKind.PRODUCER:
            continue
        if int(analysis.forest.flags[consumer] | analysis.forest.flags[producer]) & int(NodeFlag.NO_TIME):
            continue
        usual = memory.usual_wait_ns(
            int(row_of(analysis, producer)["operation"]), int(row_of(analysis, consumer)["operation"])
        )
        wait_ns = int(analysis.forest.start_ns[consumer] - analysis.forest.end_ns[producer])
        if usual is None or usual[1] < config.baseline_count_min:
            continue
        if wait_ns < _WAIT_RATIO * usual[0] or wait_ns - usual[0] < config.excess_min_ms * _MS:
            continue
        queue = peer_name(analysis, producer) or peer_name(analysis, consumer) or shown(analysis.operation(producer))
        claim = f"the message waited {wait_ns / _MS:.1f} ms; 99 % wait less than {usual[0] / _MS:.1f} ms"
        numbers = {"wait_ms": wait_ns / _MS, "usual_ms": usual[0] / _MS, "observations": usual[1]}
        evidence = _evidence(analysis, claim, [producer, consumer], **numbers)
        sentence = f"Queue {queue} held the message of {_who(analysis, producer)} for {wait_ns / _MS:.1f} ms."
        entity = Entity(kind="queue", name=queue, service=shown(analysis.service(producer)), peer=queue)
        _add(analysis, found, QUEUE_WAIT, _TRUST[QUEUE_WAIT], producer, sentence, [evidence], entity)


# ---- words


def _add(
    analysis: Analysis,
    found: _Found,
    rule: str,
    probability: float,
    node: int,
    sentence: str,
    evidence: list[Evidence],
    entity: Entity | None = None,
) -> None:
    cause = RootCause(
        rank=1,
        entity=entity or service_entity(analysis, node),
        origin_spans=[span_ref(analysis, node)],
        probability=probability,
        rule=rule,
        sentence=sentence,
        evidence=evidence,
    )
    found.causes.append((probability, cause, node))


def _story(analysis: Analysis, found: _Found) -> StructureStory:
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


def _evidence(analysis: Analysis, claim: str, nodes: Sequence[int] | Nodes, **numbers: float) -> Evidence:
    ids = [span_ref(analysis, int(node)).span_id for node in nodes[:_EVIDENCE_SPANS_MAX]]
    finite = {name: float(value) for name, value in numbers.items() if math.isfinite(value)}
    return Evidence(claim=claim, span_ids=ids, numbers=finite)


def _who(analysis: Analysis, node: int) -> str:
    return f"{shown(analysis.service(node))} {shown(analysis.operation(node))}"


def _operation(analysis: Analysis, operation: int) -> tuple[str, str, int]:
    service, name, kind = operation_name(analysis.traces.vocabulary, operation)
    return shown(service) or "unknown_service", shown(name) or "(no name)", kind
