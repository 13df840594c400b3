"""One error is one group: pairs of reports that are together and of one bug, on generated mutations.

The table of docs/errors.md: `python -m tests.support.grouping_quality`.
"""

from __future__ import annotations

from collections import defaultdict

import pytest

from tests.support.grouping_quality import quality
from tests.support.grouping_ways import fine, suggested, type_and_message, with_wrapper_types
from tests.support.mutations import Generator

SEEDS = (1, 2, 3)


@pytest.mark.parametrize("seed", SEEDS)
def test_pairs_are_put_together_as_they_belong(seed: int):
    """Line shifts, values in messages, wrappers, recursion, builds, frameworks, callers in other services; relatives in
    another language, service, type or way are apart."""
    found = quality(Generator(seed).reports(120, 18), fine)

    assert found.f1 >= 0.95
    assert found.split_bugs / found.bugs <= 0.05
    assert found.mixed_groups / found.groups <= 0.05


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.deep) for seed in SEEDS[1:])])
def test_reports_that_lost_what_they_rest_on_split_and_hardly_mix(seed: int):
    """Without a stack, without its outer half, renamed, entered elsewhere: more groups, not wrong ones; the suggested
    merges bring some of them back."""
    reports = Generator(seed, hard=True).reports(120, 26)
    plain, merged = quality(reports, fine), quality(reports, suggested(reports))

    assert plain.precision >= 0.99
    assert merged.recall > plain.recall


def test_the_same_words_and_the_same_wrappers_are_no_way_to_group():
    """What other ways of grouping make of the same reports; so that the test above can be seen to be one."""
    reports = Generator(1).reports(120, 18)

    assert quality(reports, type_and_message).f1 < 0.2
    assert quality(reports, with_wrapper_types).f1 < 0.9


def test_every_kind_of_mutation_is_drawn_and_really_changes_the_report():
    """A mutation that changes nothing would prove nothing."""
    reports = Generator(2).reports(60, 9)
    kinds = {report.kind for report in reports}
    by_bug = defaultdict(set)
    for report in reports:
        by_bug[report.bug].add(repr([(fact.message, fact.stack, fact.service) for fact in report.facts]))

    assert kinds == {
        "values",
        "lines",
        "wrapped",
        "wrapped twice",
        "own wrapper",
        "recursion",
        "counters",
        "framework",
        "across services",
    }
    assert sum(len(texts) > 1 for texts in by_bug.values()) == len(by_bug)


def test_the_same_seed_draws_the_same():
    assert Generator(5).reports(10, 9) == Generator(5).reports(10, 9)
