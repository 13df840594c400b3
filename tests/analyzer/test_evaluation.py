"""Scores of rankings, by numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from analyzer.evaluation import CaseResult, Label, Ranked, Scores, calibrate, mcnemar, strict_rank, summarise
from analyzer.evaluation.metrics import all_roots_first, chance
from analyzer.evaluation.report import report
from analyzer.evaluation.words import Method


def case(
    scores: Scores,
    roots: Sequence[str],
    number: int = 0,
    fault: str = "delay",
    *,
    loudest: bool = False,
    probability: float | None = None,
    insufficient: bool = False,
    candidates: tuple[str, ...] | None = None,
) -> CaseResult:
    label = Label(f"case-{number}", fault, tuple(roots), "shop")
    ranked = Ranked(scores, probability, insufficient, candidates)
    return CaseResult(label, ranked, seconds=0.001, span_count=1000, root_loudest=loudest)


def placed(rank: int | None, number: int = 0) -> CaseResult:
    """A case whose root stands at a place of ten."""
    names = [f"other-{i}" for i in range(10)]
    if rank is not None:
        names[rank - 1] = "root"
    return case([(name, 10.0 - i) for i, name in enumerate(names)], ["root"], number)


@pytest.mark.parametrize(
    ("scores", "roots", "rank"),
    [
        ([("a", 3.0), ("b", 2.0), ("c", 1.0)], ["b"], 2),
        ([("a", 3.0), ("b", 2.0), ("c", 2.0)], ["b"], 3),  # a tie counts against the method
        ([("b", 2.0), ("c", 2.0), ("a", 2.0)], ["b"], 3),  # also when the root was written first
        ([("a", 3.0)], ["b"], None),
        ([], ["b"], None),
        ([("a", 3.0), ("b", 2.0), ("c", 1.0)], ["c", "b"], 2),  # the best of several roots
        ([("b", 2.0), ("c", 2.0)], ["c", "b"], 1),  # roots do not stand in each other's way
        ([("b", 1.0), ("a", 2.0), ("b", 3.0)], ["b"], 1),  # named twice: the better one
        ([("a", math.nan), ("b", 0.0)], ["b"], 1),  # not a number is worse than any
        ([("a", math.nan), ("b", 0.0)], ["a"], 2),
        ([("a", 1.0)], [], None),
    ],
)
def test_strict_ranks(scores: Scores, roots: list[str], rank: int | None):
    assert strict_rank(scores, roots) == rank


@pytest.mark.parametrize(
    ("scores", "roots", "all_first"),
    [
        ([("a", 3.0), ("b", 2.0), ("c", 1.0)], ["a", "b"], True),
        ([("a", 3.0), ("b", 2.0), ("c", 2.0)], ["a", "b"], False),  # c might as well be second
        ([("a", 3.0), ("c", 2.0)], ["a", "b"], False),
        ([], ["a"], False),
        ([("a", 1.0)], [], False),
    ],
)
def test_all_roots_in_the_first_places(scores: Scores, roots: list[str], all_first: bool):
    assert all_roots_first(scores, roots) is all_first


def test_accuracy_of_four_cases():
    """Ranks 1, 2, 4 and never: AC@1 1/4, AC@3 2/4, AC@5 3/4, Avg@5 (1+2+2+3+3)/20, MRR (1 + 1/2 + 1/4)/4."""
    found = summarise([placed(1, 1), placed(2, 2), placed(4, 3), placed(None, 4)])

    assert found["case_count"] == 4
    assert [found[key] for key in ("ac@1", "ac@3", "ac@5", "avg@5", "mrr")] == [0.25, 0.5, 0.75, 0.55, 0.4375]
    assert found["all@n"] == 0.25
    assert [row["rank"] for row in found["cases"]] == [1, 2, 4, None]
    assert found["cases"][0]["ranking"][:2] == ["root", "other-1"]


def test_the_interval_holds_the_value_and_is_the_same_for_the_same_seed():
    results = [placed(1 if i % 3 else 2, i) for i in range(60)]

    first, second, other = summarise(results, 4), summarise(results, 4), summarise(results, 5)

    low, high = first["interval"]["ac@1"]
    # 40 of 60: the normal approximation says 0.667 +- 0.119
    assert (low, high) == pytest.approx((0.548, 0.786), abs=0.03)
    assert first["interval"] == second["interval"]
    assert first["interval"] != other["interval"]


def test_all_right_leaves_no_doubt():
    """The bootstrap of cases that are all alike has no width."""
    assert summarise([placed(1, i) for i in range(5)])["interval"]["ac@1"] == [1.0, 1.0]


def test_splits_by_fault_and_by_loudness():
    results = [
        case([("a", 2.0), ("b", 1.0)], ["a"], 1, "delay", loudest=True),
        case([("a", 2.0), ("b", 1.0)], ["b"], 2, "kill"),
        case([("a", 2.0), ("b", 1.0)], ["a", "b"], 3, "kill"),
    ]

    found = summarise(results)

    assert {name: part["ac@1"] for name, part in found["by_fault_type"].items()} == {"delay": 1.0, "kill": 0.5}
    assert (found["root_loudest"]["case_count"], found["root_loudest"]["ac@1"]) == (1, 1.0)
    assert (found["root_not_loudest"]["case_count"], found["root_not_loudest"]["ac@1"]) == (2, 0.5)
    assert (found["several_roots"]["case_count"], found["several_roots"]["all@n"]) == (1, 1.0)
    assert found["by_system"]["shop"]["case_count"] == 3


def test_a_healthy_case_is_reported_apart():
    """Who names a service of a healthy system rings for nothing; who says nothing, or that it cannot tell, does not."""
    results = [
        placed(1, 1),
        case([("a", 1.0)], [], 2),
        case([], [], 3),
        case([("a", 1.0)], [], 4, insufficient=True),
    ]

    found = summarise(results)

    assert (found["case_count"], found["ac@1"]) == (1, 1.0)
    assert found["true_negatives"] == {"case_count": 3, "false_alarms": 1}


def test_who_cannot_tell_blames_nobody():
    """Four cases: right, wrong, a wrong guess that says so, silence."""
    results = [
        placed(1, 1),
        placed(2, 2),
        case([("a", 1.0)], ["b"], 3, insufficient=True),
        case([], ["b"], 4),
    ]

    found = summarise(results)

    assert (found["abstained"], found["false_blame"]) == (2, 0.25)


def test_no_cases_have_no_accuracy():
    found = summarise([])

    assert (found["ac@1"], found["interval"]["ac@1"], found["seconds_per_case"], found["cases"]) == (
        None,
        None,
        None,
        [],
    )


def test_costs_are_per_case_and_per_span():
    found = summarise([placed(1, 1), placed(1, 2)])

    assert found["seconds_per_case"] == pytest.approx(0.001)
    assert found["ns_per_span"] == pytest.approx(1000.0)


def test_mcnemar_counts_only_where_two_methods_differ():
    """Six cases only the first got right, one only the second: p = 2 (C(7,0) + C(7,1)) / 2^7 = 0.125."""
    mine = [placed(1, i) for i in range(9)] + [placed(2, 9)]
    other = [placed(2, i) for i in range(6)] + [placed(1, i) for i in range(6, 10)]

    assert mcnemar(mine, other) == {"only_this": 6, "only_other": 1, "p_value": 0.125}
    assert mcnemar(mine, mine)["p_value"] == 1.0


def test_mcnemar_wants_the_same_cases():
    with pytest.raises(ValueError, match="expected the same cases"):
        mcnemar([placed(1, 1)], [placed(1, 2)])


def test_each_method_is_tested_against_the_best_other():
    methods = {name: Method(name, lambda *_: Ranked([]), name == "quiet") for name in ("good", "fair", "quiet")}
    results = {
        "good": [placed(1, 1), placed(1, 2)],
        "fair": [placed(1, 1), placed(3, 2)],
        "quiet": [case([], ["root"], 1), case([], ["root"], 2)],
    }

    found = report(results, methods)

    assert {name: part["mcnemar"]["against"] for name, part in found.items()} == {
        "good": "fair",
        "fair": "good",
        "quiet": "good",
    }
    assert {name: part["can_abstain"] for name, part in found.items()} == {"good": False, "fair": False, "quiet": True}
    assert "calibration" not in found["good"]


def test_what_is_expected_of_chance():
    """One root of 4 services; two of 5; one that is not listed: (1/4 + 2/5 + 0)/3 and (3/4 + 9/10 + 0)/3."""
    four, five = [(name, 0.0) for name in "abcd"], [(name, 0.0) for name in "abcde"]
    results = [case(four, ["a"], 1), case(five, ["a", "b"], 2), case(four, ["z"], 3), case(four, [], 4)]

    found = chance(results)

    assert found == {"ac@1": pytest.approx(0.65 / 3), "ac@3": pytest.approx(1.65 / 3), "ac@5": pytest.approx(2 / 3)}
    assert chance([]) == {"ac@1": None, "ac@3": None, "ac@5": None}


def test_calibration_by_hand():
    """Two sure ones right, two at 0.65 of which one is right, one at 0.05 that is wrong.

    Bins: |1.0 - 1| 0, |0.65 - 0.5| 0.15, |0.05 - 0| 0.05: ECE (0 + 2 x 0.15 + 0.05)/5 = 0.07;
    Brier (0 + 0 + 0.35^2 + 0.65^2 + 0.05^2)/5 = 0.1095.
    """
    right, wrong = [("a", 2.0), ("b", 1.0)], [("b", 2.0), ("a", 1.0)]
    results = [
        case(right, ["a"], 1, probability=1.0, candidates=("a",)),
        case(right, ["a"], 2, probability=1.0, candidates=("a",)),
        case(right, ["a"], 3, probability=0.65, candidates=("a", "b")),
        case(wrong, ["a"], 4, probability=0.65, candidates=("b", "a")),
        case(wrong, ["a"], 5, probability=0.05, candidates=("b",)),
        case(wrong, [], 6, probability=0.9, candidates=("b",)),  # nothing to be right about
    ]

    found = calibrate(results)

    assert found is not None
    assert (found["ece"], found["brier"]) == (pytest.approx(0.07), pytest.approx(0.1095))
    assert [(one["from"], one["case_count"], one["seen"]) for one in found["bins"]] == [
        (0.0, 1, 0.0),
        (0.6, 2, 0.5),
        (0.9, 2, 1.0),
    ]
    assert (found["case_count"], found["set_coverage"], found["set_size"]) == (5, 0.8, 1.4)


def test_a_method_without_probabilities_has_no_calibration():
    assert calibrate([placed(1)]) is None
