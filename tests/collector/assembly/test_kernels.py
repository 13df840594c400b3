"""The table of ids against a dict, the lists against a deque, and: nothing compiles at run time."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import config as numba_config

from analyzer.strings import new_vocabulary
from collector.assembly import Assembler, warm
from collector.assembly.kernels import deadlines, expiry, gather, layout, link, lists, oldest, pressure, table
from collector.contracts import Signal
from collector.wire.decode import Decoder
from collector.wire.decode import warm as warm_decoder
from collector.wire.detail import read_detail
from tests.collector.assembly.support import SMALL, new_assembler, put, records, take, wire_assembler
from tests.support.drawing import draw
from tests.support.naive.vocabulary import vocabulary

ENTRY = ((link, "link"), (deadlines, "collect_due"), (deadlines, "make_all_due"), (expiry, "expire_now"))
ENTRY += ((expiry, "close_kept"), (expiry, "let_go"), (gather, "gather"), (gather, "copy_rows"))
ENTRY += ((gather, "copy_bytes"), (pressure, "press"), (oldest, "oldest_age"), (table, "find"), (table, "rehash"))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), max_size=60), st.sampled_from([0, 13, 31]))
def test_the_table_is_a_dict(steps: list[tuple[bool, int]], crowded: int):
    """Entering and taking out in any order, with hashes crowded into one corner so that gaps must close."""
    index = np.zeros(64, np.int64)
    traces = np.zeros(21, layout.TRACE_DTYPE)
    traces["trace_id_0"] = np.arange(21)
    hashes = [60 + number % 3 if crowded == 0 else (number * crowded) % 97 for number in range(21)]
    truth: set[int] = set()
    for enter, number in steps:
        if enter and number not in truth:
            table.insert(index, hashes[number], number)
            truth.add(number)
        elif not enter and number in truth:
            table.remove(index, hashes[number], number)
            truth.discard(number)
        found = {
            number
            for number in range(21)
            if table.find_hashed(index, traces, np.uint64(number), np.uint64(0), hashes[number]) == number
        }
        assert truth == found
        assert len(truth) == np.count_nonzero(index)


def test_growing_keeps_every_entry():
    rng = np.random.default_rng(3)
    small, large = np.zeros(64, np.int64), np.zeros(256, np.int64)
    traces = np.zeros(30, layout.TRACE_DTYPE)
    traces["trace_id_0"] = rng.integers(0, 2**63, 30)
    hashes = rng.integers(0, 2**31, 30).tolist()
    for number, h in enumerate(hashes):
        table.insert(small, h, number)

    table.rehash(small, large)

    found = [table.find_hashed(large, traces, traces[n]["trace_id_0"], np.uint64(0), hashes[n]) for n in range(30)]
    assert found == list(range(30))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 7)), max_size=60))
def test_lists_are_deques(steps: list[tuple[int, int]]):
    """Appending moves a record; taking one out of the middle leaves the others in order."""
    traces = np.zeros(8, layout.TRACE_DTYPE)
    traces["list"] = -1
    heads = np.full((2, 2), -1, np.int32)
    truth: list[deque[int]] = [deque(), deque()]
    for which, slot in steps:
        lists.unlink(traces, heads, slot)
        for one in truth:
            if slot in one:
                one.remove(slot)
        if which < 2:
            lists.append(traces, heads, which, slot)
            truth[which].append(slot)
        found = []
        for head in heads[:, 0].tolist():
            walk: list[int] = []
            while head >= 0:
                walk.append(head)
                head = int(traces[head]["after"])
            found.append(deque(walk))
        assert truth == found


def test_spread_bins_double_every_second_step():
    """The edges of the twin and of the kernel are one formula: 25 ms times the root of two."""
    expected = [25, 35, 50, 71, 100, 141, 200, 283, 400, 566, 800, 1131, 1600, 2263, 3200, 4525, 6400]
    assert expected == deadlines.SPREAD_EDGES_MS[:17].tolist()


def test_old_observations_fade():
    """After an operation became fast, its wait follows: its first observations are halved away."""
    assembler, now = new_assembler(), 1_000
    for trace in range(1_700):
        assembler.ingest(records([trace], 1, root=True), Signal.TRACES, now)
        if trace < 20:
            assembler.ingest(records([trace], 2), Signal.TRACES, now + 1_500)
        take(assembler, now + 2_500)
        now += 3_000
    assembler.ingest(records([9_999], 1, root=True), Signal.TRACES, now)

    assert len(take(assembler, now + 200)) == 1


@pytest.mark.skipif(numba_config.DISABLE_JIT, reason="nothing is compiled in this mode")
def test_nothing_compiles_at_run_time():
    """Each entry has its one signature; a call with other types is an error, not a compilation."""
    warm(vocabulary(), read_detail)
    assembler, _ = wire_assembler(SMALL)
    put(assembler, draw("gateway   GET /   0..1"), 1_000)
    take(assembler, 99_000)

    for module, name in ENTRY:
        kernel = getattr(module, name)
        assert len(kernel.signatures) == 1, name
        assert not kernel._can_compile, name


def test_the_real_decoder_and_the_fake_lead_to_the_same_traces():
    """The same drawing through both: the same reason, and the same bytes of every span and log."""
    warm_decoder()
    words = new_vocabulary(seed=1)
    real = Assembler(SMALL, Decoder(words), words, read_detail, 1)
    fake, _ = wire_assembler()
    shop = draw(
        """
        gateway   GET /checkout    0..100  ERROR
          payment   Charge          10..90  ERROR  log: "card declined"
        """
    )
    for assembler in (real, fake):
        put(assembler, shop, 1_000)
        put(assembler, shop, 1_100)

    assert take(real, 3_100) == take(fake, 3_100)
    assert real.counts().deduped_spans == fake.counts().deduped_spans == 3
