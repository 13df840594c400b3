"""The published methods do what their papers say, also where that is wrong."""

from __future__ import annotations

import pytest

from analyzer.evaluation import Scores
from analyzer.evaluation.methods import OURS, all_methods
from analyzer.evaluation.methods.shapley_iq import Chain, Segment, merge, share_out, split
from analyzer.incidents.facts import TraceFacts
from analyzer.spans import Vocabulary
from tests.support.facts import facts_of, small_vocabulary

CHECKOUT = """
gateway POST /checkout 0..100
  gateway CLIENT cart 5..35 peer.service=cart
    cart GET /cart 6..34
  gateway CLIENT payment 40..90 peer.service=payment
    payment POST /charge 42..88
      payment CLIENT bank 50..80 peer.service=bank
        bank POST /authorise 52..78
"""
SLOW_BANK = """
gateway POST /checkout 0..400
  gateway CLIENT cart 5..35 peer.service=cart
    cart GET /cart 6..34
  gateway CLIENT payment 40..390 peer.service=payment
    payment POST /charge 42..388
      payment CLIENT bank 50..380 peer.service=bank
        bank POST /authorise 52..378
"""
FAILING_BANK = """
gateway POST /checkout 0..100 ERROR
  gateway CLIENT cart 5..35 peer.service=cart
    cart GET /cart 6..34
  gateway CLIENT payment 40..90 ERROR peer.service=payment
    payment POST /charge 42..88 ERROR
      payment CLIENT bank 50..80 ERROR peer.service=bank
        bank POST /authorise 52..78 ERROR
"""
BROWSE = """
gateway GET / 0..50
  gateway CLIENT cart 5..35 peer.service=cart
    cart GET /cart 6..34
"""
# Without client spans, as many systems report.
PLAIN = """
gateway GET / 0..100
  cart GET /cart 10..90
    prices GET /prices 20..80
"""
SLOW_PRICES = """
gateway GET / 0..300
  cart GET /cart 10..290
    prices GET /prices 20..280
"""
BASELINES = [name for name in all_methods() if name != OURS]


@pytest.fixture
def words() -> Vocabulary:
    return small_vocabulary()


def scores(name: str, reference: TraceFacts, window: TraceFacts, words: Vocabulary) -> Scores:
    return all_methods()[name].judge(reference, window, words).services


def first(found: Scores) -> str:
    """The one service above all others."""
    assert found, "nobody was named"
    assert len(found) == 1 or found[0][1] > found[1][1], f"a tie: {found}"
    return found[0][0]


def test_every_method_of_the_comparison_is_there():
    assert set(BASELINES) == {
        "random",
        "max_z",
        "alert_counter",
        "deepest_error",
        "simple_rca",
        "trace_rca",
        "micro_rank",
        "shapley_iq",
        "micro_hecl",
    }


@pytest.mark.parametrize("name", BASELINES)
def test_scores_are_services_seen_best_first_and_repeatable(name: str, words: Vocabulary):
    reference = facts_of(words, (CHECKOUT, 40), (BROWSE, 40))
    window = facts_of(words, (SLOW_BANK, 20), (BROWSE, 20), seed=2)

    found = scores(name, reference, window, words)

    assert {service for service, _ in found} <= {"gateway", "cart", "payment", "bank"}
    assert len({service for service, _ in found}) == len(found)
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert found == scores(name, reference, window, words)


@pytest.mark.parametrize("name", BASELINES)
def test_an_empty_window_and_a_single_trace_are_no_accident(name: str, words: Vocabulary):
    reference = facts_of(words, (CHECKOUT, 10))
    empty, one = facts_of(words), facts_of(words, (CHECKOUT, 1), seed=3)

    assert {service for service, _ in scores(name, reference, one, words)} <= {"gateway", "cart", "payment", "bank"}
    assert {service for service, _ in scores(name, reference, empty, words)} <= {"gateway", "cart", "payment", "bank"}
    assert {service for service, _ in scores(name, empty, one, words)} <= {"gateway", "cart", "payment", "bank"}


@pytest.mark.parametrize("name", ["alert_counter", "simple_rca", "micro_hecl"])
def test_those_that_can_be_silent_are_silent_on_the_same_traces(name: str, words: Vocabulary):
    """Nothing is unusual in what is usual."""
    same = facts_of(words, (CHECKOUT, 60))

    assert all_methods()[name].can_abstain
    assert scores(name, same, same, words) == []


def test_chance_lists_everybody_in_an_order_that_the_ids_decide(words: Vocabulary):
    reference = facts_of(words, (CHECKOUT, 10))

    orders = {
        tuple(service for service, _ in scores("random", reference, facts_of(words, (BROWSE, 3), seed=seed), words))
        for seed in range(2, 12)
    }

    assert all(set(order) == {"gateway", "cart", "payment", "bank"} for order in orders)
    assert len(orders) > 1


def test_max_z_takes_the_loudest(words: Vocabulary):
    """The bank moved by twelve times its usual time; those above it inherit less."""
    reference = facts_of(words, (CHECKOUT, 60))
    window = facts_of(words, (SLOW_BANK, 60), seed=2)

    found = scores("max_z", reference, window, words)

    assert [service for service, _ in found] == ["bank", "payment", "gateway", "cart"]


def test_the_alert_counter_is_fooled_by_a_chain(words: Vocabulary):
    """Two spans of payment fail for each of the bank: the most alerts are not the cause."""
    reference = facts_of(words, (CHECKOUT, 60))
    window = facts_of(words, (FAILING_BANK, 30), (CHECKOUT, 30), seed=2)

    found = dict(scores("alert_counter", reference, window, words))

    assert (found["bank"], found["payment"], found["gateway"]) == (30, 60, 60)
    assert "cart" not in found


def test_the_deepest_error_is_blamed(words: Vocabulary):
    reference = facts_of(words, (CHECKOUT, 60))
    window = facts_of(words, (FAILING_BANK, 30), (CHECKOUT, 30), seed=2)

    found = scores("deepest_error", reference, window, words)

    assert first(found) == "bank"
    assert int(found[0][1]) == 30
    assert all(score < 1 for _, score in found[1:])


def test_without_errors_the_loudest_stands_in_for_the_deepest(words: Vocabulary):
    reference = facts_of(words, (CHECKOUT, 60))
    window = facts_of(words, (SLOW_BANK, 60), seed=2)

    assert first(scores("deepest_error", reference, window, words)) == "bank"


def test_simple_rca_counts_broken_rules(words: Vocabulary):
    """Payment and gateway break the latency rules in two operations each, the bank in one: rules do not see causes."""
    reference = facts_of(words, (CHECKOUT, 60))
    window = facts_of(words, (SLOW_BANK, 60), seed=2)

    found = dict(scores("simple_rca", reference, window, words))

    assert {service: int(score) for service, score in found.items()} == {"bank": 2, "payment": 4, "gateway": 4}


def test_simple_rca_sees_who_is_no_longer_called(words: Vocabulary):
    """Traffic that is gone is an alert of who had it."""
    reference = facts_of(words, (CHECKOUT, 60))
    window = facts_of(words, (BROWSE, 60), seed=2)

    found = dict(scores("simple_rca", reference, window, words))

    assert int(found["bank"]) == 1
    assert "cart" not in found


def test_trace_rca_cancels_the_relay(words: Vocabulary):
    """Abnormal calls go into cart and out of it; into prices only."""
    reference = facts_of(words, (PLAIN, 60))
    window = facts_of(words, (SLOW_PRICES, 20), (PLAIN, 40), seed=2)

    found = scores("trace_rca", reference, window, words)

    assert first(found) == "prices"
    assert dict(found)["cart"] == dict(found)["gateway"] == 0.0


def test_trace_rca_prefers_who_is_only_on_abnormal_traces(words: Vocabulary):
    """Nobody but slow checkouts visits the bank; the gateway is on every trace."""
    reference = facts_of(words, (CHECKOUT, 40), (BROWSE, 40))
    window = facts_of(words, (SLOW_BANK, 20), (BROWSE, 60), seed=2)

    assert first(scores("trace_rca", reference, window, words)) == "bank"


def test_micro_rank_prefers_what_only_slow_traces_visit(words: Vocabulary):
    """Payment and bank have the same coverage: the spectrum cannot tell a leaf from what stands above it."""
    reference = facts_of(words, (CHECKOUT, 40), (BROWSE, 40))
    window = facts_of(words, (SLOW_BANK, 20), (BROWSE, 60), seed=2)

    order = [service for service, _ in scores("micro_rank", reference, window, words)]

    assert set(order[:2]) == {"payment", "bank"}
    assert order.index("cart") > 1


def test_micro_rank_names_nobody_when_no_trace_is_slow(words: Vocabulary):
    """Faster than usual: every trace is under its threshold."""
    reference = facts_of(words, (SLOW_BANK, 40))
    window = facts_of(words, (CHECKOUT, 40), seed=2)

    assert scores("micro_rank", reference, window, words) == []


def test_shapley_iq_gives_the_extra_time_to_who_took_it(words: Vocabulary):
    reference = facts_of(words, (CHECKOUT, 60))
    window = facts_of(words, (SLOW_BANK, 60), seed=2)

    found = scores("shapley_iq", reference, window, words)

    assert first(found) == "bank"
    assert dict(found)["cart"] < 0.1 * found[0][1]


def test_parallel_excess_is_shared_equally_where_both_are_late():
    """a late by 40 and b by 20 end together: the last 20 ms are half and half, the 20 before are a's."""
    a, b = Segment(0, 100, 1, 40.0), Segment(0, 100, 2, 20.0)

    assert share_out([Chain(100, 40.0, [a]), Chain(100, 20.0, [b])]) == {1: 30.0, 2: 10.0}


def test_who_is_not_late_has_no_share():
    a, b = Segment(0, 100, 1, 40.0), Segment(0, 90, 2, -5.0)

    assert share_out([Chain(100, 40.0, [a]), Chain(90, -5.0, [b])]) == {1: 40.0}


def test_a_caller_is_cut_into_the_gaps_between_its_callees():
    """0..100 with callees 20..50 and 40..80: own time 0..20 and 80..100, half of the 30 ms extra time scaled by 40 %."""
    found = split(Segment(0, 100, 7, 30.0), [(20, 50), (40, 80)])

    assert [(one.start, one.end, one.extra) for one in found] == [(0, 20, 6.0), (80, 100, 6.0)]


def test_segments_that_follow_one_another_become_one_chain():
    """a ends at 50, b begins 2 ms after (4 %), c much later."""
    a, b, c = Segment(0, 50, 1, 5.0), Segment(52, 90, 2, 7.0), Segment(150, 160, 3, 1.0)

    found = merge([c, a, b])

    assert [(one.end, one.extra, [member.operation for member in one.members]) for one in found] == [
        (90, 12.0, [1, 2]),
        (160, 1.0, [3]),
    ]


def test_micro_hecl_follows_what_moves_together_to_its_end(words: Vocabulary):
    """Slow in the same slices all the way down: prices is where it ends; cart and gateway are not named."""
    reference = facts_of(words, (PLAIN, 200), every_ms=100)
    window = facts_of(words, (SLOW_PRICES, 60), (PLAIN, 140), seed=2, every_ms=100)

    found = scores("micro_hecl", reference, window, words)

    assert [service for service, _ in found] == ["prices"]
