"""ShapleyIQ: whose extra time made each trace late, shared by the Shapley values of a game of timelines.

Source: Li et al., ShapleyIQ, ASPLOS 2023, and its published program. A caller is cut into the gaps between its
callees; its extra time (duration minus the operation's mean) is spread over them; segments that follow one another
within 5 % become one chain; sweeping from the right, the time between two events {end, end - extra} is shared equally
by the chains that are then in excess; a chain's share goes to its operations by their extra time; negative shares
become 0. Summed over traces, then over a service's operations. Changed: of many traces an even sample is taken.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

import numpy as np

from analyzer.evaluation.methods.columns import duration_ms, ranked, service_of, table_size, usual
from analyzer.evaluation.words import Scores
from analyzer.incidents.facts import TraceFacts
from analyzer.spans import Vocabulary

FOLLOWS_SHARE = 0.05  # of the earlier segment's duration
TRACES_MAX = 1000  # analysed; the cost of a trace grows with its spans


class Segment(NamedTuple):
    """A piece of time of one operation and how much of it is extra; milliseconds."""

    start: float
    end: float
    operation: int
    extra: float


class Chain(NamedTuple):
    """Segments that follow one another."""

    end: float
    extra: float
    members: list[Segment]


def rank(reference: TraceFacts, window: TraceFacts, vocabulary: Vocabulary) -> Scores:
    """Rank services by their share of the extra time."""
    size = table_size(reference.operation, window.operation)
    before = usual(reference.operation, duration_ms(reference), size)
    after = usual(window.operation, duration_ms(window), size)
    # An operation that was never seen has no normal duration; what it takes now is all that is known of it.
    normal = np.where(before.count > 0, before.mean, after.mean)
    total = np.zeros(size)
    count = window.trace_count
    for trace in np.unique(np.linspace(0, count - 1, min(count, TRACES_MAX)).astype(np.intp)) if count else ():
        for operation, value in trace_shares(window, int(trace), normal.tolist()).items():
            total[operation] += value
    services = table_size(reference.service, window.service)
    scores = np.bincount(service_of(size, reference, window), total, services).astype(np.float64)
    present = np.bincount(window.service, minlength=services) > 0
    return ranked(scores, present, vocabulary)


def trace_shares(facts: TraceFacts, trace: int, normal_ms: list[float]) -> dict[int, float]:
    """Share of one trace's extra time per operation, milliseconds."""
    spans = slice(int(facts.trace_ptr[trace]), int(facts.trace_ptr[trace + 1]))
    first = spans.start
    start_ns = facts.start_ns[spans]
    if not len(start_ns):
        return {}
    start = ((start_ns - start_ns.min()) / 1e6).tolist()
    taken = (facts.duration_ns[spans] / 1e6).tolist()
    operation = facts.operation[spans].tolist()
    children: dict[int, list[int]] = {}
    for index, parent in enumerate(facts.parent[spans].tolist()):
        if parent >= 0:
            children.setdefault(parent - first, []).append(index)
    segments: list[Segment] = []
    for index, begin in enumerate(start):
        own = Segment(begin, begin + taken[index], operation[index], taken[index] - normal_ms[operation[index]])
        callees = sorted((start[child], start[child] + taken[child]) for child in children.get(index, ()))
        segments += split(own, callees) if callees else [own]
    return share_out(merge(segments))


def split(caller: Segment, callees: list[tuple[float, float]]) -> list[Segment]:
    """Cut a caller into the gaps that its callees leave; its extra time is spread over them by length."""
    gaps: list[tuple[float, float]] = []
    reached = caller.start
    for start, end in callees:
        if start > reached:
            gaps.append((reached, start))
        reached = max(reached, end)
    if caller.end > reached:
        gaps.append((reached, caller.end))
    duration, own = caller.end - caller.start, sum(end - start for start, end in gaps)
    if own <= 0.0 or duration <= 0.0:
        return []
    extra = min(caller.extra * own / duration, duration)
    return [Segment(start, end, caller.operation, min(extra * (end - start) / own, end - start)) for start, end in gaps]


def merge(segments: list[Segment]) -> list[Chain]:
    """Put segments that follow one another within 5 % into chains; each segment is used once."""
    left = sorted(segments, key=lambda one: one.start)
    chains: list[Chain] = []
    while left:
        starts = [one.start for one in left]
        last, used, members = 0, {0}, [left[0]]
        while True:
            here = left[last]
            stop = bisect_left(starts, here.end + FOLLOWS_SHARE * (here.end - here.start), lo=last + 1)
            longest = max(range(last, stop), key=lambda i: left[i].end)
            if longest == last:
                break
            used.update(range(last + 1, stop))
            last = longest
            members.append(left[last])
        chains.append(Chain(left[last].end, sum(left[i].extra for i in used), members))
        left = [one for i, one in enumerate(left) if i not in used]
    return chains


def share_out(chains: list[Chain]) -> dict[int, float]:
    """Shapley values of the game "the latest end of those that are in excess", given to the chains' operations."""
    late = [chain for chain in chains if chain.extra > 0.0]
    events = sorted(
        [(chain.end, 1, i) for i, chain in enumerate(late)]
        + [(chain.end - chain.extra, 0, i) for i, chain in enumerate(late)],
        key=lambda one: (-one[0], -one[1]),
    )
    shares = [0.0] * len(late)
    running: set[int] = set()
    before = 0.0
    for time, begins, index in events:
        for other in running:
            shares[other] += (before - time) / len(running)
        before = time
        if begins:
            running.add(index)
        else:
            running.discard(index)
    found: dict[int, float] = {}
    for chain, value in zip(late, shares, strict=True):
        total = sum(member.extra for member in chain.members)
        if total > 0.0:
            for member in chain.members:
                found[member.operation] = found.get(member.operation, 0.0) + value * member.extra / total
    return {operation: max(value, 0.0) for operation, value in found.items()}
