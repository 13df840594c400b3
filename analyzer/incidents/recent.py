"""What is remembered of the traces of the last hour: a fair sample of each minute, suspicious ones apart.

In: measured batches with a mark per trace. Out: `Sample`s, the facts of a window and of a reference, drawn at rates
that are said. Never more than `spans_max` spans (plus the minute that is being filled), never an object per span,
and no facts are gathered of traces that are not kept.

A trace's id gives it a number between 0 and 1 (its draw). Of each minute and class (suspicious, others) the traces
with the smallest draws stay: bottom-k sampling (Cohen and Kaplan 2007), which is a fair sample whatever came later,
needs no random numbers, and can be thinned to a common rate afterwards. A window and its reference are always drawn
at the same rates, so that the odds between them are those of the traffic.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analyzer.analysis import Analysis
from analyzer.incident_config import IncidentConfig
from analyzer.incidents.entries import EntryCounts
from analyzer.incidents.facts import TraceFacts, gather_facts, join_facts, no_facts
from analyzer.incidents.pick import pick_traces
from analyzer.incidents.pool import Part, Pool
from analyzer.origins import PropagationMemory

FAILED, SLOW, ODD = 1, 2, 4  # bits of a mark: why a trace is suspicious
MINUTE_NS = 60_000_000_000
ENOUGH = 300  # traces of a class that make drawing it at a higher rate than the other pointless


@dataclass(frozen=True, slots=True)
class Sample:
    """Facts of T traces of a stretch of time, and how they were drawn.

    marks : uint8[T]       FAILED | SLOW | ODD
    added_ns : int64[T]    when each was added, the owner's time
    bad_rate, good_rate    share of the traces with and without a mark that is in here
    """

    facts: TraceFacts
    marks: npt.NDArray[np.uint8]
    added_ns: npt.NDArray[np.int64]
    bad_rate: float = 1.0
    good_rate: float = 1.0

    @property
    def weight(self) -> npt.NDArray[np.float64]:
        """float64[T]: how many traces of the traffic each stands for."""
        return np.where(self.marks > 0, 1.0 / self.bad_rate, 1.0 / self.good_rate)


@dataclass(slots=True)
class RecentCounts:
    """What was offered and not kept; only grows."""

    offered_traces: int = 0
    left_out_traces: int = 0
    oversized_traces: int = 0  # of those left out: larger than `trace_spans_max`
    evicted_minutes: int = 0


class _Minute:
    def __init__(self, number: int) -> None:
        self.number = number
        self.good, self.bad = Pool(), Pool()
        self.troubled = False

    @property
    def pools(self) -> tuple[Pool, Pool]:
        return self.good, self.bad


class Recent:
    """Bounded memory of recent traces. Owner: one thread; time is its owner's."""

    def __init__(self, config: IncidentConfig | None = None, seed: int = 0) -> None:
        self.config = config or IncidentConfig()
        self.counts = RecentCounts()
        self.entries = EntryCounts()
        self._seed = seed
        self._minutes: dict[int, _Minute] = {}  # in order of time
        self._keep_before: int | None = None
        self._now_ns = 0

    def add(self, analysis: Analysis, marks: npt.NDArray[np.uint8], memory: PropagationMemory, now_ns: int) -> None:
        """Take some traces of a batch; facts are gathered, and blame spread, for those only.

        Parameters
        ----------
        analysis : Analysis
        marks : uint8[T]
            Why each trace is suspicious (FAILED, SLOW, ODD); 0: it is not.
        memory : PropagationMemory
        now_ns : int
            The owner's time; when it steps back, it stands still here.
        """
        now_ns = self._now_ns = max(now_ns, self._now_ns)
        sizes = np.diff(analysis.forest.trace_ptr)
        offered = (sizes > 0) & (analysis.traces.revisions == 1)  # a re-opened trace was offered before
        self.entries.add(analysis, offered, (marks & SLOW) > 0, now_ns)
        fits = offered & (sizes <= self.config.trace_spans_max)
        self.counts.offered_traces += int(offered.sum())
        self.counts.oversized_traces += int((offered & ~fits).sum())
        draws = draw(analysis, self._seed)
        minute = self._minute(now_ns // MINUTE_NS)
        most = self.config.traces_per_minute
        for pool, mine in ((minute.bad, fits & (marks > 0)), (minute.good, fits & (marks == 0))):
            pool.expect(draws[mine], most)
        limit = np.where(marks > 0, minute.bad.threshold, minute.good.threshold)
        chosen = np.flatnonzero(fits & (draws < limit))
        self.counts.left_out_traces += int(offered.sum()) - len(chosen)
        if not len(chosen):
            return
        facts = gather_facts(pick_traces(analysis, chosen), memory)
        part = Part(facts, marks[chosen], np.full(len(chosen), now_ns, np.int64), draws[chosen])
        spans_max = self.config.spans_max // (2 * self.config.recent_minutes)
        for pool, mine in ((minute.bad, part.marks > 0), (minute.good, part.marks == 0)):
            if mine.any():
                pool.add(part if mine.all() else part.select(np.flatnonzero(mine)))
                if pool.trace_count > 2 * most or pool.span_count > 2 * spans_max:
                    self.counts.left_out_traces += pool.squeeze(most, spans_max)

    @property
    def trace_count(self) -> int:
        """Traces held now; any thread."""
        return sum(pool.trace_count for minute in list(self._minutes.values()) for pool in minute.pools)

    @property
    def span_count(self) -> int:
        """Spans held now; any thread."""
        return sum(pool.span_count for minute in list(self._minutes.values()) for pool in minute.pools)

    def mark_troubled(self, from_ns: int, to_ns: int) -> None:
        """Say that minutes of this stretch are part of an incident: they are no reference for another one."""
        for number, minute in self._minutes.items():
            if from_ns // MINUTE_NS <= number <= to_ns // MINUTE_NS:
                minute.troubled = True

    def keep_before(self, onset_ns: int | None) -> None:
        """Keep the reference of the oldest open incident, however long that stays open; None: nothing is open."""
        self._keep_before = None if onset_ns is None else onset_ns // MINUTE_NS

    def window(self, from_ns: int, to_ns: int) -> Sample:
        """Return what was added in [from_ns, to_ns), all minutes drawn at the same rates."""
        minutes = self._between(from_ns, to_ns)
        rates = self._rates(minutes)
        return self._draw(minutes, from_ns, to_ns, *rates)

    def reference(self, before_ns: int) -> Sample:
        """Return what was healthy before: the last minutes that belong to no incident."""
        minutes = self._healthy(before_ns)
        rates = self._rates(minutes)
        return self._draw(minutes, 0, before_ns, *rates)

    def compare(self, onset_ns: int, to_ns: int) -> tuple[Sample, Sample]:
        """Return (reference, window) of an incident, both drawn at the same rates.

        Suspicious traces and the others are drawn at one rate when that leaves enough of both; else each at the
        highest rate that both sides can give. Both are thinned evenly to `compared_spans_max` spans.
        """
        before_ns = onset_ns - int(self.config.reference_gap_s * 1e9)
        before, since = self._healthy(before_ns), self._between(onset_ns, to_ns)
        bad_rate, good_rate = self._rates([*before, *since])
        if bad_rate > good_rate and _count((minute.bad for minute in since), good_rate, onset_ns, to_ns) >= ENOUGH:
            bad_rate = good_rate
        elif good_rate > bad_rate and _count((minute.good for minute in before), bad_rate, 0, before_ns) >= ENOUGH:
            good_rate = bad_rate
        reference = self._draw(before, 0, before_ns, bad_rate, good_rate)
        window = self._draw(since, onset_ns, to_ns, bad_rate, good_rate)
        most = max(len(reference.facts), len(window.facts))
        if most > self.config.compared_spans_max:
            share = self.config.compared_spans_max / most
            reference = self._draw(before, 0, before_ns, bad_rate * share, good_rate * share)
            window = self._draw(since, onset_ns, to_ns, bad_rate * share, good_rate * share)
        return reference, window

    # -- inside ------------------------------------------------------------------------------

    def _minute(self, number: int) -> _Minute:
        newest = next(reversed(self._minutes), None)
        if newest is not None and number <= newest:
            return self._minutes[newest]
        if newest is not None:
            self._close(self._minutes[newest])
        minute = self._minutes[number] = _Minute(number)
        while len(self._minutes) > self.config.recent_minutes:
            del self._minutes[self._oldest()]
            self.counts.evicted_minutes += 1
        return minute

    def _close(self, minute: _Minute) -> None:
        """A minute that is over keeps its share of the room and no more."""
        spans_max = self.config.spans_max // (2 * self.config.recent_minutes)
        for pool in minute.pools:
            self.counts.left_out_traces += pool.squeeze(self.config.traces_per_minute, spans_max)

    def _oldest(self) -> int:
        """The minute to let go of: what is older than the reference in use, then what came after it."""
        if self._keep_before is not None:
            before = [number for number in self._minutes if number < self._keep_before]
            kept = min(self.config.reference_minutes, self.config.recent_minutes // 2)
            if len(before) <= kept:
                return next(number for number in self._minutes if number >= self._keep_before)
        return next(iter(self._minutes))

    def _between(self, from_ns: int, to_ns: int) -> list[_Minute]:
        first, last = from_ns // MINUTE_NS, to_ns // MINUTE_NS
        return [minute for number, minute in self._minutes.items() if first <= number <= last]

    def _healthy(self, before_ns: int) -> list[_Minute]:
        before = [minute for number, minute in self._minutes.items() if number <= before_ns // MINUTE_NS]
        untroubled = [minute for minute in before if not minute.troubled]
        return (untroubled or before)[-self.config.reference_minutes :]

    def _rates(self, minutes: Iterable[_Minute]) -> tuple[float, float]:
        held = list(minutes)
        bad = min((minute.bad.threshold for minute in held), default=1.0)
        return bad, min((minute.good.threshold for minute in held), default=1.0)

    def _draw(self, minutes: Iterable[_Minute], from_ns: int, to_ns: int, bad_rate: float, good_rate: float) -> Sample:
        parts = []
        for minute in minutes:
            for pool, rate in ((minute.good, good_rate), (minute.bad, bad_rate)):
                for part in pool.parts:
                    mine = _mine(part, rate, from_ns, to_ns)
                    if mine.any():
                        parts.append(part if mine.all() else part.select(np.flatnonzero(mine)))
        if not parts:
            return Sample(no_facts(), np.zeros(0, np.uint8), np.zeros(0, np.int64), bad_rate, good_rate)
        return Sample(
            join_facts([part.facts for part in parts]),
            np.concatenate([part.marks for part in parts]),
            np.concatenate([part.added_ns for part in parts]),
            bad_rate,
            good_rate,
        )


def _count(pools: Iterable[Pool], rate: float, from_ns: int, to_ns: int) -> int:
    """Traces of a stretch with a draw below `rate`."""
    return sum(int(_mine(part, rate, from_ns, to_ns).sum()) for pool in pools for part in pool.parts)


def _mine(part: Part, rate: float, from_ns: int, to_ns: int) -> npt.NDArray[np.bool_]:
    return (part.draw < rate) & (part.added_ns >= from_ns) & (part.added_ns < to_ns)


def draw(analysis: Analysis, seed: int) -> npt.NDArray[np.float64]:
    """float64[T]: a number in [0, 1) for each trace, of its id and the seed (SplitMix64's finaliser); 0 when empty."""
    traces = analysis.traces
    found = np.zeros(traces.trace_count, np.float64)
    full = np.flatnonzero(np.diff(traces.trace_ptr) > 0)
    first = traces.trace_ptr[:-1][full]
    word = traces.rows["trace_id_0"][first] ^ (traces.rows["trace_id_1"][first] * np.uint64(0x9E3779B97F4A7C15))
    word = word + np.uint64((seed * 0xD1342543DE82EF95 + 0x632BE59BD9B4E019) % 2**64)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found[full] = (word ^ (word >> np.uint64(31))) / 2.0**64
    return found
