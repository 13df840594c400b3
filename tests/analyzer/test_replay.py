"""The trace as a model: observed times reproduce it, usual times say what was lost, and who lost it."""

from __future__ import annotations

from itertools import chain, combinations

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.forest import Forest, build_forest
from analyzer.kernels import replay as kernels
from tests.support.drawing import MS, batch, draw
from tests.support.naive.replay import Model, exact_shapley, naive_model, naive_replay
from tests.support.random_rows import nested_trace
from tests.support.rows import trace_batch, tree_rows

# Interpreted kernels are a thousand times slower; the shapes are the same.
LARGE = 200 if numba.config.DISABLE_JIT else 20_000


def apart(forest: Forest, root: int = 0):
    last = kernels.tree_end(forest.parent, root)
    columns = (forest.parent, forest.child_ptr, forest.child, forest.start_ns, forest.end_ns, forest.flags)
    return kernels.build_replay(*columns, root, last)


def run(forest: Forest, blocking, predecessor, gap, tail, root: int = 0) -> float:
    returned, duration, weight = np.zeros(len(gap)), np.zeros(len(gap)), np.zeros(len(gap))
    return kernels.replay(
        forest.child_ptr, forest.child, root, blocking, predecessor, gap * 1.0, tail * 1.0, returned, duration, weight
    )


def shares(forest: Forest, factors: list[float], steps: int = 8, root: int = 0):
    """Blame per span when span i usually takes factors[i] of its own segments; and the two durations."""
    blocking, predecessor, gap, tail = apart(forest, root)
    factor = np.array(factors, np.float64)
    parent = forest.parent[root : root + len(gap)] - root
    gap_usual, tail_usual = gap * 1.0, tail * factor
    gap_usual[1:] *= factor[parent[1:]]
    gap_share, tail_share, observed, usual = kernels.attribute(
        forest.child_ptr, forest.child, root, blocking, predecessor, gap * 1.0, tail * 1.0, gap_usual, tail_usual, steps
    )
    blame = tail_share.copy()
    np.add.at(blame, parent[1:], gap_share[1:])
    return blame, observed, usual


def drawn(text: str) -> Forest:
    return build_forest(batch(draw(text)))


def blame_ms(text: str, factors: list[float]) -> list[float]:
    blame, _, _ = shares(drawn(text), factors)
    return np.round(blame / MS, 3).tolist()


def test_gaps_and_tails_of_a_drawn_trace():
    forest = drawn("""
        s A 0..100
          s B 10..40
          s C 45..90
          s D 20..60
    """)
    blocking, predecessor, gap, tail = apart(forest)

    assert blocking.tolist() == [True] * 4
    assert predecessor.tolist() == [-1, -1, -1, 1]  # A, B, D, C: B released C
    assert (gap // MS).tolist() == [0, 10, 20, 5]
    assert (tail // MS).tolist() == [10, 30, 40, 45]


def test_a_slow_child_in_sequence_is_charged_in_full():
    """C usually takes a tenth."""
    assert blame_ms("s A 0..100\n  s B 10..40\n  s C 40..90", [1, 1, 0.1]) == [0, 0, 45]


def test_what_was_hidden_behind_something_slower_is_not_charged():
    """B lost 40 ms while C, as always, took 80."""
    assert blame_ms("s A 0..100\n  s B 10..60\n  s C 10..90", [1, 0.2, 1]) == [0, 0, 0]


def test_two_that_are_equally_slow_side_by_side_share():
    assert blame_ms("s A 0..100\n  s B 10..90\n  s C 10..90", [1, 0.5, 0.5]) == [0, 20, 20]


def test_the_longer_of_two_slow_ones_is_charged_for_what_only_it_shows():
    """B grew from 0 to 40, C from 0 to 80: C is critical all the way."""
    assert blame_ms("s A 0..100\n  s B 10..50\n  s C 10..90", [1, 0, 0]) == [0, 0, 80]


def test_a_difference_that_shows_only_at_the_very_end_is_still_charged():
    """C grows from 0 to 80.1 beside B's 80: no point of the movement sees it critical."""
    blame, observed, usual = shares(drawn("s A 0..100\n  s B 10..90\n  s C 10..90.1"), [1, 1, 0])

    assert observed - usual == pytest.approx(0.1 * MS)
    assert (blame / MS).tolist() == pytest.approx([0, 0, 0.1])


@settings(deadline=None, max_examples=120)
@given(nested_trace())
def test_the_model_takes_as_long_as_the_trace_did(rows):
    """And it is the plain twin's model, gap by gap."""
    forest = build_forest(trace_batch([rows]))
    blocking, predecessor, gap, tail = apart(forest)
    model = naive_model(forest, 0)

    assert run(forest, blocking, predecessor, gap, tail) == forest.end_ns[0] - forest.start_ns[0]
    for child, expected in model.gap.items():
        assert (gap[child], tail[child]) == (expected, model.tail[child])
        before = model.predecessor[child]
        assert ends_at(forest, predecessor[child]) == ends_at(forest, -1 if before is None else before)


def ends_at(forest: Forest, node: int) -> int:
    return -1 if node < 0 else int(forest.end_ns[node])


@settings(deadline=None, max_examples=80)
@given(nested_trace(), st.lists(st.floats(0, 1), min_size=12, max_size=12))
def test_blame_sums_to_what_was_lost(rows, factors):
    forest = build_forest(trace_batch([rows]))
    blame, observed, usual = shares(forest, factors[: len(forest.row)])

    assert blame.sum() == pytest.approx(observed - usual, abs=1e-6)
    assert (blame >= -1e-9).all()
    assert np.isfinite(blame).all()


def coalitions(model: Model, factors: list[float]) -> dict[frozenset[int], float]:
    """How long the root takes when only the spans of a coalition are as slow as observed."""
    nodes = range(len(factors))
    worth = {}
    for slow in chain.from_iterable(combinations(nodes, size) for size in range(len(factors) + 1)):
        factor = [1.0 if node in slow else factors[node] for node in nodes]
        parent = {child: node for node, children in model.children.items() for child in children}
        gap = {child: value * factor[parent[child]] for child, value in model.gap.items()}
        tail = {node: value * factor[node] for node, value in model.tail.items()}
        worth[frozenset(slow)] = naive_replay(model, gap, tail)
    return worth


def random_trees(count: int, spans: int, seed: int):
    """Trees of nested spans with factors; only those whose every span has a part in the model and lost time."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        parents = [-1, *(int(rng.integers(0, i)) for i in range(1, spans))]
        start, end = np.zeros(spans, np.int64), np.zeros(spans, np.int64)
        start[0], end[0] = 1, 1_000_001
        for i in range(1, spans):
            start[i], end[i] = np.sort(rng.integers(start[parents[i]], end[parents[i]] + 1, 2))
        forest = build_forest(trace_batch([tree_rows(parents, start, end)]))
        factors = np.where(rng.random(spans) < 0.6, rng.random(spans), 1.0).tolist()
        model = naive_model(forest, 0)
        if len(model.tail) == spans and min(factors) < 1:
            yield forest, model, factors


def test_blame_is_close_to_exact_shapley_values():
    """The same culprit first, and about a tenth of the blame elsewhere: the two differ where paths change sides."""
    agree, errors = [], []
    for forest, model, factors in random_trees(60, 6, seed=3):
        blame, observed, usual = shares(forest, factors, steps=64)
        if observed - usual > 1_000:
            exact = exact_shapley(range(6), coalitions(model, factors))
            values = np.array([exact[node] for node in range(6)])
            agree.append(values.argmax() == blame.argmax())
            errors.append(float(np.abs(values - blame).sum() / (observed - usual)))

    assert len(agree) >= 30
    assert np.mean(agree) >= 0.95
    assert np.mean(errors) < 0.12


def test_blame_is_the_path_integral_of_the_plain_model():
    """Aumann-Shapley by its definition: nudge one segment at a time, at the same points of the movement."""
    steps, nudge = 16, 1.0
    for forest, model, factors in random_trees(12, 5, seed=11):
        blame, observed, usual = shares(forest, factors, steps=steps)
        parent = {child: node for node, children in model.children.items() for child in children}
        integral = np.zeros(5)
        for step in range(steps):
            t = (step + 0.5) / steps
            now = [factor + t * (1 - factor) for factor in factors]
            gap = {child: value * now[parent[child]] for child, value in model.gap.items()}
            tail = {node: value * now[node] for node, value in model.tail.items()}
            base = naive_replay(model, gap, tail)
            for child in gap:
                slope = (naive_replay(model, {**gap, child: gap[child] + nudge}, tail) - base) / nudge
                integral[parent[child]] += slope * model.gap[child] * (1 - factors[parent[child]])
            for node in tail:
                slope = (naive_replay(model, gap, {**tail, node: tail[node] + nudge}) - base) / nudge
                integral[node] += slope * model.tail[node] * (1 - factors[node])
        if integral.sum() > 0:
            integral *= (observed - usual) / integral.sum()

        assert blame.tolist() == pytest.approx(integral.tolist(), rel=1e-6, abs=1e-3)


def test_in_a_sequence_blame_is_the_exact_shapley_value():
    """Where every segment is always critical, both are simply what each span lost."""
    forest = drawn("s A 0..100\n  s B 10..40\n    s D 15..30\n  s C 40..90")
    factors = [0.5, 0.3, 0.9, 0.2]
    blame, _, _ = shares(forest, factors)
    exact = exact_shapley(range(4), coalitions(naive_model(forest, 0), factors))

    assert blame.tolist() == pytest.approx([exact[node] for node in range(4)])


@pytest.mark.parametrize("count", [LARGE, pytest.param(500_000, marks=pytest.mark.deep)])
@pytest.mark.parametrize("shape", ["chain", "fan", "sequence"])
def test_large_trees_are_reproduced(shape, count):
    index = np.arange(count)
    parents = {"chain": index - 1, "fan": np.minimum(index - 1, 0), "sequence": np.minimum(index - 1, 0)}[shape]
    start = 10**18 + index
    end = {
        "chain": 10**18 + 3 * count - index,
        "fan": np.where(index > 0, start + count, 10**18 + 3 * count),
        "sequence": np.where(index > 0, start + 1, 10**18 + 3 * count),
    }[shape]
    forest = build_forest(trace_batch([tree_rows(parents, start, end)]))

    assert run(forest, *apart(forest)) == forest.end_ns[0] - forest.start_ns[0]


def test_where_subtrees_end():
    forest = drawn("s A 0..100\n  s B 10..40\n    s D 15..30\n  s C 40..90\ns E 0..5 parent:x")
    first = int(np.flatnonzero(forest.end_ns - forest.start_ns == 100 * MS)[0])

    assert kernels.tree_end(forest.parent, first) == first + 4
    assert kernels.subtree_ends(forest.parent, first, first + 4).tolist() == [4, 3, 3, 4]
