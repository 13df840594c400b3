"""Who is named as the cause of an incident, and when nobody is."""

from __future__ import annotations

from tests.support.fakes.clock import EPOCH_NS
from tests.support.tracked import CHECKOUT_FAILS, FRONTEND_FAILS, System, notes
from tests.support.traffic import CART_DOWN, HOME, PAYMENT_DOWN, FakeAlarm, FakeRanking, suspect


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
