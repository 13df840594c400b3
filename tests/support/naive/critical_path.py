"""The plain twins of own time and critical time: time is painted instant by instant."""

from __future__ import annotations

from analyzer.forest import Forest, NodeFlag


def naive_own_time(forest: Forest) -> list[int]:
    """Paint the span's instants, wash out those of its blocking children, count the rest."""
    own = []
    for node in range(len(forest.row)):
        instants = set(range(int(forest.start_ns[node]), int(forest.end_ns[node])))
        for child in forest.children(node):
            if not int(forest.flags[child]) & NodeFlag.DETACHED:
                instants -= set(range(int(forest.start_ns[child]), int(forest.end_ns[child])))
        own.append(len(instants))
    return own


def naive_critical_time(forest: Forest) -> list[int]:
    """Who holds up the root at each instant, painted span by span from the end of each."""
    critical = [0] * len(forest.row)
    for root in range(len(forest.row)):
        if forest.parent[root] < 0:
            for node in paint(forest, root, int(forest.start_ns[root]), int(forest.end_ns[root])).values():
                critical[node] += 1
    return critical


def paint(forest: Forest, node: int, low: int, high: int) -> dict[int, int]:
    """Instant -> node that is on the critical path, for the window low..high of a node."""
    painted: dict[int, int] = {}
    now = high
    while now > low:
        child = last_returned(forest, node, low, now, whole=now == high)
        if child is None:
            break
        begin, end = max(int(forest.start_ns[child]), low), min(int(forest.end_ns[child]), now)
        painted |= dict.fromkeys(range(end, now), node)
        painted |= paint(forest, child, begin, end)
        now = begin
    painted |= dict.fromkeys(range(low, now), node)
    return painted


def last_returned(forest: Forest, node: int, low: int, now: int, whole: bool) -> int | None:
    """The child that returned last before `now`; at the end of the window one may still run."""
    found = []
    for child in forest.children(node):
        start, end = int(forest.start_ns[child]), int(forest.end_ns[child])
        waited_for = not int(forest.flags[child]) & NodeFlag.DETACHED
        if waited_for and max(start, low) < min(end, now) and (end <= now or whole):
            found.append((-end, start, int(child)))
    return min(found)[2] if found else None
