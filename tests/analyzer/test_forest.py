"""Rows become trees: every span once, parents first, defects repaired and counted."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.forest import Defect, Forest, NodeFlag, build_forest
from analyzer.kernels import node_bits
from analyzer.spans import SpanFlag, TraceBatch
from tests.support.drawing import EPOCH_NS, MS, batch, draw, healthy
from tests.support.naive.forest import naive_forest
from tests.support.random_rows import hostile_trace, nested_trace
from tests.support.rows import empty_rows, span_rows, trace_batch, tree_rows


def assert_same(found: Forest, expected: Forest) -> None:
    for column in fields(Forest):
        ours, theirs = getattr(found, column.name), getattr(expected, column.name)
        assert ours.dtype == theirs.dtype, column.name
        assert ours.tolist() == theirs.tolist(), column.name


def words(traces: TraceBatch, forest: Forest) -> list[tuple[str, str, int]]:
    """(service, operation, parent) of every node."""
    strings = traces.vocabulary.strings
    rows = traces.rows[forest.row]
    return [
        (strings.text(int(row["service"])), strings.text(int(row["name"])), int(parent))
        for row, parent in zip(rows, forest.parent, strict=True)
    ]


def defects(forest: Forest, trace: int = 0) -> dict[str, int]:
    """The defects that were counted."""
    return {defect.name: int(forest.defects[trace, defect]) for defect in Defect if forest.defects[trace, defect]}


def flags(forest: Forest) -> list[NodeFlag]:
    return [NodeFlag(int(value)) for value in forest.flags]


def test_a_trace_is_laid_out_parents_first_and_siblings_by_time():
    traces = batch(
        draw("""
        gateway GET /checkout 0..100
          payment Charge 45..95
            bank Authorize 50..90
          cart Reserve 10..40
        """)
    )

    forest = build_forest(traces)

    assert words(traces, forest) == [
        ("gateway", "GET /checkout", -1),
        ("cart", "Reserve", 0),
        ("payment", "Charge", 0),
        ("bank", "Authorize", 2),
    ]
    assert [forest.children(node).tolist() for node in range(4)] == [[1, 2], [], [3], []]
    assert (forest.start_ns - EPOCH_NS).tolist() == [0, 10 * MS, 45 * MS, 50 * MS]
    assert defects(forest) == {}
    assert not forest.flags.any()


def test_traces_of_a_batch_do_not_touch():
    drawing = draw("gateway GET 0..100\n  cart Reserve 10..40")

    forest = build_forest(batch(healthy(drawing, 3)))

    assert forest.trace_ptr.tolist() == [0, 2, 4, 6]
    assert forest.parent.tolist() == [-1, 0, -1, 2, -1, 4]
    assert forest.nodes(1) == range(2, 4)


def test_a_log_stands_under_its_span():
    traces = batch(draw('gateway GET 0..100 log!CardError: "declined"\n  cart Reserve 10..40 log: "out of stock"'))

    forest = build_forest(traces)

    assert forest.row_node.tolist() == [0, 1, 0, 1]
    assert flags(forest) == [NodeFlag.ERROR_LOG | NodeFlag.EXCEPTION_LOG, NodeFlag.ERROR_LOG]


def test_a_log_of_a_span_that_is_not_here_is_counted_and_one_of_no_span_is_not():
    log = {"flags": int(SpanFlag.LOG), "start": 5, "end": 5}
    rows = span_rows([{"id": 1, "start": 1, "end": 9}, {**log, "parent": 7}, {**log, "parent": 0}])

    forest = build_forest(trace_batch([rows]))

    assert defects(forest) == {"LOG_WITHOUT_SPAN": 1}
    assert forest.row_node.tolist() == [0, -1, -1]


def test_fire_and_forget_is_detached():
    """The audit outlives its caller, which did not wait; the consumer has its own life."""
    forest = build_forest(
        batch(
            draw("""
            gateway GET 0..100
              gateway INTERNAL audit 90..150
              gateway PRODUCER publish 20..22
                mailer CONSUMER process 30..60
            """)
        )
    )

    assert flags(forest) == [
        NodeFlag(0),
        NodeFlag(0),
        NodeFlag.DETACHED | NodeFlag.OUTLIVES_PARENT,
        NodeFlag.DETACHED | NodeFlag.OUTLIVES_PARENT,
    ]


def test_a_rounded_end_is_not_fire_and_forget():
    """Some clocks tick in whole milliseconds: half a millisecond over is still a child that was waited for."""
    forest = build_forest(batch(draw("gateway GET 0..100\n  gateway INTERNAL render 90..100.5")))

    assert flags(forest)[1] == NodeFlag.OUTLIVES_PARENT


def test_a_client_that_gave_up_keeps_its_late_server():
    """The server's own times are what the timeout rule needs: not cut, not moved, not detached."""
    forest = build_forest(
        batch(
            draw("""
            gateway GET 0..60 ERROR
              gateway CLIENT GET 5..55 ERROR
                cart GET 6..300
            """)
        )
    )

    assert flags(forest)[2] == NodeFlag.OUTLIVES_PARENT
    assert int(forest.end_ns[2]) == EPOCH_NS + 300 * MS


def test_one_offset_moves_a_server_with_all_that_hangs_under_it():
    """The clock of cart is 500 ms ahead; both its calls say so, and agree."""
    forest = build_forest(
        batch(
            draw("""
            gateway GET 0..100
              gateway CLIENT GET 10..30
                cart GET 512..528
                  cart SELECT 515..520
              gateway CLIENT GET 40..80
                cart GET 545..575
            """)
        )
    )

    # cart ran 502..498 ms before gateway says at the first call, 505..495 at the second: the middle is 500.
    assert ((forest.start_ns - EPOCH_NS) // MS).tolist() == [0, 10, 12, 15, 40, 45]
    assert [NodeFlag.SKEW_ADJUSTED in flag for flag in flags(forest)] == [False, False, True, True, False, True]
    assert defects(forest) == {"SKEW_ADJUSTED": 3}


def test_an_offset_beyond_the_limit_is_not_believed():
    drawing = draw("gateway GET 0..100\n  gateway CLIENT GET 10..30\n    cart GET 512..528")

    moved, kept = build_forest(batch(drawing)), build_forest(batch(drawing), clock_skew_max_ns=400 * MS)

    assert defects(moved) == {"SKEW_ADJUSTED": 1}
    assert defects(kept) == {"SKEW_INCONSISTENT": 1}
    assert defects(build_forest(batch(drawing), clock_skew_max_ns=0)) == {}


def test_a_split_id_gives_its_children_to_the_first():
    """A broken SDK used id 1 twice; the earlier span keeps the child."""
    rows = span_rows(
        [
            {"id": 2, "parent": 1, "start": 12, "end": 13},
            {"id": 1, "parent": 0, "start": 20, "end": 30},
            {"id": 1, "parent": 0, "start": 10, "end": 30},
        ]
    )

    forest = build_forest(trace_batch([rows]))

    assert forest.row.tolist() == [2, 0, 1]
    assert forest.parent.tolist() == [-1, 0, -1]
    assert [NodeFlag.SPLIT_ID in flag for flag in flags(forest)] == [True, False, True]
    assert defects(forest) == {"DUP_SPAN_ID": 1, "MULTI_ROOT": 2}


def test_of_two_copies_the_one_that_says_more_stays():
    copy = {"id": 1, "start": 10, "end": 30}
    rows = span_rows([copy, {**copy, "status": 2}, copy])

    forest = build_forest(trace_batch([rows]))

    assert forest.row.tolist() == [1]
    assert forest.row_node.tolist() == [-1, 0, -1]
    assert defects(forest) == {"DUPLICATE": 2}


def test_a_span_without_time_stands_at_the_beginning_of_its_trace():
    """It must not stretch the trace back to 1970."""
    rows = span_rows(
        [{"id": 1, "start": 1_000, "end": 2_000}, {"id": 2, "parent": 1}, {"id": 3, "parent": 1, "end": 5}]
    )

    forest = build_forest(trace_batch([rows]))

    assert forest.start_ns.tolist() == [1_000, 5, 5]
    assert forest.end_ns.tolist() == [2_000, 5, 5]
    assert defects(forest) == {"NO_TIME": 2}


def test_an_empty_batch_and_an_empty_trace():
    assert len(build_forest(trace_batch([])).row) == 0
    forest = build_forest(trace_batch([empty_rows(0), span_rows([{"id": 1, "start": 1, "end": 2}]), empty_rows(0)]))

    assert forest.trace_ptr.tolist() == [0, 0, 1, 1]
    assert not forest.defects.any()


def test_what_limits_left_out_is_counted_as_truncated():
    traces = trace_batch([span_rows([{"id": 1, "start": 1, "end": 2, "flags": int(SpanFlag.TRUNCATED)}])])
    traces.dropped[0] = 41

    assert defects(build_forest(traces)) == {"TRUNCATED": 42}


def test_rows_that_may_not_be_written_or_lie_apart_are_read_all_the_same():
    rows = tree_rows([-1, 0, 0], [1, 2, 3], [9, 4, 5])
    traces = trace_batch([rows])
    expected = build_forest(traces)
    traces.rows.setflags(write=False)

    assert_same(build_forest(traces), expected)
    apart = trace_batch([np.repeat(rows, 2)])
    object.__setattr__(apart, "rows", apart.rows[::2])
    object.__setattr__(apart, "trace_ptr", np.array([0, 3], np.int64))
    assert_same(build_forest(apart), expected)


def test_one_trace_of_a_batch_alone_is_the_same_tree():
    traces = batch(healthy(draw("a x 0..9\n  b y 1..5\n  c z 6..8"), 3))
    whole, alone = build_forest(traces), build_forest(traces.trace(1))

    assert alone.parent.tolist() == [-1, 0, 0]
    assert alone.start_ns.tolist() == whole.start_ns[3:6].tolist()


def test_the_kernels_use_the_words_of_the_forest():
    assert {flag.name: int(flag) for flag in NodeFlag} == {
        name: value for name, value in vars(node_bits).items() if name.isupper() and not name.startswith("DEFECT_")
    }
    assert {f"DEFECT_{defect.name}": int(defect) for defect in Defect} == {
        name: value for name, value in vars(node_bits).items() if name.startswith("DEFECT_")
    }


@settings(deadline=None, max_examples=150)
@given(st.lists(hostile_trace(), min_size=1, max_size=3), st.sampled_from([0, 5, 2_000_000_000]))
def test_hostile_traces_equal_the_plain_twin(parts, skew):
    traces = trace_batch(parts)

    assert_same(build_forest(traces, skew), naive_forest(traces, skew))


@settings(deadline=None, max_examples=60)
@given(st.lists(nested_trace(), min_size=1, max_size=3))
def test_nested_traces_equal_the_plain_twin(parts):
    traces = trace_batch(parts)

    assert_same(build_forest(traces), naive_forest(traces))


@settings(deadline=None, max_examples=60)
@given(hostile_trace(), st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows, random):
    order = list(range(len(rows)))
    random.shuffle(order)

    assert story(rows) == story(rows[order])


def story(rows):
    """The forest without row numbers."""
    forest = build_forest(trace_batch([rows]))
    told = rows[forest.row][["span_id", "parent_id", "kind", "service", "resource", "status", "flags"]]
    columns = (forest.parent, forest.child_ptr, forest.child, forest.start_ns, forest.end_ns, forest.flags)
    return [told.tolist(), *(column.tolist() for column in columns), forest.defects.tolist()]


@settings(deadline=None, max_examples=60)
@given(st.lists(hostile_trace(), min_size=1, max_size=4))
def test_every_span_is_in_the_forest_once_and_behind_its_parent(parts):
    traces = trace_batch(parts)
    forest = build_forest(traces)
    spans = (traces.rows["flags"] & int(SpanFlag.LOG | SpanFlag.OWN_SCOPE)) == 0

    assert len(set(forest.row.tolist())) == len(forest.row)
    assert len(forest.row) + forest.defects[:, Defect.DUPLICATE].sum() == spans.sum()
    assert (forest.parent < np.arange(len(forest.row))).all()
    assert (forest.end_ns >= forest.start_ns).all()
    assert len(forest.child) == (forest.parent >= 0).sum()


@pytest.mark.parametrize("count", [3, 300])
def test_ids_that_fall_on_each_other_are_sorted_instead(count):
    """Both halves of each id are equal, so all have one hash; found by sorting, with the same result."""
    ids = np.arange(1, count + 1, dtype=np.uint64)
    rows = tree_rows([-1, *range(count - 1)], np.arange(1, count + 1), np.arange(2 * count + 1, count + 1, -1))
    rows["span_id"] = ids | ids << np.uint64(32)
    rows["parent_id"][1:] = rows["span_id"][:-1]
    traces = trace_batch([rows])

    assert_same(build_forest(traces), naive_forest(traces))
