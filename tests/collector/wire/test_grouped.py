"""The kernel that writes requests against its twin that writes them part by part."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.spans import FLAG_LOG, SPAN_DTYPE, ReleaseReason, TraceBatch
from analyzer.strings import new_vocabulary
from collector.wire.detail import read_detail
from collector.wire.grouped import grouped
from tests.support.naive import grouped as naive

LENGTHS = st.sampled_from([0, 1, 2, 127, 128, 129, 16_383, 16_384]) | st.integers(0, 300)
ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans(), LENGTHS), max_size=12)


def batch_of(drawn: list[tuple[int, int, bool, int]], texts: list[bytes]) -> TraceBatch:
    """Two traces of the same rows: (resource, scope, is it a log, length); ids point to `texts`."""
    vocabulary = new_vocabulary(strings_max=8, operations_max=8, resources_max=8, scopes_max=8, seed=1)
    resources = [vocabulary.resources.intern(text) for text in texts]
    scopes = [vocabulary.scopes.intern(text[::-1]) for text in texts]
    rows = np.zeros(2 * len(drawn), SPAN_DTYPE)
    at = 7  # in front of them stands something else
    for row, (resource, scope, is_log, length) in zip(rows, drawn + drawn, strict=True):
        row["resource"], row["scope"], row["flags"] = resources[resource], scopes[scope], FLAG_LOG * is_log
        row["raw_offset"], row["raw_length"] = at, length
        at += length
    ends = np.array([0, len(drawn), len(rows)], np.int64)
    raw = np.random.default_rng(2).integers(0, 256, at, np.uint8)
    made = np.zeros(2, np.int32)
    return TraceBatch(
        rows, ends, np.full(2, ReleaseReason.SHUTDOWN, np.uint8), made, made, raw, vocabulary, read_detail
    )


@settings(deadline=None)
@given(ROWS, LENGTHS)
def test_it_writes_what_the_plain_way_writes(drawn: list[tuple[int, int, bool, int]], length: int):
    traces = batch_of(drawn, [b"", b"a", b"bc", b"d" * length])

    for index in range(2):
        for logs in (False, True):
            assert grouped(traces, index, logs=logs) == naive.grouped(traces, index, logs=logs)
