"""The plain twin of the replay kernels: a recursive model, and Shapley values over all coalitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial

from analyzer.forest import Forest, NodeFlag


@dataclass(frozen=True)
class Model:
    """A tree as gaps (before a blocking child) and tails (after the last one); keys are nodes."""

    root: int
    children: Mapping[int, list[int]]
    predecessor: Mapping[int, int | None]
    gap: Mapping[int, int]
    tail: Mapping[int, int]


def naive_model(forest: Forest, root: int) -> Model:
    children: dict[int, list[int]] = {}
    predecessor: dict[int, int | None] = {}
    gap: dict[int, int] = {}
    tail: dict[int, int] = {}

    def visit(node: int, start: int, end: int) -> None:
        inside: dict[int, tuple[int, int]] = {}
        for child in map(int, forest.children(node)):
            a = min(max(int(forest.start_ns[child]), start), end)
            b = min(max(int(forest.end_ns[child]), a), end)
            if b > a and not int(forest.flags[child]) & NodeFlag.DETACHED:
                inside[child] = (a, b)
        children[node] = list(inside)
        tail[node] = end - max((b for _, b in inside.values()), default=start)
        for child, (a, b) in inside.items():
            before = [(inside[one][1], inside[one][0], one) for one in inside if inside[one][1] <= a]
            predecessor[child] = max(before, key=lambda one: one[:2])[2] if before else None
            gap[child] = a - max((one[0] for one in before), default=start)
            visit(child, a, b)

    visit(root, int(forest.start_ns[root]), int(forest.end_ns[root]))
    return Model(root, children, predecessor, gap, tail)


def naive_replay(model: Model, gap: Mapping[int, float], tail: Mapping[int, float]) -> float:
    """How long the root takes with these gaps and tails."""

    def takes(node: int) -> float:
        returned: dict[int, float] = {}
        for child in model.children[node]:
            before = model.predecessor[child]
            returned[child] = gap[child] + takes(child) + (returned[before] if before is not None else 0.0)
        return max(returned.values(), default=0.0) + tail[node]

    return takes(model.root)


def exact_shapley(players: Sequence[int], worth: Mapping[frozenset[int], float]) -> dict[int, float]:
    """Shapley values by the definition: the mean gain over all orders of joining."""
    count = len(players)
    values = {}
    for player in players:
        others = [one for one in players if one != player]
        total = 0.0
        for size in range(count):
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            for coalition in map(frozenset, combinations(others, size)):
                total += weight * (worth[coalition | {player}] - worth[coalition])
        values[player] = total
    return values
