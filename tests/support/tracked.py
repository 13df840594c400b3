"""A drawn system whose alarms become incidents, minute by minute."""

from __future__ import annotations

import numpy as np

from analyzer.errors.change_words import Change
from analyzer.incident_config import IncidentConfig
from analyzer.incident_words import Incident
from analyzer.incidents.recent import FAILED, SLOW, Recent
from analyzer.incidents.tracker import IncidentTracker, Told
from tests.support.fakes.clock import EPOCH_NS, SECOND_NS
from tests.support.traffic import CHECKOUT, HOME, MINUTE_NS, FakeAlarm, Traffic, rank_by_blame

CHECKOUT_FAILS = FakeAlarm("checkout", onset_ns=EPOCH_NS + 3600 * SECOND_NS)
FRONTEND_FAILS = FakeAlarm("frontend", onset_ns=EPOCH_NS + 3610 * SECOND_NS)


class System:
    """A drawn system: traffic, what is remembered of it, and the tracker."""

    def __init__(self, rank=rank_by_blame, **config: float) -> None:
        self.traffic = Traffic()
        self.recent = Recent(IncidentConfig(**config))
        self.changes: list[Change] = []  # that somebody told of
        self.asked: list[tuple[int, int]] = []
        self.tracker = IncidentTracker(self.recent.config, self.recent, rank, self.changes_between)
        self.told: list[Told] = []

    @property
    def now_ns(self) -> int:
        return self.traffic.now_ns

    def changes_between(self, from_ns: int, to_ns: int) -> list[Change]:
        self.asked.append((from_ns, to_ns))
        return [one for one in self.changes if from_ns <= one.time_ns < to_ns]

    def minute(self, *texts: str, alarms: tuple[FakeAlarm, ...] = (), count: int = 2) -> list[Told]:
        """A minute of such requests, then the detector speaks and what is due is ranked and told."""
        if texts:
            verdicts = self.traffic.verdicts(*texts, count=count)
            marks = verdicts.failed * FAILED + verdicts.slow * SLOW
            memory = self.traffic.analyzer.propagation
            self.recent.add(verdicts.analysis, marks.astype(np.uint8), memory, self.now_ns)
        self.traffic.now_ns += MINUTE_NS
        return self.speak(*alarms)

    def speak(self, *alarms: FakeAlarm) -> list[Told]:
        self.tracker.take(alarms, self.now_ns)
        while self.tracker.is_due(self.now_ns):
            self.tracker.rank_next(self.traffic.words, self.now_ns)
        told = self.tracker.tell(self.now_ns)
        self.told += told
        return told

    def healthy_hour(self) -> None:
        for _ in range(60):
            self.minute(CHECKOUT, HOME, count=1)

    def incident(self) -> Incident:
        """The one told last."""
        return self.told[-1].incident


def notes(told: list[Told]) -> list[str]:
    return [one.note for one in told]
