"""What is breaking the system now: the part of the engine that looks over many traces.

In: measured batches, from the engine's thread, and the time. Out: incidents for the shelf, with a message for each
turn that is of note. Detecting and remembering cost nanoseconds a span; ranking has a share of the engine's time
(`RANK_SHARE`), and what it has no time for waits for its next turn. It never takes a trace with it: what fails
here is logged, counted, and left out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from analyzer.analysis import Analysis
from analyzer.engine import Analyzer, Verdicts
from analyzer.errors.change_words import Change
from analyzer.incident_config import IncidentConfig
from analyzer.incident_words import Incident
from analyzer.incidents.ports import Alarm, Rank
from analyzer.incidents.recent import FAILED, ODD, SLOW, Recent
from analyzer.incidents.tracker import IncidentTracker
from analyzer.spans import Vocabulary
from collector.allowance import Allowance
from collector.contracts import DETECTION_STATE_NAME, INCIDENTS_STATE_NAME, Clock, OutboxItem, StoredIncident
from collector.desk import Shelf
from collector.telemetry import Histogram, Snapshot, sample

logger = logging.getLogger(__name__)

LOOK_NS = 1_000_000_000  # how often alarms are looked for; the detector's ticks are longer
RANK_SHARE = 0.05
END_NOT_SEEN = "Its end was not seen: firstfault was started anew without what it knew of it."
LOGGED_MAX = 3  # tracebacks of each kind of failure; the counter counts them all


class Detecting(Protocol):
    """Who raises alarms (analyzer.detection). Owner: the engine's thread."""

    def observe(self, analysis: Analysis, now_ns: int) -> None: ...

    def tick(self, now_ns: int) -> Sequence[Alarm]: ...

    def save(self) -> bytes: ...

    def load(self, blob: bytes) -> None: ...


@dataclass(slots=True)
class IncidentCounts:
    """Plain counters; written by the engine's thread, read by anybody."""

    ticks: int = 0
    observe_ns: int = 0
    failed: dict[str, int] = field(default_factory=dict)
    ranking_s: Histogram = field(default_factory=Histogram)


class IncidentRoom:
    """Detector, memory of recent traces and tracker of incidents. Owner: the engine's thread.

    Parameters
    ----------
    analyzer : Analyzer
        Whose propagation memory spreads the blame of what is remembered.
    shelf : Shelf
    clock : Clock
    detector : Detecting
    rank : Rank
    config : IncidentConfig
    exports : an incident and what is new about it, the time -> messages
    changes : from and to (Unix nanoseconds) -> changes that somebody told of
    """

    def __init__(
        self,
        analyzer: Analyzer,
        shelf: Shelf,
        clock: Clock,
        detector: Detecting,
        rank: Rank,
        config: IncidentConfig | None = None,
        exports: Callable[[Incident, str, int], list[OutboxItem]] = lambda incident, note, now_ns: [],
        changes: Callable[[int, int], Sequence[Change]] = lambda from_ns, to_ns: (),
    ) -> None:
        self._analyzer, self._shelf, self._clock = analyzer, shelf, clock
        self._detector, self._exports = detector, exports
        self.recent = Recent(config)
        self.tracker = IncidentTracker(self.recent.config, self.recent, rank, changes)
        self.counts = IncidentCounts()
        self._vocabulary: Vocabulary | None = None
        self._allowance = Allowance(RANK_SHARE, clock.monotonic_ns())
        self._next_look_ns = 0

    def observe(self, verdicts: Verdicts) -> None:
        """Let the detector count a batch, and remember some of its traces."""
        began = self._clock.monotonic_ns()
        self._vocabulary = verdicts.analysis.traces.vocabulary
        now_ns = self._clock.now_ns()
        self._guarded("detection", lambda: self._detector.observe(verdicts.analysis, now_ns))
        self._guarded(
            "memory",
            lambda: self.recent.add(verdicts.analysis, marks_of(verdicts), self._analyzer.propagation, now_ns),
        )
        self.counts.observe_ns += self._clock.monotonic_ns() - began

    def keep_house(self) -> None:
        """Once a second: take alarms, rank what is due while there is time, tell what changed."""
        now = self._clock.monotonic_ns()
        if now < self._next_look_ns:
            return
        self._next_look_ns = now + LOOK_NS
        now_ns = self._clock.now_ns()
        self._guarded("detection", lambda: self._look(now_ns))
        while self.tracker.is_due(now_ns) and self._allowance.is_left(self._clock.monotonic_ns()):
            self._guarded("ranking", lambda: self._rank(now_ns))
        self._guarded("telling", lambda: self._tell(now_ns))

    def _look(self, now_ns: int) -> None:
        self.counts.ticks += 1
        self.tracker.take(self._detector.tick(now_ns), now_ns)

    def _rank(self, now_ns: int) -> None:
        assert self._vocabulary is not None or not self.tracker.is_due(now_ns)
        began = self._clock.monotonic_ns()
        try:
            if self._vocabulary is not None:
                self.tracker.rank_next(self._vocabulary, now_ns)
        finally:
            spent = self._clock.monotonic_ns() - began
            self._allowance.spend(spent)
            self.counts.ranking_s.observe(spent / 1e9)

    def _tell(self, now_ns: int) -> None:
        told = self.tracker.tell(now_ns)
        if not told:
            return
        for one in told:
            if one.note != "updated":
                logger.info("incident %s %s: %s", one.incident.incident_id, one.note, one.incident.summary)
        self._shelf.put_incidents(
            [StoredIncident(one.incident, self._exports(one.incident, one.note, now_ns)) for one in told]
        )
        # With every revision: after a crash the numbers go on where the shelf has them.
        self._shelf.save_state(INCIDENTS_STATE_NAME, self.tracker.save())

    def save(self) -> None:
        """Hand what the detector learned, and what is open, to the shelf."""
        self._guarded("detection", lambda: self._shelf.save_state(DETECTION_STATE_NAME, self._detector.save()))
        self._guarded("telling", lambda: self._shelf.save_state(INCIDENTS_STATE_NAME, self.tracker.save()))

    def load(self, states: Mapping[str, bytes | None]) -> None:
        """Take what was saved, by name; what cannot be used is said and left alone."""
        for name, load in ((DETECTION_STATE_NAME, self._detector.load), (INCIDENTS_STATE_NAME, self.tracker.load)):
            blob = states.get(name)
            try:
                if blob:
                    load(blob)
            except ValueError as error:
                logger.warning("the saved state %s cannot be used and is left alone: %s", name, error)

    def close_forgotten(self, open_ones: Sequence[Incident]) -> None:
        """Close what the shelf holds as open and nobody here knows of: its end came while nobody looked.

        Before the engine's thread starts, after `load`.
        """
        now_ns = self._clock.now_ns()
        changes = {"status": "closed", "ended_ns": now_ns, "updated_ns": now_ns}
        gone = [
            one.model_copy(update=changes | {"revision": one.revision + 1, "summary": f"{one.summary} {END_NOT_SEEN}"})
            for one in open_ones
            if not self.tracker.holds(one.incident_id)
        ]
        self._shelf.put_incidents([StoredIncident(one, self._exports(one, "closed", now_ns)) for one in gone])

    def snapshot(self) -> Snapshot:
        """Counters under the names of the metric table; any thread."""
        tracker, recent = self.tracker.counts, self.recent.counts
        found: Snapshot = {
            "incidents_open": self.tracker.open_count,
            "incidents_opened": tracker.opened,
            "incidents_closed": tracker.closed,
            "incidents_merged": tracker.merged,
            "incidents_crowded_alarms": tracker.crowded_alarms,
            "incidents_looks": self.counts.ticks,
            "incidents_observe_seconds": self.counts.observe_ns / 1e9,
            "incidents_recent_traces": self.recent.trace_count,
            "incidents_recent_spans": self.recent.span_count,
            "incidents_offered_traces": recent.offered_traces,
            "incidents_left_out_traces": recent.left_out_traces,
            "incidents_oversized_traces": recent.oversized_traces,
        }
        found |= {sample("incidents_alarms", symptom): number for symptom, number in list(tracker.alarms.items())}
        found |= {sample("incidents_failed", part): number for part, number in list(self.counts.failed.items())}
        return found | self.counts.ranking_s.samples("incidents_ranking_seconds")

    def _guarded(self, part: str, work: Callable[[], None]) -> None:
        """A defect in looking over many traces must not cost the answer to any one of them."""
        try:
            work()
        except Exception:
            count = self.counts.failed[part] = self.counts.failed.get(part, 0) + 1
            if count <= LOGGED_MAX:
                logger.exception("incidents: %s failed; it goes on without", part)


def marks_of(verdicts: Verdicts) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """uint8[T]: why each trace of a batch is suspicious."""
    marks: np.ndarray[tuple[int], np.dtype[np.uint8]] = (
        verdicts.failed * np.uint8(FAILED) + verdicts.slow * np.uint8(SLOW) + verdicts.odd * np.uint8(ODD)
    )
    return marks
