"""Text from telemetry is whatever somebody sends: nothing raises, everything has a bound."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.errors.fingerprint import PART_MAX, fingerprint_of
from analyzer.errors.frames import FRAMES_MAX, clean_function, clean_module
from analyzer.errors.group_words import ErrorGroup
from analyzer.errors.groups import Groups
from analyzer.errors.model import ExceptionFact, Frame, StackTrace, Thrown
from analyzer.errors.rules import Grouping, Rule
from analyzer.errors.sightings import ATTRIBUTES_MAX, MESSAGE_MAX, VALUE_MAX, correlation_of, of_log, of_span, steering
from analyzer.errors.taxonomy import Context, judged
from analyzer.errors.versions import is_older
from analyzer.spans import EventDetail, SpanDetail
from tests.support.drawn_stacks import parse_drawn

NOW_NS = 1_760_000_000_000_000_000
keys = st.sampled_from(
    ["exception.type", "exception.message", "exception.stacktrace", "error.type", "error", "message", "correlation_id"]
) | st.text(max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
attributes = st.dictionaries(keys, values, max_size=6)
frames = st.builds(
    Frame,
    st.text(max_size=60),
    st.text(max_size=60),
    st.text(max_size=60),
    st.integers(),
    st.integers(),
    st.sampled_from([True, False, None]),
)
throwns = st.builds(
    Thrown,
    st.text(max_size=30),
    st.text(max_size=60),
    st.lists(frames, max_size=6).map(tuple),
    st.sampled_from(["thrown", "cause", "context", "suppressed", "member", "goroutine"]),
)
stacks = st.lists(throwns, min_size=1, max_size=4).map(lambda chain: StackTrace("java", tuple(chain)))
facts = st.builds(
    ExceptionFact,
    trace_id=st.text("0123456789abcdef", min_size=32, max_size=32),
    span_id=st.just("01"),
    service=st.text(max_size=20),
    operation=st.text(max_size=40),
    time_ns=st.integers(-(2**63), 2**63 - 1),
    type=st.text(max_size=40),
    message=st.text(max_size=200),
    stack=st.none() | stacks,
    version=st.text(max_size=12),
    http_status=st.integers(0, 65535),
    rpc_status=st.integers(-1, 255),
)


@given(attributes, attributes, values)
def test_any_span_or_log_is_read_within_bounds(own: dict, event: dict, body: object):
    detail = SpanDetail(attributes=own, events=[EventDetail("exception", 5, event)], body=body)  # type: ignore[arg-type]
    log = of_log(detail, 5, "", parse_drawn)

    for seen in [*of_span(detail, 9, "", parse_drawn), *([log] if log else [])]:
        assert len(seen.message) <= MESSAGE_MAX
        assert len(seen.type) <= VALUE_MAX
        assert len(seen.attributes) <= ATTRIBUTES_MAX
        assert all(isinstance(text, str) for pair in seen.attributes for text in pair)
    assert isinstance(correlation_of(detail), str)
    assert isinstance(steering(detail), tuple)


@given(facts)
def test_every_fact_has_a_fingerprint_that_repeats(fact: ExceptionFact):
    found = fingerprint_of(fact)

    assert found == fingerprint_of(fact)
    assert found.tier in ("stack", "message", "status")
    assert all(len(value) <= PART_MAX for _, value in found.parts)
    assert sum(name == "frame" for name, _ in found.parts) <= FRAMES_MAX


@settings(max_examples=60)
@given(st.lists(facts, max_size=8))
def test_any_facts_make_groups_that_can_be_written_judged_and_read(many: list[ExceptionFact]):
    groups = Groups()
    for fact in many:
        groups.observe(fact, fingerprint_of(fact), NOW_NS, [fact.service], [fact.message])
    groups.age(NOW_NS)

    for group in groups.take_changed(100):
        whole = judged(group, Context())
        raw = json.dumps(whole.model_dump(mode="python"))  # also lone surrogates
        assert ErrorGroup.model_validate(json.loads(raw)) == whole
        assert whole.first_seen_ns <= whole.last_seen_ns


@given(st.text(max_size=500))
def test_any_name_is_cleaned_to_no_more_than_it_was(text: str):
    assert len(clean_function(text)) <= len(text) + 16
    assert isinstance(clean_module(text), str)


@given(st.text(max_size=300), st.text(max_size=300))
def test_of_any_two_releases_at_most_one_is_older(one: str, other: str):
    assert not (is_older(one, other) and is_older(other, one))


@given(facts, st.text(max_size=60))
def test_a_pattern_is_never_an_error(fact: ExceptionFact, pattern: str):
    if pattern:
        rule = Rule.model_validate({"name": "x", "match": {"message": pattern}, "action": "ignore"})
        Grouping([rule])(fact)


def test_names_that_were_made_to_hurt():
    """Long runs of what each cleaning step looks for."""
    for piece in ("<", "$$", "lambda$", "<a>b__", "{closure", "block in ", "0x", "`1", "Generated", "::h", ".func1"):
        assert len(clean_function(piece * 100_000)) <= 250
