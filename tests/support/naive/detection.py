"""The plain twins of detection: one number at a time, sums written out."""

from __future__ import annotations

import math
from collections import defaultdict

from analyzer.analysis import Analysis
from analyzer.node_words import NodeFlag
from analyzer.spans import SpanKind

CALLING = (SpanKind.CLIENT, SpanKind.PRODUCER)
ANSWERING = (SpanKind.SERVER, SpanKind.CONSUMER)
NO_ENTRY = NodeFlag.ORPHAN | NodeFlag.CYCLE_CUT | NodeFlag.SELF_PARENT


def binomial_pmf(k: int, n: int, share: float) -> float:
    return math.comb(n, k) * share**k * (1 - share) ** (n - k)


def poisson_pmf(k: int, mean: float) -> float:
    return math.exp(k * math.log(mean) - mean - math.lgamma(k + 1))


def negative_binomial_pmf(k: int, mean: float, variance: float) -> float:
    """Of shape r = mean**2 / (variance - mean): r failures of a game that is won with probability 1 - mean / variance."""
    shape = mean * mean / (variance - mean)
    ways = math.lgamma(k + shape) - math.lgamma(shape) - math.lgamma(k + 1)
    return math.exp(ways + shape * math.log(mean / variance) + k * math.log(1 - mean / variance))


def e_process(p_values: list[float | None], bet: float) -> list[float]:
    """The e-process after each p-value, floored at 1; None: nothing was seen."""
    e, seen = 1.0, []
    for p in p_values:
        if p is not None:
            e = max(1.0, e * (1 - bet + bet * 0.5 / math.sqrt(p)))
        seen.append(e)
    return seen


def cusum(gains: list[float]) -> tuple[float, int]:
    """Every start and every end tried: the largest sum, and the latest start that reaches it at its first end."""
    best, onset, best_end = 0.0, len(gains), 0
    for end in range(1, len(gains) + 1):
        for start in range(end):
            total = math.fsum(gains[start:end])
            if total > best + 1e-9 or (abs(total - best) <= 1e-9 and end == best_end and best > 0):
                best, onset, best_end = max(best, total), start, end
    return best, onset


def page_hinkley(values: list[float], drift: float) -> tuple[float, int]:
    total = lowest = 0.0
    onset = 0
    for i in range(len(values)):
        mean = math.fsum(values[: i + 1]) / (i + 1)
        total += values[i] - mean - drift
        if total <= lowest:
            lowest, onset = total, i + 1
    return (total - lowest, onset) if total > lowest else (0.0, len(values))


def season_of(weekday: int, hour: int) -> int:
    """Monday is 0."""
    return hour // 3 + (8 if weekday >= 5 else 0)


class Counts:
    """Counts per entity of everything added: calls, failures, served, scored, rare, rarest, extreme."""

    def __init__(self) -> None:
        self.sums: dict[tuple[str | int, ...], list[int]] = defaultdict(lambda: [0] * 7)
        self.reached: dict[tuple[int, str], str] = {}

    def add(self, analysis: Analysis) -> None:
        forest, rows = analysis.forest, analysis.traces.rows
        text = analysis.traces.vocabulary.strings.text
        for node in range(len(forest.row)):
            row = rows[forest.row[node]]
            service, kind, above = text(int(row["service"])), int(row["kind"]), int(forest.parent[node])
            failed = int(analysis.failed[node])
            if above >= 0:
                caller = rows[forest.row[above]]
                entry = caller["service"] != row["service"]
                if entry and int(caller["kind"]) not in CALLING:
                    self._call("edge", text(int(caller["service"])), service, failed=failed, served=1)
                if entry and int(row["operation"]):
                    name = ("inner", service, text(int(row["name"])))
                    self._call(*name, failed=failed, served=int(not analysis.structure.missing[node] > 0))
                    self._time(name, analysis.own.p[node], analysis.own.level[node])
            else:
                whole = not int(forest.flags[node]) & NO_ENTRY
                entry = whole or kind in ANSWERING
                if whole and int(row["operation"]):
                    name = ("operation", service, text(int(row["name"])))
                    self._call(*name, failed=failed, served=int(not analysis.structure.missing[node] > 0))
                    self._time(name, analysis.duration.p[node], analysis.duration.level[node])
            places: list[tuple[str | int, ...]] = [("service", service)]
            if int(row["resource"]):
                places.append(("instance", int(row["resource"])))
            for place in places:
                if entry:
                    self._call(*place, failed=failed)
                if place[0] == "instance":
                    self._time(place, analysis.own.p[node], analysis.own.level[node])
            if not (kind in CALLING and self._outgoing(analysis, node, service, failed)):
                self._time(("service", service), analysis.own.p[node], analysis.own.level[node])

    def _outgoing(self, analysis: Analysis, node: int, service: str, failed: int) -> bool:
        """Count a call at its edge; false when nobody knows whom it was meant for."""
        forest, rows = analysis.forest, analysis.traces.rows
        row, text = rows[forest.row[node]], analysis.traces.vocabulary.strings.text
        kind = int(row["kind"])
        below = [text(int(rows[forest.row[child]]["service"])) for child in forest.children(node)]
        others = [name for name in below if name != service]
        peer = text(int(row["peer"]))
        calls = (int(row["operation"]), peer)
        lost = False
        if others:
            callee = self.reached[calls] = others[0]
        elif calls in self.reached:
            callee, lost = self.reached[calls], True
        else:
            callee = peer
        if callee and callee != service:
            self._call("edge", service, callee, failed=failed, served=int(bool(others)))
            if kind == SpanKind.PRODUCER and others:
                taker = next(
                    child for child in forest.children(node) if text(int(rows[forest.row[child]]["service"])) != service
                )
                wait_p = float(analysis.structure.wait_p[taker])
                self._time(("edge", service, callee), wait_p, int(wait_p >= 0))
            elif not lost:
                self._time(("edge", service, callee), analysis.own.p[node], analysis.own.level[node])
            return True
        return False

    def _call(self, *place: str | int, failed: int, served: int = 0) -> None:
        sums = self.sums[place]
        sums[0] += 1
        sums[1] += failed
        sums[2] += served

    def _time(self, place: tuple[str | int, ...], p: float, level: int) -> None:
        if level > 0:
            sums = self.sums[place]
            sums[3] += 1
            sums[4] += int(p <= 0.05)
            sums[5] += int(p <= 0.01)
            sums[6] += int(p <= 0.002)
