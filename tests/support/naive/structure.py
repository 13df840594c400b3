"""The plain twin of the structure memory: dicts and loops, every execution counted one by one."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

from analyzer.forest import Forest, NodeFlag
from analyzer.spans import SpanKind, TraceBatch


@dataclass
class PlainStructure:
    """Counts without fading; clean traces only."""

    count_min: int
    q_min: float
    surprise_min: float
    server_count_min: int
    executions: Counter[int] = field(default_factory=Counter)
    served: Counter[int] = field(default_factory=Counter)
    present: Counter[tuple[int, int]] = field(default_factory=Counter)
    counts: dict[tuple[int, int], list[int]] = field(default_factory=lambda: defaultdict(list))
    known: set[int] = field(default_factory=set)
    waits: dict[tuple[int, int], list[int]] = field(default_factory=lambda: defaultdict(list))  # octaves

    def learn(self, traces: TraceBatch, forest: Forest, failed: np.ndarray) -> None:
        """An operation is known from the batch on in which it first had a child (or is a CLIENT)."""
        for node in range(len(forest.parent)):
            if len(forest.children(node)) or kind(traces, forest, node) == SpanKind.CLIENT:
                self.known.add(operation(traces, forest, node))
        for node in range(len(forest.parent)):
            children = forest.children(node).tolist()
            if failed[node] or any(failed[child] for child in children):
                continue
            here = operation(traces, forest, node)
            if here not in self.known or here == 0:
                continue
            self.executions[here] += 1
            self.served[here] += any(kind(traces, forest, child) == SpanKind.SERVER for child in children)
            if kind(traces, forest, node) == SpanKind.CLIENT:
                continue
            for child in children:
                if kind(traces, forest, node) == SpanKind.PRODUCER and kind(traces, forest, child) == SpanKind.CONSUMER:
                    gap = octave(int(forest.start_ns[child] - forest.end_ns[node]))
                    self.waits[here, operation(traces, forest, child)].append(gap)
            for called, count in Counter(callee(traces, forest, child) for child in children).items():
                if called:
                    self.present[here, called] += 1
                    self.counts[here, called].append(count)

    def missing(self, traces: TraceBatch, forest: Forest, failed: np.ndarray) -> list[float]:
        found = []
        for node in range(len(forest.parent)):
            children = forest.children(node).tolist()
            here = operation(traces, forest, node)
            n = self.executions[here]
            explained = failed[node] or any(failed[child] or self.lost(traces, forest, child) for child in children)
            silent = kind(traces, forest, node) in (SpanKind.CLIENT, SpanKind.PRODUCER)
            nats = 0.0
            if here and n >= self.count_min and not explained and not silent:
                made = {callee(traces, forest, child) for child in children}
                for (parent, called), there in self.present.items():
                    if parent == here and called not in made and wilson(there, n) >= self.q_min:
                        surprise = -math.log((n - there + 0.5) / (n + 1))
                        if n - there < 1.5 and surprise >= self.surprise_min:
                            nats += surprise
            found.append(nats)
        return found

    def calls(
        self, traces: TraceBatch, forest: Forest, failed: np.ndarray, usual: float
    ) -> dict[tuple[int, int], list[int]]:
        """Of calls made in a usual share of executions: how many could have made it now, and how many did not."""
        found: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0])
        for node in range(len(forest.parent)):
            children = forest.children(node).tolist()
            here = operation(traces, forest, node)
            n = self.executions[here]
            explained = failed[node] or any(failed[child] or self.lost(traces, forest, child) for child in children)
            silent = kind(traces, forest, node) in (SpanKind.CLIENT, SpanKind.PRODUCER)
            if here == 0 or n < self.count_min or explained or silent:
                continue
            made = {callee(traces, forest, child) for child in children}
            for (above, called), there in self.present.items():
                if above == here and wilson(there, n) >= usual:
                    found[here, called][0] += 1
                    found[here, called][1] += called not in made
        return dict(found)

    def wait_p(self, traces: TraceBatch, forest: Forest) -> list[float]:
        """Share of waits that were as long, to an octave."""
        found = []
        for node in range(len(forest.parent)):
            above, p = int(forest.parent[node]), math.nan
            if kind(traces, forest, node) == SpanKind.CONSUMER and above >= 0:
                known = self.waits.get((operation(traces, forest, above), operation(traces, forest, node)), [])
                timed = not int(forest.flags[node] | forest.flags[above]) & int(NodeFlag.NO_TIME)
                if timed and len(known) >= self.server_count_min:
                    gap = octave(int(forest.start_ns[node] - forest.end_ns[above]))
                    p = (1 + sum(other >= gap for other in known)) / (1 + len(known))
            found.append(p)
        return found

    def lost(self, traces: TraceBatch, forest: Forest, node: int) -> bool:
        """A CLIENT span without the SERVER span that it mostly has."""
        here = operation(traces, forest, node)
        if kind(traces, forest, node) != SpanKind.CLIENT or callee(traces, forest, node) != here:
            return False
        return 2 * self.served[here] > self.executions[here]

    def repeated(self, traces: TraceBatch, forest: Forest) -> list[int]:
        """Number of like calls, where no usual number is known."""
        found = []
        for node in range(len(forest.parent)):
            counts = Counter(callee(traces, forest, child) for child in forest.children(node).tolist())
            counts.pop(0, None)
            found.append(max(counts.values(), default=0))
        return found

    def server_share(self, traces: TraceBatch, forest: Forest) -> list[float]:
        found = []
        for node in range(len(forest.parent)):
            here = operation(traces, forest, node)
            known = kind(traces, forest, node) == SpanKind.CLIENT and self.executions[here] >= self.server_count_min
            found.append(self.served[here] / self.executions[here] if known and here else math.nan)
        return found


def operation(traces: TraceBatch, forest: Forest, node: int) -> int:
    return int(traces.rows["operation"][forest.row[node]])


def kind(traces: TraceBatch, forest: Forest, node: int) -> int:
    return int(traces.rows["kind"][forest.row[node]])


def callee(traces: TraceBatch, forest: Forest, node: int) -> int:
    if kind(traces, forest, node) == SpanKind.CLIENT:
        for child in forest.children(node).tolist():
            if kind(traces, forest, child) == SpanKind.SERVER and operation(traces, forest, child):
                return operation(traces, forest, child)
    return operation(traces, forest, node)


def octave(wait_ns: int) -> int:
    return min(40, max(9, wait_ns.bit_length() - 1 if wait_ns > 0 else 0))


def wilson(there: int, n: int) -> float:
    """One-sided 99 % lower bound of a share."""
    share, z = there / n, 2.33
    root = math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (share + z * z / (2 * n) - z * root) / (1 + z * z / n)
