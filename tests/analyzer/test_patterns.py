"""The pattern library: every pattern is recognised, and its near miss is not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.errors.patterns import LIBRARY, match_patterns
from analyzer.findings import SpanRole
from tests.support.pattern_cases import (
    ARRAY_LIST,
    CASES,
    EXTRA,
    HASH_MAP,
    NOTHING,
    OKHTTP,
    Sight,
    decided,
    fact,
    span,
    wrote,
)


def seen(sight: Sight) -> list[str]:
    return [match.pattern for match in match_patterns(sight.answer, sight.facts)]


@pytest.mark.parametrize(
    ("pattern", "sight", "miss"), [*CASES, *EXTRA], ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_pattern_is_recognised_and_its_near_miss_is_not(pattern: str, sight: Sight, miss: Sight):
    assert pattern in seen(sight)
    assert pattern not in seen(miss)


def test_the_surest_pattern_of_a_case_is_the_one_it_was_written_for():
    """Beside it broader ones may be named, never surer."""
    for pattern, sight, _ in CASES:
        best = match_patterns(sight.answer, sight.facts)
        surest = [match.pattern for match in best if match.confidence == best[0].confidence]
        assert pattern in surest, (pattern, [(match.pattern, match.confidence) for match in best])


def test_every_pattern_has_a_case():
    assert {pattern.id for pattern in LIBRARY} == {pattern for pattern, _, _ in CASES}
    assert len(LIBRARY) >= 40


def test_every_pattern_says_all_that_is_known():
    for pattern in LIBRARY:
        for text in (pattern.title, pattern.cause, pattern.fix, pattern.test_idea, pattern.prevention, pattern.monitor):
            assert len(text) > 5, pattern.id
        assert all(name == name.lower() and "." not in name for name in pattern.types), pattern.id


def test_null_in_a_hash_map_points_at_the_caller():
    """The library only noticed: look at UserService.java:45."""
    sight = wrote("java.lang.NullPointerException", frames=HASH_MAP)

    first, *others = match_patterns(sight.answer, sight.facts)

    assert (first.pattern, first.location) == ("code.null_into_library", "UserService.java:45")
    assert "code.null_reference" not in [match.pattern for match in others]


def test_a_timeout_of_okhttp_asks_for_retry_and_breaker():
    """External service slow: PaymentClient.java:89 needs both."""
    sight = wrote("TimeoutException", "Operation timed out after 30000ms", frames=OKHTTP)

    first = match_patterns(sight.answer, sight.facts)[0]

    assert (first.pattern, first.location) == ("network.call_timed_out", "PaymentClient.java:89")
    assert "retry" in first.fix
    assert "circuit breaker" in first.fix


def test_a_concurrent_modification_asks_for_thread_safety():
    """Changed while iterated, at BatchProcessor.java:112."""
    sight = wrote("java.util.ConcurrentModificationException", frames=ARRAY_LIST)

    first = match_patterns(sight.answer, sight.facts)[0]

    assert (first.pattern, first.location) == ("concurrency.modified_while_iterated", "BatchProcessor.java:112")
    assert "thread-safe" in first.fix
    assert "synchronise" in first.fix


def test_what_stands_at_the_origin_is_surer_than_what_stands_elsewhere():
    answer = decided("error.origin.local", origin=span(1, "POST /order", 0, 100)).answer
    here, elsewhere = (
        fact("KeyError", "'sku'"),
        fact("ZeroDivisionError", "division by zero", span_id="00000000000000ff"),
    )

    matches = {match.pattern: match.confidence for match in match_patterns(answer, [here, elsewhere])}

    assert matches["code.missing_key"] > matches["code.division_by_zero"]


def test_what_a_victim_wrote_is_not_what_went_wrong():
    """A sibling was cancelled: its exception is no pattern of the failure."""
    answer = decided("error.origin.local", origin=span(1, "POST /order", 0, 100)).answer
    role = SpanRole(span_id="00000000000000ff", service="cart", operation="GET", role="victim")
    cancelled = fact("Cancelled", "request cancelled: a sibling failed", span_id="00000000000000ff")

    assert match_patterns(answer.model_copy(update={"roles": [role]}), [cancelled]) == []


def test_evidence_names_the_span():
    (match,) = match_patterns(NOTHING, [fact("ZeroDivisionError", "division by zero")])

    assert match.evidence == (('order POST /order wrote ZeroDivisionError: "division by zero"', ("0000000000000001",)),)


def test_a_patch_is_only_given_where_it_is_always_right():
    assert [pattern.id for pattern in LIBRARY if pattern.patch] == ["concurrency.dictionary_resized"]


def test_message_rules_take_linear_time():
    """No repetition inside a repetition: hostile messages cannot hold the matcher up."""
    for pattern in LIBRARY:
        for rule in pattern.messages:
            assert not re.search(r"[*+}]\)[*+{]", rule), (pattern.id, rule)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=300), st.text(max_size=2000), st.integers(-1, 20), st.integers(0, 999))
def test_any_text_is_survived(kind: str, message: str, rpc: int, http: int):
    """Text from telemetry is hostile: never an exception, never an unprintable claim, always the same answer."""
    facts = [fact(kind, message, rpc_status=rpc, http_status=http)]

    matches = match_patterns(NOTHING, facts)

    assert matches == match_patterns(NOTHING, facts)
    assert all(claim.isprintable() for match in matches for claim, _ in match.evidence)
    assert [match.confidence for match in matches] == sorted((match.confidence for match in matches), reverse=True)
