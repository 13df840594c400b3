"""Incidents in the engine: drawn traffic under a manual clock, through the real rooms to the shelf and the outbox."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from analyzer.detection import DetectionConfig, Detector
from analyzer.engine import Analyzer
from analyzer.incident_config import IncidentConfig
from analyzer.incident_words import Incident
from analyzer.incidents.ranking import rank_incident
from analyzer.strings import new_vocabulary
from collector.contracts import DETECTION_STATE_NAME, INCIDENTS_STATE_NAME, OutboxItem, StoredIncident
from collector.exporters.findings import ExportSettings
from collector.exporters.incidents import incident_exports
from collector.incidents import IncidentRoom
from collector.telemetry import is_known
from tests.support.answers import incident
from tests.support.drawing import batch, draw
from tests.support.fakes.clock import EPOCH_NS, SECOND_NS, ManualClock
from tests.support.traffic import CHECKOUT, HOME, PAYMENT_DOWN, FakeAlarm, at, rank_by_blame


@dataclass
class Shelf:
    """Takes what it is given."""

    incidents: list[StoredIncident] = field(default_factory=list)
    states: dict[str, bytes] = field(default_factory=dict)

    def put(self, *batches: Any) -> None:
        """Traces are not looked at here."""

    def put_incidents(self, incidents: Sequence[StoredIncident]) -> None:
        self.incidents += incidents

    def save_state(self, name: str, blob: bytes) -> None:
        self.states[name] = blob


class FakeDetector:
    """Raises what the test tells it to."""

    def __init__(self) -> None:
        self.alarms: list[FakeAlarm] = []
        self.seen = 0
        self.blob = b"learned"

    def observe(self, analysis: Any, now_ns: int) -> None:
        self.seen += analysis.traces.trace_count

    def tick(self, now_ns: int) -> list[FakeAlarm]:
        alarms, self.alarms = self.alarms, []
        return alarms

    def save(self) -> bytes:
        return self.blob

    def load(self, blob: bytes) -> None:
        if blob != b"learned":
            raise ValueError(f"found {blob!r}")
        self.blob = b"loaded"


class House:
    """An analyzer with its incident room, fed with drawings."""

    def __init__(self, detector: Any = None, rank: Callable[..., Any] = rank_by_blame, **config: float) -> None:
        self.clock, self.shelf, self.words = ManualClock(), Shelf(), new_vocabulary()
        self.analyzer, self.detector = Analyzer(), detector or FakeDetector()
        self.room = IncidentRoom(
            self.analyzer,
            self.shelf,
            self.clock,
            self.detector,
            rank,
            IncidentConfig(**config),
            lambda incident, note, now_ns: incident_exports(incident, note, ExportSettings(), now_ns),
        )
        self._seed = 0

    def send(self, *texts: str, count: int = 1) -> None:
        drawings = []
        for text in texts:
            for _ in range(count):
                self._seed += 1
                drawings.append(at(draw(text).jitter(self._seed), (self.clock.now_ns() - EPOCH_NS) / SECOND_NS))
        verdicts = self.analyzer.analyse(batch(drawings, self.words))
        self.room.observe(verdicts)
        self.analyzer.learn(verdicts, self.clock.now_ns())

    def after(self, seconds: float, *texts: str, count: int = 1) -> None:
        """So much later: such requests, then the house is kept."""
        self.clock.advance(seconds)
        if texts:
            self.send(*texts, count=count)
        self.room.keep_house()

    @property
    def told(self) -> list[Incident]:
        return [one.incident for one in self.shelf.incidents]


def test_an_alarm_becomes_an_incident_on_the_shelf_with_its_message():
    house = House()
    for _ in range(30):
        house.after(60, CHECKOUT, HOME)
    house.after(60, PAYMENT_DOWN, HOME)
    house.detector.alarms = [FakeAlarm("checkout", onset_ns=house.clock.now_ns())]
    house.after(10, PAYMENT_DOWN)

    (stored,) = house.shelf.incidents
    assert (stored.incident.status, stored.incident.suspects[0].entity.name) == ("open", "payment")
    assert len(stored.exports) == 1
    assert house.shelf.states[INCIDENTS_STATE_NAME] == house.room.tracker.save()


def test_only_turns_of_note_are_written_back():
    """Opened, two updates, closed: four revisions, two messages."""
    house = House()
    for _ in range(30):
        house.after(60, CHECKOUT, HOME)
    house.detector.alarms = [FakeAlarm("checkout", onset_ns=house.clock.now_ns() + SECOND_NS)]
    for _ in range(3):
        house.after(30, PAYMENT_DOWN)
    house.detector.alarms = [FakeAlarm("checkout", cleared=True)]
    for _ in range(5):
        house.after(31, CHECKOUT)

    notes = [len(one.exports) for one in house.shelf.incidents]
    keys = {item.key for one in house.shelf.incidents for item in one.exports}
    assert (notes[0], notes[-1], sum(notes)) == (1, 1, len(keys)) == (1, 1, 2)
    assert [one.revision for one in house.told] == list(range(1, len(house.told) + 1))


def test_the_house_is_kept_once_a_second():
    house = House()
    for _ in range(100):
        house.after(0.1)

    assert house.room.counts.ticks == 10


def test_ranking_has_a_share_of_the_time():
    """Each look takes ten seconds of the clock: the second comes when a twentieth of the time has made up for it."""
    house = House(
        rank=lambda reference, window, words: (house.clock.advance(10), rank_by_blame(reference, window, words))[1]
    )
    for _ in range(30):
        house.after(60, CHECKOUT, HOME)
    house.detector.alarms = [FakeAlarm("checkout", onset_ns=house.clock.now_ns())]
    for _ in range(50):
        house.after(5, PAYMENT_DOWN)

    assert house.room.tracker.counts.rankings == 2
    assert house.room.snapshot()["incidents_ranking_seconds|sum"] == pytest.approx(20)


@pytest.mark.parametrize("part", ["detection", "ranking", "memory", "telling"])
def test_what_fails_here_costs_nobody_else(
    part: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Logged three times, counted every time; the batch is learned and the incident still opens."""

    def broken(*words: Any) -> Any:
        raise RuntimeError("our own bug")

    house = House(rank=broken if part == "ranking" else rank_by_blame, rank_every_s=1.0)
    if part == "detection":
        monkeypatch.setattr(house.detector, "observe", broken)
    elif part == "memory":
        monkeypatch.setattr(house.room.recent, "add", broken)
    elif part == "telling":
        monkeypatch.setattr(house.shelf, "put_incidents", broken)
    for _ in range(25):
        house.after(60, CHECKOUT)
    house.detector.alarms = [FakeAlarm("checkout", onset_ns=house.clock.now_ns())]
    for _ in range(6):
        house.after(60, PAYMENT_DOWN)

    assert house.room.snapshot()[f"incidents_failed|{part}"] >= 1
    assert sum("failed; it goes on without" in record.message for record in caplog.records) <= 3
    assert house.room.tracker.open_count == 1
    assert house.analyzer.baselines.counts.learned > 0


def test_a_restart_keeps_what_was_learned_and_what_is_open():
    before = House()
    for _ in range(30):
        before.after(60, CHECKOUT, HOME)
    before.detector.alarms = [FakeAlarm("checkout", onset_ns=before.clock.now_ns())]
    before.after(10, PAYMENT_DOWN)
    before.room.save()

    after = House()
    after.room.load(before.shelf.states)
    after.room.keep_house()

    assert after.detector.blob == b"loaded"
    assert after.room.tracker.open_count == 1
    assert set(before.shelf.states) == {DETECTION_STATE_NAME, INCIDENTS_STATE_NAME}


def test_a_state_that_cannot_be_used_is_said_and_left(caplog: pytest.LogCaptureFixture):
    house = House()
    house.room.load({DETECTION_STATE_NAME: b"nonsense", INCIDENTS_STATE_NAME: b"nonsense"})

    assert len(caplog.records) == 2
    assert house.room.tracker.open_count == 0


def test_what_nobody_knows_of_any_more_is_closed():
    """The state was lost, the shelf still says that two go on: the one that is tracked does."""
    before = House()
    before.detector.alarms = [FakeAlarm("checkout", onset_ns=EPOCH_NS)]
    before.after(10, CHECKOUT)
    after = House()
    after.room.load(before.shelf.states)

    after.room.close_forgotten([before.told[-1], incident(1)])

    (closed,) = after.shelf.incidents
    assert closed.incident.incident_id == incident(1).incident_id
    assert (closed.incident.status, closed.incident.revision, len(closed.exports)) == ("closed", 2, 1)
    assert closed.incident.ended_ns == after.clock.now_ns()


def test_every_number_is_in_the_table():
    house = House()
    house.detector.alarms = [FakeAlarm("checkout", onset_ns=EPOCH_NS)]
    house.after(60, CHECKOUT, PAYMENT_DOWN)
    samples = house.room.snapshot()

    assert [key for key in samples if not is_known(key)] == []
    assert (samples["incidents_open"], samples["incidents_alarms|errors"]) == (1, 1)
    assert (samples["incidents_recent_traces"], samples["incidents_recent_spans"]) == (2, 10)


@pytest.fixture(scope="module")
def outage() -> House:
    """The real detector and the real ranking: an hour of health, ten minutes without payment, health again."""
    house = House(Detector(DetectionConfig()), rank_incident)
    for _ in range(360):
        house.after(10, CHECKOUT, HOME, count=2)
    house.healthy = len(house.told)  # type: ignore[attr-defined]
    for _ in range(60):
        house.after(10, PAYMENT_DOWN, HOME, count=2)
    for _ in range(90):
        house.after(10, CHECKOUT, HOME, count=2)
    return house


def test_a_healthy_hour_is_quiet(outage: House):
    assert outage.healthy == 0  # type: ignore[attr-defined]


def test_the_whole_way_names_payment(outage: House):
    """Nobody told it what broke, or when: the onset is right to a minute, and there is one incident."""
    last = outage.told[-1]

    assert len({one.incident_id for one in outage.told}) == 1
    assert (last.verdict, last.suspects[0].entity.service) == ("cause", "payment")
    assert abs(last.onset_ns - (EPOCH_NS + 3600 * SECOND_NS)) <= 60 * SECOND_NS
    assert last.detected_ns - last.onset_ns <= 120 * SECOND_NS
    assert {one.service for one in last.affected if one.role == "victim"} == {"checkout", "frontend"}
    assert last.status == "closed"
    assert last.ended_ns is not None
    times = [entry.at_ns for entry in last.timeline]
    assert times == sorted(times)


def test_who_was_hit_is_counted(outage: House):
    """Failing checkouts only; counted until the alarms went, so the first healthy ones may be among the requests."""
    radius = outage.told[-1].blast_radius

    assert radius is not None
    assert radius.entry_operations == ["frontend POST /checkout"]
    assert 100 <= radius.failed_requests <= 120
    assert radius.requests >= radius.failed_requests


def test_messages_are_the_same_on_every_try(outage: House):
    items = [item for one in outage.shelf.incidents for item in one.exports]
    again: list[OutboxItem] = incident_exports(outage.told[0], "opened", ExportSettings(), EPOCH_NS)

    assert again == incident_exports(outage.told[0], "opened", ExportSettings(), EPOCH_NS)
    assert len({item.key for item in items}) == len(items) >= 2
