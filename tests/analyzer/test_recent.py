"""What is remembered of recent traces is bounded, fair, and says how it was drawn."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from analyzer.analysis import Analysis
from analyzer.incident_config import IncidentConfig
from analyzer.incidents.facts import TraceFacts, gather_facts, no_facts
from analyzer.incidents.pick import pick_traces
from analyzer.incidents.recent import FAILED, ODD, SLOW, Recent
from analyzer.incidents.recent import draw as draw_of
from tests.support.drawing import batch
from tests.support.fakes.clock import SECOND_NS
from tests.support.random_traces import random_trace
from tests.support.traffic import CHECKOUT, HOME, MINUTE_NS, PAYMENT_DOWN, Traffic


def add(recent: Recent, traffic: Traffic, text: str, count: int, mark: int = 0) -> None:
    analysis = traffic.analysis(text, count=count)
    recent.add(analysis, np.full(count, mark, np.uint8), traffic.analyzer.propagation, traffic.now_ns)


def same(one: TraceFacts, other: TraceFacts) -> bool:
    return all(np.array_equal(getattr(one, part.name), getattr(other, part.name)) for part in fields(TraceFacts))


@pytest.mark.parametrize("seed", range(8))
def test_facts_of_picked_traces_are_the_facts_of_all_of_them(seed: int):
    """Picked first and gathered, or gathered first and selected: the same columns, for random failing traces."""
    traffic = Traffic()
    analysis = traffic.analyzer.analyse(
        batch([random_trace(seed * 100 + n, 1 + (seed + n) % 9) for n in range(12)], traffic.words)
    ).analysis
    memory = traffic.analyzer.propagation
    chosen = np.flatnonzero(np.random.default_rng(seed).random(12) < 0.4)

    picked = gather_facts(pick_traces(analysis, chosen), memory)

    assert same(picked, gather_facts(analysis, memory).select(chosen))


def test_a_window_holds_what_came_in_it():
    """A minute before and a minute after: told apart to the nanosecond, failing traces with their blame."""
    traffic, recent = Traffic(), Recent()
    add(recent, traffic, CHECKOUT, 5)
    onset_ns = traffic.now_ns = traffic.now_ns + 90 * SECOND_NS
    add(recent, traffic, PAYMENT_DOWN, 3, FAILED)

    window, before = recent.window(onset_ns, onset_ns + 1), recent.reference(onset_ns)

    assert (window.facts.trace_count, before.facts.trace_count) == (3, 5)
    assert window.facts.fatal.all()
    assert window.facts.blame.sum() == pytest.approx(3.0)
    assert (window.bad_rate, window.good_rate) == (1.0, 1.0)
    assert not recent.window(onset_ns + 1, onset_ns + 2).facts.trace_count


def test_a_busy_minute_keeps_its_share_of_each_class_and_says_which():
    """500 fine traces and 40 bad ones, room for 30 of each: 30 stand for all of them."""
    traffic, recent = Traffic(), Recent(IncidentConfig(traces_per_minute=30))
    for _ in range(10):
        add(recent, traffic, HOME, 50)
        add(recent, traffic, PAYMENT_DOWN, 4, FAILED)
    start_ns = traffic.now_ns
    traffic.now_ns += MINUTE_NS
    add(recent, traffic, HOME, 1)  # the next minute closes the one before

    sample = recent.window(start_ns, start_ns + 1)

    assert ((sample.marks > 0).sum(), (sample.marks == 0).sum()) == (30, 30)
    assert sample.weight[sample.marks == 0].sum() == pytest.approx(500, rel=0.4)
    assert sample.weight[sample.marks > 0].sum() == pytest.approx(40, rel=0.4)
    assert recent.counts.offered_traces == 541
    assert recent.counts.left_out_traces == 541 - recent.trace_count


def test_what_is_kept_depends_on_ids_only():
    """The same traces in other batches and another order: exactly those with a draw below the rate that is said."""
    traffic = Traffic()
    batches = [traffic.analysis(HOME, count=40) for _ in range(6)]
    draws = {tuple(one): value for part in batches for one, value in zip(_ids(part), draw_of(part, 0), strict=True)}
    for order in (batches, batches[::-1]):
        recent = Recent(IncidentConfig(traces_per_minute=30))
        for analysis in order:
            recent.add(analysis, np.zeros(40, np.uint8), traffic.analyzer.propagation, traffic.now_ns)

        sample = recent.window(traffic.now_ns, traffic.now_ns + 1)

        kept = {tuple(one) for one in sample.facts.trace_id.tolist()}
        assert sample.good_rate < 1.0
        assert kept == {one for one, value in draws.items() if value < sample.good_rate}


def _ids(analysis: Analysis) -> list[list[int]]:
    first = analysis.traces.rows[analysis.traces.trace_ptr[:-1]]
    return np.stack([first["trace_id_0"], first["trace_id_1"]], axis=1).tolist()


def test_window_and_reference_are_drawn_alike():
    """A busy minute before, a quiet one after: both are thinned to what the busy one could keep."""
    traffic, recent = Traffic(), Recent(IncidentConfig(traces_per_minute=20, reference_gap_s=0))
    for _ in range(10):
        add(recent, traffic, HOME, 40)
    onset_ns = traffic.now_ns = traffic.now_ns + MINUTE_NS
    add(recent, traffic, HOME, 40)
    add(recent, traffic, PAYMENT_DOWN, 20, FAILED)

    reference, window = recent.compare(onset_ns, onset_ns + 1)

    assert reference.facts.trace_count == 20
    assert window.good_rate == reference.good_rate == pytest.approx(0.05, rel=0.5)
    assert (window.marks == 0).sum() < 10
    assert (window.marks > 0).sum() == 20  # few: all of them stay
    assert window.bad_rate == 1.0


def test_memory_has_a_bound():
    """Two hours of traffic: never more spans than allowed, the oldest minutes leave, counted."""
    traffic = Traffic()
    recent = Recent(IncidentConfig(recent_minutes=10, spans_max=10_000, traces_per_minute=1000, reference_minutes=5))
    most = 0
    batches = [(traffic.analysis(CHECKOUT, count=200), 0), (traffic.analysis(PAYMENT_DOWN, count=200), FAILED | ODD)]
    for _ in range(30):
        for analysis, mark in batches:
            recent.add(analysis, np.full(200, mark, np.uint8), traffic.analyzer.propagation, traffic.now_ns)
        traffic.now_ns += MINUTE_NS
        most = max(most, recent.span_count)

    assert most <= 10_000 + 2 * 10_000 // 10  # and the minute that is being filled
    assert recent.counts.evicted_minutes == 20
    assert recent.trace_count + recent.counts.left_out_traces <= recent.counts.offered_traces == 12_000


def test_a_huge_trace_is_counted_and_not_kept():
    traffic, recent = Traffic(), Recent(IncidentConfig(trace_spans_max=4))
    add(recent, traffic, CHECKOUT, 2)
    add(recent, traffic, HOME, 3)

    assert (recent.trace_count, recent.counts.oversized_traces, recent.counts.left_out_traces) == (3, 2, 2)


def test_the_reference_of_a_long_incident_stays():
    """An incident goes on for longer than is remembered: what was healthy before it is still there."""
    traffic, recent = Traffic(), Recent(IncidentConfig(recent_minutes=10, reference_minutes=4, reference_gap_s=0))
    for _ in range(8):
        add(recent, traffic, CHECKOUT, 5)
        traffic.now_ns += MINUTE_NS
    onset_ns = traffic.now_ns
    recent.keep_before(onset_ns)
    for _ in range(30):
        add(recent, traffic, PAYMENT_DOWN, 5, FAILED)
        traffic.now_ns += MINUTE_NS

    reference, window = recent.compare(onset_ns, traffic.now_ns)

    assert (reference.facts.trace_count, reference.facts.failed.any()) == (20, False)
    assert window.facts.trace_count == 30


def test_troubled_minutes_are_no_reference():
    """The incident before the last is over; its minutes do not count as healthy."""
    traffic, recent = Traffic(), Recent()
    add(recent, traffic, CHECKOUT, 5)
    trouble_ns = traffic.now_ns = traffic.now_ns + MINUTE_NS
    add(recent, traffic, PAYMENT_DOWN, 5, FAILED)
    recent.mark_troubled(trouble_ns, trouble_ns)
    traffic.now_ns += MINUTE_NS
    add(recent, traffic, CHECKOUT, 5)

    reference = recent.reference(traffic.now_ns + 1)

    assert (reference.facts.trace_count, reference.facts.failed.any()) == (10, False)


def test_a_clock_that_is_set_back_stands_still():
    traffic, recent = Traffic(), Recent()
    add(recent, traffic, HOME, 1)
    start_ns = traffic.now_ns
    traffic.now_ns -= 3600 * SECOND_NS
    add(recent, traffic, HOME, 2)

    assert recent.window(start_ns, start_ns + 1).facts.trace_count == 3


def test_a_re_opened_trace_is_not_counted_again():
    """Late spans bring a trace a second time, with revision 2."""
    traffic, recent = Traffic(), Recent()
    analysis = traffic.analysis(HOME, count=2)
    analysis.traces.revisions[1] = 2

    recent.add(analysis, np.zeros(2, np.uint8), traffic.analyzer.propagation, traffic.now_ns)

    assert (recent.trace_count, recent.counts.offered_traces) == (1, 1)
    assert list(recent.entries.between(0, traffic.now_ns + 1).values()) == [(1, 0, 0)]


def test_requests_are_counted_exactly():
    """However few traces are kept: by entry operation, requests, failed and slow ones."""
    traffic, recent = Traffic(), Recent(IncidentConfig(traces_per_minute=1))
    add(recent, traffic, HOME, 30)
    add(recent, traffic, PAYMENT_DOWN, 7, FAILED)
    add(recent, traffic, CHECKOUT, 5, SLOW)

    counts = recent.entries.between(traffic.now_ns, traffic.now_ns + 1)

    names = {traffic.words.strings.text(traffic.words.operations.key(one)[1]): row for one, row in counts.items()}
    assert names == {"GET /home": (30, 0, 0), "POST /checkout": (12, 7, 5)}


def test_nothing_is_remembered_of_nothing():
    recent = Recent()

    reference, window = recent.compare(0, 10**18)

    assert (len(reference.facts), len(window.facts)) == (0, 0)
    assert same(no_facts(), reference.facts)
