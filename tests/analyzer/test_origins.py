"""Where an error began: drawn traces, each with its truth, and the common rule that gets them wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analyzer.config import AnalysisConfig
from analyzer.error_classes import ErrorClass
from analyzer.origins import ErrorStory, PropagationMemory, explain_errors
from analyzer.origins.entities import dependency_in
from tests.support.drawing import batch, draw
from tests.support.naive.analysis import measure, with_missing, with_server_share
from tests.support.naive.deepest_error import deepest_error
from tests.support.naive.vocabulary import vocabulary as new_vocabulary
from tests.support.situations.every import SITUATIONS
from tests.support.situations.situation import Situation

CONFIG = AnalysisConfig()
NAMES = [situation.name for situation in SITUATIONS]


def story_of(situation: Situation) -> ErrorStory:
    analysis = measure(batch(situation.drawing()))
    if situation.server_share is not None:
        analysis = with_server_share(analysis, situation.server_share)
    if situation.missing:
        analysis = with_missing(analysis, situation.missing)
    return explain_errors(analysis, 0, PropagationMemory(keys_max=16), CONFIG)


def explain(text: str, **more: object) -> ErrorStory:
    return explain_errors(measure(batch(draw(text))), 0, PropagationMemory(keys_max=16), CONFIG, **more)  # type: ignore[arg-type]


def origin(story: ErrorStory) -> str:
    span = story.candidates[0].origin_spans[0]
    return f"{span.service} {span.operation}"


def roles(story: ErrorStory) -> dict[str, str]:
    return {f"{role.service} {role.operation}": role.role for role in story.roles}


@pytest.mark.parametrize("situation", SITUATIONS, ids=NAMES)
def test_the_origin_is_found_and_the_rule_is_named(situation: Situation):
    story = story_of(situation)
    first = story.candidates[0]

    assert (origin(story), first.rule, first.entity.name, first.entity.kind) == (
        situation.origin,
        situation.rule,
        situation.entity,
        situation.kind,
    )


@pytest.mark.parametrize("situation", SITUATIONS, ids=NAMES)
def test_fatal_and_visible_are_told_apart(situation: Situation):
    story = story_of(situation)

    assert (story.fatal, story.user_visible) == (situation.fatal, situation.user_visible)


@pytest.mark.parametrize("situation", [one for one in SITUATIONS if one.roles], ids=lambda one: one.name)
def test_every_failed_span_has_its_role(situation: Situation):
    told = roles(story_of(situation))

    assert {span: told.get(span) for span in situation.roles} == situation.roles


@pytest.mark.parametrize("situation", SITUATIONS, ids=NAMES)
def test_every_claim_rests_on_spans_of_the_trace(situation: Situation):
    """Probabilities are a list that sums to at most one, each claim names spans, and the chain ends at an entry."""
    story = story_of(situation)
    known = {span.span_id.hex() for span in situation.drawing().spans}
    claimed = {one for cause in story.candidates for evidence in cause.evidence for one in evidence.span_ids}
    probabilities = [cause.probability for cause in story.candidates]

    assert claimed <= known
    assert all(evidence.span_ids for cause in story.candidates for evidence in cause.evidence)
    assert sum(probabilities) <= 1.0
    assert probabilities == sorted(probabilities, reverse=True)
    assert story.causal_chain[0].effect == "began"
    assert story.causal_chain[0].span == story.candidates[0].origin_spans[0]


def test_the_common_rule_is_beaten():
    """The deepest error span names another span or another culprit in many of the situations; we in none."""
    wrong = [
        situation.name
        for situation in SITUATIONS
        if (deepest_error(situation.drawing()), situation.origin.partition(" ")[0])
        != (situation.origin, situation.entity)
    ]

    assert {
        "the gateway's error is recorded by the parent only",
        "a client gave up, the server span outlives it",
        "a callee that never answered, though it usually does",
        "a refused connection to a service that usually answers",
        "a handled failure, and the one that killed the request",
        "a sibling cancelled because another failed",
        "Go's context: the failing sibling is shallow, the victims are deep",
    } <= set(wrong)
    assert len(wrong) > len(SITUATIONS) // 2


def test_the_same_question_has_the_same_answer():
    analysis = measure(batch([situation.drawing() for situation in SITUATIONS[:8]]))
    memory = PropagationMemory(keys_max=16)

    assert explain_errors(analysis, 3, memory, CONFIG) == explain_errors(analysis, 3, memory, CONFIG)


def test_a_healthy_trace_says_so():
    story = explain("a x 0..10")

    assert (story.candidates, story.fatal, story.handled, story.reason) == ((), False, False, "no span failed")


def test_hints_alone_are_noise():
    story = explain('a x 0..10\n  a y 1..5 log: "cache miss is logged as error"')

    assert (story.candidates, roles(story)) == ((), {"a y": "noise"})
    assert story.reason.startswith("only hints")


def test_the_chain_of_a_timeout():
    """The query began it, the server was held up, the client gave up, the root passed it on."""
    story = explain(
        """
        a  GET /a                   0..520 ERROR http.response.status_code=504
          a  CLIENT GET               5..510 ERROR error.type=timeout server.address=b
            b  GET /b                   7..2000
              b  SELECT huge              20..1990
        """
    )

    assert [(step.span.operation, step.effect) for step in story.causal_chain] == [
        ("SELECT huge", "began"),
        ("GET /b", "slowed"),
        ("GET", "timed_out"),
        ("GET /a", "propagated"),
    ]


def test_the_chain_of_a_transformation():
    """A deadlock became an internal error."""
    story = explain(
        """
        order POST /order        0..100 ERROR http.response.status_code=500 !OrderFailed
          order CLIENT INSERT      10..95 ERROR db.system=mysql server.address=db1 !Deadlock: "deadlock found"
        """
    )

    assert [step.effect for step in story.causal_chain] == ["began", "transformed"]


def test_the_chain_of_a_recovered_retry_ends_at_who_tried_again():
    story = explain(
        """
        a  GET /a       0..100 http.response.status_code=200
          a  CLIENT GET   10..20 ERROR http.response.status_code=503 peer.service=b
          a  CLIENT GET   40..60 http.response.status_code=200 peer.service=b
        """
    )

    assert [(step.span.operation, step.effect) for step in story.causal_chain] == [
        ("GET", "began"),
        ("GET /a", "retried"),
    ]
    assert roles(story) == {"a GET": "unseen_dependency"}


def test_attempts_are_counted():
    """Three attempts in vain: one cause, an amplification of three."""
    story = explain(
        """
        a  GET /a       0..100 ERROR http.response.status_code=500
          a  CLIENT GET   5..15 ERROR http.response.status_code=500 peer.service=x
          a  CLIENT GET   30..40 ERROR http.response.status_code=500 peer.service=x
          a  CLIENT GET   80..95 ERROR http.response.status_code=500 peer.service=x
        """
    )
    numbers = [evidence.numbers for evidence in story.candidates[0].evidence if "attempts" in evidence.numbers]

    assert [one["amplification"] for one in numbers] == [3.0]
    assert len(story.candidates[0].origin_spans) == 3


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


def test_a_claim_of_standing_alone_is_true():
    """The second candidate failed too, with an exception of its own, but what it called failed before it."""
    story = explain(
        """
        frontend GET /checkout 0..41 ERROR http.response.status_code=500 !StateError: "payment answered 500"
          frontend CLIENT POST 1..24 ERROR http.response.status_code=500 server.address=payment
            payment POST /charge 13..52 ERROR http.response.status_code=500 !StateError: "not charged"
        """
    )
    claims = {cause.entity.name: cause.evidence[0].claim for cause in story.candidates}

    assert claims == {
        "payment": "it failed and no span below it did (StateError: not charged)",
        "frontend": "it failed with an error of its own, beside what failed below it (StateError: payment answered 500)",
    }


def test_other_failed_spans_are_refuted_with_a_reason():
    story = story_of(next(one for one in SITUATIONS if one.name == "a sibling cancelled because another failed"))
    reasons = {refuted.entity.operation: refuted.reason for refuted in story.candidates[0].refuted}

    assert reasons["GET b"] == "it was cancelled because of a failure elsewhere"
    assert reasons["GET a"] == "it passed on a failure that came from below"


def test_a_request_cancelled_from_outside_is_not_known():
    """Nobody in the trace did it: below the line, with a probe."""
    story = explain('a GET /a 0..100 ERROR http.response.status_code=499 !Cancelled: "context canceled"')

    assert (story.candidates[0].rule, story.candidates[0].entity.kind) == ("error.cancelled.victim", "unknown")
    assert story.candidates[0].probability < CONFIG.unknown_below
    assert story.next_probe == "Find who called a GET /a: why did it give up?"
    assert story.reason


def test_a_business_refusal_is_not_a_system_failure():
    story = story_of(next(one for one in SITUATIONS if one.name == "a declined card"))

    assert (story.business, story.error_class) == (True, ErrorClass.BUSINESS)


def test_missing_spans_cost_certainty():
    """The same failure, once with an orphan beside it."""
    whole = explain("a x 0..10 ERROR")
    torn = explain("a x 0..10 ERROR\nb y 2..3 parent:gone")

    assert torn.candidates[0].probability < whole.candidates[0].probability


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


def test_hostile_text_is_shown_harmless():
    """Control characters and a megabyte of message do not reach the sentence."""
    story = explain('a x 0..10 ERROR status: "\x1b[31mred\x07 ' + "A" * 50_000 + '"')

    assert story.candidates[0].sentence.isprintable()
    assert len(story.candidates[0].sentence) < 1_000


def test_a_flood_of_failures_is_told_in_bounds():
    """A thousand failed calls: few candidates, a bounded list of roles, one entity."""
    calls = "\n".join(f"  a CLIENT GET {i / 50}..{i / 50 + 60} ERROR peer.service=x" for i in range(1_000))
    story = explain(f"a root 0..100 ERROR\n{calls}")

    assert len(story.roles) == 200
    assert len(story.candidates) <= 8
    assert story.candidates[0].entity.name == "x"
    assert story.candidates[0].probability > 0.8


def test_a_deep_chain_is_told_in_bounds():
    lines = "\n".join(f"{' ' * i}a op{i} {i / 1000}..{100 - i / 1000} ERROR" for i in range(1_000))
    story = explain(lines)

    assert origin(story) == "a op999"
    assert len(story.causal_chain) == 64


def test_one_lost_span_seldom_hides_the_origin():
    """Any one span but the origin and the root is lost: the origin span is still found in nine of ten."""
    found = deepest = count = 0
    for situation in SITUATIONS:
        drawing = situation.drawing()
        for lost in drawing.spans:
            if not lost.parent_id or f"{lost.service} {lost.operation}" == situation.origin:
                continue
            left = replace(drawing, spans=tuple(span for span in drawing.spans if span is not lost))
            analysis = with_missing(measure(batch(left)), situation.missing)
            if situation.server_share is not None:
                analysis = with_server_share(analysis, situation.server_share)
            story = explain_errors(analysis, 0, PropagationMemory(keys_max=16), CONFIG)
            count += 1
            found += bool(story.candidates) and origin(story) == situation.origin
            deepest += deepest_error(left) == situation.origin

    assert found >= 0.9 * count
    assert found > 1.5 * deepest


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
