"""Which candidates take more time than they did: excess milliseconds, tested, and charged by the star rule.

In: facts and cast of reference and window. Out: milliseconds a trace that each candidate added, and the edges that
grew. A span's own time belongs to its process; the own time of a call (client minus server) lies between two.
It is charged by its pattern (`analyzer.incidents.star`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from analyzer.incidents.asking import Asking
from analyzer.incidents.cast import Alike, Cast, Lines
from analyzer.incidents.facts import TraceFacts
from analyzer.incidents.grouping import group_rows, number_alike
from analyzer.incidents.star import Charged, Edge, charge
from analyzer.spans import SpanKind

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
Spans = npt.NDArray[np.intp]
Marks = npt.NDArray[np.bool_]

_Z_MIN = 3.0  # standard errors that are taken off every excess before it counts
_RATIO_MIN = 0.1  # of the usual mean: less than this is not worth a word
_FLOOR_NS = 50_000.0  # resolution of a time that went through two clocks and a scheduler
_WAIT_WEIGHT = 0.1  # nobody stands at the end of a queue and waits for its answer
_BLOCKS = 6  # parts of the reference's time; how far their means drift apart is no news either
_THEN_MIN, _NOW_MIN, _TRIMMED_MIN = 5, 3, 20
_CAP = 50.0  # times the 95th percentile: a single hung call is not the mean of all


@dataclass(frozen=True, slots=True)
class Excess:
    """One group of like spans that became slower.

    Milliseconds: `excess_ms` a trace of the window after the margin of error; `before_ms`, `after_ms` means of a span.
    """

    operation: int
    owner: int
    callee: int  # -1: own time of the process
    excess_ms: float
    before_ms: float
    after_ms: float
    z: float
    count: int
    waits: bool = False  # what messages wait before it begins, not its own time


@dataclass(frozen=True, slots=True)
class Slower:
    """own_ms : float64[c], milliseconds a trace of each candidate's own; charged : what its calls gained, as well."""

    own_ms: Floats
    charged: Charged
    groups: list[Excess]


def find_slower(
    reference: TraceFacts, window: TraceFacts, cast: Cast, asking: Asking, troubled: tuple[Marks, Marks]
) -> Slower:
    """Say which candidates became slower, in milliseconds a trace.

    Parameters
    ----------
    asking : Asking
        Who answers for what only has more to do.
    troubled : bool[n], bool[n]
        Spans of reference and window that failed or whose calls did: how long they took is another matter, for they
        stop early, wait and try again.
    """
    groups = _groups(reference, window, cast, troubled)
    groups += _waits(reference, window, cast)
    own = np.zeros(len(cast.names))
    gains: dict[Edge, float] = {}
    calls: dict[Edge, int] = {}
    for group in groups:
        slower = group.after_ms / max(group.before_ms, 1e-9)
        asker = asking.answers_for(group.owner, group.callee, slower)
        if asker >= 0 or group.callee < 0:
            own[asker if asker >= 0 else group.owner] += group.excess_ms
        else:
            edge = (group.owner, group.callee)
            gains[edge] = gains.get(edge, 0.0) + group.excess_ms
            calls[edge] = calls.get(edge, 0) + group.count
    return Slower(own, charge(gains, calls, own), groups)


def _groups(reference: TraceFacts, window: TraceFacts, cast: Cast, troubled: tuple[Marks, Marks]) -> list[Excess]:
    """Every group that both populations have, with its excess (0 when it is within the margin)."""
    before, after = (
        _keyed(cast.alike, lines, bad) for lines, bad in ((cast.reference, troubled[0]), (cast.window, troubled[1]))
    )
    blocks = _blocks(reference)
    found = []
    traces = max(1, window.trace_count)
    for key, now in after.items():
        then = before.get(key)
        if then is not None and len(then) >= _THEN_MIN and len(now) >= _NOW_MIN:
            found.append(_excess(key, then, now, (reference.own_ns, window.own_ns), blocks, 1.0 / traces))
    return found


def _excess(
    key: tuple[int, int, int], then: Spans, now: Spans, times: tuple[Times, Times], blocks: Times, weight: float
) -> Excess:
    gain_ns, error_ns, mean_ns = _gain(then, now, *times, blocks)
    sure = max(0.0, gain_ns - _Z_MIN * error_ns) if gain_ns > _RATIO_MIN * mean_ns else 0.0
    return Excess(
        operation=key[0],
        owner=key[1],
        callee=key[2],
        excess_ms=sure * len(now) * weight / 1e6,
        before_ms=mean_ns / 1e6,
        after_ms=(mean_ns + gain_ns) / 1e6,
        z=gain_ns / error_ns,
        count=len(now),
    )


def _waits(reference: TraceFacts, window: TraceFacts, cast: Cast) -> list[Excess]:
    """What messages wait in queues: from the end of their sending to their consumer, which it is charged to."""
    before, after = _queued(reference, cast.reference), _queued(window, cast.window)
    both = [key for key, now in after.items() if len(before.get(key, ())) >= _THEN_MIN and len(now) >= _NOW_MIN]
    if not both:
        return []
    times = _wait_ns(reference, [before[key] for key in both]), _wait_ns(window, [after[key] for key in both])
    traces = max(1, window.trace_count)
    blocks = _blocks(reference)
    return [
        replace(_excess(key, before[key], after[key], times, blocks, _WAIT_WEIGHT / traces), waits=True) for key in both
    ]


def _wait_ns(facts: TraceFacts, queued: Iterable[Spans]) -> Times:
    """int64[n]: how long each message waited; 0 of spans that work on none."""
    waited = np.zeros(len(facts), np.int64)
    spans = np.concatenate([np.zeros(0, np.intp), *queued])
    above = facts.parent[spans]
    sent_ns = facts.start_ns[above] + facts.duration_ns[above]
    waited[spans] = np.maximum(0, facts.start_ns[spans] - sent_ns - _behind_ns(facts, above))
    return waited


def _behind_ns(facts: TraceFacts, spans: npt.NDArray[np.int32]) -> Times:
    """int64[k]: by how much the clock is behind that wrote these spans: nothing begins before who caused it.

    A sender whose clock was set back makes its messages look old; what lies before its own cause is no wait.
    """
    behind = np.zeros(len(spans), np.int64)
    at, left = spans.astype(np.int64), np.arange(len(spans))
    while len(left):  # as many steps as the deepest trace has levels
        left = left[facts.parent[at[left]] >= 0]
        above = facts.parent[at[left]]
        behind[left] += np.maximum(0, facts.start_ns[above] - facts.start_ns[at[left]])
        at[left] = above
    return behind


def _queued(facts: TraceFacts, lines: Lines) -> dict[tuple[int, int, int], Spans]:
    above = np.maximum(facts.parent, 0)
    # Where kinds say nothing: somebody begins to work for a span that is over by then.
    ended = facts.start_ns[above] + facts.duration_ns[above]
    consumer = (facts.kind == int(SpanKind.CONSUMER)) | (
        (facts.start_ns >= ended) & (lines.owner != lines.owner[above])
    )
    spans = np.flatnonzero((facts.parent >= 0) & lines.usable & consumer)
    operations, (numbers,) = number_alike([facts.operation[spans]])
    groups = group_rows(numbers, len(operations))
    pieces = [spans[groups.rows(number)] for number in range(len(operations))]
    return {
        (operation, int(lines.owner[piece[0]]), -1): piece
        for operation, piece in zip(operations.tolist(), pieces, strict=True)
    }


def _blocks(facts: TraceFacts) -> Times:
    """int64[n]: which part of the reference's time each span is from, parts of equally many traces."""
    order = np.argsort(np.argsort(facts.trace_start_ns, kind="stable"), kind="stable")
    block = order * _BLOCKS // max(1, facts.trace_count)
    return np.repeat(block, np.diff(facts.trace_ptr)).astype(np.int64)


def _gain(then: Spans, now: Spans, own_before: Times, own_now: Times, blocks: Times) -> tuple[float, float, float]:
    """(gain, its standard error, usual mean) of a group, nanoseconds: of all times, or of the middle ones.

    The middle is asked too, because a reference that holds some bad minutes of its own hides a gain of the mean.
    """
    old, new, block = own_before[then].astype(np.float64), own_now[now].astype(np.float64), blocks[then]
    ordered = np.sort(old)
    cap = _CAP * (_quantile(ordered, 0.95) + _FLOOR_NS)
    found = [_compare(np.minimum(old, cap), np.minimum(new, cap), block)]
    if len(old) >= _TRIMMED_MIN and len(new) >= _TRIMMED_MIN:
        middle = _middle(old, ordered, len(old) // 10)
        found.append(_compare(old[middle], np.sort(new)[len(new) // 10 : -(len(new) // 10)], block[middle]))
    return max(found, key=lambda one: one[0] - _Z_MIN * one[1])


def _quantile(ordered: Floats, share: float) -> float:
    """Return what `np.quantile` does, of values in order: no second look for them."""
    at = share * (len(ordered) - 1)
    below, above = ordered[int(at)], ordered[min(int(at) + 1, len(ordered) - 1)]
    part = at - int(at)
    return float(below + (above - below) * part if part < 0.5 else above - (above - below) * (1.0 - part))


def _middle(values: Floats, ordered: Floats, count: int) -> Marks:
    """bool[n]: all but the `count` smallest and largest; of equals the first are the smaller ones."""
    low, high = ordered[count], ordered[-count - 1]
    inside: Marks = (values > low) & (values < high)
    for bound in {low, high}:
        equal = np.flatnonzero(values == bound)
        smaller = int(np.searchsorted(ordered, bound))
        inside[equal[max(0, count - smaller) : len(values) - count - smaller]] = True
    return inside


def _compare(then: Floats, now: Floats, block: Times) -> tuple[float, float, float]:
    mean, deviation = _mean_and_deviation(then)
    mean_now, deviation_now = _mean_and_deviation(now)
    # Under "nothing changed" the window scatters as the reference does; and a gain that is one hung call is none,
    # so the window's own scatter counts as well.
    least = 0.1 * mean + _FLOOR_NS
    variance = (deviation + least) ** 2
    scatter = max(variance, (deviation_now + least) ** 2) * (1.0 + 2.0 / len(now))
    # It may also drift as the reference does from one part of its time to the next.
    counts = np.bincount(block, minlength=_BLOCKS)
    full = counts >= _NOW_MIN
    drift = 0.0
    if full.sum() > 2:
        means = np.bincount(block, then, _BLOCKS)[full] / counts[full]
        # By the median: one bad part of the reference must not excuse the window.
        spread = 1.4826 * float(np.median(np.abs(means - np.median(means))))
        drift = max(0.0, spread**2 - variance * float((1.0 / counts[full]).mean()))
    error = np.sqrt(variance / len(then) + scatter / len(now) + drift * (1.0 + 1.0 / _BLOCKS))
    return mean_now - mean, float(error), mean


def _mean_and_deviation(values: Floats) -> tuple[float, float]:
    """Mean and standard deviation: `np.std` would ask for the mean again."""
    mean = float(values.mean())
    away = values - mean
    away *= away
    return mean, float(np.sqrt(away.mean()))


def _keyed(alike: Alike, lines: Lines, troubled: Marks) -> dict[tuple[int, int, int], Spans]:
    """Spans by (operation, owner, callee)."""
    spans = np.flatnonzero(lines.usable & ~troubled)
    groups = group_rows(lines.alike[spans], len(alike))
    found = {}
    for number in np.flatnonzero(np.diff(groups.ptr)).tolist():
        piece = spans[groups.rows(number)]
        key = int(alike.operation[number]), int(lines.owner[piece[0]]), int(alike.callee[number])
        found[key] = piece
    return found
