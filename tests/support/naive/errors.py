"""The plain twin of the error kernels: what failed, what became of it, where the blame rests.

One trace at a time, lists and dicts, the formulas of algorithms 3.1 as they are written there. Truth for
`analyzer.kernels.errors`, `analyzer.kernels.blame` and `analyzer.kernels.propagation`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from analyzer.analysis import Analysis
from analyzer.error_classes import _RPC as RPC_CLASSES
from analyzer.error_classes import ErrorClass, http_class, type_class
from analyzer.forest import Forest, NodeFlag
from analyzer.kernels.failure_rules import NodeState, class_compatibility
from analyzer.spans import SpanFlag, SpanKind, StatusCode, TraceBatch

MS = 1_000_000
VAGUE = (ErrorClass.NONE, ErrorClass.INTERNAL, ErrorClass.UNKNOWN)


def classify(traces: TraceBatch, forest: Forest) -> list[tuple[bool, bool, ErrorClass]]:
    """(failed, weak, class) of every node."""
    return [_classify(traces, int(forest.row[i]), int(forest.flags[i])) for i in range(len(forest.row))]


def _classify(traces: TraceBatch, row: int, flags: int) -> tuple[bool, bool, ErrorClass]:
    span = traces.rows[row]
    kind, status = SpanKind(int(span["kind"])), StatusCode(int(span["status"]))
    http, rpc = int(span["http_status"]), int(span["rpc_status"])
    failed = status == StatusCode.ERROR
    if status == StatusCode.UNSET:
        if kind == SpanKind.CLIENT:
            failed = http >= 400 or rpc not in (0, 255)
        if kind in (SpanKind.SERVER, SpanKind.UNSPECIFIED):
            failed = http >= 500 or rpc in (2, 4, 12, 13, 14, 15)
    hint = (
        bool(int(span["flags"]) & SpanFlag.EXCEPTION)
        or bool(flags & (NodeFlag.ERROR_LOG | NodeFlag.EXCEPTION_LOG))
        or (kind == SpanKind.CLIENT and http >= 400)
    )
    weak = hint and not failed
    if not failed and not weak:
        return False, False, ErrorClass.NONE
    code = http_class(http)
    if code == ErrorClass.NONE and rpc != 255:
        code = RPC_CLASSES[rpc] if rpc < len(RPC_CLASSES) else ErrorClass.NONE
    error_type = type_class(traces.vocabulary.strings.text(int(span["error_type"])).encode())
    exception = type_class(traces.vocabulary.strings.text(int(span["exception_type"])).encode())
    message = ErrorClass(int(span["message_class"]))
    if code == ErrorClass.CLIENT and ErrorClass.BUSINESS in (error_type, exception, message):
        return failed, weak, ErrorClass.BUSINESS
    for found in (code, error_type):
        if found not in VAGUE:
            return failed, weak, found
    for found in (exception, message, error_type, code):
        if found != ErrorClass.NONE:
            return failed, weak, found
    return failed, weak, ErrorClass.UNKNOWN


@dataclass
class Told:
    """What `blame` says of a trace; by node."""

    fatal: bool = False
    state: dict[int, NodeState] = field(default_factory=dict)
    blame: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    handled: dict[int, float] = field(default_factory=lambda: defaultdict(float))


class Trace:
    """One trace and the questions about it, each answered from scratch."""

    def __init__(self, analysis: Analysis, trace: int) -> None:
        self.a, self.f = analysis, analysis.forest
        self.nodes = list(self.f.nodes(trace))
        self.over = {i: int(self.f.parent[i]) for i in self.nodes}
        self._adopt()
        self.below: dict[int, list[int]] = {i: [] for i in self.nodes}
        for i, p in self.over.items():
            if p >= 0 and self.waited_for(i):
                self.below[p].append(i)

    def row(self, i: int) -> Any:
        return self.a.traces.rows[self.f.row[i]]

    def kind(self, i: int) -> SpanKind:
        return SpanKind(int(self.row(i)["kind"]))

    def failed(self, i: int) -> bool:
        return bool(self.a.failed[i])

    def says_fine(self, i: int) -> bool:
        row = self.row(i)
        return bool(row["status"] == StatusCode.OK or 0 < row["http_status"] < 400 or row["rpc_status"] == 0)

    def found(self, i: int) -> ErrorClass:
        return ErrorClass(int(self.a.error_class[i]))

    def start(self, i: int) -> int:
        return int(self.f.start_ns[i])

    def end(self, i: int) -> int:
        return int(self.f.end_ns[i])

    def orphan(self, i: int) -> bool:
        return bool(int(self.f.flags[i]) & NodeFlag.ORPHAN)

    def waited_for(self, i: int) -> bool:
        if self.kind(i) != SpanKind.CONSUMER:
            return True
        p = self.over[i]
        here = self.kind(p) != SpanKind.PRODUCER and self.row(p)["service"] == self.row(i)["service"]
        return bool(here and not int(self.f.flags[i]) & NodeFlag.DETACHED)

    def is_entry(self, i: int) -> bool:
        return self.over[i] < 0 or not self.waited_for(i)

    def has_server(self, i: int) -> bool:
        return any(self.kind(int(c)) == SpanKind.SERVER for c in self.f.children(i))

    def _adopt(self) -> None:
        lost = [i for i in self.nodes if self.over[i] < 0 and self.orphan(i)]
        for i in lost[:64]:
            hosts = [p for p in self.nodes if p < i and self.failed(p) and self._may_have_called(p, i)]
            if hosts:
                self.over[i] = min(hosts, key=lambda p: (not self.is_call(p), self.end(p) - self.start(p), p))

    def is_call(self, i: int) -> bool:
        return self.kind(i) == SpanKind.CLIENT

    def _may_have_called(self, p: int, i: int) -> bool:
        slack = max(MS, (self.end(p) - self.start(p)) // 50)
        began_inside = self.start(p) - slack <= self.start(i) <= self.end(p)
        ended_inside = self.end(i) <= self.end(p) + slack
        gave_up = self.found(p) in (ErrorClass.TIMEOUT, ErrorClass.CANCELLED)
        if not began_inside or not (ended_inside or gave_up):
            return False
        if not self.is_call(p):
            return not self.orphan(p)
        away = self.row(p)["service"] != self.row(i)["service"]
        return bool(away and self.row(p)["peer_kind"] in (0, 1) and not self.has_server(p))

    def attempt(self, i: int) -> str:
        """ "alone", "in vain" (tried again, failed again) or "recovered"."""
        p = self.over[i]
        siblings = [int(c) for c in self.f.children(p)] if p >= 0 else []
        if len(siblings) < 2 or len(siblings) > 512 or not self.failed(i):
            return "alone"
        key = ("operation", "peer")
        alike = [c for c in siblings if c != i and all(self.row(c)[k] == self.row(i)[k] for k in key)]
        slack = min(MS, (self.end(i) - self.start(i)) // 20)
        after = [c for c in alike if self.start(c) >= self.end(i) - slack]
        before = [c for c in alike if c not in after and self.end(c) <= self.start(i) + slack]
        fine = [c for c in after if not self.failed(c)]
        said = any(self.row(c)["resend_count"] for c in after)
        if not after or len(after) + len(before) < len(alike):
            return "alone"
        if any(not self.failed(c) for c in before) and not said:
            return "alone"
        if not fine:
            return "in vain"
        newest = max(self.start(c) for c in after)
        last = [c for c in after if self.start(c) == newest][-1]
        return "recovered" if said or (len(fine) == 1 and not self.failed(last)) else "alone"

    def own(self, i: int) -> float:
        moments, until = 0, self.start(i)
        for c in sorted((int(c) for c in self.f.children(i)), key=self.start):
            low, high = max(self.start(c), until), min(self.end(c), self.end(i))
            if high > low:
                moments, until = moments + high - low, high
        own = float(self.end(i) - self.start(i) - moments)
        usual = float(self.a.own.expected_ns[i])
        return own if math.isnan(usual) else max(0.0, own - usual)


def blame(analysis: Analysis, trace: int) -> Told:
    """Blame of one trace, with nothing learned (rho = 0.8, lambda = 0.1)."""
    t = Trace(analysis, trace)
    told = Told()
    if not any(t.failed(i) for i in t.nodes):
        return told
    strength, carried, longest, leaves = _carried(t)
    weight, fit, late, slow = _weights(t, strength, carried, longest)
    connected = set()
    for i in t.nodes:
        p = t.over[i]
        if not t.is_entry(i) and weight.get(i, 0) > 0 and (t.failed(p) or p in connected):
            connected.add(i)
    entries = {
        i: leaves[i] * (1.0 if t.over[i] >= 0 or t.orphan(i) else 4.0) for i in t.nodes if t.failed(i) and t.is_entry(i)
    }
    lost = [i for i in t.nodes if t.failed(i) and not t.is_entry(i) and i not in connected]
    mass: dict[int, float] = defaultdict(float, {i: w / sum(entries.values()) for i, w in entries.items()})
    other: dict[int, float] = defaultdict(float, {i: 1.0 / len(lost) for i in lost})
    told.fatal = bool(entries)
    for i in t.nodes:
        heirs = {c: weight[c] for c in t.below[i] if weight.get(c, 0) > 0}
        explained = any(carried[c] != ErrorClass.CANCELLED for c in heirs)
        if t.failed(i) and i in slow and (i in late or not explained):
            target = slow[i][1]
            told.blame[target] += mass[i]
            told.handled[target] += other[i]
            if mass[i] + other[i] > 0:
                told.state[target] = NodeState.SLOW
            local, heirs = 1.0, {}
            if i not in lost:
                told.state[i] = NodeState.TIMEOUT
                continue
        else:
            local = 1.0
            if heirs:
                alone = 0.1 * math.prod(1 - min(0.8 * strength[c], 0.99) for c in heirs)
                alone *= 1.0 - 0.9 * max(fit[c] for c in heirs)
                alone *= 1.0 if t.failed(i) else 0.2
                local = alone / (alone + sum(heirs.values()))
            told.blame[i] += mass[i] * local
            told.handled[i] += other[i] * local
            for c, w in heirs.items():
                part = (1 - local) * w / sum(heirs.values())
                mass[c] += mass[i] * part
                if c in connected:
                    other[c] += other[i] * part
        if t.failed(i) and told.state.get(i) != NodeState.SLOW:
            told.state[i] = _state(t, i, i in lost, local, heirs, carried)
    return told


def _carried(t: Trace) -> tuple[dict[int, float], dict[int, ErrorClass], dict[int, tuple[float, int]], dict[int, int]]:
    """Upwards: strength and class of what a node carries, longest own time and failed leaves below it."""
    strength: dict[int, float] = {}
    carried: dict[int, ErrorClass] = {}
    longest: dict[int, tuple[float, int]] = {}
    leaves: dict[int, int] = {}
    for i in reversed(t.nodes):
        times = [(t.own(i), i)]
        # The deeper of equal times wins; of equal children the first.
        for c in sorted(t.below[i], reverse=True):
            if longest[c][0] >= times[0][0]:
                times[0] = longest[c]
        longest[i] = times[0]
        heirs = [c for c in sorted(t.below[i], reverse=True) if strength[c] > 0 and t.attempt(c) != "recovered"]
        most = max((strength[c] for c in heirs), default=0.0)
        first = next((c for c in heirs if strength[c] == most), None)
        carried[i] = carried[first] if first is not None else ErrorClass.NONE
        leaves[i] = sum(leaves[c] for c in heirs)
        row = t.row(i)
        ok = row["status"] == StatusCode.OK
        if t.failed(i):
            strength[i], carried[i], leaves[i] = 1.0, t.found(i), max(leaves[i], 1)
        elif bool(t.a.weak[i]) and most < 0.6:
            strength[i], carried[i] = 0.1 if ok else 0.6, t.found(i)
        elif t.says_fine(i):
            strength[i] = 0.0
        else:
            strength[i] = 0.7 * most
    return strength, carried, longest, leaves


def _weights(
    t: Trace, strength: dict[int, float], carried: dict[int, ErrorClass], longest: dict[int, tuple[float, int]]
) -> tuple[dict[int, float], dict[int, float], set[int], dict[int, tuple[float, int]]]:
    """Across: what each child explains of its parent, and who held the time of parents that gave up."""
    compat = class_compatibility()
    weight: dict[int, float] = {}
    fit: dict[int, float] = {}
    late: set[int] = set()
    slow: dict[int, tuple[float, int]] = {}
    for p in t.nodes:
        duration = t.end(p) - t.start(p)
        slack = max(MS, duration // 50)
        for c in sorted(t.below[p]):
            remote = t.kind(c) == SpanKind.SERVER and t.kind(p) == SpanKind.CLIENT
            outlives = t.end(c) > t.end(p) + slack
            if t.failed(p):
                gave_up = t.found(p) in (ErrorClass.TIMEOUT, ErrorClass.CANCELLED)
                lost = t.found(p) in (ErrorClass.UNKNOWN, ErrorClass.UNAVAILABLE)
                is_late = remote and outlives and (gave_up or (lost and not t.failed(c)))
                cut = t.failed(c) and t.found(c) == ErrorClass.CANCELLED
                running = t.end(c) + slack >= t.end(p)
                filled = t.end(c) - t.start(c) >= 0.8 * duration
                waited = gave_up and running and (cut or (not t.failed(c) and (outlives or filled)))
                if is_late:
                    late.add(p)
                if (is_late or waited) and longest[c][0] > slow.get(p, (-1.0, 0))[0]:
                    slow[p] = longest[c]
            if strength[c] == 0 or t.attempt(c) == "recovered":
                continue
            wanted = t.found(p) if t.failed(p) else carried[p]
            closeness = 0.15 + 0.85 * math.exp(-max(t.end(p) - t.end(c), 0) / max(2e6, 0.1 * duration))
            closeness *= 0.3 if outlives and not remote else 1.0
            closeness *= 0.5 if t.orphan(c) else 1.0
            again = 0.1 if t.attempt(c) == "in vain" else 1.0
            fit[c] = strength[c] * closeness * float(compat[carried[c], wanted]) * again
            weight[c] = 0.8 * fit[c]
    return weight, fit, late, slow


def _state(
    t: Trace, i: int, lost: bool, local: float, heirs: dict[int, float], carried: dict[int, ErrorClass]
) -> NodeState:
    if lost:
        if t.attempt(i) == "recovered":
            return NodeState.HANDLED_RETRY
        siblings = [int(c) for c in t.f.children(t.over[i])]
        later = siblings and siblings[-1] != i and t.start(siblings[-1]) >= t.end(i) - 1_000
        return NodeState.HANDLED_FALLBACK if later else NodeState.IGNORED
    if local < 0.5:
        main = max(sorted(heirs), key=lambda c: heirs[c])
        same = carried[main] == t.found(i) or ErrorClass.UNKNOWN in (carried[main], t.found(i))
        return NodeState.PROPAGATED if same else NodeState.TRANSFORMED
    if t.found(i) == ErrorClass.TIMEOUT:
        return NodeState.TIMEOUT
    if t.found(i) == ErrorClass.CANCELLED:
        return NodeState.CANCELLED
    bare = t.kind(i) == SpanKind.CLIENT and not t.has_server(i)
    return NodeState.REFUSED if bare and t.found(i) == ErrorClass.UNAVAILABLE else NodeState.ORIGIN


def _went_on(t: Trace, i: int) -> bool:
    """A failure below came out of `i`, by what it says itself, else by what the span above says."""
    while not t.failed(i):
        row = t.row(i)
        if t.says_fine(i):
            return False
        if row["http_status"] >= 400 or row["rpc_status"] not in (0, 255):
            return True
        if t.over[i] < 0 or not t.waited_for(i):
            return False
        i = t.over[i]
    return True


def propagation_counts(analysis: Analysis) -> tuple[dict[tuple[int, int, int], list[float]], dict[int, list[float]]]:
    """(parent operation, child operation, class) -> [parent failed, seen]; operation -> [failed alone, seen]."""
    edges: dict[tuple[int, int, int], list[float]] = defaultdict(lambda: [0.0, 0.0])
    alone: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
    forest, rows = analysis.forest, analysis.traces.rows
    for trace in range(analysis.traces.trace_count):
        t = Trace(analysis, trace)
        t.over = {i: int(forest.parent[i]) for i in t.nodes}
        bad: set[int] = set()
        for i in reversed(t.nodes):
            p = t.over[i]
            if p < 0 or not t.waited_for(i):
                continue
            if t.failed(i) and t.attempt(i) != "recovered":
                bad.add(p)
                key = (int(t.row(p)["operation"]), int(t.row(i)["operation"]), int(t.found(i)))
                edges[key][0] += _went_on(t, p)
                edges[key][1] += 1
            if not t.failed(i) and i in bad and not t.says_fine(i):
                bad.add(p)
        for i in t.nodes:
            if i not in bad:
                operation = int(rows[forest.row[i]]["operation"])
                alone[operation][0] += t.failed(i)
                alone[operation][1] += 1
    return dict(edges), dict(alone)
