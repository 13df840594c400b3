"""Shapes that broke other tools, one row a number of the list in the reliability design.

Numbers that belong to decoding, assembly, storage or the screen are tested in their rooms. Every row here
also passes the shared checks: each span once, parents first, sums exact, nothing nan, any order of rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
import pytest

from analyzer.config import AnalysisConfig
from analyzer.forest import Defect, Forest, NodeFlag, build_forest
from analyzer.kernels.critical_path import critical_time, own_time
from analyzer.latency import explain_latency
from analyzer.spans import Rows, SpanFlag, SpanKind
from tests.support.learned import columns
from tests.support.naive.analysis import measure
from tests.support.naive.forest import naive_forest
from tests.support.rows import empty_rows, span_rows, trace_batch, tree_rows

# Interpreted kernels are a thousand times slower; the shapes are the same.
BIG = 300 if numba.config.DISABLE_JIT else 20_000
CLIENT, SERVER = int(SpanKind.CLIENT), int(SpanKind.SERVER)
NOW = 1_760_000_000_000_000_000
YEAR = 365 * 86_400 * 1_000_000_000


@dataclass(frozen=True)
class Shape:
    """A hostile trace and what must come of it.

    parents : int[m]    the tree, when it is small enough to write down
    defects : what is counted, and nothing else is
    flags : flags of single nodes
    """

    number: str
    name: str
    rows: Rows
    parents: list[int] | None = None
    defects: dict[str, int] = field(default_factory=dict)
    flags: dict[int, NodeFlag] = field(default_factory=dict)


def spans(*rows: dict[str, Any]) -> Rows:
    """Rows with times that fit, where none are given."""
    filled = [{"start": NOW + 10 * i, "end": NOW + 1_000 - 10 * i, **row} for i, row in enumerate(rows)]
    return span_rows(filled)


def ring(count: int) -> Rows:
    """Every span's parent is the next one; the last one's is the first."""
    rows = tree_rows(np.full(count, -1), NOW + np.arange(count), np.full(count, NOW + 2 * count))
    rows["parent_id"] = np.roll(rows["span_id"], -1)
    return rows


def chain(count: int) -> Rows:
    index = np.arange(count)
    return tree_rows(index - 1, NOW + index, NOW + 3 * count - index)


def fan(count: int, **times: Any) -> Rows:
    index = np.arange(count)
    start = times.get("start", NOW + index)
    end = times.get("end", np.where(index > 0, NOW + index + 1, NOW + count + 1))
    return tree_rows(np.minimum(index - 1, 0), start, end)


def one_id(count: int, **columns: Any) -> Rows:
    rows = empty_rows(count)
    rows["span_id"] = 7
    rows["start_ns"], rows["end_ns"] = NOW + np.arange(count), NOW + 5 * count
    for name, values in columns.items():
        rows[name] = values
    return rows


def call(client: dict[str, Any], server: dict[str, Any]) -> Rows:
    return spans(
        {"id": 1, "start": NOW, "end": NOW + 100},
        {"id": 2, "parent": 1, "kind": CLIENT, **client},
        {"id": 3, "parent": 2, "kind": SERVER, "service": 3, "resource": 3, **server},
    )


SKEW = 50_000_000
SHAPES = [
    Shape("1", "self parent", spans({"id": 1, "parent": 1}, {"id": 2, "parent": 1}), [-1, 0], {"SELF_PARENT": 1}),
    Shape(
        "2", "two spans name each other", spans({"id": 2, "parent": 1}, {"id": 1, "parent": 2}), [-1, 0],
        {"CYCLE": 1, "ROOTLESS": 1}, {0: NodeFlag.CYCLE_CUT},
    ),
    Shape(
        "2", "a cycle of equal starts is cut at the smallest id",
        spans({"id": 9, "parent": 5, "start": NOW}, {"id": 5, "parent": 7, "start": NOW}, {"id": 7, "parent": 9, "start": NOW}),
        [-1, 0, 1], {"CYCLE": 1, "ROOTLESS": 1}, {0: NodeFlag.CYCLE_CUT},
    ),
    Shape("2", "a large cycle", ring(BIG), None, {"CYCLE": 1, "ROOTLESS": 1}, {0: NodeFlag.CYCLE_CUT}),
    Shape(
        "3", "two cycles with tails beside a good root",
        spans(
            {"id": 1}, {"id": 2, "parent": 3}, {"id": 3, "parent": 2}, {"id": 4, "parent": 3},
            {"id": 5, "parent": 6}, {"id": 6, "parent": 5}, {"id": 7, "parent": 1},
        ),
        [-1, 0, -1, 2, 3, -1, 5], {"CYCLE": 2},
    ),
    Shape(
        "4", "no root", spans({"id": 1, "parent": 90}, {"id": 2, "parent": 91}, {"id": 3, "parent": 2}), [-1, -1, 1],
        {"ROOTLESS": 1, "MISSING_PARENT": 2}, {0: NodeFlag.ORPHAN, 1: NodeFlag.ORPHAN},
    ),
    Shape("5", "several roots", spans({"id": 1}, {"id": 2}, {"id": 3, "parent": 2}), [-1, -1, 1], {"MULTI_ROOT": 2}),
    Shape(
        "6", "an orphan beside a root", spans({"id": 1}, {"id": 2, "parent": 90}), [-1, -1], {"MISSING_PARENT": 1},
        {1: NodeFlag.ORPHAN},
    ),
    Shape("8", "the same span twice", spans({"id": 1}, *[{"id": 2, "parent": 1, "start": NOW + 5, "end": NOW + 6}] * 3),
          [-1, 0], {"DUPLICATE": 2}),
    Shape(
        "9", "two halves of a call share an id",
        spans(
            {"id": 1}, {"id": 2, "parent": 1, "kind": SERVER, "service": 3, "resource": 3},
            {"id": 2, "parent": 1, "kind": CLIENT, "start": NOW + 5, "end": NOW + 995}, {"id": 3, "parent": 2},
        ),
        [-1, 0, 1, 2], {}, {1: NodeFlag.SPLIT_ID, 2: NodeFlag.SPLIT_ID},
    ),
    Shape(
        "9", "a broken SDK repeats an id", spans({"id": 1}, {"id": 2, "parent": 1}, {"id": 2, "parent": 1}, {"id": 3, "parent": 2}),
        [-1, 0, 1, 0], {"DUP_SPAN_ID": 1}, {1: NodeFlag.SPLIT_ID, 3: NodeFlag.SPLIT_ID},
    ),
    Shape("10", "one id for all, each another time", one_id(BIG), [-1] * BIG,
          {"DUP_SPAN_ID": BIG - 1, "MULTI_ROOT": BIG}),
    Shape("10", "one id for all, all alike", one_id(BIG, start_ns=NOW), [-1], {"DUPLICATE": BIG - 1}),
    Shape("10", "one id for all, each its own parent", one_id(BIG, parent_id=7), [-1] * BIG,
          {"DUP_SPAN_ID": BIG - 1, "MULTI_ROOT": BIG, "SELF_PARENT": BIG}),
    Shape(
        "13", "a parent id of a wrong length is missing, not a root",
        spans({"id": 1}, {"id": 2, "flags": int(SpanFlag.BAD_PARENT_ID)}), [-1, -1],
        {"MISSING_PARENT": 1, "BAD_PARENT_ID": 1}, {1: NodeFlag.ORPHAN},
    ),
    Shape("16", "a deep chain", chain(BIG), list(range(-1, BIG - 1))),
    Shape("17", "a wide fan", fan(BIG), [-1, *[0] * (BIG - 1)]),
    Shape("18", "a comb", tree_rows([-1, 0, 0, 2, 2, 4, 4], NOW + np.arange(7), NOW + 100 - np.arange(7)),
          [-1, 0, 0, 2, 2, 4, 4]),
    Shape("18", "a binary tree", tree_rows((np.arange(BIG) - 1) // 2, NOW + np.arange(BIG), NOW + 3 * BIG - np.arange(BIG))),
    Shape("19", "zero durations", spans({"id": 1, "start": NOW, "end": NOW}, {"id": 2, "parent": 1, "start": NOW, "end": NOW}), [-1, 0]),
    Shape(
        "20", "an end before its start", spans({"id": 1}, {"id": 2, "parent": 1, "start": NOW + 50, "end": NOW + 20}), [-1, 0],
        {"NEGATIVE_DURATION": 1}, {1: NodeFlag.NEGATIVE_DURATION},
    ),
    Shape(
        "21", "no start, no end, neither",
        spans({"id": 1}, {"id": 2, "parent": 1, "start": 0}, {"id": 3, "parent": 1, "end": 0}, {"id": 4, "parent": 1, "start": 0, "end": 0}),
        [-1, 0, 0, 0], {"NO_TIME": 3}, {1: NodeFlag.NO_TIME, 2: NodeFlag.NO_TIME, 3: NodeFlag.NO_TIME},
    ),
    Shape(
        "22", "times of 2**63, 2**64 - 1 and the year 2262",
        spans({"id": 1}, {"id": 2, "parent": 1, "start": -(2**63)}, {"id": 3, "parent": 1, "end": -1}, {"id": 4, "parent": 1, "end": 2**63 - 1}),
        [-1, 0, 0, 0], {"NO_TIME": 3, "TIME_OUT_OF_RANGE": 3},
    ),
    Shape("22", "the year 1970 and ten years ahead", spans({"id": 1, "start": 1, "end": NOW + 10 * YEAR}, {"id": 2, "parent": 1}), [-1, 0]),
    Shape(
        "23", "a clock one second ahead", call({}, {"start": NOW + 10**9 + 40, "end": NOW + 10**9 + 60}), [-1, 0, 1],
        {"SKEW_ADJUSTED": 1}, {2: NodeFlag.SKEW_ADJUSTED},
    ),
    Shape(
        "23", "a clock one hour ahead is beyond repair", call({}, {"start": NOW + 3600 * 10**9, "end": NOW + 3600 * 10**9 + 60}),
        [-1, 0, 1], {"SKEW_INCONSISTENT": 1}, {2: NodeFlag.OUTLIVES_PARENT},
    ),
    Shape(
        "24", "a server that begins before its client is moved to its middle",
        call({"start": NOW + 20, "end": NOW + 80}, {"start": NOW + 5, "end": NOW + 45}), [-1, 0, 1], {"SKEW_ADJUSTED": 1},
    ),
    Shape(
        "24", "a server longer than its client is not moved", call({"start": NOW + 20, "end": NOW + 80}, {"start": NOW + 5, "end": NOW + 95}),
        [-1, 0, 1], {}, {2: NodeFlag.OUTLIVES_PARENT},
    ),
    Shape(
        "24", "the late server of a client that gave up is not moved",
        call({"start": NOW + 20, "end": NOW + 80, "status": 2}, {"start": NOW + 50, "end": NOW + 95}), [-1, 0, 1], {},
        {2: NodeFlag.OUTLIVES_PARENT},
    ),
    Shape(
        "24", "asynchronous work is not moved",
        spans(
            {"id": 1}, {"id": 2, "parent": 1, "kind": int(SpanKind.PRODUCER), "start": NOW + 10, "end": NOW + 20},
            {"id": 3, "parent": 2, "kind": int(SpanKind.CONSUMER), "service": 3, "resource": 3, "start": NOW + 5, "end": NOW + 9},
        ),
        [-1, 0, 1], {}, {2: NodeFlag.DETACHED},
    ),
    Shape(
        "25", "two calls between two hosts that contradict each other",
        np.concatenate([
            call({"start": NOW + 10, "end": NOW + 40}, {"start": NOW + SKEW, "end": NOW + SKEW + 10}),
            spans(
                {"id": 4, "parent": 1, "kind": CLIENT, "start": NOW + 50, "end": NOW + 90},
                {"id": 5, "parent": 4, "kind": SERVER, "service": 3, "resource": 3, "start": NOW - SKEW, "end": NOW - SKEW + 10},
            ),
        ]),
        [-1, 0, 1, 0, 3], {"SKEW_INCONSISTENT": 1},
    ),
    Shape(
        "29", "service names missing, empty, not text",
        spans(*[{"id": i + 1, "parent": i, "service": 0, "flags": int(flag)} for i, flag in enumerate(
            (SpanFlag.NO_SERVICE, SpanFlag.EMPTY_SERVICE, SpanFlag.SERVICE_NOT_TEXT))]),
        [-1, 0, 1], {"MISSING_SERVICE": 3},
    ),
    Shape("30", "spans of one id under another service", spans(
        {"id": 1}, {"id": 2, "parent": 1, "start": NOW + 1, "end": NOW + 9},
        {"id": 2, "parent": 1, "start": NOW + 1, "end": NOW + 9, "service": 3, "resource": 3}), [-1, 0, 0], {"DUP_SPAN_ID": 1}),
    Shape("31, 32", "no name, bad text", spans({"id": 1, "flags": int(SpanFlag.NO_NAME)}, {"id": 2, "parent": 1, "flags": int(SpanFlag.BAD_TEXT)}),
          [-1, 0], {"MISSING_NAME": 1, "BAD_TEXT": 1}),
    Shape("33", "the SDK dropped attributes", spans({"id": 1, "flags": int(SpanFlag.TRUNCATED)}), [-1], {"TRUNCATED": 1}),
    Shape("38", "a trace of no spans", empty_rows(0), []),
    Shape("42", "ids that fall on each other", span_rows([
        {"id": i << 32 | i, "parent": (i - 1) << 32 | (i - 1), "start": NOW + i, "end": NOW + 9_000 - i} for i in range(1, BIG // 6)]),
        list(range(-1, BIG // 6 - 2))),
    Shape("42", "ids one after another, and all ones", spans({"id": 2**64 - 1}, *[{"id": i, "parent": 2**64 - 1} for i in range(1, 40)]),
          [-1, *[0] * 39]),
    Shape("45", "our own findings come back", spans({"id": 1}, {"id": 2, "parent": 1, "flags": int(SpanFlag.OWN_SCOPE)}), [-1], {"OWN_SCOPE": 1}),
    Shape("46", "identical times", spans(*[{"id": i, "parent": i // 2, "start": NOW, "end": NOW + 5} for i in (6, 3, 1, 2, 5, 4)]),
          [-1, 0, 1, 1, 0, 4]),
    Shape("47", "siblings that all overlap", fan(BIG, start=NOW + np.arange(BIG), end=np.full(BIG, NOW + 2 * BIG))),
    Shape("48", "durations that would overflow in sum", fan(300, start=np.ones(300, np.int64), end=np.full(300, 7 * 10**18))),
    Shape("49", "an interior span was sampled away", spans({"id": 1, "flags": int(SpanFlag.THRESHOLD)}, {"id": 3, "parent": 2}), [-1, -1],
          {"MISSING_PARENT": 1}, {1: NodeFlag.ORPHAN}),
    Shape(
        "50", "Zipkin: shared ids at every call, whole microseconds",
        spans(
            {"id": 1, "kind": SERVER, "start": NOW, "end": NOW + 900_000},
            {"id": 2, "parent": 1, "kind": CLIENT, "start": NOW + 1_000, "end": NOW + 800_000},
            {"id": 2, "parent": 1, "kind": SERVER, "service": 3, "resource": 3, "start": NOW + 1_000, "end": NOW + 800_000},
            {"id": 4, "parent": 2, "kind": CLIENT, "service": 3, "resource": 3, "start": NOW + 2_000, "end": NOW + 3_000},
            {"id": 4, "parent": 2, "kind": SERVER, "start": NOW + 2_000, "end": NOW + 3_000},
        ),
        [-1, 0, 1, 2, 3],
    ),
]  # fmt: skip
IDS = [f"{shape.number}: {shape.name}" for shape in SHAPES]


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_shape(shape: Shape):
    """What the list says comes out."""
    forest = build_forest(trace_batch([shape.rows]))
    counted = {defect.name: int(forest.defects[0, defect]) for defect in Defect if forest.defects[0, defect]}

    assert counted == shape.defects
    if shape.parents is not None:
        assert forest.parent.tolist() == shape.parents
    for node, flag in shape.flags.items():
        assert NodeFlag(int(forest.flags[node])) & flag == flag


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_every_shape_keeps_what_every_forest_keeps(shape: Shape):
    forest = build_forest(trace_batch([shape.rows]))

    assert_whole(shape.rows, forest)
    if len(shape.rows) <= 100:
        analysis = measure(trace_batch([shape.rows]))
        latency = explain_latency(analysis, 0, AnalysisConfig())
        assert sum(segment.self_ns for segment in latency.critical_path) == latency.duration_ns


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if len(shape.rows) <= 100], ids=lambda shape: shape.name)
def test_small_shapes_equal_the_plain_twin_in_any_order(shape: Shape):
    rng = np.random.default_rng(5)
    for order in (np.arange(len(shape.rows)), rng.permutation(len(shape.rows)), np.arange(len(shape.rows))[::-1]):
        traces = trace_batch([shape.rows[order]])
        found, expected = build_forest(traces), naive_forest(traces)

        assert found.parent.tolist() == expected.parent.tolist()
        assert found.row.tolist() == expected.row.tolist()
        assert found.flags.tolist() == expected.flags.tolist()
        assert found.defects.tolist() == expected.defects.tolist()


def assert_whole(rows: Rows, forest: Forest) -> None:
    """Each span once, parents first, times in order, sums exact."""
    count = len(forest.row)
    left_out = int(forest.defects[0, [Defect.DUPLICATE, Defect.OWN_SCOPE]].sum())
    assert count + left_out == len(rows)
    assert len(np.unique(forest.row)) == count
    assert (forest.parent < np.arange(count)).all()
    own, critical = own_time(*columns(forest)), critical_time(*columns(forest))
    duration = forest.end_ns - forest.start_ns
    assert (duration >= 0).all()
    assert ((own >= 0) & (own <= duration)).all()
    assert (critical >= 0).all()
    roots = np.flatnonzero(forest.parent < 0)
    # Trees lie one after another, so the sum of each is a slice.
    if count:
        assert np.add.reduceat(critical, roots).tolist() == duration[roots].tolist()


MILLION = 1_000_000
LARGE = {
    "2: a cycle": ring,
    "10: one id, each another time": one_id,
    "10: one id, all alike": lambda count: one_id(count, start_ns=NOW),
    "16: a chain": chain,
    "17: a fan": fan,
    "47: siblings that all overlap": lambda count: fan(count, end=np.full(count, NOW + 2 * count)),
    "42: ids that fall on each other": lambda count: _colliding(count),
}


def _colliding(count: int) -> Rows:
    rows = chain(count)
    rows["span_id"] = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(2**32 + 1)
    rows["parent_id"][1:] = rows["span_id"][:-1]
    return rows


@pytest.mark.deep
@pytest.mark.parametrize("name", LARGE)
def test_a_million_spans(name: str):
    """14, 16, 17, 10: no recursion, nothing quadratic; the time limit of the suite is the proof."""
    rows = LARGE[name](MILLION)
    rng = np.random.default_rng(1)
    rows = rows[rng.permutation(MILLION)]

    assert_whole(rows, build_forest(trace_batch([rows])))
