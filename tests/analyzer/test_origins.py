"""Where an error began: drawn traces, each with its truth, and the common rule that gets them wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analyzer.origins import PropagationMemory, explain_errors
from tests.support.drawing import batch
from tests.support.error_stories import CONFIG, origin, roles, story_of
from tests.support.naive.analysis import measure, with_missing, with_server_share
from tests.support.naive.deepest_error import deepest_error
from tests.support.situations.every import SITUATIONS
from tests.support.situations.situation import Situation

NAMES = [situation.name for situation in SITUATIONS]


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
