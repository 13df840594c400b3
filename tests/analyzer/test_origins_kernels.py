"""The error kernels against their plain twins: drawn, random and hostile traces."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.error_classes import ErrorClass
from analyzer.kernels.failure_rules import OWN_KEY, NodeState, find_slot, mix_key
from analyzer.origins import PropagationMemory, StringClasses, spread_blame, warm
from tests.support.drawing import Drawing, batch, draw
from tests.support.naive import errors as naive
from tests.support.naive.analysis import measure
from tests.support.random_traces import random_trace
from tests.support.situations.every import SITUATIONS

trees = st.builds(random_trace, st.integers(0, 10**6), st.integers(1, 40))


def test_every_kernel_is_loaded_before_the_first_trace():
    warm()


@pytest.mark.parametrize(
    ("span", "failed", "weak", "found"),
    [
        ("a x 0..1", False, False, "NONE"),
        ("a x 0..1 ERROR", True, False, "UNKNOWN"),
        ("a x 0..1 http.response.status_code=404", False, False, "NONE"),
        ("a x 0..1 ERROR http.response.status_code=404", True, False, "CLIENT"),
        ("a x 0..1 http.response.status_code=500", True, False, "INTERNAL"),
        ("a x 0..1 OK http.response.status_code=500", False, False, "NONE"),
        ("a CLIENT x 0..1 http.response.status_code=404", True, False, "CLIENT"),
        ("a CLIENT x 0..1 OK http.response.status_code=404", False, True, "CLIENT"),
        ("a CLIENT x 0..1 http.response.status_code=429", True, False, "THROTTLED"),
        ("a CLIENT x 0..1 http.response.status_code=402", True, False, "BUSINESS"),
        ("a INTERNAL x 0..1 http.response.status_code=500", False, False, "NONE"),
        ("a UNSPECIFIED x 0..1 http.response.status_code=500", True, False, "INTERNAL"),
        ("a CLIENT x 0..1 rpc.grpc.status_code=5", True, False, "CLIENT"),
        ("a x 0..1 rpc.grpc.status_code=5", False, False, "NONE"),
        ("a x 0..1 rpc.grpc.status_code=4", True, False, "TIMEOUT"),
        ("a x 0..1 rpc.grpc.status_code=14", True, False, "UNAVAILABLE"),
        ("a x 0..1 rpc.grpc.status_code=16", False, False, "NONE"),
        ("a x 0..1 rpc.response.status_code=DEADLINE_EXCEEDED", True, False, "TIMEOUT"),
        ("a x 0..1 !Boom", False, True, "UNKNOWN"),
        ("a x 0..1 OK !Boom", False, True, "UNKNOWN"),
        ('a x 0..1 log: "went wrong"', False, True, "UNKNOWN"),
        ("a x 0..1 ERROR !java.net.SocketTimeoutException", True, False, "TIMEOUT"),
        ("a x 0..1 ERROR http.response.status_code=500 !ReadTimeout", True, False, "TIMEOUT"),
        ("a x 0..1 ERROR http.response.status_code=500 error.type=INTERNAL !ReadTimeout", True, False, "TIMEOUT"),
        ("a x 0..1 ERROR http.response.status_code=503 !ReadTimeout", True, False, "UNAVAILABLE"),
        ("a x 0..1 ERROR http.response.status_code=400 !CardDeclined", True, False, "BUSINESS"),
        ("a x 0..1 ERROR error.type=timeout !Boom", True, False, "TIMEOUT"),
        ('a x 0..1 ERROR status: "connection refused"', True, False, "UNAVAILABLE"),
        ("a x 0..1 ERROR error.type=_OTHER", True, False, "UNKNOWN"),
        ("a x 0..1 ERROR error.type=INTERNAL", True, False, "INTERNAL"),
    ],
)
def test_a_span_says_whether_it_failed(span: str, failed: bool, weak: bool, found: str):
    analysis = measure(batch(draw(span)))

    told = (bool(analysis.failed[0]), bool(analysis.weak[0]), ErrorClass(int(analysis.error_class[0])).name)

    assert (failed, weak, found) == told


def test_type_names_are_read_once_however_the_table_grows():
    """A name that comes with a later batch is read then; an earlier one keeps its class."""
    classes = StringClasses()
    first = batch(draw("a x 0..1 ERROR !ReadTimeout"))
    later = batch([draw(f"a x 0..1 ERROR !Strange{i}") for i in range(40)], words=first.vocabulary)
    last = batch(draw("a x 0..1 ERROR !ConnectionRefusedError"), words=first.vocabulary)

    found = [measure(traces, classes).error_class[0] for traces in (first, later, last, first)]

    assert found == [ErrorClass.TIMEOUT, ErrorClass.UNKNOWN, ErrorClass.UNAVAILABLE, ErrorClass.TIMEOUT]


def compare(*drawings: Drawing) -> None:
    """Kernels and twins say the same of every trace."""
    analysis = measure(batch(drawings))
    classes = naive.classify(analysis.traces, analysis.forest)
    assert classes == [
        (bool(failed), bool(weak), ErrorClass(int(found)))
        for failed, weak, found in zip(analysis.failed, analysis.weak, analysis.error_class, strict=True)
    ]
    blame = spread_blame(analysis, PropagationMemory(keys_max=16))
    for trace in range(analysis.traces.trace_count):
        told = naive.blame(analysis, trace)
        nodes = analysis.forest.nodes(trace)
        assert told.fatal == bool(blame.fatal[trace])
        assert {i: told.state.get(i, NodeState.NONE) for i in nodes} == {i: blame.state_of(i) for i in nodes}
        np.testing.assert_allclose([told.blame[i] for i in nodes], blame.share[nodes.start : nodes.stop], atol=1e-5)
        np.testing.assert_allclose([told.handled[i] for i in nodes], blame.handled[nodes.start : nodes.stop], atol=1e-5)


def test_drawn_situations_are_told_as_the_twin_tells_them():
    compare(*[situation.drawing() for situation in SITUATIONS])


@settings(max_examples=150, deadline=None)
@given(st.lists(trees, min_size=1, max_size=3, unique_by=lambda drawing: drawing.trace_id))
def test_random_traces_are_told_as_the_twin_tells_them(drawings: list[Drawing]):
    compare(*drawings)


@settings(max_examples=150, deadline=None)
@given(trees)
def test_blame_is_conserved(drawing: Drawing):
    """It sums to one over a trace with a failed entry; to nothing over any other; the same for what was handled."""
    analysis = measure(batch(drawing))
    blame = spread_blame(analysis, PropagationMemory(keys_max=16))
    forest = analysis.forest
    entries = [i for i in range(len(forest.row)) if analysis.failed[i] and forest.parent[i] < 0]

    assert float(blame.share.sum()) == pytest.approx(1.0 if blame.fatal[0] else 0.0, abs=1e-5)
    assert float(blame.handled.sum()) == pytest.approx(round(float(blame.handled.sum())), abs=1e-5)
    assert (blame.share >= 0).all()
    assert bool(blame.fatal[0]) or not [i for i in entries if blame.above[i] < 0]


@settings(max_examples=50, deadline=None)
@given(st.lists(trees, min_size=2, max_size=4, unique_by=lambda drawing: drawing.trace_id))
def test_a_trace_is_told_alone_as_in_its_batch(drawings: list[Drawing]):
    analysis = measure(batch(drawings))
    memory = PropagationMemory(keys_max=16)
    together = spread_blame(analysis, memory)
    for trace in range(len(drawings)):
        nodes = analysis.forest.nodes(trace)
        alone = spread_blame(analysis, memory, trace, trace + 1)

        assert alone.share.tolist() == together.share[nodes.start : nodes.stop].tolist()
        assert alone.state.tolist() == together.state[nodes.start : nodes.stop].tolist()


@settings(max_examples=40, deadline=None)
@given(st.lists(trees, min_size=1, max_size=4, unique_by=lambda drawing: drawing.trace_id))
def test_propagation_is_counted_as_the_twin_counts_it(drawings: list[Drawing]):
    analysis = measure(batch(drawings))
    memory = PropagationMemory(keys_max=1024)
    memory.learn(analysis, 1)
    hashes = memory.operation_hashes(analysis.traces.vocabulary)
    edges, alone = naive.propagation_counts(analysis)
    expected: dict[int, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for (parent, child, found), (hits, seen) in edges.items():
        expected[int(mix_key(hashes[parent], hashes[child], np.uint64(found)))] = (hits, seen)
    for operation, (hits, seen) in alone.items():
        expected[int(mix_key(hashes[operation], np.uint64(OWN_KEY), np.uint64(0)))] = (hits, seen)

    learned = {
        int(key): (float(pair[0]), float(pair[1])) for key, pair in zip(memory.keys, memory.counts, strict=True) if key
    }

    assert dict(expected) == learned


def test_a_healthy_trace_gets_no_blame():
    analysis = measure(batch(draw("a x 0..10\n  a y 1..2 !Hint")))

    blame = spread_blame(analysis, PropagationMemory(keys_max=16))

    assert (blame.state.tolist(), blame.share.tolist(), blame.fatal.tolist()) == ([0, 0], [0.0, 0.0], [False])


def test_an_empty_batch():
    analysis = measure(batch(draw("a x 0..1")).trace(0))
    blame = spread_blame(analysis, PropagationMemory(keys_max=16), 0, 0)

    assert len(blame.share) == 0


def test_a_chain_two_thousand_deep():
    """No recursion; the blame arrives at the bottom."""
    depth = 2_000
    text = "\n".join(f"{' ' * i}a op{i} {i / 1000}..{100 - i / 1000} ERROR" for i in range(depth))
    analysis = measure(batch(draw(text)))

    blame = spread_blame(analysis, PropagationMemory(keys_max=16))

    assert float(blame.share.sum()) == pytest.approx(1.0, abs=1e-4)
    assert blame.state_of(depth - 1) == NodeState.ORIGIN


def test_two_thousand_failed_siblings():
    """A wide fan-out is no retry, and each failure has its part."""
    text = "a root 0..100 ERROR\n" + "\n".join(f"  a call {i / 100}..{i / 100 + 50} ERROR" for i in range(2_000))
    analysis = measure(batch(draw(text)))

    blame = spread_blame(analysis, PropagationMemory(keys_max=16))

    assert float(blame.share.sum()) == pytest.approx(1.0, abs=1e-4)
    assert int(blame.attempt.sum()) == 0


def test_many_failed_orphans_are_bounded():
    """Only so many are put back; the others are entries of their own."""
    text = "a root 0..100 ERROR\n" + "\n".join(f"b lost{i} 10..20 ERROR parent:gone{i}" for i in range(200))
    analysis = measure(batch(draw(text)))

    blame = spread_blame(analysis, PropagationMemory(keys_max=16))

    assert int((blame.above == 0).sum()) == 64
    assert float(blame.share.sum()) == pytest.approx(1.0, abs=1e-4)


def test_a_full_table_has_no_place_for_another_key():
    keys = np.arange(16, 32, dtype=np.uint64)

    assert [int(find_slot(keys, np.uint64(19))), int(find_slot(keys, np.uint64(99)))] == [3, -17]
