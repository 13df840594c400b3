"""Cascades, breakers, retry storms, pools, deadlines, queues: from drawn traces."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analyzer.errors.breakers import breaker_of, conditions_of
from analyzer.errors.cascade import find_cascades
from analyzer.errors.edge_sums import EdgeSums, SystemSums, sum_edges
from analyzer.incidents.facts import join_facts
from analyzer.spans import Vocabulary
from tests.support.facts import facts_of, small_vocabulary

WINDOW_NS = 10_000_000_000  # ten traces a window
FINE = """
    gateway   GET /checkout             0..100
      gateway   CLIENT checkout.Pay       5..95   peer.service=checkout
        checkout  Pay                       10..90
          checkout  CLIENT payment.Charge     20..80  peer.service=payment
            payment   Charge                    25..75
"""
PAYMENT_FAILS = """
    gateway   GET /checkout             0..100  ERROR
      gateway   CLIENT checkout.Pay       5..95   ERROR peer.service=checkout
        checkout  Pay                       10..90  ERROR
          checkout  CLIENT payment.Charge     20..80  ERROR peer.service=payment
            payment   Charge                    25..75  ERROR
"""
NOBODY_ANSWERS = """
    gateway   GET /checkout             0..100  ERROR
      gateway   CLIENT checkout.Pay       5..95   ERROR peer.service=checkout
        checkout  Pay                       10..90  ERROR
          checkout  CLIENT payment.Charge     20..80  ERROR peer.service=payment
"""
OPEN = """
    gateway   GET /checkout             0..40   ERROR
      gateway   CLIENT checkout.Pay       5..35   ERROR peer.service=checkout
        checkout  Pay                       10..30  ERROR
          checkout  CLIENT payment.Charge     20..21  ERROR peer.service=payment
"""
RETRIED = """
    gateway   GET /checkout             0..100  ERROR
      gateway   CLIENT checkout.Pay       5..95   ERROR peer.service=checkout
        checkout  Pay                       10..90  ERROR
          checkout  CLIENT payment.Charge     15..35  ERROR peer.service=payment
            payment   Charge                    16..34  ERROR
          checkout  CLIENT payment.Charge     40..60  ERROR peer.service=payment
            payment   Charge                    41..59  ERROR
          checkout  CLIENT payment.Charge     65..85  ERROR peer.service=payment
            payment   Charge                    66..84  ERROR
"""
IMPATIENT = """
    gateway   GET /checkout             0..60   ERROR
      gateway   CLIENT checkout.Pay       5..50   ERROR peer.service=checkout
        checkout  Pay                       10..190
"""


def summed(*parts: tuple[str, int], words: Vocabulary | None = None) -> SystemSums:
    """Stretches of like traces, one after the other, a trace a second."""
    words = words or small_vocabulary()
    return sum_edges(chained(words, parts), words, WINDOW_NS)


def chained(words: Vocabulary, parts):
    stretches, begin = [], 0.0
    for number, (text, count) in enumerate(parts):
        stretches.append(facts_of(words, (text, count), seed=number + 1, start_ms=begin))
        begin += count * 1000.0
    return join_facts(stretches)


def test_the_sums_are_those_of_the_traces():
    sums = summed((FINE, 20), (PAYMENT_FAILS, 10))
    edge = sums.edges["checkout", "payment"]

    assert edge.calls.tolist() == [10, 10, 10]
    assert edge.failed.tolist() == edge.carried.tolist() == [0, 0, 10]
    assert edge.answered.tolist() == [10, 10, 10]
    assert sums.services["payment"].own.tolist() == [0, 0, 10]
    assert sums.services["checkout"].own.tolist() == [0, 0, 0]


def test_the_trigger_and_its_victims_in_order():
    (found,) = find_cascades(summed((FINE, 60), (PAYMENT_FAILS, 40)), 6)

    assert (found.trigger, found.unseen) == ("payment", False)
    assert [(v.service, v.through, v.depth) for v in found.victims] == [
        ("checkout", "payment", 1),
        ("gateway", "checkout", 2),
    ]
    assert (found.depth, found.width, found.failed) == (2, 1, 40)
    assert found.sentence == "It began where payment fails by itself; checkout, gateway only pass it on."


def test_a_service_that_sends_no_spans_can_be_the_trigger():
    (found,) = find_cascades(
        summed((FINE.replace("payment   Charge                    25..75", ""), 60), (NOBODY_ANSWERS, 40)), 6
    )

    assert (found.trigger, found.unseen) == ("payment", True)
    assert [v.service for v in found.victims] == ["checkout", "gateway"]


def test_two_beginnings_are_two_cascades():
    stock = """
        shop      GET /stock                0..50   ERROR
          shop      CLIENT stock.Get          5..45   ERROR peer.service=stock
            stock     Get                       10..40  ERROR
    """
    fine = stock.replace("ERROR", "")
    words = small_vocabulary()
    sums = summed((FINE, 30), (fine, 30), (PAYMENT_FAILS, 20), (stock, 40), words=words)

    assert [found.trigger for found in find_cascades(sums, 6)] == ["stock", "payment"]


def test_where_all_is_well_nothing_began():
    assert find_cascades(summed((FINE, 100)), 6) == []


@pytest.mark.parametrize("split", [0, 10, -1])
def test_a_split_without_two_sides_is_refused(split: int):
    with pytest.raises(ValueError, match="windows before and after"):
        find_cascades(summed((FINE, 100)), split)


def test_a_retry_storm_amplifies():
    sums = summed((FINE, 60), (RETRIED, 40))
    conditions = conditions_of(sums)
    (found,) = find_cascades(sums, 6, conditions)

    storm = next(one for one in conditions if one.kind == "retry_storm")
    assert (storm.caller, storm.callee, storm.value) == ("checkout", "payment", 3.0)
    assert "3 attempts per call from checkout to payment" in storm.sentence
    assert found.amplification == pytest.approx(3.0)
    assert storm in found.amplifiers


def test_an_impatient_caller_is_named():
    (found,) = [one for one in conditions_of(summed((FINE, 60), (IMPATIENT, 40))) if one.kind == "timeout_inversion"]

    assert (found.caller, found.callee) == ("gateway", "checkout")
    assert "less patient" in found.sentence


def test_a_breaker_opens_probes_and_closes():
    """Fails, then fails at once and unasked, then lets some through, then all."""
    sums = summed((FINE, 30), (PAYMENT_FAILS, 20), (OPEN, 30))
    edge = sums.edges["checkout", "payment"]

    assert breaker_of(edge).states == ("closed",) * 5 + ("open",) * 3
    assert not breaker_of(edge).sure
    assert breaker_of(edge, named=12).sure

    probing = small_vocabulary()
    mixed = facts_of(probing, (FINE, 30))
    parts = [mixed, facts_of(probing, (OPEN, 20), start_ms=30_000, seed=2)]
    parts += [facts_of(probing, (OPEN, 7), (FINE, 3), start_ms=50_000, seed=3)]
    parts += [facts_of(probing, (FINE, 10), start_ms=60_000, seed=4)]
    edge = sum_edges(join_facts(parts), probing, WINDOW_NS).edges["checkout", "payment"]
    assert breaker_of(edge).states == ("closed",) * 3 + ("open",) * 2 + ("half_open",) + ("closed",)


def test_failing_slowly_is_no_open_breaker():
    assert set(breaker_of(summed((FINE, 30), (NOBODY_ANSWERS, 30)).edges["checkout", "payment"]).states) == {"closed"}


def test_an_open_breaker_is_told():
    conditions = conditions_of(summed((FINE, 60), (OPEN, 30)))

    (found,) = [one for one in conditions if one.kind == "breaker_open"]
    assert "the breaker from checkout to payment seems to be" in found.sentence


def test_an_empty_pool_is_told():
    edge = bare_edge(9)
    edge.calls[:] = 20
    edge.failed[6:] = edge.exhausted[6:] = 8
    sums = SystemSums(0, WINDOW_NS, {("checkout", "orders-db"): edge})
    sums.services = summed((FINE, 90)).services

    (found,) = [one for one in conditions_of(sums) if one.kind == "pool_exhausted"]
    assert "24 of 24 failed calls from checkout to orders-db found no connection" in found.sentence


def bare_edge(windows: int) -> EdgeSums:
    counts = {name: np.zeros(windows, np.int64) for name in ("calls", "failed", "answered", "retries", "carried")}
    more = {name: np.zeros(windows, np.int64) for name in ("timed_out", "exhausted", "refused", "abandoned")}
    return EdgeSums(
        "checkout",
        "orders-db",
        "database",
        **counts,
        **more,
        duration_ns=np.zeros(windows),
        failed_ns=np.zeros(windows),
    )


SENT = """
    shop      POST /order               0..50
      shop      PRODUCER orders publish   5..10  messaging.destination.name=orders
        mailer    CONSUMER orders process   20..40
"""
NOT_PROCESSED = """
    shop      POST /order               0..50
      shop      PRODUCER orders publish   5..10  messaging.destination.name=orders
"""
DEAD = """
    shop      POST /order               0..50
      shop      PRODUCER orders-dlq publish   5..10  messaging.destination.name=orders-dlq
"""


def test_a_queue_that_fills_is_told():
    kinds = [one.kind for one in conditions_of(summed((SENT, 80), (NOT_PROCESSED, 40)))]

    assert "queue_backlog" in kinds
    assert "queue_backlog" not in [one.kind for one in conditions_of(summed((SENT, 120)))]


def test_dead_letters_are_told():
    (found,) = [one for one in conditions_of(summed((SENT, 80), (DEAD, 40))) if one.kind == "dead_letters"]

    assert found.value == 40


def test_what_outlasts_its_beginning_keeps_itself_going():
    """Payment is well again and asked as ever; checkout still fails."""
    sums = summed((FINE, 60), (PAYMENT_FAILS, 40))
    sums.services["payment"].failed[9:] = 0

    (found,) = find_cascades(sums, 6)

    assert found.self_sustaining
    assert "keeps itself going" in found.sentence


def test_a_cycle_of_services_is_walked_once():
    """a calls b, b calls a: both fail, nobody by itself."""
    loop = """
        a   GET /           0..100  ERROR
          a   CLIENT b.Do     5..95   ERROR peer.service=b
            b   Do              10..90  ERROR
              b   CLIENT a.Do     15..85  ERROR peer.service=a
                a   Do              20..80  ERROR
                  a   CLIENT b.Do     25..75  ERROR peer.service=b
    """
    found = find_cascades(summed((loop.replace("ERROR", ""), 60), (loop, 40)), 6)

    assert len(found) == 1
    assert math.isnan(found[0].seconds_a_hop)


def test_no_traces_no_sums():
    words = small_vocabulary()
    empty = facts_of(words, (FINE, 1)).select(np.zeros(1, bool))

    assert sum_edges(empty, words, WINDOW_NS).windows == 0
    with pytest.raises(ValueError, match="window_ns is 0"):
        sum_edges(empty, words, 0)
