"""New traces that are left out under stress: whole, always the same ones, and counted."""

from __future__ import annotations

import random

import pytest

from collector.assembly import Assembler, AssemblyConfig
from collector.assembly.shedding import FILTER_WORDS
from collector.contracts import Signal
from tests.collector.assembly.support import KIB, new_assembler, records, take, trace_id
from tests.support.naive.assembler import keeps

CONFIG = AssemblyConfig(
    arena_bytes=16 * 1024 * KIB, segment_bytes=1024 * KIB, open_traces_max=100_000, age_max_ms=60_000
)


@pytest.fixture
def assembler() -> Assembler:
    return new_assembler(CONFIG)


def _send(assembler: Assembler, numbers: list[int] | range, span: int, now_ms: int) -> None:
    assembler.ingest(records(numbers, span), Signal.TRACES, now_ms)
    assert assembler.counts().balanced


def _released(assembler: Assembler, now_ms: int) -> dict[bytes, int]:
    """Trace id -> rows of it that left."""
    return {one.trace_id: len(one.raws) for one in take(assembler, now_ms)}


def test_a_share_is_kept_whole_and_the_others_fall_whole(assembler: Assembler):
    """Spans of 5,000 traces in three rounds, mixed: each has three, or none."""
    assembler.shed(0.1)
    for span in (1, 2, 3):
        numbers = list(range(5_000))
        random.Random(span).shuffle(numbers)
        _send(assembler, numbers, span, span)

    left = _released(assembler, 10_000)
    counts = assembler.counts()
    assert set(left.values()) == {3}
    assert 400 < len(left) < 600
    assert counts.dropped_spans["stress"] == 3 * (5_000 - len(left))
    assert counts.shed_traces == 5_000 - len(left)
    seeds = [int(seed) for seed in assembler._seeds]
    assert set(left) == {trace_id(number) for number in range(5_000) if keeps(seeds, 0.1, trace_id(number))}


def test_what_was_open_before_goes_on(assembler: Assembler):
    """Also what was released and is remembered: its late spans are taken."""
    _send(assembler, range(100), 1, 0)
    assert len(_released(assembler, 6_000)) == 100
    _send(assembler, range(100, 200), 1, 6_000)
    assembler.shed(0.0)
    _send(assembler, range(300), 2, 6_001)

    assert _released(assembler, 12_000) == {trace_id(number): 2 for number in range(200)}
    assert assembler.counts().dropped_spans["stress"] == 100


def test_what_still_comes_of_a_trace_that_was_left_out_is_left_out(assembler: Assembler):
    """For as long as a trace may be open; taken, it would be a trace without its beginning. New ones are taken."""
    assembler.shed(0.0)
    _send(assembler, range(50), 1, 0)
    assembler.shed(None)
    _send(assembler, range(100), 2, 30_000)
    assert _released(assembler, 40_000) == {trace_id(number): 1 for number in range(50, 100)}
    assembler.due(59_999)
    _send(assembler, range(50), 3, 59_999)
    assert _released(assembler, 59_999) == {}
    assert assembler.counts().shed_traces == 50

    assembler.due(60_000)
    _send(assembler, range(50), 4, 60_000)
    assert len(_released(assembler, 70_000)) == 50


def test_the_same_trace_falls_again_under_the_next_stress(assembler: Assembler):
    kept = []
    for round_ in range(3):
        at = round_ * 1_000_000
        take(assembler, at)
        assembler.shed(0.3)
        _send(assembler, range(1_000), 1, at)
        assembler.shed(None)
        kept.append(set(_released(assembler, at + 10_000)))
        take(assembler, at + 700_000)  # forgotten: all are new again

    assert kept[0] == kept[1] == kept[2]
    assert 200 < len(kept[0]) < 400


def test_which_fall_nobody_outside_can_know():
    """Each process has a secret of its own."""
    kept = []
    for seed in (1, 2):
        assembler = new_assembler(CONFIG, seed=seed)
        assembler.shed(0.5)
        _send(assembler, range(1_000), 1, 0)
        kept.append(set(_released(assembler, 10_000)))

    assert 150 < len(kept[0] & kept[1]) < 350


def test_old_generations_are_forgotten(assembler: Assembler):
    """However long stress lasts, the filters do not fill up: who fell two minutes ago is new."""
    assembler.shed(0.0)
    for at in (0, 60_000, 120_000):
        take(assembler, at)
        _send(assembler, [at + 1], 1, at)
    assembler.shed(None)
    _send(assembler, [1, 60_001, 120_001], 2, 120_000)

    assert _released(assembler, 130_000) == {trace_id(1): 1}


def test_a_million_traces_that_fell_take_few_new_ones_with_them(assembler: Assembler):
    """And the memory of all of them is two filters."""
    assembler.shed(0.0)
    for first in range(0, 1_000_000, 20_000):
        assembler.ingest(records(range(first, first + 20_000)), Signal.TRACES, 0)
    counts = assembler.counts()
    assert counts.dropped_spans["stress"] == 1_000_000
    assert 1_000_000 - counts.shed_traces < 1_000
    assembler.shed(None)
    _send(assembler, range(2_000_000, 2_020_000), 1, 1)

    assert assembler.counts().open_traces > 19_900
    assert assembler._shedding.filters.nbytes == 2 * FILTER_WORDS * 8


def test_how_full_it_is(assembler: Assembler):
    """Of memory or of open traces, whichever is more."""
    assert assembler.fill() == 0.0
    _send(assembler, range(10_000), 1, 0)
    assert assembler.fill() == pytest.approx(2 / 16)
    few = new_assembler(AssemblyConfig(arena_bytes=16 * 1024 * KIB, segment_bytes=1024 * KIB, open_traces_max=100))
    _send(few, range(80), 1, 0)
    assert few.fill() == pytest.approx(0.8)


def test_off_there_is_nothing_but_a_word(assembler: Assembler):
    _send(assembler, range(100), 1, 0)

    assert assembler._shedding.filters.nbytes == 16
    assert assembler.counts().shed_traces == 0
