"""What is said of those an incident hit: slow, silent, or well though their mix of requests changed."""

from __future__ import annotations

import pytest

from tests.support.tracked import CHECKOUT_FAILS, FRONTEND_FAILS, System
from tests.support.traffic import CART_DOWN, CHECKOUT, HOME, PAYMENT_DOWN, FakeAlarm, FakeRanking, suspect


def test_another_mix_of_requests_is_no_slowdown():
    """Short requests fail more often than long ones come: the median over all of them grows, no operation's does."""
    system = System()
    for _ in range(30):
        system.minute(HOME, count=3)
        system.minute(CHECKOUT, count=1)
    system.minute(CHECKOUT, CART_DOWN, alarms=(FRONTEND_FAILS,), count=20)

    assert all(one.slowdown_ms == 0.0 for one in system.incident().affected)


def test_a_service_that_answers_no_more_is_silent():
    """Payment's own spans are gone: calls of it fail, nobody answers."""
    alone = "\n".join(line for line in PAYMENT_DOWN.splitlines() if not line.strip().startswith("payment "))
    system = System(rank=lambda reference, window, words: FakeRanking([suspect("payment")], roots=["payment"]))
    system.healthy_hour()
    system.minute(alone, HOME, alarms=(CHECKOUT_FAILS,), count=10)

    assert ("payment", "cause", ["silence"]) in [
        (one.service, one.role, one.symptoms) for one in system.incident().affected
    ]


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
