"""Shapes of input that have broken others: reliability.md (d), by number."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analyzer.spans import SpanFlag
from collector.assembly import Assembler
from collector.contracts import Signal
from collector.errors import OverloadedError
from tests.collector.assembly.support import SMALL, in_words, leave, new_assembler, records, take, trace_id

HOUR = 3_600_000
LIMITED = replace(SMALL, trace_spans_max=100, reserve_share=0.1)


def closed_once(assembler: Assembler, now: int) -> list[tuple[str, int, int]]:
    return [(one.reason.name, len(one.raws), one.dropped) for one in take(assembler, now)]


def test_15_one_id_forever_is_decided_once_and_then_counted():
    """90 plain spans are kept, 10 places stay for roots and errors; no growth, no second verdict."""
    assembler = new_assembler(LIMITED)
    left = []
    for request in range(200):
        assembler.ingest(records([7] * 50, range(request * 50, request * 50 + 50)), Signal.TRACES, 1_000 + request)
        left += closed_once(assembler, 1_000 + request)

    counts = assembler.counts()
    assert left == [("SPAN_LIMIT", 90, 10)]
    assert counts.dropped_spans["trace_too_large"] == 200 * 50 - 90
    assert (counts.held_spans, counts.open_spans, counts.segments_used) == (0, 0, 0)
    assert counts.balanced


def test_15_roots_and_errors_are_dropped_last():
    """The error and the root that came after 300 plain spans are in the verdict."""
    assembler = new_assembler(LIMITED)
    assembler.ingest(records([7] * 300, range(300)), Signal.TRACES, 1_000)
    assembler.ingest(records([7], 900, status=2), Signal.TRACES, 1_000)
    assembler.ingest(records([7], 901, root=True), Signal.TRACES, 1_000)

    released = assembler.due(1_000)

    assert released is not None
    assert released.traces.rows["span_id"].tolist() == [*range(90), 900, 901]


def test_15_a_flood_of_errors_is_bounded_too():
    assembler = new_assembler(LIMITED)
    assembler.ingest(records([7] * 300, range(300), status=2), Signal.TRACES, 1_000)

    assert closed_once(assembler, 1_000) == [("SPAN_LIMIT", 100, 200)]


def test_byte_limit_closes_with_its_own_reason():
    assembler = new_assembler(replace(SMALL, trace_bytes_max=640, reserve_share=0.0))
    assembler.ingest(records([7] * 11, range(11)), Signal.TRACES, 1_000)

    assert closed_once(assembler, 1_000) == [("BYTE_LIMIT", 10, 1)]


def test_a_span_over_the_byte_limit_alone_makes_no_empty_trace():
    assembler = new_assembler(replace(SMALL, trace_bytes_max=63, reserve_share=0.0))
    assembler.ingest(records([7]), Signal.TRACES, 1_000)

    assert leave(assembler, 99_000) == []
    assert assembler.counts().dropped_spans["trace_too_large"] == 1
    assert assembler.counts().balanced


def test_a_trace_of_exactly_the_limit_is_not_cut():
    assembler = new_assembler(replace(LIMITED, reserve_share=0.0))
    assembler.ingest(records([7] * 100, range(100)), Signal.TRACES, 1_000)

    assert closed_once(assembler, 1_000) == []
    assert closed_once(assembler, 6_000) == [("IDLE", 100, 0)]


def test_10_one_span_id_for_all_keeps_them_all():
    """Different spans under one id and one time are no duplicates, and are told apart in linear time."""
    assembler = new_assembler(replace(SMALL, arena_bytes=4 << 20))
    count = 3_000
    payload = np.frombuffer(records([7] * count, 5), np.uint8).copy().reshape(count, 64)
    payload[:, 60:64] = np.arange(count, dtype="<u4").view(np.uint8).reshape(count, 4)
    assembler.ingest(payload.tobytes(), Signal.TRACES, 1_000)
    assembler.ingest(payload.tobytes(), Signal.TRACES, 1_000)

    assert leave(assembler, 99_000) == [(trace_id(7), "IDLE", count)]
    assert assembler.counts().deduped_spans == count


def test_26_a_clock_that_steps_back_moves_no_deadline():
    """Nothing expires in a mass, nothing waits for ever."""
    assembler = new_assembler()
    assembler.ingest(records([1], root=True), Signal.TRACES, 100_000)
    assembler.ingest(records([2], root=True), Signal.TRACES, 40_000)

    assert leave(assembler, 50_000) == []
    assert leave(assembler, 101_999) == []
    assert sorted(leave(assembler, 102_000)) == [(trace_id(1), "ROOT_IDLE", 1), (trace_id(2), "ROOT_IDLE", 1)]


def test_27_a_trace_that_lasts_a_day_leaves_in_parts():
    """A span each hour: no part waits for the next, and nothing of the day is held."""
    assembler = new_assembler()
    left = []
    for hour in range(24):
        assembler.ingest(records([1], hour), Signal.TRACES, hour * HOUR)
        left += leave(assembler, hour * HOUR + 5_000)

    assert left == [(trace_id(1), "IDLE", 1)] * 24
    assembler.due(25 * HOUR)
    assert assembler.counts().held_spans == 0
    assert assembler.counts().closed_traces == 0


def test_27_a_trace_that_never_rests_is_cut_at_its_age():
    """A span each second for three minutes: a verdict a minute, each later one a revision."""
    assembler = new_assembler(replace(SMALL, late_keep_ms=0))
    left = []
    for second in range(180):
        assembler.ingest(records([1], second), Signal.TRACES, second * 1_000)
        left += [(second, one.reason.name, one.revision) for one in take(assembler, second * 1_000)]

    assert left == [(60, "MAX_AGE", 1), (121, "MAX_AGE", 2)]


def test_28_any_order_gives_the_same_trace():
    """In order, in reverse, one a request: the same bytes leave."""
    spans = [records([1], span, root=span == 0) for span in range(30)]
    bytes_left = []
    for requests in ([b"".join(spans)], spans, spans[::-1]):
        assembler = new_assembler()
        for request in requests:
            assembler.ingest(request, Signal.TRACES, 1_000)
        (one,) = take(assembler, 99_000)
        bytes_left.append(sorted(one.raws))

    assert bytes_left == [sorted(spans)] * 3


def test_28_an_hour_late_is_a_trace_of_its_own():
    assembler = new_assembler()
    assembler.ingest(records([1], 1, root=True), Signal.TRACES, 0)
    take(assembler, 2_000)
    assembler.ingest(records([1], 2), Signal.TRACES, HOUR)

    assert [(one.revision, one.late) for one in take(assembler, HOUR + 5_000)] == [(1, 0)]


def test_41_an_id_used_again_a_day_later_starts_anew():
    assembler = new_assembler()
    for day in (0, 1):
        assembler.ingest(records([1], 1, root=True), Signal.TRACES, day * 24 * HOUR)
        assert [one.revision for one in take(assembler, day * 24 * HOUR + 2_000)] == [1]

    assert assembler.counts().late_spans == 0


@pytest.mark.parametrize(
    "numbers",
    [
        np.arange(4_000, dtype=np.uint64),  # sequential
        np.arange(4_000, dtype=np.uint64) << np.uint64(40),  # equal low halves
        np.uint64(2**64 - 1) - np.arange(4_000, dtype=np.uint64),  # all ones
        np.arange(4_000, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15),  # spread by a common multiplier
    ],
    ids=["sequential", "low_halves", "all_ones", "multiplied"],
)
@pytest.mark.parametrize("seed", range(3))
def test_42_crafted_ids_find_short_probes(numbers: np.ndarray, seed: int):
    """Whatever the ids, a lookup in a table at most half full stays a few steps."""
    assembler = new_assembler(replace(SMALL, arena_bytes=4 << 20), seed=seed)
    assembler.ingest(records(numbers.tolist()), Signal.TRACES, 1_000)
    index = assembler._index
    at = np.flatnonzero(index)
    steps = (at - (index[at] >> 32)) & (len(index) - 1)

    assert assembler.counts().open_traces == 4_000
    assert float(steps.mean()) < 1.5


def test_43_a_flood_of_single_span_traces_is_exact():
    """9 000 traces through room for 300 spans: released early or refused, none lost, none twice."""
    assembler = new_assembler(replace(SMALL, late_keep_ms=5_000, closed_traces_max=50))
    left: list[bytes] = []
    refused = 0
    for first in range(0, 9_000, 30):
        payload = records(range(first, first + 30))
        while True:
            try:
                assembler.ingest(payload, Signal.TRACES, 1_000 + first)
                break
            except OverloadedError:
                refused += 1
                left += [one.trace_id for one in take(assembler, 1_000 + first)]
    left += [one.trace_id for one in take(assembler, 10_000_000)]

    counts = assembler.counts()
    assert sorted(left) == sorted(trace_id(number) for number in range(9_000))
    assert refused == counts.refused_requests > 0
    assert counts.released_traces["memory_pressure"] > 0
    assert sum(counts.released_spans.values()) == 9_000
    assert counts.balanced


def test_43_too_many_open_traces_are_refused_until_some_left():
    config = replace(SMALL, open_traces_max=10, closed_traces_max=5)
    assembler = new_assembler(config)
    assembler.ingest(records(range(10)), Signal.TRACES, 1_000)
    with pytest.raises(OverloadedError, match="10 traces are open"):
        assembler.ingest(records([99]), Signal.TRACES, 1_000)
    left = take(assembler, 1_000)

    assert {one.reason.name for one in left} == {"MEMORY_PRESSURE"}
    assert assembler.ingest(records([99]), Signal.TRACES, 1_001) == 1
    assert assembler.counts().balanced


def test_43_one_request_of_more_traces_than_records_drops_the_rest():
    """15 records, 40 traces in one request: what cannot be held is counted, the others live."""
    assembler = new_assembler(replace(SMALL, open_traces_max=10, closed_traces_max=5))
    assembler.ingest(records(range(40)), Signal.TRACES, 1_000)

    assert len(take(assembler, 99_000)) == 15
    assert assembler.counts().dropped_spans["live_traces"] == 25
    assert assembler.counts().balanced


def test_45_own_spans_are_dropped():
    assembler = new_assembler()
    assembler.ingest(records([1, 2], flags=[int(SpanFlag.OWN_SCOPE), 0]), Signal.TRACES, 1_000)

    assert leave(assembler, 99_000) == [(trace_id(2), "IDLE", 1)]
    assert assembler.counts().dropped_spans["own_scope"] == 1


def test_46_equal_times_are_no_duplicates():
    assembler = new_assembler()
    assembler.ingest(records([1] * 20, range(20), start=5), Signal.TRACES, 1_000)

    assert leave(assembler, 99_000) == [(trace_id(1), "IDLE", 20)]


def test_logs_wait_with_their_trace_and_are_never_its_root():
    assembler = new_assembler()
    assembler.ingest(records([1], flags=int(SpanFlag.LOG | SpanFlag.ROOT)), Signal.LOGS, 1_000)

    assert leave(assembler, 3_500) == []
    assert leave(assembler, 6_000) == [(trace_id(1), "IDLE", 1)]


@pytest.mark.parametrize("start", [0, 2**32 - 3_000, 50 * 24 * HOUR, 2**40])
def test_the_clock_may_start_anywhere(start: int):
    """Millisecond words wrap every 49 days; only differences count."""
    assembler = new_assembler()
    assembler.ingest(records([1], 1, root=True), Signal.TRACES, start)
    assembler.ingest(records([2], 1), Signal.TRACES, start + 1_000)

    assert leave(assembler, start + 1_999) == []
    assert leave(assembler, start + 2_000) == [(trace_id(1), "ROOT_IDLE", 1)]
    assert leave(assembler, start + 5_999) == []
    assert leave(assembler, start + 6_000) == [(trace_id(2), "IDLE", 1)]
    assembler.ingest(records([1], 2), Signal.TRACES, start + 6_100)
    assert [one.revision for one in take(assembler, start + 11_100)] == [2]


def test_deadlines_beyond_the_wheel_come_when_it_is_time():
    """The wheel reaches 65 s; a wait of ten minutes goes round it."""
    assembler = new_assembler(replace(SMALL, idle_ms=600_000, age_max_ms=HOUR))
    for trace in range(20):
        assembler.ingest(records([trace]), Signal.TRACES, trace * 40_000)
        assert leave(assembler, trace * 40_000) == [
            (trace_id(done), "IDLE", 1) for done in range(20) if done * 40_000 + 600_000 == trace * 40_000
        ]

    assert leave(assembler, 4 * 40_000 + 600_000 + 40_000) == [(trace_id(5), "IDLE", 1)]


def test_a_pause_of_hours_releases_each_trace_once():
    assembler = new_assembler()
    assembler.ingest(records(range(200)), Signal.TRACES, 0)

    assert len(leave(assembler, 5 * HOUR)) == 200
    assert leave(assembler, 6 * HOUR) == []


def test_a_batch_is_bounded_by_traces_and_by_spans():
    assembler = new_assembler(replace(SMALL, release_spans_max=10))
    assembler.ingest(records(np.repeat(np.arange(12), 4).tolist(), range(48)), Signal.TRACES, 0)
    sizes = []
    while (released := assembler.due(99_000, traces_max=3)) is not None:
        sizes.append((released.traces.trace_count, len(in_words(released.traces))))
        assembler.done(released)

    assert sizes == [(2, 2)] * 6
