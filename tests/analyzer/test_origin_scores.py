"""Answers about single traces against the truth of the trace: what is right, what is wrong, what is neither."""

from __future__ import annotations

import pytest

from analyzer.evaluation.origins import OriginResult, TraceTruth, judge, summarise_origins
from analyzer.findings import Answer, Entity, RootCause, SpanRef, Status

INJECTED, BACKGROUND, OTHER = "1" * 16, "2" * 16, "3" * 16
TRUTH = TraceTruth(
    spans=frozenset({INJECTED}),
    services=frozenset({"bank"}),
    background_spans=frozenset({BACKGROUND}),
    background_services=frozenset({"cart"}),
)
BANK = Entity(kind="service", name="bank")
CART = Entity(kind="service", name="cart")
WAY = Entity(kind="edge", name="shop -> bank", caller="shop", callee="bank")


def named(entity: Entity, span: str, rule: str = "error.origin.local", status: Status = "finding") -> Answer:
    ref = SpanRef(span_id=span, service="any", operation="work")
    cause = RootCause(rank=1, entity=entity, origin_spans=[ref], probability=0.9, rule=rule, sentence="It did it.")
    return Answer(trace_id="0" * 32, status=status, root_causes=[cause])


@pytest.mark.parametrize(
    ("answer", "service", "span", "background"),
    [
        (named(BANK, INJECTED), True, True, False),
        (named(WAY, INJECTED), True, True, False),  # a way names both of its ends
        (named(BANK, OTHER), True, False, False),
        (named(CART, INJECTED), False, True, False),
        (named(CART, BACKGROUND), True, True, True),  # that did fail in this trace
        (named(BANK, BACKGROUND), True, False, False),  # somebody else's span
        (named(CART, OTHER), False, False, False),
        (named(CART, BACKGROUND, "latency.own_time"), False, False, False),  # it failed there; it was not slow
    ],
)
def test_a_finding_is_right_about_service_and_span(answer: Answer, service: bool, span: bool, background: bool):
    result = judge(answer, TRUTH)

    assert (result.outcome, result.service, result.span, result.background) == ("finding", service, span, background)


def test_who_names_nobody_is_neither_right_nor_wrong():
    """Abstained: too unlikely to be named. Silent: nothing wrong was seen. Neither is a finding."""
    results = [
        judge(named(BANK, INJECTED), TRUTH),
        judge(named(CART, OTHER), TRUTH),
        judge(named(CART, OTHER, status="unknown"), TRUTH),
        judge(Answer(trace_id="0" * 32, status="clean"), TRUTH),
    ]
    overall = summarise_origins(results)["overall"]

    assert [result.outcome for result in results] == ["finding", "finding", "abstained", "silent"]
    assert [overall[key] for key in ("touched", "findings", "abstained", "silent")] == [4, 2, 1, 1]
    assert (overall["service"], overall["service_right"], overall["service_wrong"]) == (0.5, 1, 1)


def test_a_lost_origin_counts_against_the_span():
    """Only `span_seen` leaves out what no answer could have named."""
    lost = judge(named(BANK, OTHER), TraceTruth(services=frozenset({"bank"})))
    overall = summarise_origins([judge(named(BANK, INJECTED), TRUTH), lost])["overall"]

    assert (overall["lost"], overall["service"], overall["span"], overall["span_seen"]) == (1, 1.0, 0.5, 1.0)


def test_shares_are_told_by_rule_and_by_fault():
    results = [
        judge(named(BANK, INJECTED), TRUTH, "kill", "one"),
        judge(named(CART, OTHER), TRUTH, "kill", "one"),
        judge(named(BANK, INJECTED, "latency.edge"), TRUTH, "dns", "other"),
    ]
    found = summarise_origins(results)

    assert {key: tally["service"] for key, tally in found["by_family"].items()} == {"error": 0.5, "latency": 1.0}
    assert {key: tally["findings"] for key, tally in found["by_archetype"].items()} == {"dns": 1, "kill": 2}
    assert found["overall"]["service_by_case"] == 0.75


def test_without_findings_there_is_no_share():
    found = summarise_origins([OriginResult("kill", "one", "0" * 32, "silent")])

    assert (found["overall"]["service"], found["by_family"]) == (None, {})
