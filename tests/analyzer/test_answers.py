"""Which story leads, which status is given, and why; severity, type and observability with their reasons."""

from __future__ import annotations

import pytest

from analyzer import judgement
from analyzer.answers import DEFECT_TEXT, ErrorFacts, Findings, Story, compose
from analyzer.error_classes import ErrorClass
from analyzer.findings import Answer, Entity, Evidence, RootCause, SpanRef
from analyzer.forest import Defect
from analyzer.judgement import Facts
from tests.support.drawing import batch, draw
from tests.support.measured import measure

CLEAN = measure(batch(draw("a GET / 0..100\n  b work 10..20")))
ORPHAN = measure(batch(draw("a GET / 0..100\n  b work 10..20 parent:gone")))


def cause(name: str, probability: float, rule: str = "error.origin.local") -> RootCause:
    return RootCause(
        rank=1,
        entity=Entity(kind="service", name=name, service=name),
        origin_spans=[SpanRef(span_id=f"{name:0>16}"[:16], service=name, operation="work")],
        probability=probability,
        rule=rule,
        sentence=f"{name} did it.",
        evidence=[Evidence(claim="seen", numbers={"n": 1.0})],
    )


def answer(
    errors: tuple[RootCause, ...] = (),
    latency: tuple[RootCause, ...] = (),
    structure: tuple[RootCause, ...] = (),
    *,
    fatal: bool = False,
    slow: bool = False,
    analysis=CLEAN,  # type: ignore[no-untyped-def]
) -> Answer:
    found = Findings(
        errors=ErrorFacts(Story(errors), fatal=fatal, user_visible=fatal, error_class=ErrorClass.INTERNAL),
        latency=None,
        latency_story=Story(latency),
        structure_story=Story(structure),
        slow=slow,
    )
    return compose(analysis, 0, found, unknown_below=0.35)


def named(said: Answer) -> list[str]:
    return [one.entity.name for one in said.root_causes]


def test_nothing_found_is_clean():
    said = answer()

    assert (said.status, said.verdict, said.root_causes, said.severity) == ("clean", "none", [], None)


def test_nothing_found_in_half_a_trace_is_partial():
    """Clean is only said of a whole trace."""
    assert answer(analysis=ORPHAN).status == "partial"


def test_a_fatal_error_leads():
    said = answer((cause("x", 0.9),), (cause("y", 0.9),), (cause("z", 0.9),), fatal=True)

    assert (said.verdict, named(said)) == ("error", ["x"])


def test_an_error_and_lost_time_elsewhere_are_mixed():
    said = answer((cause("x", 0.6),), (cause("y", 0.9, "latency.own_time"),), fatal=True, slow=True)

    assert (said.verdict, named(said)) == ("mixed", ["x", "y"])
    assert sum(one.probability for one in said.root_causes) <= 1.0


def test_lost_time_at_the_error_is_the_error():
    """The same service failed and was slow: one story."""
    said = answer((cause("x", 0.9),), (cause("x", 0.9, "latency.own_time"),), fatal=True, slow=True)

    assert (said.verdict, named(said)) == ("error", ["x"])


def test_a_missing_call_leads_before_what_was_handled():
    said = answer((cause("x", 0.9),), (), (cause("z", 0.8, "structure.silent_missing_call"),))

    assert (said.verdict, named(said)) == ("structure", ["z"])


def test_a_slow_trace_with_a_handled_error_is_latency():
    said = answer((cause("x", 0.9),), (cause("y", 0.9, "latency.own_time"),), slow=True)

    assert (said.verdict, named(said)) == ("latency", ["y", "x"])


def test_too_little_certainty_is_unknown_and_has_no_finding_id():
    said = answer((cause("x", 0.3),), fatal=True)

    assert (said.status, said.finding_ids) == ("unknown", [])
    assert "Cannot tell" in said.summary


def test_finding_ids_are_the_same_each_time():
    first, second = answer((cause("x", 0.9),), fatal=True), answer((cause("x", 0.9),), fatal=True)

    assert first.finding_ids == second.finding_ids
    assert len(first.finding_ids) == 1


def test_every_defect_has_a_sentence():
    assert set(DEFECT_TEXT) == set(Defect)


def facts(**changes: object) -> Facts:
    values: dict[str, object] = {
        "verdict": "error",
        "error_class": ErrorClass.TIMEOUT,
        "fatal": True,
        "user_visible": True,
        "business": False,
        "rule": "error.origin.local",
    }
    return Facts(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "high"),
        ({"user_visible": False}, "medium"),
        ({"user_visible": False, "fatal": False}, "low"),
        ({"business": True}, "low"),
        ({"verdict": "latency"}, "medium"),
        ({"verdict": "structure"}, "medium"),
        ({"verdict": "none"}, "low"),
    ],
)
def test_severity(changes: dict[str, object], expected: str):
    judged = judgement.severity(facts(**changes))

    assert (judged.value, bool(judged.reason)) == (expected, True)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "integration"),
        ({"error_class": ErrorClass.INTERNAL}, "runtime"),
        ({"error_class": ErrorClass.AUTH}, "security"),
        ({"error_class": ErrorClass.CLIENT}, "logic"),
        ({"error_class": ErrorClass.EXHAUSTED}, "performance"),
        ({"error_class": ErrorClass.UNKNOWN}, "unknown"),
        ({"business": True}, "business"),
        ({"verdict": "latency"}, "performance"),
        ({"verdict": "structure", "rule": "structure.n_plus_one"}, "performance"),
        ({"verdict": "structure", "rule": "structure.silent_missing_call"}, "logic"),
    ],
)
def test_type(changes: dict[str, object], expected: str):
    judged = judgement.error_type(facts(**changes))

    assert (judged.value, bool(judged.reason)) == (expected, True)


@pytest.mark.parametrize(
    ("share", "count", "expected"),
    [(None, 0, "unknown"), (1.0, 19, "unknown"), (0.95, 20, "deterministic"), (0.5, 20, "intermittent")],
)
def test_observability(share: float | None, count: int, expected: str):
    """A share of too few calls means nothing, and is not given a name."""
    assert judgement.observability(facts(error_share=share, call_count=count)).value == expected
