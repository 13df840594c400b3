"""The time side of one trace: how slow, against what, and which spans hold the excess.

In: a measured batch and the number of a trace. Out: `Latency`, whose parts sum to the excess of the trace
exactly. The excess is the entry's duration less its usual duration; it is shared out by replaying the
trace with the abnormal segments at their usual length (Aumann-Shapley, algorithms.md 3.2). What no
abnormal segment explains is said to be unexplained, never spread over the others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from analyzer.analysis import Analysis
from analyzer.config import AnalysisConfig
from analyzer.findings import Excess, ExcessKind, Latency, PathSegment
from analyzer.forest import NodeFlag
from analyzer.kernels.critical_path import critical_path
from analyzer.kernels.replay import attribute
from analyzer.latency.usual import RELAXED_P_MAX, Floats, Tree, Usual, take_apart, usual_segments
from analyzer.spans import PeerKind, SpanKind
from analyzer.words import duration_ns, kind_of, row_of, server_below, span_ref

PATH_SEGMENTS_MAX = 200  # the longest segments shown; a trace of a million spans has two million
EXCESS_MAX = 20  # spans named; the rest is unexplained
EXCESS_SHARE_MIN = 0.01  # of the excess of the trace, below which a span is not named
CHILDREN_MAX = 1_000  # children looked through for one question about a span
WAIT_SHARE = 0.8  # of a span's excess right before its first database call: it waited for a connection
CONTEXTS = {1: "operation", 2: "operation under this root operation"}


@dataclass(slots=True)
class Part:
    """Excess of one node and of one kind, while it is being shared out."""

    node: int
    kind: ExcessKind
    amount: float
    observed_ns: int
    expected_ns: int
    p_value: float
    count: float
    context: str = ""


def explain_latency(analysis: Analysis, trace: int, config: AnalysisConfig) -> Latency:
    """Say which milliseconds of a trace are abnormal, and whose they are.

    Parameters
    ----------
    analysis : Analysis
    trace : int
        Index of the trace in the batch.
    config : AnalysisConfig

    Returns
    -------
    Latency
        `sum(excess.excess_ns) + unexplained_ns == excess_ns`, exactly. Without a baseline of the entry's
        operation `expected_ns` is None and nothing is shared out.
    """
    root = entry_of(analysis, trace)
    if root is None:
        return Latency(duration_ns=0)
    duration = duration_ns(analysis, root)
    path = _path(analysis, root)
    expected = float(analysis.duration.expected_ns[root])
    timed = not int(analysis.forest.flags[root]) & int(NodeFlag.NO_TIME)
    if not (timed and math.isfinite(expected)):
        return Latency(duration_ns=duration, critical_path=path)
    usual = max(0, round(expected))
    excess = max(0, duration - usual)
    parts = _parts(analysis, root, excess, config) if excess > 0 else []
    shown = [part for part in parts if part.amount >= max(1.0, EXCESS_SHARE_MIN * excess)]
    shown.sort(key=lambda part: (-part.amount, part.node, part.kind))
    words = [_excess(analysis, part) for part in shown[:EXCESS_MAX]]
    return Latency(
        duration_ns=duration,
        expected_ns=usual,
        excess_ns=excess,
        unexplained_ns=excess - sum(one.excess_ns for one in words),
        critical_path=path,
        excess=words,
    )


def entry_of(analysis: Analysis, trace: int) -> int | None:
    """The root whose time is the trace's: a real root before an orphan, then the longest; None: no spans."""
    forest = analysis.forest
    nodes = forest.nodes(trace)
    roots = np.flatnonzero(forest.parent[nodes.start : nodes.stop] < 0) + nodes.start
    if not len(roots):
        return None
    doubtful = forest.flags[roots] & int(NodeFlag.ORPHAN | NodeFlag.NO_TIME | NodeFlag.CYCLE_CUT)
    durations = forest.end_ns[roots] - forest.start_ns[roots]
    return int(roots[np.lexsort((-durations, doubtful != 0))[0]])


def _path(analysis: Analysis, root: int) -> list[PathSegment]:
    forest = analysis.forest
    columns = (forest.parent, forest.child_ptr, forest.child, forest.start_ns, forest.end_ns, forest.flags)
    nodes, begin, end = critical_path(*columns, root)
    taken = end - begin
    if len(nodes) > PATH_SEGMENTS_MAX:
        longest = np.sort(np.argsort(-taken, kind="stable")[:PATH_SEGMENTS_MAX])
        nodes, taken = nodes[longest], taken[longest]
    return [
        PathSegment(span=span_ref(analysis, int(node)), self_ns=int(ns)) for node, ns in zip(nodes, taken, strict=True)
    ]


def _parts(analysis: Analysis, root: int, excess: int, config: AnalysisConfig) -> list[Part]:
    """Share the excess of a trace out; the amounts sum to it at most."""
    tree = take_apart(analysis, root)
    parts = _shared(analysis, tree, config, config.latency_p_max)
    if _sum(parts) < 0.5 * excess:
        # Many spans somewhat slower (a starved host) are each less unusual than one span that hangs.
        relaxed = _shared(analysis, tree, config, max(RELAXED_P_MAX, config.latency_p_max))
        parts = relaxed if _sum(relaxed) > _sum(parts) else parts
    # Operations that were never seen here explain what the known ones leave, and no more.
    new = [part for part in parts if part.kind == "unknown"]
    known = [part for part in parts if part.kind != "unknown"]
    _cap(known, float(excess))
    left = excess - _sum(known)
    serialised = _serialised(analysis, tree, known, left, config)
    known += serialised
    _cap(new, max(0.0, left - _sum(serialised)))
    return known + new


def _sum(parts: list[Part]) -> float:
    return sum(part.amount for part in parts)


def _cap(parts: list[Part], most: float) -> None:
    """Scale the amounts down to `most` in all: other work may have been faster than usual meanwhile."""
    total = _sum(parts)
    if total > most:
        for part in parts:
            part.amount *= most / total


def _shared(analysis: Analysis, tree: Tree, config: AnalysisConfig, p_max: float) -> list[Part]:
    forest = analysis.forest
    usual = usual_segments(analysis, tree, config, p_max)
    gap_share, tail_share, _, _ = attribute(
        forest.child_ptr, forest.child, tree.root, tree.blocking, tree.predecessor, tree.gap, tree.tail,
        usual.gap, usual.tail, config.attribution_steps,
    )  # fmt: skip
    parts: list[Part] = []
    for group in usual.fan_outs:
        parts.append(_fan_out(analysis, tree, group.parent, group.calls, group.usual, gap_share, tail_share))
    for retry in usual.retries:
        amount = _take(tree, retry.attempt, gap_share, tail_share)
        amount += float(gap_share[retry.again])
        gap_share[retry.again] = 0.0
        node = tree.root + retry.attempt
        lost = duration_ns(analysis, node) + int(tree.gap[retry.again])
        parts.append(_part(analysis, node, "retry", amount, lost, 0))
    own_share = tail_share
    parent = forest.parent[tree.span] - tree.root
    np.add.at(own_share, parent[1:], gap_share[1:])
    for local in np.flatnonzero(own_share > 0.0):
        parts += _own(analysis, tree, usual, int(local), float(own_share[local]), gap_share)
    return parts


def _take(tree: Tree, local: int, gap_share: Floats, tail_share: Floats, before: bool = False) -> float:
    """Take what a span and all below it were charged; with `before`, also the gap before it."""
    below = tree.below(local)
    first = below.start if before else below.start + 1
    amount = float(gap_share[first : below.stop].sum() + tail_share[below].sum())
    gap_share[first : below.stop] = 0.0
    tail_share[below] = 0.0
    return amount


def _fan_out(
    analysis: Analysis,
    tree: Tree,
    parent: int,
    calls: tuple[int, ...],
    usual: float,
    gap_share: Floats,
    tail_share: Floats,
) -> Part:
    """The excess of many like calls, at the span that makes them."""
    amount = sum(_take(tree, call, gap_share, tail_share, before=True) for call in calls)
    observed = sum(duration_ns(analysis, tree.root + call) for call in calls)
    node = tree.root + parent
    expected = round(observed * usual / len(calls))
    part = _part(analysis, node, "fan_out", amount, observed, expected)
    part.p_value, part.count = float(analysis.duration.p[node]), float(analysis.duration.count[node])
    return part


def _part(analysis: Analysis, node: int, kind: ExcessKind, amount: float, observed_ns: int, expected_ns: int) -> Part:
    score = analysis.own
    return Part(
        node=node,
        kind=kind,
        amount=amount,
        observed_ns=observed_ns,
        expected_ns=expected_ns,
        p_value=float(score.p[node]),
        count=float(score.count[node]),
        context=CONTEXTS.get(int(score.level[node]), ""),
    )


def _own(analysis: Analysis, tree: Tree, usual: Usual, local: int, amount: float, gap_share: Floats) -> list[Part]:
    """A span's own excess: its kind, and what of it was really waiting for a reply through a queue."""
    node = tree.root + local
    own = int(analysis.own_ns[node])
    if usual.unknown[local]:
        return [_part(analysis, node, "unknown", amount, own, 0)]
    expected = max(0, round(float(analysis.own.expected_ns[node])))
    parts = _through_queues(analysis, tree, usual, local, amount)
    rest = amount - _sum(parts)
    if rest > 0.0:
        parts.append(_part(analysis, node, _kind(analysis, tree, local, amount, gap_share), rest, own, expected))
    return parts


def _kind(analysis: Analysis, tree: Tree, local: int, amount: float, gap_share: Floats) -> ExcessKind:
    node = tree.root + local
    if kind_of(analysis, node) == SpanKind.CLIENT:
        return "network" if server_below(analysis, node) is not None else "work"
    for child in analysis.forest.children(node)[:CHILDREN_MAX]:
        if tree.blocking[int(child) - tree.root]:
            asks = int(row_of(analysis, int(child))["peer_kind"]) == PeerKind.DATABASE
            waited = float(gap_share[int(child) - tree.root]) >= WAIT_SHARE * amount
            return "wait" if asks and waited else "work"
    return "work"


def _through_queues(analysis: Analysis, tree: Tree, usual: Usual, local: int, amount: float) -> list[Part]:
    """Own time of a span that sent a message and went on when its consumer was done: a request by queue.

    The wait in the queue, and what the consumer took beyond its usual time, are theirs, not the span's.
    """
    forest = analysis.forest
    node, left, parts = tree.root + local, amount, list[Part]()
    for producer in forest.children(node)[:CHILDREN_MAX]:
        if kind_of(analysis, int(producer)) != SpanKind.PRODUCER:
            continue
        for consumer in forest.children(int(producer))[:CHILDREN_MAX]:
            waited = int(forest.start_ns[consumer] - forest.end_ns[producer])
            replied = forest.end_ns[consumer] <= forest.end_ns[node]
            if kind_of(analysis, int(consumer)) != SpanKind.CONSUMER or not replied:
                continue
            for inner in range(*tree.below(int(consumer) - tree.root).indices(tree.last)):
                if usual.slow[inner] and left > 0.0:
                    at = tree.root + inner
                    own, expected = int(analysis.own_ns[at]), float(analysis.own.expected_ns[at])
                    parts.append(_part(analysis, at, "work", min(left, own - expected), own, round(expected)))
                    left -= parts[-1].amount
            if waited > 0 and left > 0.0:
                taken = min(left, float(waited))
                part = _part(analysis, int(consumer), "wait", taken, waited, round(waited - taken))
                # The evidence is the baseline of the span that waited; queues have none of their own.
                part.p_value, part.count = float(analysis.own.p[node]), float(analysis.own.count[node])
                parts.append(part)
                left -= taken
    return parts


def _serialised(analysis: Analysis, tree: Tree, known: list[Part], left: float, config: AnalysisConfig) -> list[Part]:
    """Calls that must have overlapped before, and now follow one another.

    The deepest span whose duration is abnormal though neither its own time nor its calls are, and whose
    calls, each as usual, take together longer than the span usually took.
    """
    if left < config.excess_min_ms * 1e6:
        return []
    forest, duration = analysis.forest, analysis.duration
    named = {part.node for part in known}
    span = tree.span
    over = np.where(np.isfinite(duration.expected_ns[span]), duration.expected_ns[span], np.inf)
    took = forest.end_ns[span] - forest.start_ns[span]
    slow = (duration.p[span] <= config.latency_p_max) & (took > config.latency_ratio_min * over) & tree.blocking
    for local in np.flatnonzero(slow)[::-1][:CHILDREN_MAX]:
        node = tree.root + int(local)
        calls = [int(c) - tree.root for c in forest.children(node)[:CHILDREN_MAX] if tree.blocking[int(c) - tree.root]]
        in_turn = [c for c in calls if tree.predecessor[c] >= 0]
        if node in named or not in_turn or any(slow[c] for c in calls):
            continue
        if float(np.where(np.isfinite(over[calls]), over[calls], 0.0).sum()) > over[local]:
            amount = min(left, float(took[local] - over[local]))
            part = _part(analysis, node, "serialised", amount, int(took[local]), round(float(over[local])))
            part.p_value, part.count = float(duration.p[node]), float(duration.count[node])
            return [part]
    return []


def _excess(analysis: Analysis, part: Part) -> Excess:
    return Excess(
        span=span_ref(analysis, part.node),
        excess_ns=math.floor(part.amount),
        observed_ns=part.observed_ns,
        expected_ns=part.expected_ns,
        p_value=min(1.0, max(0.0, part.p_value)),
        kind=part.kind,
        baseline_count=int(part.count),
        context=part.context,
    )
