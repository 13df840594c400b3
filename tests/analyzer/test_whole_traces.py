"""Single traces against what is usual of them: lost spans, calls that were given up, calls that tell nothing."""

from __future__ import annotations

import pytest

from analyzer.engine import Analyzer
from analyzer.findings import Answer
from analyzer.origins.story import INCOMPLETE_FACTOR, SURE_MAX
from analyzer.spans import Vocabulary
from tests.support.drawing import batch, draw, healthy
from tests.support.naive.vocabulary import vocabulary

NOW_NS = 1_760_000_000_000_000_000

SHOP = """
web POST /buy 0..100
  web CLIENT shop.Pay 10..90 server.address=pay
    pay shop.Pay 12..88
      pay CLIENT bank.Charge 20..80 server.address=bank
        bank bank.Charge 22..78
          bank CLIENT INSERT 30..40 db.system.name=postgresql
"""
# Only servers have a status.
QUIET = """
web GET /home 0..60
  web INTERNAL home 0.02..59.98
    web CLIENT GET 10..30 server.address=cart
      cart GET /items 11..29
    web CLIENT GET 31..50 server.address=news
      news GET /news 32..49
"""
# No kinds: every span is INTERNAL.
KINDLESS = """
web INTERNAL Web.home 0..60
  web INTERNAL Cart.items 10..30
    cart INTERNAL Cart.items 11..29
"""


class Room:
    """An analyzer that knows some healthy traffic."""

    def __init__(self, normal: str, share: float = 0.1) -> None:
        self.words: Vocabulary = vocabulary()
        self.analyzer = Analyzer()
        verdicts = self.analyzer.analyse(batch(healthy(draw(normal), 300, share=share), self.words))
        self.analyzer.learn(verdicts, NOW_NS)

    def say(self, text: str) -> Answer:
        return self.analyzer.answer(batch(draw(text), self.words))


def named(answer: Answer) -> tuple[str, str, str]:
    """(rule, culprit, origin) of the likeliest cause."""
    first = answer.root_causes[0]
    span = first.origin_spans[0]
    return first.rule, first.entity.name, f"{span.service} {span.operation} {span.kind}"


@pytest.fixture(scope="module")
def shop() -> Room:
    return Room(SHOP)


@pytest.fixture(scope="module")
def quiet() -> Room:
    return Room(QUIET)


@pytest.fixture(scope="module")
def kindless() -> Room:
    return Room(KINDLESS)


# -- spans that were lost ------------------------------------------------------------------


def test_a_lost_server_does_not_make_its_caller_slow(shop: Room):
    """The server span of pay is lost; what it called is put back under the call, and the bank is still named."""
    answer = shop.say("""
        web POST /buy 0..900
          web CLIENT shop.Pay 10..890 server.address=pay
        pay CLIENT bank.Charge 20..880 server.address=bank parent:lost
          bank bank.Charge 22..878
            bank CLIENT INSERT 30..40 db.system.name=postgresql
    """)

    assert named(answer) == ("latency.own_time", "bank", "bank bank.Charge SERVER")


def test_a_lost_call_does_not_make_its_caller_slow(shop: Room):
    """The client span of pay is lost; the bank is put back under the span that always calls it."""
    answer = shop.say("""
        web POST /buy 0..900
          web CLIENT shop.Pay 10..890 server.address=pay
            pay shop.Pay 12..888
        bank bank.Charge 22..878 parent:lost
          bank CLIENT INSERT 30..40 db.system.name=postgresql
    """)

    # Whether it was the bank or the way to it cannot be told without the call; pay is not blamed.
    assert named(answer) == ("latency.own_time", "bank", "bank bank.Charge SERVER")


def test_a_service_that_lost_all_its_spans_is_bridged(shop: Room):
    answer = shop.say("""
        web POST /buy 0..900
          web CLIENT shop.Pay 10..890 server.address=pay
        bank bank.Charge 22..878 parent:lost
          bank CLIENT INSERT 30..40 db.system.name=postgresql
    """)

    assert named(answer) == ("latency.own_time", "bank", "bank bank.Charge SERVER")


def test_an_orphan_that_nobody_waited_for_is_not_put_back(shop: Room):
    """It ran after its supposed caller had ended: the call to pay holds the time itself."""
    answer = shop.say("""
        web POST /buy 0..900
          web CLIENT shop.Pay 10..890 server.address=pay
        bank bank.Charge 950..1800 parent:lost
    """)

    assert named(answer)[:2] == ("latency.peer", "pay")


def test_what_was_put_back_is_not_learned():
    """Explaining a trace with orphans leaves no mark: the batch is learned as it came."""
    orphaned = SHOP.replace("        bank bank.Charge 22..78", "bank bank.Charge 22..978 parent:lost")
    orphaned = orphaned.replace("0..100", "0..1000").replace("10..90", "10..990").replace("12..88", "12..988")
    rooms = [Room(SHOP), Room(SHOP)]
    for room, explained in zip(rooms, (True, False), strict=True):
        verdicts = room.analyzer.analyse(batch([draw(orphaned), *healthy(draw(SHOP), 5)], room.words))
        if explained:
            room.analyzer.explain(verdicts, 0)
        room.analyzer.learn(verdicts, NOW_NS)

    assert rooms[0].analyzer.save() == rooms[1].analyzer.save()


# -- calls that were given up --------------------------------------------------------------

GIVEN_UP = """
web POST /buy 0..{end} ERROR http.response.status_code=504
  web CLIENT shop.Pay 10..{end} ERROR server.address=pay !TimeoutError
    pay shop.Pay {there}..{back}
      pay CLIENT bank.Charge {there}..{back} server.address=bank
        bank bank.Charge {there}..{back}
"""


def test_a_caller_that_waits_for_less_than_it_takes_is_to_blame(shop: Room):
    """80 ms are usual, it waited for 75: the callee is as fast as ever."""
    answer = shop.say(GIVEN_UP.format(end=85, there=12, back=90))

    assert named(answer) == ("error.timeout.impatient_caller", "web", "web shop.Pay CLIENT")


def test_a_callee_slower_than_ever_is_to_blame_for_the_timeout(shop: Room):
    answer = shop.say(GIVEN_UP.format(end=500, there=12, back=900))

    assert named(answer) == ("error.timeout.slow_server", "bank", "bank bank.Charge SERVER")


def test_a_request_that_came_when_it_had_been_given_up_was_on_its_way(shop: Room):
    answer = shop.say(GIVEN_UP.format(end=500, there=480, back=560))

    assert named(answer) == ("error.timeout.slow_way", "web -> pay", "web shop.Pay CLIENT")


def test_time_lost_in_a_failed_attempt_belongs_to_who_made_it_fail(shop: Room):
    """The first attempt failed in the bank after 800 ms; the second one succeeded."""
    answer = shop.say("""
        web POST /buy 0..920
          web CLIENT shop.Pay 10..810 ERROR server.address=pay
            pay shop.Pay 12..808 ERROR
              pay CLIENT bank.Charge 20..806 ERROR server.address=bank
                bank bank.Charge 22..804 ERROR !StateError
          web CLIENT shop.Pay 820..900 server.address=pay
            pay shop.Pay 822..898
              pay CLIENT bank.Charge 830..890 server.address=bank
                bank bank.Charge 832..888
                  bank CLIENT INSERT 840..850 db.system.name=postgresql
    """)

    assert named(answer) == ("latency.retry", "bank", "bank bank.Charge SERVER")
    assert "failed because" in answer.root_causes[0].sentence


# -- calls that tell nothing ---------------------------------------------------------------


def test_where_only_servers_are_marked_the_work_span_is_the_origin(quiet: Room):
    answer = quiet.say("""
        web GET /home 0..20 ERROR http.response.status_code=500
          web INTERNAL home 0.02..19.98
    """)

    assert named(answer) == ("error.origin.local", "web", "web home INTERNAL")


def test_an_unmarked_call_without_its_usual_server_was_refused(quiet: Room):
    """The call to the cart has no server span though it always has; another call went on beside it."""
    answer = quiet.say("""
        web GET /home 0..30 ERROR http.response.status_code=503
          web INTERNAL home 0.02..29.98
            web CLIENT GET 10..11 server.address=cart
            web CLIENT GET 10..26 server.address=news
              news GET /news 11..25
    """)

    assert named(answer) == ("error.origin.unmarked_child", "cart", "web GET CLIENT")


def test_an_unmarked_call_that_its_server_outlived_was_given_up(quiet: Room):
    answer = quiet.say("""
        web GET /home 0..520 ERROR http.response.status_code=504
          web INTERNAL home 0.02..519.98
            web CLIENT GET 10..518 server.address=cart
              cart GET /items 11..1900
    """)

    assert named(answer) == ("error.timeout.slow_server", "cart", "cart GET /items SERVER")


def test_a_call_without_a_kind_is_known_by_whom_it_always_calls(kindless: Room):
    """Nothing is below it now: the cart is gone, the span that called it is only where it shows."""
    answer = kindless.say("""
        web INTERNAL Web.home 0..12 ERROR
          web INTERNAL Cart.items 10..11 ERROR
    """)

    assert named(answer) == ("error.refused.no_server", "cart", "web Cart.items INTERNAL")


def test_a_call_without_a_kind_that_its_callee_outlived_was_given_up(kindless: Room):
    answer = kindless.say("""
        web INTERNAL Web.home 0..512 ERROR
          web INTERNAL Cart.items 10..510 ERROR
            cart INTERNAL Cart.items 11..1400
    """)

    assert named(answer) == ("error.timeout.slow_server", "cart", "cart Cart.items INTERNAL")


def test_the_time_of_a_call_that_names_nobody_is_its_usual_callee_s():
    """No peer, no server span: the own time of a client span is never its caller's."""
    room = Room(SHOP.replace(" server.address=pay", "").replace(" server.address=bank", ""))

    answer = room.say("web POST /buy 0..900\n  web CLIENT shop.Pay 10..890")

    assert named(answer) == ("latency.peer", "pay", "web shop.Pay CLIENT")


def test_a_trace_that_was_mended_is_told_with_less_certainty(shop: Room):
    """The origin may be among what was lost, also when its children were put back."""
    answer = shop.say("""
        web POST /buy 0..900 ERROR
          web CLIENT shop.Pay 10..890 ERROR server.address=pay
        pay CLIENT bank.Charge 20..880 ERROR server.address=bank parent:lost
          bank bank.Charge 22..878 ERROR !StateError
    """)

    assert named(answer)[1:] == ("bank", "bank bank.Charge SERVER")
    assert answer.root_causes[0].probability <= SURE_MAX * INCOMPLETE_FACTOR
    assert answer.completeness is not None
    assert (answer.completeness.dropped_spans, answer.completeness.missing_parents) == (0, 1)
