"""Assembly and its naive twin do the same, whatever comes in whatever order."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from analyzer.spans import ReleaseReason, SpanFlag
from collector.assembly import AssemblyConfig
from collector.contracts import Released, Signal
from tests.collector.assembly.support import KIB, as_rows, in_words, new_assembler, records
from tests.support.naive.assembler import Left, NaiveAssembler, keeps

CONFIG = AssemblyConfig(
    idle_ms=500,
    root_idle_ms=200,
    root_idle_min_ms=20,
    root_idle_max_ms=1_000,
    root_observations_min=3,
    root_operations_max=3,
    age_max_ms=3_000,
    trace_spans_max=12,
    trace_bytes_max=64 * 10,
    reserve_share=0.25,
    closed_traces_max=4,
    late_window_ms=20_000,
    late_keep_ms=2_000,
    open_traces_max=1_000,
    arena_bytes=1024 * KIB,
    segment_bytes=KIB,
    release_spans_max=7,
)

FLAGS = st.sampled_from(
    [0, 0, 0, int(SpanFlag.ROOT), int(SpanFlag.LOG), int(SpanFlag.OWN_SCOPE), int(SpanFlag.EXCEPTION)]
)
SPAN = st.tuples(
    st.integers(0, 7),  # trace
    st.integers(1, 9),  # span id; small, so duplicates and equal ids come often
    FLAGS,
    st.sampled_from([0, 0, 2]),  # status
    st.integers(0, 4),  # operation
    st.integers(0, 1),  # start
)


class SameAsTheTwin(RuleBasedStateMachine):
    """Requests, pauses, releases and late `done`s in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.assembler = new_assembler(CONFIG)
        self.twin = NaiveAssembler(CONFIG)
        self.now = 1_000
        self.out: list[tuple[Released, list[Left]]] = []

    @rule(spans=st.lists(SPAN, max_size=20))
    def ingest(self, spans: list[tuple[int, ...]]) -> None:
        payload = b"".join(
            records([trace], span, flags=flags, status=status, operation=operation, start=start)
            for trace, span, flags, status, operation, start in spans
        )
        assert len(spans) == self.assembler.ingest(payload, Signal.TRACES, self.now)
        self.twin.ingest(as_rows(payload), self.now)

    @rule(pause=st.sampled_from([1, 7, 19, 20, 150, 200, 450, 500, 1_999, 3_000, 20_000, 70_000]))
    def wait(self, pause: int) -> None:
        self.now += pause

    @rule(share=st.sampled_from([0.0, 0.3, 0.5, 0.8]))
    def stress(self, share: float) -> None:
        seeds = [int(seed) for seed in self.assembler._seeds]
        self.assembler.shed(share)
        self.twin.begin_stress(lambda trace_id: keeps(seeds, share, trace_id))

    @rule()
    def no_stress(self) -> None:
        self.assembler.shed(None)
        self.twin.end_stress()

    @rule(traces_max=st.integers(1, 5))
    def due(self, traces_max: int) -> None:
        expected = self.twin.due(self.now)
        found: list[Left] = []
        while (released := self.assembler.due(self.now, traces_max)) is not None:
            left = in_words(released.traces, released.late_counts)
            assert len(left) <= traces_max
            found += left
            self.out.append((released, left))
        self._same(expected, found)

    @rule()
    def flush(self) -> None:
        expected = self.twin.flush(ReleaseReason.SHUTDOWN)
        found: list[Left] = []
        while (released := self.assembler.flush()) is not None:
            found += in_words(released.traces, released.late_counts)
            self.out.append((released, found[-released.traces.trace_count :]))
        self._same(expected, found)

    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        if not self.out:
            return
        released, left = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        assert left == in_words(released.traces, released.late_counts), "bytes changed while a batch was out"
        self.twin_done(released, left)

    def twin_done(self, released: Released, left: list[Left]) -> None:
        # Both see the clock only through ingest and due, so both are at the same moment.
        self.assembler.done(released)
        self.twin.done([one.trace_id for one in left])

    def _same(self, expected: list[Left], found: list[Left]) -> None:
        assert sorted(expected, key=repr) == sorted(found, key=repr)

    @invariant()
    def counters_balance(self) -> None:
        counts, twin = self.assembler.counts(), self.twin.counts
        assert counts.balanced
        assert self.assembler.oldest_ms() == self.twin.oldest_ms
        assert Counter(
            received=twin["received"],
            released=twin["released"],
            deduped=twin["deduped"],
            own_scope=twin["own_scope"],
            trace_too_large=twin["trace_too_large"],
            stress=twin["stress"],
            shed=twin["shed traces"],
            late=twin["late"],
            reopened=twin["reopened"],
            open=self.twin.open_spans,
            held=sum(len(trace.rows) for trace in self.twin.traces.values()),
            closed=len(self.twin.closed),
            kept=len(self.twin.kept),
        ) == Counter(
            received=counts.received_spans,
            released=sum(counts.released_spans.values()),
            deduped=counts.deduped_spans,
            own_scope=counts.dropped_spans["own_scope"],
            trace_too_large=counts.dropped_spans["trace_too_large"],
            stress=counts.dropped_spans["stress"],
            shed=counts.shed_traces,
            late=counts.late_spans,
            reopened=counts.reopened_traces,
            open=counts.open_spans,
            held=counts.held_spans,
            closed=counts.closed_traces,
            kept=counts.kept_traces,
        )
        assert {name: n for name, n in counts.released_spans.items() if n} == {
            name.removeprefix("released "): n for name, n in twin.items() if name.startswith("released ") and n
        }


SameAsTheTwin.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestSameAsTheTwin = SameAsTheTwin.TestCase
