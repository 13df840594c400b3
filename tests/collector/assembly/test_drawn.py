"""Drawn traces on their way through assembly: when they leave, why, and with what."""

from __future__ import annotations

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analyzer.spans import ReleaseReason
from collector.assembly import AssemblyConfig
from collector.contracts import Signal
from collector.wire.encode import encode_traces
from tests.collector.assembly.support import SMALL, leave, new_assembler, put, records, take, wire_assembler
from tests.collector.assembly.support import trace_id as number_id
from tests.support.drawing import draw

SHOP = """
    gateway   GET /checkout    0..100  ERROR
      cart      Reserve       10..40
      payment   Charge        45..95   ERROR  log: "card declined"
        bank      Authorize   50..90   ERROR
"""


def test_a_trace_leaves_once_after_its_root_has_been_quiet():
    """Four spans and a log, two seconds after the root, in one piece."""
    assembler, _ = wire_assembler()
    shop = draw(SHOP)
    put(assembler, shop, 1_000)

    assert leave(assembler, 2_999) == []
    assert leave(assembler, 3_000) == [(shop.trace_id, "ROOT_IDLE", 5)]
    assert leave(assembler, 99_000) == []


def test_a_trace_without_a_root_waits_for_quiet():
    assembler, _ = wire_assembler()
    orphan = draw("cart   Reserve   10..40  parent:elsewhere")
    put(assembler, orphan, 1_000)
    put(assembler, draw("cart   Add   10..40  parent:elsewhere", orphan.trace_id, seed=3), 4_000)

    assert leave(assembler, 8_999) == []
    assert leave(assembler, 9_000) == [(orphan.trace_id, "IDLE", 2)]


def test_rows_that_stream_in_after_the_root_are_not_cut():
    """The wait is over at 3 s, but a span came 50 ms before: 200 ms of quiet first."""
    assembler = new_assembler()
    assembler.ingest(records([1], 1, root=True), Signal.TRACES, 1_000)
    assembler.ingest(records([1], 2), Signal.TRACES, 2_950)

    assert leave(assembler, 3_149) == []
    assert leave(assembler, 3_150) == [(number_id(1), "ROOT_IDLE", 2)]


def test_the_wait_is_learned_from_how_late_the_last_span_comes():
    """The spans of this operation come within 390 ms of the root; nobody waits two seconds for them."""
    assembler, now = new_assembler(), 1_000
    for trace in range(16):
        assembler.ingest(records([trace], 1, root=True), Signal.TRACES, now)
        assembler.ingest(records([trace], 2), Signal.TRACES, now + 390)
        take(assembler, now + 2_000)
        now += 5_000
    assembler.ingest(records([99], 1, root=True), Signal.TRACES, now)

    assert leave(assembler, now + 399) == []
    assert leave(assembler, now + 400) == [(number_id(99), "ROOT_IDLE", 1)]


def test_another_operation_has_its_own_wait():
    assembler, now = new_assembler(), 1_000
    for trace in range(16):
        assembler.ingest(records([trace], 1, root=True), Signal.TRACES, now)
        take(assembler, now + 2_000)
        now += 5_000
    assembler.ingest(records([99], 1, root=True, operation=2), Signal.TRACES, now)

    assert leave(assembler, now + 1_999) == []
    assert leave(assembler, now + 2_000) == [(number_id(99), "ROOT_IDLE", 1)]


def test_late_spans_teach_a_longer_wait():
    """Each trace re-opened by a span 4.5 s after its root: from then on the wait covers it."""
    assembler, now = new_assembler(), 1_000
    for trace in range(16):
        assembler.ingest(records([trace], 1, root=True), Signal.TRACES, now)
        assert [one.revision for one in take(assembler, now + 2_000)] == [1]
        assembler.ingest(records([trace], 2), Signal.TRACES, now + 4_500)
        assert [one.revision for one in take(assembler, now + 9_500)] == [2]
        now += 20_000
    assembler.ingest(records([99], 1, root=True), Signal.TRACES, now)
    assembler.ingest(records([99], 2), Signal.TRACES, now + 4_500)

    assert leave(assembler, now + 4_524) == []
    assert leave(assembler, now + 4_700) == [(number_id(99), "ROOT_IDLE", 2)]


def test_a_late_parent_re_opens_the_trace_with_everything():
    """The parent came after the decision: revision 2 has the spans of revision 1 too."""
    shop = draw(SHOP)
    late = draw("gateway   late   0..5  parent:elsewhere", shop.trace_id, seed=9)
    assembler, _ = wire_assembler()
    put(assembler, shop, 1_000)
    first = take(assembler, 3_000)
    put(assembler, late, 4_000)

    second = take(assembler, 9_000)

    assert [(one.revision, one.late, len(one.raws)) for one in first] == [(1, 0, 5)]
    assert [(one.revision, one.late, len(one.raws)) for one in second] == [(2, 1, 6)]
    assert first[0].raws == second[0].raws[:5]


def test_a_late_span_after_the_rows_went_is_a_partial_revision():
    """All its rows are late: that is how the pipeline knows it must merge what was stored."""
    assembler = new_assembler()
    assembler.ingest(records([1, 1], [1, 2], root=[True, False]), Signal.TRACES, 1_000)
    take(assembler, 3_000)
    assembler.ingest(records([1], 3), Signal.TRACES, 3_000 + SMALL.late_keep_ms)

    assert [(one.revision, one.late, len(one.raws)) for one in take(assembler, 30_000)] == [(2, 1, 1)]


def test_a_late_span_while_the_batch_is_out_waits_for_the_next_revision():
    """Decide and late span racing: the batch stays as it was, nothing is lost."""
    assembler = new_assembler()
    assembler.ingest(records([1], 1, root=True), Signal.TRACES, 1_000)
    batch = assembler.due(3_000)
    assert batch is not None
    assembler.ingest(records([1], 2), Signal.TRACES, 3_001)
    again = assembler.due(8_001)
    assert again is not None
    assembler.done(batch)

    assert [len(batch.traces.rows), len(again.traces.rows)] == [1, 2]
    assert [int(batch.traces.revisions[0]), int(again.traces.revisions[0])] == [1, 2]
    assembler.done(again)
    assert assembler.counts().balanced


def test_exact_duplicates_leave_once():
    """A client that retried a request that was taken: silent, counted."""
    assembler, _ = wire_assembler()
    shop = draw(SHOP)
    put(assembler, shop, 1_000)
    put(assembler, shop, 1_500)

    assert leave(assembler, 3_000) == [(shop.trace_id, "ROOT_IDLE", 5)]
    assert assembler.counts().deduped_spans == 5
    assert assembler.counts().balanced


def test_duplicates_alone_make_no_revision():
    assembler, _ = wire_assembler()
    shop = draw(SHOP)
    put(assembler, shop, 1_000)
    take(assembler, 3_000)
    put(assembler, shop, 4_000)

    assert leave(assembler, 30_000) == []
    assert assembler.counts().deduped_spans == 5
    assert assembler.counts().balanced


def test_own_findings_coming_back_are_dropped():
    request = ExportTraceServiceRequest.FromString(draw(SHOP).requests()[0])
    for group in request.resource_spans:
        group.scope_spans[0].scope.name = "firstfault"
    assembler, _ = wire_assembler()
    assembler.ingest(request.SerializeToString(), Signal.TRACES, 1_000)

    assert leave(assembler, 99_000) == []
    assert assembler.counts().dropped_spans["own_scope"] == 4
    assert assembler.counts().open_traces == 0


def test_what_left_can_be_written_as_it_came():
    """Assembly and the encoder agree on where the bytes stand."""
    assembler, _ = wire_assembler()
    shop = draw(SHOP)
    put(assembler, draw("bank   Noise   0..1"), 1_000)
    put(assembler, shop, 1_000)
    released = assembler.due(3_000)
    assert released is not None

    written = [ExportTraceServiceRequest.FromString(encode_traces(released.traces, i)) for i in range(2)]

    names = [span.name for group in written[1].resource_spans for scope in group.scope_spans for span in scope.spans]
    assert sorted(names) == ["Authorize", "Charge", "GET /checkout", "Reserve"]


def test_peek_copies_an_open_trace():
    """The answer "in progress" is made of a copy: later requests do not change it."""
    assembler, words = wire_assembler()
    shop = draw(SHOP)
    put(assembler, shop, 1_000)

    seen = assembler.peek(shop.trace_id, 1_100)
    assert seen is not None
    put(assembler, draw("cart   Add   10..40  parent:elsewhere", shop.trace_id, seed=3), 1_200)

    assert [int(ReleaseReason.OPEN), 1, 5] == [seen.reasons[0], seen.revisions[0], len(seen.rows)]
    assert words.strings.text(int(seen.rows[0]["name"])) == seen.detail(0).name == "GET /checkout"
    assert leave(assembler, 3_200) == [(shop.trace_id, "ROOT_IDLE", 6)]


def test_peek_tells_a_kept_trace_from_one_that_is_gone():
    assembler, _ = wire_assembler()
    shop = draw(SHOP)
    put(assembler, shop, 1_000)
    take(assembler, 3_000)

    kept = assembler.peek(shop.trace_id, 3_001)
    take(assembler, 3_000 + SMALL.late_keep_ms)

    assert kept is not None
    assert [int(ReleaseReason.ROOT_IDLE), 1] == [kept.reasons[0], kept.revisions[0]]
    assert assembler.peek(shop.trace_id, 14_000) is None
    assert assembler.peek(bytes(16), 14_000) is None


def test_flush_lets_everything_go_with_its_reason():
    assembler = new_assembler()
    assembler.ingest(records(range(10)), Signal.TRACES, 1_000)
    reasons: list[int] = []
    while (released := assembler.flush(3, ReleaseReason.REPLAY)) is not None:
        reasons += released.traces.reasons.tolist()
        assembler.done(released)

    assert reasons == [ReleaseReason.REPLAY] * 10
    assert assembler.counts().open_spans == 0


def test_done_is_taken_once():
    assembler = new_assembler()
    assembler.ingest(records([1], root=True), Signal.TRACES, 1_000)
    released = assembler.due(3_000)
    assert released is not None
    assembler.done(released)

    with pytest.raises(ValueError, match="call done once"):
        assembler.done(released)


def test_traces_of_a_batch_stand_in_order_of_arrival():
    assembler = new_assembler()
    for span in range(5):
        assembler.ingest(records([1, 2], span), Signal.TRACES, 1_000 + span)
    released = assembler.due(99_000)
    assert released is not None

    assert released.traces.trace_ptr.tolist() == [0, 5, 10]
    assert released.traces.rows["span_id"].tolist() == [0, 1, 2, 3, 4] * 2
    assert released.traces.rows["arrival_ms"].tolist() == [1_000, 1_001, 1_002, 1_003, 1_004] * 2
    assert np.all(released.traces.rows["next"] == -1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"idle_ms": 0}, "idle_ms is 0; expected 1 or more"),
        ({"root_idle_ms": 100}, "expected between root_idle_min_ms"),
        ({"segment_bytes": 3000}, "expected a power of two"),
        ({"arena_bytes": 5 << 20}, "at least two segments"),
        ({"soft_share": 0.9}, "expected at most hard_share"),
        ({"reserve_share": 1.5}, "expected 0 to 1"),
    ],
)
def test_a_wrong_limit_says_what_is_wrong(change: dict[str, float], words: str):
    with pytest.raises(ValueError, match=words):
        AssemblyConfig(**change)  # type: ignore[arg-type]
