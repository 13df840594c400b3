"""Whom an error is laid on: what a silent child, a callee nobody saw and an address give away."""

from __future__ import annotations

import pytest

from analyzer.origins import PropagationMemory, explain_errors
from analyzer.origins.entities import dependency_in
from tests.support.drawing import batch, draw
from tests.support.error_stories import CONFIG, explain, origin, roles
from tests.support.naive.analysis import measure, with_server_share
from tests.support.naive.vocabulary import vocabulary as new_vocabulary


def test_two_independent_causes_share_the_blame():
    """Two branches failed on their own: each is an origin."""
    story = explain(
        """
        a  GET /a        0..100 ERROR http.response.status_code=500
          a  CLIENT GET x  5..95 ERROR http.response.status_code=500 server.address=x
            x  GET /x        10..90 ERROR !Boom
          a  CLIENT GET y  5..95 ERROR http.response.status_code=500 server.address=y
            y  GET /y        10..90 ERROR !Bang
        """
    )

    assert sorted(cause.entity.name for cause in story.candidates[:2]) == ["x", "y"]
    assert {span: role for span, role in roles(story).items() if role == "origin"} == {
        "x GET /x": "origin",
        "y GET /y": "origin",
    }


def test_absent_attributes_speak_for_a_silent_child():
    """transaction.id is there when it works; here it is not."""
    text = """
        pay  process payment  0..100 ERROR !Wrapped: "could not pay"
          pay  charge card      5..99 amount=3
    """
    traces = batch(draw(text))
    analysis = measure(traces)
    charge = int(traces.rows["operation"][1])
    unaware = explain_errors(analysis, 0, PropagationMemory(keys_max=16), CONFIG)
    aware = explain_errors(
        analysis, 0, PropagationMemory(keys_max=16), CONFIG, {charge: frozenset({"amount", "transaction.id"})}
    )

    assert (origin(unaware), origin(aware)) == ("pay process payment", "pay charge card")
    assert any("transaction.id is absent" in evidence.claim for evidence in aware.candidates[0].evidence)


def test_the_silent_child_is_named_in_a_stack():
    story = explain(
        """
        pay  process   0..100 ERROR exception.type=Wrapped exception.stacktrace="at app.Payments.chargeCard(Payments.java:9)"
          pay  log       3..20
          pay  charge    22..98 code.function.name=app.Payments.chargeCard
        """
    )

    assert origin(story) == "pay charge"


def test_an_unusual_span_of_a_batch_is_told_by_its_own_trace():
    """The failing trace between two healthy ones."""
    healthy = draw("a x 0..10\n  b y 1..9", seed=3)
    failing = draw("a x 0..10 ERROR\n  b y 1..9 ERROR !Boom", seed=4)
    analysis = measure(batch([healthy, failing, draw("a x 0..10", seed=5)]))

    story = explain_errors(analysis, 1, PropagationMemory(keys_max=16), CONFIG)

    assert origin(story) == "b y"


@pytest.mark.parametrize(
    ("child", "rule"),
    [
        ("pay  charge card  5..99", "error.origin.unmarked_child"),
        ("pay  charge card  5..99 ERROR", "error.origin.local"),
        ("pay  charge card  5..99 !GatewayError", "error.origin.local"),
        ("pay  CLIENT charge card  5..99 server.address=gw.example", "error.origin.unmarked_child"),
        ("pay  CLIENT charge card  5..99 ERROR server.address=gw.example", "error.peer.unseen"),
        ("pay  CLIENT charge card  5..99 server.address=gw.example http.status_code=500", "error.peer.unseen"),
    ],
)
def test_marked_or_not_the_origin_is_the_same(child: str, rule: str):
    """However much the failing span says of itself, it is the one that is found."""
    story = explain(f'pay process 0..100 ERROR !Wrapped: "charge card: payment gateway answered 418"\n  {child}')

    assert (origin(story), story.candidates[0].rule) == ("pay charge card", rule)


@pytest.mark.parametrize(
    ("message", "name"),
    [
        ("payment gateway error: upstream said 502", "payment gateway"),
        ("charge card: payment gateway answered 502", "payment gateway"),
        ("could not reach redis", "redis"),
        ("calling the inventory service failed", "inventory service"),
        ("502 Bad Gateway", ""),
        ("internal server error", ""),
        ("service unavailable", ""),
        ("", ""),
    ],
)
def test_a_dependency_is_read_from_a_message(message: str, name: str):
    assert dependency_in(message) == name


def test_a_linked_consumer_in_another_tree_is_an_entry_of_its_own():
    """A span link is no call: the publisher's request did not fail."""
    story = explain(
        """
        web     POST /order           0..50 http.response.status_code=200
          web     PRODUCER send         10..15 messaging.system=kafka messaging.destination.name=q name:sent
        worker  CONSUMER process      60..90 ERROR !Boom link:sent
        """
    )

    assert (origin(story), story.fatal, story.user_visible) == ("worker process", True, False)


def test_a_live_callee_is_not_down():
    """Another call of the same trace was served: the way, or one instance, is likelier than the service."""
    story = explain_errors(
        with_server_share(
            measure(
                batch(
                    draw(
                        """
                        a  GET /a        0..100 ERROR http.response.status_code=500
                          a  CLIENT one    5..30 server.address=b http.response.status_code=200
                            b  one           8..25 http.response.status_code=200
                          a  CLIENT two    60..95 ERROR server.address=b !ConnectError: "connection refused"
                        """
                    )
                )
            ),
            1.0,
        ),
        0,
        PropagationMemory(keys_max=16),
        CONFIG,
    )

    assert [(cause.entity.kind, cause.entity.name) for cause in story.candidates[:2]] == [
        ("edge", "a -> b"),
        ("service", "b"),
    ]


@pytest.mark.parametrize(
    ("address", "blamed"),
    [
        ("payment", "payment"),
        ("payment.prod.svc.cluster.local:8080", "payment.prod.svc.cluster.local:8080"),
        ("inventory.prod.svc.cluster.local", "inventory"),
        ("10.0.0.7:8080", "inventory"),
        ("[fd00::7]:8080", "inventory"),
        ("localhost", "inventory"),
    ],
)
def test_the_address_of_a_call_goes_before_what_its_operation_usually_reaches(address: str, blamed: str):
    """All calls of an HTTP client are called POST: those that were answered say nothing of the one that was refused."""
    words, memory = new_vocabulary(), PropagationMemory(keys_max=16)
    usual = """
    checkout  POST /checkout  0..30
      checkout  CLIENT POST     10..20 server.address=inventory http.response.status_code=200
        inventory  POST /reserve  11..19
    """
    refused = f"""
    checkout  POST /checkout  0..40 ERROR http.response.status_code=500
      checkout  CLIENT POST     10..20 server.address=inventory http.response.status_code=200
        inventory  POST /reserve  11..19
      checkout  CLIENT POST     25..26 ERROR server.address={address} !ConnectionRefusedError: "connection refused"
    """
    memory.learn(measure(batch(draw(usual), words)), 1)

    story = explain_errors(with_server_share(measure(batch(draw(refused), words)), 1.0), 0, memory, CONFIG)

    names = {cause.entity.callee or cause.entity.name for cause in story.candidates[:2]}
    assert names == {blamed}
    if blamed != "inventory":
        assert [cause.entity.kind for cause in story.candidates[:2]] == ["service", "edge"]
