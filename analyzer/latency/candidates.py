"""Who the lost time points at: excess per span -> ranked culprits.

In: a measured batch, a trace and its `Latency`. Out: `RootCause`s, the largest share first, each with its
evidence. Measures nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analyzer.analysis import Analysis
from analyzer.config import AnalysisConfig
from analyzer.findings import Entity, Evidence, Excess, Latency, Refuted, RootCause
from analyzer.forest import NodeFlag
from analyzer.spans import SpanKind, id_words
from analyzer.words import (
    edge_entity,
    kind_of,
    ms,
    peer_entity,
    peer_name,
    queue_entity,
    row_of,
    server_below,
    service_entity,
    shown,
    span_ref,
)

EVIDENCE_MAX = 5
ORIGINS_MAX = 5
REFUTED_MAX = 3
# A span without a baseline of its own is known only by exclusion.
NEW_WORK_WEIGHT = 0.3


@dataclass(slots=True)
class _Suspect:
    entity: Entity
    rule: str
    parts: list[tuple[int, Excess]]

    @property
    def excess_ns(self) -> int:
        return sum(excess.excess_ns for _, excess in self.parts)


def latency_candidates(
    analysis: Analysis,
    trace: int,
    latency: Latency,
    config: AnalysisConfig,
    callee_of: Callable[[int], str] | None = None,
) -> list[RootCause]:
    """Rank who holds the excess of a trace.

    The probability of a culprit is its share of the explained excess, times the square root of the share
    that is explained at all, times n / (n + `context_count_min`) for the n observations its baseline rests
    on; so they sum to less than one by what is not known.

    Parameters
    ----------
    analysis : Analysis
    trace : int
    latency : Latency
        What `explain_latency` said of the trace.
    config : AnalysisConfig
    callee_of : operation id -> service, optional
        Who usually answers a call (`PropagationMemory.callee`), for calls that do not say whom they go to.

    Returns
    -------
    list[RootCause]
        Empty without a baseline, or when the excess is below `excess_min_ms`.
    """
    explained = sum(excess.excess_ns for excess in latency.excess)
    if latency.expected_ns is None or explained <= 0 or latency.excess_ns < config.excess_min_ms * 1e6:
        return []
    suspects: dict[tuple[str, str, str, str], _Suspect] = {}
    for excess in latency.excess:
        node = _node_of(analysis, trace, excess)
        entity, rule = _culprit(analysis, node, excess, callee_of)
        key = (entity.kind, entity.name, entity.operation, rule)
        suspects.setdefault(key, _Suspect(entity, rule, [])).parts.append((node, excess))
    known = (explained / latency.excess_ns) ** 0.5
    found = []
    for suspect in suspects.values():
        weight = sum(excess.excess_ns * _trust(excess, config.context_count_min) for _, excess in suspect.parts) / max(
            1, suspect.excess_ns
        )
        found.append((suspect.excess_ns / explained * known * weight, suspect))
    found.sort(key=lambda one: (-one[0], one[1].entity.name, one[1].entity.operation, one[1].rule))
    return [
        _cause(analysis, latency, suspect, rank, probability) for rank, (probability, suspect) in enumerate(found, 1)
    ]


def _trust(excess: Excess, half: int) -> float:
    if excess.kind == "unknown":
        return NEW_WORK_WEIGHT
    return excess.baseline_count / (excess.baseline_count + half)


def _node_of(analysis: Analysis, trace: int, excess: Excess) -> int:
    """The node an excess speaks of. Ids may repeat in a trace, so kind and start must be the same too."""
    nodes = analysis.forest.nodes(trace)
    span = slice(nodes.start, nodes.stop)
    rows = analysis.traces.rows[analysis.forest.row[span]]
    (word,) = id_words(excess.span.span_id)
    like = (rows["span_id"] == np.uint64(word)) & (analysis.forest.start_ns[span] == excess.span.start_ns)
    like &= rows["kind"] == int(SpanKind[excess.span.kind])
    return nodes.start + int(np.flatnonzero(like)[0])


def _culprit(
    analysis: Analysis, node: int, excess: Excess, callee_of: Callable[[int], str] | None
) -> tuple[Entity, str]:
    """Who answers for the excess of one span, and by which rule."""
    kind = kind_of(analysis, node)
    server = server_below(analysis, node) if kind == SpanKind.CLIENT else None
    if excess.kind == "wait" and kind == SpanKind.CONSUMER:
        return queue_entity(analysis, node), "latency.queue_wait"
    if excess.kind == "retry":
        # The attempts failed on the other side; the caller only tried again.
        if server is not None:
            return service_entity(analysis, server), "latency.retry"
        return (peer_entity if peer_name(analysis, node) else service_entity)(analysis, node), "latency.retry"
    if excess.kind in ("fan_out", "serialised"):
        return service_entity(analysis, node), f"latency.{excess.kind}"
    if server is not None:
        return edge_entity(analysis, node, server), "latency.edge"
    if kind in (SpanKind.CLIENT, SpanKind.PRODUCER) and peer_name(analysis, node):
        return peer_entity(analysis, node), "latency.peer"
    if kind == SpanKind.CLIENT and callee_of is not None:
        answers = callee_of(int(row_of(analysis, node)["operation"]))
        if answers:  # a call spends its time on the other side
            caller = shown(analysis.service(node))
            return Entity(kind="service", name=shown(answers), service=shown(answers), caller=caller), "latency.peer"
    if excess.kind == "unknown":
        return service_entity(analysis, node), "latency.new_work"
    return service_entity(analysis, node), "latency.own_time"


def _cause(analysis: Analysis, latency: Latency, suspect: _Suspect, rank: int, probability: float) -> RootCause:
    parts = sorted(suspect.parts, key=lambda part: -part[1].excess_ns)
    return RootCause(
        rank=rank,
        entity=suspect.entity,
        origin_spans=[span_ref(analysis, node) for node, _ in parts[:ORIGINS_MAX]],
        probability=min(1.0, max(0.0, probability)),
        rule=suspect.rule,
        sentence=_sentence(analysis, latency, suspect, parts),
        evidence=[_evidence(analysis, latency, node, excess) for node, excess in parts[:EVIDENCE_MAX]],
        refuted=_refuted(analysis, parts[0][0]),
    )


def _sentence(analysis: Analysis, latency: Latency, suspect: _Suspect, parts: list[tuple[int, Excess]]) -> str:
    node, excess = parts[0]
    name, entity = shown(analysis.operation(node)), suspect.entity
    what = {
        "latency.edge": f"the way from {entity.caller} to {entity.callee} was slow around {name}",
        "latency.peer": f"{entity.name} answered {shown(analysis.service(node))} {name} slowly",
        "latency.queue_wait": f"messages waited in {entity.name} before {entity.service} took them up",
        "latency.retry": f"calls to {entity.name} failed and were made again ({name})",
        "latency.fan_out": f"{entity.service} {name} made more calls than usual",
        "latency.serialised": f"{entity.service} {name} made calls one after another that usually overlap",
        "latency.new_work": f"{entity.service} {name} is not usually part of this request",
        "latency.own_time": f"{entity.service} {name} spent more time than usual in its own work",
    }[suspect.rule]
    if suspect.rule == "latency.own_time" and excess.kind == "wait":
        what = f"{entity.service} {name} waited before its first database call"
    share = suspect.excess_ns / max(1, latency.excess_ns)
    return (
        f"{what}: {ms(suspect.excess_ns)} of the {ms(latency.excess_ns)} "
        f"that the request took longer than usual ({share:.0%})."
    )


def _evidence(analysis: Analysis, latency: Latency, node: int, excess: Excess) -> Evidence:
    place = f"{shown(analysis.service(node))} {shown(analysis.operation(node))}"
    if excess.kind == "unknown":
        claim = f"{place} took {ms(excess.observed_ns)} of its own and has no baseline here"
    elif excess.kind == "retry":
        claim = f"{place} failed and was made again; {ms(excess.observed_ns)} went by until the next attempt"
    else:
        claim = (
            f"{place}: {ms(excess.observed_ns)} where {ms(excess.expected_ns)} is usual"
            f" (p = {excess.p_value:.2g}, {excess.baseline_count} observations)"
        )
    return Evidence(
        claim=claim,
        span_ids=[excess.span.span_id],
        numbers={
            "observed_ms": excess.observed_ns / 1e6,
            "expected_ms": excess.expected_ns / 1e6,
            "excess_ms": excess.excess_ns / 1e6,
            "share": excess.excess_ns / max(1, latency.excess_ns),
            "p": excess.p_value,
            "baseline_count": float(excess.baseline_count),
        },
    )


def _refuted(analysis: Analysis, node: int) -> list[Refuted]:
    """Callers above that look slow, but only waited."""
    found: list[Refuted] = []
    services = {int(row_of(analysis, node)["service"])}
    at = int(analysis.forest.parent[node])
    waited_for = not int(analysis.forest.flags[node]) & int(NodeFlag.DETACHED)
    while at >= 0 and waited_for and len(found) < REFUTED_MAX:
        service = int(row_of(analysis, at)["service"])
        own, usual = int(analysis.own_ns[at]), float(analysis.own.expected_ns[at])
        if service not in services and own <= usual * 1.2:  # False for nan: nothing known
            services.add(service)
            ref = span_ref(analysis, at)
            reason = f"slow only because it waited: {ms(own)} of its own, {ms(usual)} is usual"
            found.append(Refuted(entity=service_entity(analysis, at), reason=reason, span_ids=[ref.span_id]))
        waited_for = not int(analysis.forest.flags[at]) & int(NodeFlag.DETACHED)
        at = int(analysis.forest.parent[at])
    return found
