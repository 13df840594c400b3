"""What is told of an error: its claims, how sure it is, what was refuted; harmless and in bounds."""

from __future__ import annotations

from analyzer.error_classes import ErrorClass
from tests.support.error_stories import CONFIG, explain, roles, story_of
from tests.support.situations.every import SITUATIONS


def test_a_healthy_trace_says_so():
    story = explain("a x 0..10")

    assert (story.candidates, story.fatal, story.handled, story.reason) == ((), False, False, "no span failed")


def test_hints_alone_are_noise():
    story = explain('a x 0..10\n  a y 1..5 log: "cache miss is logged as error"')

    assert (story.candidates, roles(story)) == ((), {"a y": "noise"})
    assert story.reason.startswith("only hints")


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
