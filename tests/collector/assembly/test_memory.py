"""The arena: bytes stay intact, segments come back, nothing grows, a refused request leaves no trace."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from analyzer.spans import Bytes, Rows
from collector.assembly import Assembler
from collector.contracts import Released, Signal
from collector.errors import BadRequestError, OverloadedError
from collector.wire.detail import read_detail
from tests.collector.assembly.support import KIB, SMALL, RecordDecoder, in_words, new_assembler, records, take
from tests.support.naive.vocabulary import vocabulary


def test_every_byte_survives_heavy_churn():
    """Many times the arena flows through; batches are held for a while; every span leaves as it came."""
    rng = np.random.default_rng(5)
    assembler = new_assembler(replace(SMALL, late_keep_ms=300, idle_ms=400, late_window_ms=2_000, closed_traces_max=64))
    sent: Counter[bytes] = Counter()
    left: Counter[bytes] = Counter()
    out: list[Released] = []
    now, refused = 1_000, 0

    def let_go(released: Released) -> None:
        for one, late in zip(in_words(released.traces), released.late_counts, strict=True):
            # A revision brings earlier rows again; only the first release of a row is counted.
            left.update(raw for raw in one.raws if one.revision == 1 or raw not in left)
            assert late <= len(one.raws)
        assembler.done(released)

    for step in range(400):
        count = int(rng.integers(1, 60))
        traces = rng.integers(step // 4, step // 4 + 12, count).tolist()
        payload = np.frombuffer(records(traces, rng.integers(1, 2**60, count).tolist()), np.uint8).copy()
        payload.reshape(count, 64)[:, 58:] = rng.integers(0, 256, (count, 6))
        while True:
            try:
                assembler.ingest(payload.tobytes(), Signal.TRACES, now)
                break
            except OverloadedError:
                refused += 1
                while out:
                    let_go(out.pop(0))
                while (released := assembler.due(now)) is not None:
                    let_go(released)
        sent.update(payload[at : at + 64].tobytes() for at in range(0, len(payload), 64))
        now += int(rng.integers(1, 60))
        if rng.random() < 0.3 and (released := assembler.due(now, 8)) is not None:
            out.append(released)
        if len(out) > 3:
            let_go(out.pop(0))
        assert assembler.counts().balanced
    while (released := assembler.flush()) is not None:
        let_go(released)
    for released in out:
        let_go(released)

    assert sent == left
    assert refused > 0
    assert sum(sent.values()) * 64 > 5 * SMALL.arena_bytes


def test_the_table_grows_and_shrinks_back_to_empty():
    """6 000 open traces from a table of 4 096 entries; all found again, then all gone."""
    config = replace(SMALL, arena_bytes=16 << 20, segment_bytes=64 * KIB, open_traces_max=30_000, late_keep_ms=0)
    assembler = new_assembler(replace(config, closed_traces_max=0))
    for first in range(0, 6_000, 200):
        assembler.ingest(records(range(first, first + 200), 1), Signal.TRACES, 1_000)
    for first in range(0, 6_000, 200):
        assembler.ingest(records(range(first, first + 200), 2), Signal.TRACES, 1_001)

    assert assembler.counts().open_traces == 6_000
    assert {len(one.raws) for one in take(assembler, 99_000)} == {2}
    assert not assembler._index.any()
    assert assembler.counts().segments_used == 0


def test_closed_ids_are_bounded():
    assembler = new_assembler(replace(SMALL, late_keep_ms=0, closed_traces_max=10))
    for trace in range(50):
        assembler.ingest(records([trace], root=True), Signal.TRACES, trace * 10_000)
        take(assembler, trace * 10_000 + 2_000)

    counts = assembler.counts()
    assert (counts.closed_traces, counts.forgotten_traces) == (10, 40)


def test_a_request_larger_than_a_segment_gets_neighbours():
    """200 spans, 12.5 KiB and 25 KiB of rows, in segments of 4 KiB; all of it comes back."""
    assembler = new_assembler()
    payload = records(range(200), range(200))
    assembler.ingest(payload, Signal.TRACES, 1_000)
    assert assembler.counts().segments_used == 10

    left = take(assembler, 99_000)

    assert b"".join(sorted(payload[i : i + 64] for i in range(0, len(payload), 64))) == b"".join(
        sorted(raw for one in left for raw in one.raws)
    )
    take(assembler, 199_000)
    assert assembler.counts().segments_used == 0


def test_a_request_that_can_never_fit_is_refused_for_good():
    with pytest.raises(BadRequestError, match="Raise assembly") as refusal:
        new_assembler().ingest(records(range(500)), Signal.TRACES, 1_000)

    assert refusal.value.reason == "too_large"


def test_a_refused_request_leaves_nothing_behind():
    """Nothing of it was taken; when there is room the same request is taken whole."""
    assembler = new_assembler()
    taken = 0
    payload = records(range(1000, 1030), 5)
    while assembler.counts().segments_used < 16:
        assembler.ingest(records([1], taken), Signal.TRACES, 1_000)
        taken += 1
    with pytest.raises(OverloadedError):
        assembler.ingest(payload, Signal.TRACES, 1_000)
    assert assembler.counts().received_spans == taken

    early = take(assembler, 1_000)
    assembler.ingest(payload, Signal.TRACES, 1_000)

    assert {one.reason.name for one in early} == {"MEMORY_PRESSURE"}
    assert assembler.counts().balanced


def test_bytes_of_a_batch_that_is_out_are_never_overwritten():
    """While the receiver has not called done, refusing is the only way."""
    assembler = new_assembler()
    assembler.ingest(records([1] * 20, range(20)), Signal.TRACES, 1_000)
    released = assembler.due(99_000)
    assert released is not None
    before = in_words(released.traces)

    def flood() -> None:
        for request in range(1_000):
            assembler.ingest(records([2] * 20, range(request * 20, request * 20 + 20)), Signal.TRACES, 99_000)

    with pytest.raises(OverloadedError):
        flood()

    assert before == in_words(released.traces)


def test_kept_traces_go_before_open_ones():
    """Memory fills with released traces and one open one: the open one is still there at the end."""
    assembler = new_assembler(replace(SMALL, idle_ms=50_000, root_idle_ms=200, late_keep_ms=600_000))
    assembler.ingest(records([7], 7), Signal.TRACES, 1_000)
    for trace in range(100, 1_100):
        assembler.ingest(records([trace], 1, root=True), Signal.TRACES, 1_000 + trace * 40)
        take(assembler, 1_000 + trace * 40)

    counts = assembler.counts()
    assert counts.let_go_traces > 0
    assert counts.released_traces["memory_pressure"] == 0
    assert assembler.peek((7).to_bytes(8, "little") + (7 ^ 0xABCDEF).to_bytes(8, "little"), 50_000) is not None


def test_pressure_lets_the_oldest_go_first():
    assembler = new_assembler()
    for trace in range(300):
        assembler.ingest(records([trace], 1), Signal.TRACES, 1_000 + trace)
        left = take(assembler, 1_000 + trace)
        if left:
            break

    numbers = [int.from_bytes(one.trace_id[:8], "little") for one in left]
    assert numbers == list(range(len(numbers)))
    assert {one.reason.name for one in left} == {"MEMORY_PRESSURE"}


def test_light_traffic_stays_in_one_segment():
    assembler = new_assembler(replace(SMALL, late_keep_ms=0))
    for trace in range(100):
        assembler.ingest(records([trace], root=True), Signal.TRACES, trace * 10_000)
        (released,) = [assembler.due(trace * 10_000 + 2_000)]
        assert released is not None
        assert int(released.traces.rows["raw_offset"][0]) == 0
        assembler.done(released)


def test_a_memoryview_is_as_good_as_bytes():
    assembler = new_assembler()

    assert assembler.ingest(memoryview(records([1, 2])), Signal.TRACES, 1_000) == 2


def test_an_empty_request_is_no_span():
    assembler = new_assembler()

    assert assembler.ingest(b"", Signal.TRACES, 1_000) == 0
    assert take(assembler, 99_000) == []


class Refusing(RecordDecoder):
    """Cannot read what starts with a bang."""

    def decode_into(self, signal: Signal, raw: Bytes, offset: int, length: int, rows: Rows, first_row: int) -> int:
        if raw[offset] == ord("!"):
            raise BadRequestError("cannot be read")
        return super().decode_into(signal, raw, offset, length, rows, first_row)


def test_what_cannot_be_decoded_is_not_taken():
    assembler = Assembler(SMALL, Refusing(), vocabulary(), read_detail, 1)
    assembler.ingest(records([1]), Signal.TRACES, 1_000)
    with pytest.raises(BadRequestError):
        assembler.ingest(b"!" * 64, Signal.TRACES, 1_000)
    assembler.ingest(records([2]), Signal.TRACES, 1_000)

    assert assembler.counts().received_spans == 2
    assert len(take(assembler, 99_000)) == 2
