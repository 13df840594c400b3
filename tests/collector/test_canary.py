"""The canary: its truths are true, and nothing it plants is lost from its counts."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from prometheus_client.parser import text_string_to_metric_families

from analyzer.findings import Answer
from collector.canary import OLDER_MAX, Canary, run_once
from collector.canary_faults import FAULTS, PREFIX, Fault, chosen, healthy, truth_of
from tests.support.fakes.doors import AnalysedDoors

NAMES = [fault.name for fault in FAULTS]
QUICK = tuple(fault for fault in FAULTS if not fault.learned)  # without two thousand healthy traces before it


def new_canary(doors: AnalysedDoors, faults: tuple[Fault, ...] = FAULTS, reread_s: float = 3600.0) -> Canary:
    return Canary(doors, faults, 5.0, reread_s)  # type: ignore[arg-type]


def counted(canary: Canary) -> dict[str, dict[str, float]]:
    """Name -> fault (and outcome) -> value, of the counters."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(canary.metrics.text().decode()):
        for sample in family.samples:
            if sample.name.endswith("_total"):
                key = " ".join(sample.labels[name] for name in ("fault", "outcome") if name in sample.labels)
                found.setdefault(sample.name, {})[key] = sample.value
    return found


def totals(canary: Canary) -> dict[str, float]:
    return {name.removeprefix("firstfault_canary_"): sum(found.values()) for name, found in counted(canary).items()}


@pytest.mark.parametrize("slow", [2, pytest.param(3, marks=pytest.mark.deep)])
def test_every_fault_is_answered_rightly_round_after_round(slow: int):
    """Against the analyzer itself. What is slow comes in every twentieth round, and stays slow however often it comes."""
    canary, count = new_canary(AnalysedDoors()), 20 * slow - 19

    rounds = [canary.round() for _ in range(count)]

    assert [one.words for seen in rounds for one in seen if one.outcome != "right"] == []
    assert counted(canary)["firstfault_canary_planted_total"] == dict.fromkeys(NAMES, count) | {"slow_call": slow}
    assert [number for number, seen in enumerate(rounds) if len(seen) == len(NAMES)] == [*range(0, count, 20)]


def test_what_is_sent_says_who_planted_it():
    """Services and databases begin with the prefix: rules, dashboards and people can leave them out."""
    for fault in FAULTS:
        request = fault.plant(10**18).request
        services = {one.resource.attributes[0].value.string_value for one in request.resource_spans}

        assert all(service.startswith(PREFIX) for service in services)


def test_a_right_answer_to_another_fault_is_wrong():
    """No truth is so weak that the answer to another fault fulfils it."""
    doors = AnalysedDoors()
    new_canary(doors).round()
    answers: dict[str, Answer] = {}
    truths = {}
    for fault in FAULTS:
        planted = fault.plant(10**18)
        doors.send(planted.request, 0.0)
        truths[fault.name], answers[fault.name] = truth_of(fault, planted), doors.answers[planted.trace_id]

    accepted = {(one, other) for one in NAMES for other in NAMES if not truths[one].wrong(answers[other])}

    assert accepted == {(name, name) for name in NAMES}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"status": "clean", "root_causes": []}, "found clean, without a root cause"),
        ({"verdict": "latency"}, "expected the verdict error; found latency"),
        ({"user_visible": False}, "expected user_visible True; found False"),
    ],
)
def test_every_part_of_an_answer_is_compared(changed: dict[str, object], words: str):
    doors, fault = AnalysedDoors(), chosen(["deep_error"])[0]
    planted = fault.plant(10**18)
    doors.send(planted.request, 0.0)

    assert words in truth_of(fault, planted).wrong(doors.answers[planted.trace_id].model_copy(update=changed))


def test_another_span_of_the_right_service_is_wrong():
    doors, fault = AnalysedDoors(), chosen(["deep_error"])[0]
    planted = fault.plant(10**18)
    doors.send(planted.request, 0.0)
    answer = doors.answers[planted.trace_id]
    other = answer.root_causes[0].origin_spans[0].model_copy(update={"span_id": planted.span_ids["charge"]})
    moved = answer.root_causes[0].model_copy(update={"origin_spans": [other]})

    said = truth_of(fault, planted).wrong(answer.model_copy(update={"root_causes": [moved]}))

    assert "named with another span" in said


def test_planted_is_right_and_wrong_and_missing():
    """A server that forgets, lies and refuses: each trace is counted once, and the sums are equal."""
    doors = AnalysedDoors()
    canary = new_canary(doors, QUICK)
    truthful, draw = doors.send, random.Random(7)

    def forgetful(request: object, deadline: float) -> None:
        before = set(doors.answers)
        truthful(request, deadline)
        fresh = set(doors.answers) - before
        if len(fresh) == 1:
            (trace_id,) = fresh
            fate = draw.choice(["kept", "lost", "twisted"])
            if fate == "lost":
                del doors.answers[trace_id]
            elif fate == "twisted":
                doors.answers[trace_id] = doors.answers[trace_id].model_copy(
                    update={"status": "partial", "root_causes": []}
                )

    doors.send = forgetful  # type: ignore[method-assign]
    seen = [one for _ in range(12) for one in canary.round()]
    doors.refuse = "the disk is full"
    seen += canary.round()

    by_outcome, found = Counter(one.outcome for one in seen), totals(canary)
    assert {name: found[f"{name}_total"] for name in ("right", "wrong", "missing", "refused")} == by_outcome
    assert min(by_outcome.values()) > 0
    assert found["planted_total"] == found["right_total"] + found["wrong_total"] + found["missing_total"]
    assert len(seen) == found["planted_total"] + found["refused_total"] == 13 * len(QUICK)


def test_slow_is_not_asked_before_it_is_known_what_is_usual():
    """Its healthy traces were not taken: it is refused, not wrong, and the others are told of as ever."""
    doors = AnalysedDoors()
    canary = new_canary(doors)
    honest = doors.send

    def small_only(request: object, deadline: float) -> None:
        doors.refuse = "too large" if len(request.resource_spans) > 50 else ""  # type: ignore[attr-defined]
        honest(request, deadline)

    doors.send = small_only  # type: ignore[method-assign]
    outcomes = {one.fault: one.outcome for one in canary.round()}

    assert outcomes == dict.fromkeys(NAMES, "right") | {"slow_call": "refused"}


def test_an_older_trace_that_is_gone_or_changed_is_told():
    doors = AnalysedDoors()
    canary = new_canary(doors, chosen(["deep_error"]))
    assert canary.reread() is None
    (planted,) = canary.round()

    first = canary.reread()
    doors.answers[planted.trace_id] = doors.answers[planted.trace_id].model_copy(update={"verdict": "structure"})
    second = canary.reread()
    doors.answers.clear()
    third = canary.reread()

    assert [one.outcome for one in (first, second, third) if one] == ["right", "wrong", "missing"]
    assert counted(canary)["firstfault_canary_reread_total"] == {
        "deep_error right": 1,
        "deep_error wrong": 1,
        "deep_error missing": 1,
    }
    assert totals(canary)["planted_total"] == 1


def test_what_is_too_old_is_not_asked_for_again():
    canary = new_canary(AnalysedDoors(), chosen(["clean"]), reread_s=0.0)
    canary.round()

    assert canary.reread() is None


def test_what_is_kept_for_asking_again_is_bounded():
    canary = new_canary(AnalysedDoors(), chosen(["clean"]))

    assert canary._older.maxlen == OLDER_MAX


def test_a_stop_in_the_middle_counts_nothing_as_missing():
    doors = AnalysedDoors()
    canary = new_canary(doors, chosen(["deep_error"]))
    doors.stop.set()
    doors.answers = _Empty()

    (seen,) = canary.round()

    assert seen.outcome == "stopped"
    assert totals(canary)["missing_total"] == 0


class _Empty(dict[str, Answer]):
    """Takes everything, keeps nothing."""

    def __setitem__(self, key: str, value: Answer) -> None:
        """Keep nothing."""


def test_healthy_traces_differ_a_little():
    """A baseline of one value would call everything slow."""
    (slow,) = chosen(["slow_call"])

    durations = {
        max(
            span.end_time_unix_nano - span.start_time_unix_nano
            for part in trace.request.resource_spans
            for scope in part.scope_spans
            for span in scope.spans
        )
        for trace in healthy(slow, 50, 10**18, random.Random(1))
    }

    assert len(durations) == 50
    assert max(durations) < 1.2 * min(durations)


def test_a_fault_nobody_knows_is_refused_in_words():
    with pytest.raises(ValueError, match="'flood' is no fault of the canary; expected of deep_error, "):
        chosen(["clean", "flood"])


def test_once_prints_a_line_for_each(capsys: pytest.CaptureFixture[str]):
    doors = AnalysedDoors()

    assert run_once(doors, QUICK, 5.0) == 0  # type: ignore[arg-type]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [["right", fault.name] for fault in QUICK]
    assert lines[-1] == "5 of 5 right"

    doors.refuse = "no\x1b[31m"
    assert run_once(doors, QUICK, 5.0) == 1  # type: ignore[arg-type]
    said = capsys.readouterr().out
    assert "0 of 5 right" in said
    assert "\x1b" not in said
