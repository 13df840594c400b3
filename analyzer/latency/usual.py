"""What the segments of one tree would have been, had all been usual.

In: the tree as gaps and tails (`analyzer.kernels.replay`) and what was learned of its operations. Out: the
same segments with the abnormal ones brought back to their usual length, and why each was. Decides which
segments are abnormal; does not share out anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from analyzer.analysis import Analysis
from analyzer.config import AnalysisConfig
from analyzer.forest import NodeFlag
from analyzer.kernels.replay import build_replay, subtree_ends, tree_end
from analyzer.spans import SpanKind

SIBLINGS_MAX = 10_000  # children of one span that are looked through for retries and like calls
PARENTS_MAX = 1_000  # spans of one tree whose children are looked through
# When the segments that are abnormal for sure explain less than half, segments this unusual count too.
RELAXED_P_MAX = 0.1

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree of the forest, taken apart; indices are local, `root` added gives nodes."""

    root: int
    last: int
    subtree_end: npt.NDArray[np.int64]
    blocking: Bools
    predecessor: npt.NDArray[np.int32]
    gap: Floats
    tail: Floats

    @property
    def span(self) -> slice:
        return slice(self.root, self.last)

    def below(self, local: int) -> slice:
        """A span and all below it."""
        return slice(local, int(self.subtree_end[local]))


@dataclass(frozen=True, slots=True)
class FanOut:
    """Like calls under one span, more than usual."""

    parent: int
    calls: tuple[int, ...]
    usual: float

    @property
    def share_over(self) -> float:
        """Share of the calls that is too many."""
        return 1.0 - self.usual / len(self.calls)


@dataclass(frozen=True, slots=True)
class Retry:
    """A failed call that was made again; `again` is the next attempt."""

    attempt: int
    again: int


@dataclass(frozen=True, slots=True)
class Usual:
    """Segments as they usually are.

    gap, tail : float64[n]
    slow : bool[n]    own time abnormal against its baseline
    unknown : bool[n] no baseline of the operation, though the root has one: work that was not there before
    """

    gap: Floats
    tail: Floats
    slow: Bools
    unknown: Bools
    fan_outs: list[FanOut] = field(default_factory=list)
    retries: list[Retry] = field(default_factory=list)


def take_apart(analysis: Analysis, root: int) -> Tree:
    """Read the tree of `root` as gaps and tails."""
    forest = analysis.forest
    last = int(tree_end(forest.parent, root))
    columns = (forest.parent, forest.child_ptr, forest.child, forest.start_ns, forest.end_ns, forest.flags)
    blocking, predecessor, gap, tail = build_replay(*columns, root, last)
    return Tree(
        root=root,
        last=last,
        subtree_end=subtree_ends(forest.parent, root, last),
        blocking=blocking,
        predecessor=predecessor,
        gap=gap.astype(np.float64),
        tail=tail.astype(np.float64),
    )


def usual_segments(analysis: Analysis, tree: Tree, config: AnalysisConfig, p_max: float) -> Usual:
    """Bring every abnormal segment of the tree back to its usual length."""
    span = tree.span
    fan_outs = list(_fan_outs(analysis, tree, config))
    retries = list(_retries(analysis, tree))
    # What more calls and repeated calls explain is not the own work of who made them.
    own = analysis.own_ns[span].astype(np.float64)
    for group in fan_outs:
        own[group.parent] -= sum(tree.gap[call] for call in group.calls) * group.share_over
    for retry in retries:
        own[analysis.forest.parent[tree.root + retry.again] - tree.root] -= tree.gap[retry.again]
    expected = analysis.own.expected_ns[span]
    known = np.isfinite(expected) & (analysis.own.level[span] > 0)
    timed = (analysis.forest.flags[span] & int(NodeFlag.NO_TIME)) == 0
    over = np.where(known, expected, np.inf)
    slow = known & timed & (analysis.own.p[span] <= p_max) & (own > config.latency_ratio_min * over)
    unknown = ~known & timed & (own > 0)
    factor = np.ones(len(own))
    factor[slow] = over[slow] / own[slow]
    factor[unknown] = 0.0
    # A gap before a child is its parent's work.
    parent = analysis.forest.parent[span] - tree.root
    gap, tail = tree.gap.copy(), tree.tail * factor
    gap[1:] *= factor[parent[1:]]

    for group in fan_outs:
        for call in group.calls:
            _shrink(tree, gap, tail, call, 1.0 - group.share_over)
    for retry in retries:
        before = gap[retry.attempt]
        _shrink(tree, gap, tail, retry.attempt, 0.0)
        gap[retry.attempt] = before  # the caller's work before the first attempt was not lost
        gap[retry.again] = 0.0
    return Usual(gap, tail, slow, unknown, fan_outs, retries)


def _shrink(tree: Tree, gap: Floats, tail: Floats, local: int, share: float) -> None:
    """Leave at most `share` of everything in and before one span."""
    below = tree.below(local)
    gap[below] = np.minimum(gap[below], tree.gap[below] * share)
    tail[below] = np.minimum(tail[below], tree.tail[below] * share)


def _fan_outs(analysis: Analysis, tree: Tree, config: AnalysisConfig) -> Iterator[FanOut]:
    """Spans with far more like calls below them than usual; nested ones only once, at the outermost."""
    repeated = analysis.structure.repeated[tree.span]
    usual = analysis.structure.repeated_usual[tree.span]
    many = repeated >= config.repeated_calls_min
    # Written so that nan, nothing learned, is False.
    many &= repeated > config.repeated_calls_ratio * np.where(np.isfinite(usual), usual, np.inf)
    covered = 0
    for local in np.flatnonzero(many)[:PARENTS_MAX]:
        children = analysis.forest.children(tree.root + int(local))
        if local < covered or not len(children):
            continue
        operations = analysis.traces.rows["operation"][analysis.forest.row[children]]
        _, inverse, counts = np.unique(operations, return_inverse=True, return_counts=True)
        like = children[inverse == int(np.argmin(np.abs(counts - repeated[local])))] - tree.root
        calls = tuple(int(child) for child in like if tree.blocking[child])
        if len(calls) >= config.repeated_calls_min and len(calls) > usual[local]:
            covered = int(tree.subtree_end[local])
            yield FanOut(int(local), calls, max(0.0, float(usual[local])))


def _retries(analysis: Analysis, tree: Tree) -> Iterator[Retry]:
    """Failed CLIENT spans after which the same call was made again by the same parent."""
    forest, rows = analysis.forest, analysis.traces.rows
    span = tree.span
    calling = (rows["kind"][forest.row[span]] == int(SpanKind.CLIENT)) & analysis.failed[span] & tree.blocking
    calling[0] = False
    parents = np.unique(forest.parent[span][calling])
    for parent in parents[:PARENTS_MAX]:
        waiting: dict[tuple[int, int], int] = {}  # failed attempt of a call, by (operation, peer)
        for child in forest.children(int(parent))[:SIBLINGS_MAX]:
            local = int(child) - tree.root
            if not tree.blocking[local]:
                continue
            row = rows[forest.row[child]]
            key = (int(row["operation"]), int(row["peer"]))
            before = waiting.get(key)
            if before is not None and forest.start_ns[child] >= forest.end_ns[before + tree.root]:
                yield Retry(before, local)
                del waiting[key]
            if calling[local]:
                waiting[key] = local
