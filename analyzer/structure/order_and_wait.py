"""Calls made one after another that used to overlap, and messages that lay in their queue for long.

In: an `Analysis`, the nodes of one trace, what was learned. Out: causes in `Found`. Says nothing without a baseline.
"""

from __future__ import annotations

import numpy as np

from analyzer.analysis import Analysis
from analyzer.config import AnalysisConfig
from analyzer.findings import Entity
from analyzer.forest import NodeFlag
from analyzer.like_calls import Nodes, covered_ns, overlap
from analyzer.spans import SpanKind
from analyzer.structure.finds import MS, Found, evidence_of, who
from analyzer.structure.memory import StructureMemory
from analyzer.words import destination_in, duration_ns, kind_of, peer_name, row_of, shown

SERIALISED, QUEUE_WAIT = "structure.serialised", "structure.queue_wait"
_TRUST = {SERIALISED: 0.6, QUEUE_WAIT: 0.7}
_OVERLAP_SHARE_MIN = 0.95  # of clean executions, before the lack of overlap is news
_WAIT_RATIO = 4.0  # over the wait that 99 % stay below (told to an octave)


def serialised(analysis: Analysis, nodes: range, memory: StructureMemory, config: AnalysisConfig, found: Found) -> None:
    """Calls that used to overlap and do not now, under a span that became slow."""
    duration, here = analysis.duration, slice(nodes.start, nodes.stop)
    slow = (duration.level[here] > 0) & (duration.p[here] <= config.latency_p_max)
    for at in np.flatnonzero(slow).tolist():
        node = nodes.start + at
        calls = analysis.forest.children(node)
        took_ns, expected_ns = duration_ns(analysis, node), float(duration.expected_ns[node])
        far = took_ns >= config.trace_latency_ratio_min * expected_ns
        if len(calls) < 2 or not far or took_ns - expected_ns < config.excess_min_ms * MS:
            continue
        share, executions = memory.overlap_share(int(row_of(analysis, node)["operation"]))
        if share < _OVERLAP_SHARE_MIN or executions < config.baseline_count_min or overlap(analysis.forest, calls):
            continue
        lost_ms = (covered_ns(analysis.forest, calls) - _longest_ns(analysis, calls)) / MS
        if lost_ms < config.excess_min_ms:
            continue
        claim = (
            f"its {len(calls)} calls ran one after another; in {100 * share:.1f} % of healthy executions they overlap"
        )
        evidence = evidence_of(analysis, claim, calls, share=share, executions=executions, lost_ms=lost_ms)
        sentence = f"{who(analysis, node)} makes its calls one after another that used to run side by side."
        found.add(analysis, SERIALISED, _TRUST[SERIALISED], node, sentence, [evidence])


def _longest_ns(analysis: Analysis, nodes: Nodes) -> int:
    return int((analysis.forest.end_ns[nodes] - analysis.forest.start_ns[nodes]).max())


def queue_waits(
    analysis: Analysis, nodes: range, memory: StructureMemory, config: AnalysisConfig, found: Found
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
        if wait_ns < _WAIT_RATIO * usual[0] or wait_ns - usual[0] < config.excess_min_ms * MS:
            continue
        queue = peer_name(analysis, producer) or peer_name(analysis, consumer) or destination_in(analysis, producer)
        claim = f"the message waited {wait_ns / MS:.1f} ms; 99 % wait less than {usual[0] / MS:.1f} ms"
        numbers = {"wait_ms": wait_ns / MS, "usual_ms": usual[0] / MS, "observations": usual[1]}
        evidence = evidence_of(analysis, claim, [producer, consumer], **numbers)
        sentence = f"Queue {queue} held the message of {who(analysis, producer)} for {wait_ns / MS:.1f} ms."
        entity = Entity(kind="queue", name=queue, service=shown(analysis.service(producer)), peer=queue)
        found.add(analysis, QUEUE_WAIT, _TRUST[QUEUE_WAIT], consumer, sentence, [evidence], entity)
