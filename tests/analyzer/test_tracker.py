"""Alarms become incidents: one for what belongs together, with its cause, its victims and its story in order."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.errors.change_words import Change
from analyzer.incident_config import IncidentConfig
from analyzer.incident_words import Incident
from analyzer.incidents.case import ALARMS_MAX
from analyzer.incidents.facts import TraceFacts
from analyzer.incidents.recent import FAILED, SLOW, Recent
from analyzer.incidents.story import AFFECTED_MAX
from analyzer.incidents.tracker import IncidentTracker, Told
from analyzer.spans import Vocabulary
from tests.support.fakes.clock import EPOCH_NS, SECOND_NS
from tests.support.traffic import (
    CART_DOWN,
    CHECKOUT,
    HOME,
    MINUTE_NS,
    PAYMENT_DOWN,
    FakeAlarm,
    FakeRanking,
    Traffic,
    ids,
    rank_by_blame,
    suspect,
)

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


@pytest.fixture(scope="module")
def outage() -> System:
    """A healthy hour; then payment has no connection left for five minutes; then it is healthy again."""
    system = System()
    system.healthy_hour()
    system.minute(PAYMENT_DOWN, HOME, alarms=(CHECKOUT_FAILS, FRONTEND_FAILS))
    for _ in range(4):
        system.minute(PAYMENT_DOWN, HOME)
    system.minute(CHECKOUT, HOME, alarms=(CHECKOUT_FAILS.gone(), FRONTEND_FAILS.gone()))
    for _ in range(3):
        system.minute(CHECKOUT, HOME)
    return system


def test_a_healthy_hour_is_no_incident():
    system = System()
    system.healthy_hour()

    assert (system.told, system.tracker.open_count) == ([], 0)


def test_an_outage_is_one_incident_with_its_cause(outage: System):
    """Checkout and frontend are alarmed; the cause is payment, which was not."""
    first = outage.told[0].incident

    assert {one.incident.incident_id for one in outage.told} == {first.incident_id}
    assert notes(outage.told)[0] == "opened"
    assert (first.verdict, first.status) == ("cause", "open")
    assert (first.suspects[0].entity.name, first.roots) == ("payment", ["payment"])
    assert "payment fails by itself" in first.summary
    assert first.onset_ns == CHECKOUT_FAILS.onset_ns


def test_victims_are_listed_after_the_cause(outage: System):
    incident = outage.told[3].incident

    assert [(one.service, one.role, one.symptoms) for one in incident.affected] == [
        ("payment", "cause", ["errors"]),
        ("checkout", "victim", ["errors"]),
        ("frontend", "victim", ["errors"]),
    ]
    assert [one.failed_share for one in incident.affected] == [1.0, 1.0, pytest.approx(0.5)]


def test_who_is_hit_can_be_counted(outage: System):
    """Four minutes, two failing checkouts each; who asks for /home notices nothing."""
    radius = outage.told[3].incident.blast_radius

    assert radius is not None
    assert radius.entry_operations == ["frontend POST /checkout"]
    assert (radius.requests, radius.failed_requests, radius.slow_requests) == (8, 8, 0)
    assert radius.services == 3


def test_the_timeline_is_in_order(outage: System):
    timeline = outage.incident().timeline

    assert [(entry.what, entry.service) for entry in timeline] == [
        ("errors began", "checkout"),
        ("first error", "payment"),
        ("errors began", "frontend"),
        ("the incident was detected", ""),
        ("likeliest cause: payment", ""),
        ("the last symptom was gone", ""),
    ]
    assert [entry.at_ns for entry in timeline] == sorted(entry.at_ns for entry in timeline)


def test_it_closes_after_recovery(outage: System):
    """Quiet for two minutes: closed, and it ended when the last alarm did."""
    last = outage.incident()

    assert (notes(outage.told)[-1], last.status) == ("closed", "closed")
    assert last.ended_ns == EPOCH_NS + 66 * MINUTE_NS
    assert last.verdict == "cause"
    assert outage.tracker.open_count == 0
    assert [one.incident.revision for one in outage.told] == list(range(1, len(outage.told) + 1))


def test_its_examples_are_failing_traces_through_the_cause(outage: System):
    window = outage.recent.window(CHECKOUT_FAILS.onset_ns, CHECKOUT_FAILS.onset_ns + 5 * MINUTE_NS).facts
    fatal = {one.tobytes() for one in window.trace_id[window.fatal]}

    examples = outage.incident().example_trace_ids

    assert len(examples) == 3
    assert ids(examples) <= fatal


def test_a_replay_names_the_same_incident(outage: System):
    system = System()
    system.healthy_hour()
    system.minute(PAYMENT_DOWN, alarms=(CHECKOUT_FAILS,))

    assert system.incident().incident_id == outage.incident().incident_id


def test_two_independent_roots_are_both_named():
    """Payment and cart break at once: one incident, two roots, frontend the victim of both."""
    system = System()
    system.healthy_hour()
    system.minute(PAYMENT_DOWN, CART_DOWN, alarms=(CHECKOUT_FAILS, FRONTEND_FAILS), count=5)

    incident = system.incident()
    assert sorted(incident.roots) == ["cart", "payment"]
    assert "2 independent causes" in incident.summary
    assert {one.service for one in incident.affected if one.role == "cause"} == {"cart", "payment"}
    assert {one.service for one in incident.affected if one.role == "victim"} == {"checkout", "frontend"}


def test_a_second_root_needs_something_that_speaks_for_it():
    """The ranking lists the frontend too, since it is in every request, and has nothing to say of it."""
    bare = suspect("frontend", 2).model_copy(update={"evidence": []})
    ranking = FakeRanking([suspect("payment"), bare], roots=["payment", "frontend"])
    system = System(rank=lambda reference, window, words: ranking)
    system.healthy_hour()
    system.minute(PAYMENT_DOWN, HOME, alarms=(CHECKOUT_FAILS,), count=5)

    incident = system.incident()
    assert incident.roots == ["payment"]
    assert {one.service for one in incident.affected if one.role == "cause"} == {"payment"}


def test_another_mix_of_requests_is_no_slowdown():
    """Short requests fail more often than long ones come: the median over all of them grows, no operation's does."""
    system = System()
    for _ in range(30):
        system.minute(HOME, count=3)
        system.minute(CHECKOUT, count=1)
    system.minute(CHECKOUT, CART_DOWN, alarms=(FRONTEND_FAILS,), count=20)

    assert all(one.slowdown_ms == 0.0 for one in system.incident().affected)


def test_what_begins_much_later_elsewhere_is_another_incident():
    system = System()
    system.healthy_hour()
    system.minute(PAYMENT_DOWN, HOME, alarms=(CHECKOUT_FAILS,))
    for _ in range(10):
        system.minute(PAYMENT_DOWN, HOME)
    system.minute(HOME, alarms=(FakeAlarm("search", "latency", system.now_ns),))

    assert system.tracker.open_count == 2


def test_two_incidents_with_one_cause_are_merged():
    """An alarm that began much later elsewhere; the ranking finds the same cause: the older incident goes on."""
    system = System()
    system.healthy_hour()
    first = system.minute(PAYMENT_DOWN, HOME, alarms=(CHECKOUT_FAILS,))[0].incident
    for _ in range(10):
        system.minute(PAYMENT_DOWN, HOME)
    told = system.minute(PAYMENT_DOWN, HOME, alarms=(FakeAlarm("ledger", "latency", system.now_ns),))

    merged = next(one for one in told if one.note == "merged")
    assert merged.incident.status == "closed"
    assert first.incident_id in merged.incident.summary
    assert system.tracker.open_count == 1
    later = system.minute(PAYMENT_DOWN, HOME)[0].incident
    assert later.incident_id == first.incident_id
    assert "ledger" in {one.service for one in later.affected}


def test_no_name_without_evidence():
    """The ranking cannot tell: nobody is named, and the reader is told where to look."""
    unsure = FakeRanking([suspect("payment", probability=0.2)], insufficient=True, next_probe="see the logs of payment")
    system = System(rank=lambda reference, window, words: unsure)
    system.healthy_hour()
    system.minute(PAYMENT_DOWN, HOME, alarms=(CHECKOUT_FAILS,))

    incident = system.incident()
    assert (incident.verdict, incident.roots, incident.next_probe) == (
        "insufficient_evidence",
        [],
        "see the logs of payment",
    )
    assert "cannot be told" in incident.summary
    assert all(one.role == "victim" for one in incident.affected)


def test_without_a_healthy_past_nobody_is_named():
    """It was broken when firstfault started."""
    system = System()
    system.minute(PAYMENT_DOWN, alarms=(FakeAlarm("checkout", onset_ns=EPOCH_NS),), count=30)

    incident = system.incident()
    assert incident.verdict == "insufficient_evidence"
    assert "too little healthy traffic" in incident.summary
    assert [one.service for one in incident.affected] == ["checkout"]
    assert incident.next_probe


def test_another_cause_is_news():
    names = iter(["payment", "payment", "ledger", "ledger"])
    system = System(rank=lambda reference, window, words: FakeRanking([suspect(next(names))]))
    system.healthy_hour()
    told = system.minute(PAYMENT_DOWN, HOME, alarms=(CHECKOUT_FAILS,))
    for _ in range(3):
        told += system.minute(PAYMENT_DOWN, HOME)

    assert notes(told) == ["opened", "updated", "cause_changed", "updated"]
    changes = [entry.what for entry in system.incident().timeline if "cause" in entry.what]
    assert changes == ["likeliest cause: payment", "the likeliest cause is now ledger"]


def test_a_new_version_stands_in_the_timeline():
    """Version 2 of payment came with the incident."""
    one, two = (text.replace("65 http", "65 @service.version=1 http") for text in (CHECKOUT, CHECKOUT))
    two = PAYMENT_DOWN.replace("22..33 ERROR", "22..33 ERROR @service.version=2")
    system = System()
    for _ in range(60):
        system.minute(one, count=1)
    system.minute(two, alarms=(CHECKOUT_FAILS,))

    assert ("version 2 was seen first", "payment") in [(e.what, e.service) for e in system.incident().timeline]


def test_what_a_new_version_did_stands_in_the_timeline():
    """All requests to version 2 fail by themselves, from its first one on; enough came to tell."""
    one = CHECKOUT.replace("65 http", "65 @service.version=1 http")
    two = PAYMENT_DOWN.replace("22..33 ERROR", "22..33 ERROR @service.version=2")
    system = System()
    for _ in range(60):
        system.minute(one, count=2)
    system.minute(two, alarms=(CHECKOUT_FAILS,), count=40)

    said = [entry.what for entry in system.incident().timeline if entry.service == "payment"]
    assert any(what.startswith("Since payment 2, 40 of 40 requests failed") for what in said)


def test_what_somebody_told_of_stands_in_the_timeline_and_shares_the_suspicion():
    """A flag was turned in the minute of the deployment: neither is blamed alone. What was told yesterday is not shown."""
    one = CHECKOUT.replace("65 http", "65 @service.version=1 http")
    two = PAYMENT_DOWN.replace("22..33 ERROR", "22..33 ERROR @service.version=2")
    system = System()
    for _ in range(60):
        system.minute(one, count=2)
    flag = Change(
        change_id="flag", kind="feature_flag", service="payment", version="new-flow", time_ns=system.now_ns + SECOND_NS
    )
    system.changes = [
        flag,
        flag.model_copy(update={"change_id": "old", "version": "yesterday", "time_ns": EPOCH_NS - 10**14}),
    ]
    system.minute(two, alarms=(CHECKOUT_FAILS,), count=40)

    said = [entry.what for entry in system.incident().timeline if entry.service == "payment"]
    assert "feature flag new-flow, as was told" in said
    assert not any("yesterday" in what for what in said)
    assert any("it may as well be the work of payment new-flow, made at the same time" in what for what in said)
    assert not any(what.startswith("Since payment 2") for what in said)


def test_a_service_that_answers_no_more_is_silent():
    """Payment's own spans are gone: calls of it fail, nobody answers."""
    alone = "\n".join(line for line in PAYMENT_DOWN.splitlines() if not line.strip().startswith("payment "))
    system = System(rank=lambda reference, window, words: FakeRanking([suspect("payment")], roots=["payment"]))
    system.healthy_hour()
    system.minute(alone, HOME, alarms=(CHECKOUT_FAILS,), count=10)

    assert ("payment", "cause", ["silence"]) in [
        (one.service, one.role, one.symptoms) for one in system.incident().affected
    ]


def test_a_relapse_before_it_is_closed_is_the_same_incident():
    system = System()
    system.healthy_hour()
    system.minute(PAYMENT_DOWN, alarms=(CHECKOUT_FAILS,))
    system.minute(CHECKOUT, alarms=(CHECKOUT_FAILS.gone(),))
    system.minute(PAYMENT_DOWN, alarms=(CHECKOUT_FAILS,))
    system.minute(PAYMENT_DOWN)

    assert len({one.incident.incident_id for one in system.told}) == 1
    assert (system.incident().status, system.incident().ended_ns) == ("open", None)


def test_an_open_incident_survives_a_restart():
    """What was said of it holds, though nothing is remembered to compare with; it closes as it would have."""
    before = System()
    before.healthy_hour()
    before.minute(PAYMENT_DOWN, HOME, alarms=(CHECKOUT_FAILS,))
    after = System()
    after.traffic.now_ns = before.now_ns
    after.tracker.load(before.tracker.save())

    after.minute(PAYMENT_DOWN)
    after.minute(CHECKOUT, alarms=(CHECKOUT_FAILS.gone(),))
    after.minute(CHECKOUT)
    after.minute(CHECKOUT)

    last = after.incident()
    assert (last.incident_id, last.status, last.verdict) == (before.incident().incident_id, "closed", "cause")
    assert last.suspects == before.incident().suspects
    assert last.revision > before.incident().revision


@pytest.mark.parametrize(
    "blob", [b"[]", b"{}", b'{"version": 9, "cases": []}', b"\xff", b'{"version": 1, "cases": [{}]}']
)
def test_a_state_of_somebody_else_is_refused(blob: bytes):
    system = System()

    with pytest.raises(ValueError):
        system.tracker.load(blob)

    assert system.tracker.open_count == 0


def test_open_incidents_have_a_bound():
    """Twenty services alarm far from each other: four incidents, the rest joins the newest, counted."""
    system = System(open_max=4, join_s=1.0)
    for number in range(20):
        system.minute(alarms=(FakeAlarm(f"s{number}", onset_ns=system.now_ns),))

    assert (system.tracker.open_count, system.tracker.counts.opened) == (4, 4)
    assert system.tracker.counts.crowded_alarms == 16


def test_alarms_of_an_incident_have_a_bound():
    system = System()
    system.speak(*(FakeAlarm(f"s{number}", onset_ns=EPOCH_NS) for number in range(ALARMS_MAX + 50)))

    assert system.tracker.counts.crowded_alarms == 50
    assert len(system.incident().affected) == AFFECTED_MAX


def test_an_alarm_that_is_never_taken_back_does_not_keep_it_open_for_ever():
    system = System(age_max_s=3600.0)
    system.speak(CHECKOUT_FAILS)
    system.traffic.now_ns += 3600 * SECOND_NS
    system.speak()

    assert (system.incident().status, system.tracker.open_count) == ("closed", 0)


def test_a_ranking_that_fails_waits_for_its_next_turn():
    def broken(reference: TraceFacts, window: TraceFacts, words: Vocabulary) -> FakeRanking:
        raise RuntimeError("our own bug")

    system = System(rank=broken)
    system.healthy_hour()
    system.minute(PAYMENT_DOWN, HOME)
    system.tracker.take([CHECKOUT_FAILS], system.now_ns)

    with pytest.raises(RuntimeError):
        system.tracker.rank_next(system.traffic.words, system.now_ns)

    assert not system.tracker.is_due(system.now_ns)
    assert system.tracker.is_due(system.now_ns + 30 * SECOND_NS)
    assert notes(system.tracker.tell(system.now_ns)) == ["opened"]


def test_hostile_names_are_safe_to_show():
    evil = "pay\x1b[31mment\n" + "x" * 1000
    system = System()
    system.speak(FakeAlarm(evil, onset_ns=EPOCH_NS))

    incident = system.incident()
    shown = [incident.summary, incident.next_probe or "", *(entry.service for entry in incident.timeline)]
    assert all(text.isprintable() and len(text) < 1000 for text in shown)


def test_slow_answers_are_told_in_milliseconds():
    """The median of checkout's and payment's answers grows by 400 ms; both say so."""
    slow = CHECKOUT.replace("0..100", "0..500").replace("5..95", "5..495").replace("10..90", "10..490")
    slow = slow.replace("20..70", "20..470").replace("25..65", "25..465")
    system = System(rank=lambda reference, window, words: FakeRanking([suspect("payment")], roots=["payment"]))
    system.healthy_hour()
    system.minute(slow, HOME, alarms=(FakeAlarm("frontend", "latency", system.now_ns),), count=24)

    affected = {one.service: one for one in system.incident().affected}
    assert {name: one.symptoms for name, one in affected.items()} == {
        "payment": ["latency"],
        "checkout": ["latency"],
        "frontend": ["latency"],
    }
    assert affected["payment"].slowdown_ms == pytest.approx(400, rel=0.1)
    assert affected["payment"].role == "cause"


def test_a_rank_that_is_not_due_is_not_made():
    asked: list[int] = []

    def count(reference: TraceFacts, window: TraceFacts, words: Vocabulary) -> FakeRanking:
        asked.append(window.trace_count)
        return FakeRanking([suspect("payment")])

    system = System(rank=count)
    system.healthy_hour()
    system.minute(PAYMENT_DOWN, alarms=(CHECKOUT_FAILS,))
    system.traffic.now_ns += 10 * SECOND_NS
    assert system.speak() == []
    system.traffic.now_ns += 20 * SECOND_NS
    assert notes(system.speak()) == ["updated"]

    assert asked == [2, 2]
