"""A flood of one kind of failing requests leaves words for the others."""

from __future__ import annotations

import numpy as np
import pytest

from analyzer.findings import Answer
from collector import fair_shares
from collector.fair_shares import KIND_SAVED_NS, KINDS_MAX, KNOWN_MIN, FairShares, ranks
from collector.samples import pipeline_samples
from tests.support.drawing import Drawing, draw
from tests.support.stepping import CLEAN, FAILING, House, slow_words

PAGE = "shop  GET /page  0..10"
BROKEN_PAGE = 'shop  GET /page  0..10  ERROR  !KeyError: "model"'
COST_NS = 40_000_000  # of words, full or brief: a turn of the flood would take 1.6 s
FLOOD = 40  # failing traces a turn
TURN_S = 0.5


def flooded(house: House, flood: list[Drawing], beside: Drawing) -> tuple[Answer | None, int]:
    """(what is said of a failing trace in the middle of a flood, how many of the flood were told in full)."""
    for seed in range(KNOWN_MIN):
        house.send(draw(CLEAN, seed=9000 + seed))
        house.send(draw(PAGE, seed=9100 + seed))
    house.after(30)
    for turn in range(12):
        for place, drawing in enumerate(flood[turn * FLOOD : (turn + 1) * FLOOD]):
            house.send(drawing)
            if (turn, place) == (6, FLOOD // 2):
                house.send(beside)
        house.after(TURN_S)
    house.after(30)
    answers = {stored.name: stored.answer for stored in house.shelf.traces}
    told = [answers[one.trace_id] for one in flood if one.trace_id in answers]
    return answers.get(beside.trace_id), sum(answer.status == "finding" for answer in told)


def test_beside_a_flood_of_one_kind_another_is_told_in_full(monkeypatch: pytest.MonkeyPatch):
    """The flood has used up its time long before, and comes first in every batch."""
    house = House()
    slow_words(house, monkeypatch, COST_NS, COST_NS)

    answer, told = flooded(house, [draw(FAILING, seed=seed) for seed in range(12 * FLOOD)], draw(BROKEN_PAGE))

    assert answer is not None
    assert (answer.status, answer.root_causes[0].entity.service) == ("finding", "shop")
    assert 0 < told < 6 * FLOOD
    assert house.pipeline.counts.untold_traces > 0


def test_traces_with_holes_leave_the_reserve(monkeypatch: pytest.MonkeyPatch):
    """Failing spans without the one above them, also of the very kind of the whole one."""
    house = House()
    slow_words(house, monkeypatch, COST_NS, COST_NS)
    headless = [draw(FAILING, seed=seed) for seed in range(12 * FLOOD)]

    answer, _ = flooded(house, [Drawing(one.spans[1:], one.trace_id) for one in headless], draw(FAILING, seed=99_999))

    assert answer is not None
    assert answer.status == "finding"


def test_names_nobody_has_seen_leave_the_reserve(monkeypatch: pytest.MonkeyPatch):
    """Each of the flood comes in by a name of its own, as damage makes them."""
    house = House()
    slow_words(house, monkeypatch, COST_NS, COST_NS)
    flood = [draw(FAILING.replace("/checkout", f"/{seed}"), seed=seed) for seed in range(12 * FLOOD)]

    answer, _ = flooded(house, flood, draw(BROKEN_PAGE))

    assert answer is not None
    assert answer.status == "finding"


def test_in_a_batch_whole_traces_come_first_and_each_kind_in_turn():
    """As they come: with holes, two checkouts, a page."""
    house = House()
    first, second, lost = (draw(FAILING, seed=seed) for seed in (1, 2, 3))
    page = draw(BROKEN_PAGE)
    for drawing in (Drawing(lost.spans[1:], lost.trace_id), first, second, page):
        house.send(drawing)

    house.after(30)

    told = [stored.name for stored in house.shelf.traces]
    assert told == [first.trace_id, page.trace_id, second.trace_id, lost.trace_id]


def test_one_of_each_kind_comes_before_a_second_of_any():
    assert ranks(np.array([7, 7, 3, 7, 3, 0], np.uint32)).tolist() == [0, 1, 0, 2, 1, 0]
    assert ranks(np.zeros(0, np.uint32)).tolist() == []


def test_a_kind_is_due_when_it_is_known_until_it_had_its_part():
    fair = FairShares()
    assert not fair.is_due(5, 0)
    fair.see(np.full(KNOWN_MIN, 5, np.uint32))
    assert fair.is_due(5, 0)
    assert not fair.is_due(0, 0)  # no kind

    fair.spend(5, KIND_SAVED_NS, 0)

    assert not fair.is_due(5, 0)
    assert fair.is_due(5, 1_000_000_000)


def test_there_is_a_bound_on_accounts():
    """The one that was used last stays."""
    fair = FairShares()
    fair.see(np.full(KNOWN_MIN, 1, np.uint32))
    for kind in range(2, KINDS_MAX + 50):
        fair.spend(1, KIND_SAVED_NS, 0)
        fair.spend(kind, 1, 0)

    assert len(fair) == KINDS_MAX
    assert fair.evicted == 49
    assert not fair.is_due(1, 0)


def test_an_account_that_leaves_is_counted(monkeypatch: pytest.MonkeyPatch):
    """Room for two: of three kinds that had their words, the first has left."""
    monkeypatch.setattr(fair_shares, "KINDS_MAX", 2)
    house = House()
    for seed, text in enumerate((FAILING, BROKEN_PAGE, BROKEN_PAGE.replace("/page", "/other"))):
        house.send(draw(text, seed=seed))
        house.after(30)

    assert pipeline_samples(house.pipeline.counts)["analyzer_evicted_keys|kinds"] == 1
