"""Who is breaking the system: drawn systems, one trouble each, name the cause."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.incidents.confidence import candidate_set, is_insufficient, probabilities
from analyzer.incidents.ranking import Ranking, rank_incident, rank_services
from analyzer.incidents.star import charge
from tests.support.facts import facts_of, small_vocabulary

HEALTHY = """
    shop SERVER GET /buy 0..100
      shop CLIENT POST 5..45 server.address=cart
        cart SERVER Cart/Add 8..42
          cart CLIENT INSERT 10..30 server.address=cart-db
      shop CLIENT POST 50..90 server.address=pay
        pay SERVER Pay/Charge 52..88
          pay INTERNAL work 55..85
"""


def ranking(bad: str, healthy: str = HEALTHY, share: float = 1.0) -> Ranking:
    words = small_vocabulary()
    reference = facts_of(words, (healthy, 80), seed=1)
    count = 60
    parts = [(bad, round(share * count))]
    if share < 1.0:
        parts.append((healthy, count - parts[0][1]))
    window = facts_of(words, *parts, seed=2, start_ms=200_000.0)
    return rank_incident(reference, window, words)


def first(found: Ranking) -> str:
    return found.services[0][0]


def test_nothing_changed_nobody_is_named():
    found = ranking(HEALTHY)

    assert found.insufficient
    assert found.roots == []
    assert found.next_probe


def test_own_time_is_charged_to_who_spends_it_not_to_who_waits():
    found = ranking("""
        shop SERVER GET /buy 0..300
          shop CLIENT POST 5..45 server.address=cart
            cart SERVER Cart/Add 8..42
              cart CLIENT INSERT 10..30 server.address=cart-db
          shop CLIENT POST 50..290 server.address=pay
            pay SERVER Pay/Charge 52..288
              pay INTERNAL work 55..285
    """)

    assert (first(found), found.insufficient, found.roots) == ("pay", False, ["pay"])
    assert found.suspects[0].rule == "incident.slower"
    assert "work" in found.suspects[0].sentence


def test_a_dead_service_sends_no_spans_and_is_named_by_its_callers_words():
    found = ranking("""
        shop SERVER GET /buy 0..60 ERROR
          shop CLIENT POST 5..45 server.address=cart
            cart SERVER Cart/Add 8..42
              cart CLIENT INSERT 10..30 server.address=cart-db
          shop CLIENT POST 50..52 server.address=pay ERROR error.type=ConnectionRefused
    """)

    assert first(found) == "pay"
    assert found.suspects[0].rule == "incident.failing"


def test_a_missing_call_of_good_requests_is_charged_to_who_should_make_it():
    found = ranking("""
        shop SERVER GET /buy 0..100
          shop CLIENT POST 5..45 server.address=cart
            cart SERVER Cart/Add 8..42
          shop CLIENT POST 50..90 server.address=pay
            pay SERVER Pay/Charge 52..88
              pay INTERNAL work 55..85
    """)

    assert first(found) == "cart"
    assert found.suspects[0].rule == "incident.reshaped"
    assert "INSERT" in found.suspects[0].sentence


def test_who_gives_up_too_early_is_to_blame_not_who_is_as_fast_as_ever():
    found = ranking("""
        shop SERVER GET /buy 0..70 ERROR
          shop CLIENT POST 5..45 server.address=cart
            cart SERVER Cart/Add 8..42
              cart CLIENT INSERT 10..30 server.address=cart-db
          shop CLIENT POST 50..60 server.address=pay ERROR error.type=timeout
            pay SERVER Pay/Charge 52..88
              pay INTERNAL work 55..85
    """)

    assert first(found) == "shop"


def test_who_hurries_a_callee_until_it_is_slower_is_to_blame_for_that_too():
    """Retries of calls given up too early are work for nobody: the callee is a little slower by it."""
    found = ranking("""
        shop SERVER GET /buy 0..95 ERROR
          shop CLIENT POST 5..45 server.address=cart
            cart SERVER Cart/Add 8..42
              cart CLIENT INSERT 10..30 server.address=cart-db
          shop CLIENT POST 50..68 server.address=pay ERROR error.type=timeout
            pay SERVER Pay/Charge 52..101
              pay INTERNAL work 55..98
          shop CLIENT POST 70..88 server.address=pay ERROR error.type=timeout
            pay SERVER Pay/Charge 72..121
              pay INTERNAL work 75..118
    """)

    assert first(found) == "shop"


def test_who_is_gone_is_named_where_nobody_says_that_anything_failed():
    """The call to cart is over at once, without an answer or an error; shop leaves the rest out."""
    found = ranking("""
        shop SERVER GET /buy 0..10
          shop CLIENT POST 5..6 server.address=cart
    """)

    assert first(found) == "cart"


def test_calls_that_go_unanswered_without_a_word_speak_against_the_callee():
    """A part of the calls is refused; the client does not record it, waits and tries again."""
    found = ranking(
        """
        shop SERVER GET /buy 0..160
          shop CLIENT POST 5..6 server.address=cart
          shop CLIENT POST 50..51 server.address=cart
          shop CLIENT POST 65..105 server.address=cart
            cart SERVER Cart/Add 68..102
              cart CLIENT INSERT 70..90 server.address=cart-db
          shop CLIENT POST 110..150 server.address=pay
            pay SERVER Pay/Charge 112..148
              pay INTERNAL work 115..145
        """,
        share=0.8,
    )

    assert first(found) == "cart"


def test_who_asks_ten_times_is_charged_with_what_its_callee_got_slower():
    healthy = """
        shop SERVER GET /buy 0..100
          shop CLIENT POST 5..45 server.address=cart
            cart SERVER Cart/Add 8..42
              cart CLIENT INSERT 10..30 server.address=cart-db
    """
    calls = "\n".join(
        f"""
          shop CLIENT POST {at}..{at + 60} server.address=cart
            cart SERVER Cart/Add {at + 3}..{at + 57}
              cart CLIENT INSERT {at + 5}..{at + 45} server.address=cart-db"""
        for at in range(5, 605, 61)
    )

    assert first(ranking(f"        shop SERVER GET /buy 0..700{calls}", healthy)) == "shop"


def test_a_clock_set_back_is_no_queue():
    """Sent nine seconds before the request came in: the sender's clock is wrong, no message waited."""
    healthy = """
        shop SERVER GET /buy 9000..9100
          shop CLIENT POST 9005..9095 server.address=pay
            pay SERVER Pay/Charge 9010..9090
              pay PRODUCER paid 9020..9030
                mailer CONSUMER paid 9040..9060
    """
    found = ranking(
        """
        shop SERVER GET /buy 9000..9100 ERROR
          shop CLIENT POST 9005..9095 server.address=pay ERROR error.type=401
            pay SERVER Pay/Charge 10..90 ERROR error.type=401
              pay PRODUCER paid 20..30
                mailer CONSUMER paid 9040..9060
        """,
        healthy,
        share=0.3,
    )

    assert first(found) != "mailer"


def test_an_entry_that_surges_is_the_news_also_when_it_becomes_most_of_all():
    words = small_vocabulary()
    others = [f"shop{i} SERVER GET /{i} 0..50\n  shop{i} INTERNAL work 5..45" for i in range(4)]
    surging = "door SERVER GET /door 0..100\n  door CLIENT POST 5..95 server.address=back\n    back SERVER Get 10..{}"
    reference = facts_of(words, *((text, 40) for text in others), (surging.format(40), 40), seed=1)
    window = facts_of(words, *((text, 15) for text in others), (surging.format(90), 140), seed=2, start_ms=300_000.0)

    assert rank_services(reference, window, words).services[0][0] == "door"


def test_a_window_in_which_everything_failed_is_ranked():
    """No good execution is left to compare shapes with."""
    found = ranking("""
        shop SERVER GET /buy 0..10 ERROR
          shop CLIENT POST 5..8 server.address=cart ERROR
            cart SERVER Cart/Add 6..7 ERROR
    """)

    assert first(found) == "cart"


def test_every_candidate_is_ranked_once_and_probabilities_sum_to_one():
    found = ranking(HEALTHY)
    names = [name for name, _ in found.services]

    assert sorted(names) == ["cart", "cart-db", "pay", "shop"]
    assert [harm for _, harm in found.services] == sorted((harm for _, harm in found.services), reverse=True)
    assert probabilities(np.array([0.4, 0.1, 0.0])).sum() == pytest.approx(1.0)


def test_the_same_facts_give_the_same_ranking():
    words = small_vocabulary()
    reference, window = facts_of(words, (HEALTHY, 40), seed=1), facts_of(words, (HEALTHY, 40), seed=5)

    assert rank_services(reference, window, words) == rank_services(reference, window, words)


@pytest.mark.parametrize(
    ("grown", "charged"),
    [
        ({(0, 2), (1, 2)}, "into 2"),  # all calls into 2
        ({(0, 2), (0, 3), (0, 4)}, "out of 0"),  # all calls out of 0
        ({(0, 3)}, "into 3"),  # 3 has no other caller, 0 has calls that are well
        ({(1, 2)}, "alone"),  # 2 is well for others, 1 calls nobody else
    ],
)
def test_the_pattern_of_edges_says_whose_it_is(grown: set[tuple[int, int]], charged: str):
    edges = [(0, 2), (0, 3), (0, 4), (1, 2)]
    found = charge({edge: 10.0 if edge in grown else 0.0 for edge in edges}, dict.fromkeys(edges, 100), np.zeros(5))
    said = {f"into {i}" for i in range(5) if found.ingress[i]} | {f"out of {i}" for i in range(5) if found.egress[i]}

    assert (said or {"alone"}) == {charged}
    assert found.nodes().sum() == pytest.approx(10.0 * len(grown))


def test_cannot_tell_is_an_answer():
    assert is_insufficient(np.array([0.001, 0.0]), probabilities(np.array([0.001, 0.0])))
    assert not is_insufficient(np.array([0.5, 0.0]), probabilities(np.array([0.5, 0.0])))
    assert candidate_set(["a", "b"], np.array([0.95, 0.05]), False) == ["a"]
    assert candidate_set(["a", "b"], np.array([0.86, 0.14]), False) == ["a", "b"]
    assert candidate_set(["a", "b"], np.array([0.5, 0.5]), True) == []
