"""The engine's thread, step by step under a manual clock, with the real rooms behind it."""

from __future__ import annotations

from typing import Any

import pytest

from analyzer.engine import Analyzer
from collector.contracts import Signal
from collector.pipeline import ANNOUNCED_MAX
from collector.recall import join
from collector.samples import analyzer_samples, pipeline_samples
from collector.telemetry import is_known
from tests.support.drawing import Drawing, draw
from tests.support.stepping import CLEAN, FAILING, SECOND_NS, House


def test_a_failing_trace_becomes_a_finding_with_its_bytes_and_its_export():
    house = House()
    drawing = draw(FAILING)
    house.send(drawing)

    house.after(30)

    (stored,) = house.shelf.traces
    assert stored.name == drawing.trace_id
    assert stored.answer.status == "finding"
    assert stored.answer.root_causes[0].entity.service == "payment"
    assert stored.trace_otlp
    assert stored.logs_otlp
    assert [item.payload for item in stored.exports] == [drawing.trace_id.hex().encode()]


def test_a_clean_trace_leaves_its_id_only():
    """No rate for clean traces: the decision is kept, the bytes are not."""
    house = House()
    drawing = draw(CLEAN)
    house.send(drawing)

    house.after(30)

    assert house.shelf.traces == []
    assert house.shelf.clean == [drawing.trace_id]


def test_of_a_trace_with_holes_it_is_not_said_that_it_is_clean():
    """Nothing is wrong with what came: log records only, or spans without the one above them."""
    house = House()
    logged, headless = draw(CLEAN.replace("50..90", '50..90  log: "sold"')), draw(CLEAN, seed=2)
    house.queue.items.append((logged.requests()[1], Signal.LOGS))
    house.send(Drawing(headless.spans[1:], headless.trace_id))

    house.after(30)

    assert house.shelf.clean == []
    assert sorted(house.shelf.partial) == sorted([logged.trace_id, headless.trace_id])


def test_clean_traces_are_kept_whole_up_to_the_rate():
    """Two a second: of five at once, two."""
    house = House(clean_per_second=2.0)
    for seed in range(5):
        house.send(draw(CLEAN, seed=seed))

    house.after(30)

    assert len(house.shelf.traces) == 2
    assert len(house.shelf.clean) == 3


def test_nothing_is_decided_before_it_is_due():
    house = House()
    house.send(draw(FAILING))

    house.after(0.1)

    assert house.shelf.traces == []
    assert house.assembler.counts().open_traces == 1


def test_an_open_trace_can_be_asked_about():
    """The engine says what its spans say so far, and does not close it."""
    import threading

    house = House()
    drawing = draw(FAILING)
    house.send(drawing)
    house.pipeline.step()
    answers: list[Any] = []
    asker = threading.Thread(target=lambda: answers.append(house.pipeline.ask(drawing.trace_id, 10.0)))
    asker.start()
    while asker.is_alive():
        house.pipeline.step()
        asker.join(0.01)

    assert answers[0].status == "in_progress"
    assert answers[0].root_causes[0].entity.service == "payment"
    assert house.assembler.counts().open_traces == 1


def test_spans_that_wait_are_not_missing(monkeypatch: pytest.MonkeyPatch):
    """Deciding takes 10 s while the rest of a trace waits in the source: it is still one trace when it comes."""
    house = House()
    house.send(draw(FAILING, seed=2))
    house.pipeline.step()
    house.clock.ns += 30 * SECOND_NS  # that one is due with the next step
    drawing = draw(CLEAN, seed=1)
    house.send(Drawing(drawing.spans[:2], drawing.trace_id))
    house.send(draw(CLEAN, seed=3))
    house.send(Drawing(drawing.spans[2:], drawing.trace_id))
    whole = house.analyzer.analyse

    def slowly(traces: Any, included: Any = None) -> Any:
        house.clock.ns += 10 * SECOND_NS
        return whole(traces, included)

    monkeypatch.setattr(house.analyzer, "analyse", slowly)
    monkeypatch.setattr("collector.pipeline.INGEST_SLICE", 1)
    house.after(60)

    counts = house.assembler.counts()
    assert counts.late_spans == 0
    assert counts.released_traces["idle"] + counts.released_traces["root_idle"] == 3


def test_bytes_that_cannot_be_decoded_are_counted_and_the_next_request_is_taken():
    house = House()
    house.queue.items.append((b"\x0a\xff\xff", Signal.TRACES))
    house.send(draw(FAILING))

    house.after(30)

    assert house.pipeline.counts.undecodable == 1
    assert len(house.shelf.traces) == 1


def test_one_trace_that_cannot_be_analysed_does_not_take_the_others_with_it(monkeypatch: pytest.MonkeyPatch):
    """The batch is split until the bad one is alone; it is counted and left out."""
    house = House()
    bad = draw(FAILING, seed=1)
    for seed in range(6):
        house.send(draw(FAILING, seed=seed))
    whole = house.analyzer.analyse

    def analyse(traces: Any, included: Any = None) -> Any:
        rows = traces.rows
        ids = {
            int(row["trace_id_0"]).to_bytes(8, "little") + int(row["trace_id_1"]).to_bytes(8, "little") for row in rows
        }
        if bad.trace_id in ids:
            raise RuntimeError("our own bug")
        return whole(traces, included)

    monkeypatch.setattr(house.analyzer, "analyse", analyse)
    house.after(30)

    assert house.pipeline.counts.failed_traces == 1
    assert len(house.shelf.traces) == 5


def test_a_stop_decides_what_is_open_and_keeps_what_was_learned():
    house = House()
    house.send(draw(FAILING))
    house.pipeline.start()

    assert house.pipeline.stop(30.0)

    assert [stored.answer.status for stored in house.shelf.traces] == ["finding"]
    assert [name for name, _ in house.shelf.states] == ["analyzer"]
    assert {rollup.service for rollup in house.shelf.rollups} == {"gateway", "payment"}
    assert [(edge.caller, edge.callee, edge.rule) for edge in house.shelf.edges] == [
        ("gateway", "payment", "client_server")
    ]


def test_every_span_is_somewhere():
    """received == released + deduped + dropped + open, and what was released was analysed."""
    house = House(clean_per_second=1000.0)
    for seed in range(50):
        house.send(draw(CLEAN if seed % 3 else FAILING, seed=seed))
    house.send(draw(CLEAN, seed=1))  # a retry

    house.after(30)

    counts = house.assembler.counts()
    assert counts.balanced
    assert counts.open_spans == 0
    assert counts.deduped_spans == 3
    assert house.pipeline.counts.analysed_traces == 50
    assert house.pipeline.counts.analysed_spans == 150


def test_a_late_span_revises_the_whole_trace():
    """The server span comes after the verdict: revision 2 names it, and still holds the earlier spans."""
    house = House()
    drawing = draw(FAILING)
    early, late = Drawing(drawing.spans[:2], drawing.trace_id), Drawing(drawing.spans[2:], drawing.trace_id)
    house.send(early)
    house.after(4)
    house.send(late)
    house.after(30)

    first, second = house.shelf.traces
    assert (first.answer.revision, second.answer.revision) == (1, 2)
    assert second.answer.completeness is not None
    assert second.answer.completeness.span_count == 3
    assert second.answer.completeness.late_spans > 0
    assert second.answer.root_causes[0].origin_spans[0].operation == "Charge"


def test_a_very_late_span_is_joined_with_what_was_stored():
    """Assembly has let the trace go: its bytes are recalled from the shelf."""
    house = House()
    asked: list[bytes] = []

    def recall(trace_id: bytes, traces: Any, index: int) -> Any:
        asked.append(trace_id)
        return join(house.shelf.found(trace_id), traces, index)

    house.recall = recall
    drawing = draw(FAILING)
    house.send(Drawing(drawing.spans[:2], drawing.trace_id))
    house.after(60)
    house.after(60)
    house.send(Drawing(drawing.spans[2:], drawing.trace_id))
    house.after(60)

    last = house.shelf.traces[-1].answer
    assert asked == [drawing.trace_id]
    assert last.revision == 2
    assert last.completeness is not None
    assert last.completeness.span_count == 3
    assert house.pipeline.counts.recalled_traces == 1


def test_a_revision_that_is_clean_replaces_the_finding():
    """A re-opened trace is always told, so that an old finding does not stay."""
    house = House()
    drawing = draw(CLEAN)
    house.send(Drawing(drawing.spans[:1], drawing.trace_id))
    house.after(4)
    house.send(Drawing(drawing.spans[1:], drawing.trace_id))
    house.after(30)

    assert [stored.answer.revision for stored in house.shelf.traces] == [2]


class _Shifted(Analyzer):
    """Everything became normal at once."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._news = [f"change {i} is normal now" for i in range(count)]

    def take_announcements(self) -> list[str]:
        taken, self._news = self._news, []
        return taken


@pytest.mark.parametrize(("count", "said"), [(0, []), (1, ["change 0 is normal now"])])
def test_what_became_normal_is_told(count: int, said: list[str], caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "collector.pipeline")
    house = House(analyzer=_Shifted(count))
    for _ in range(2):
        house.send(draw(CLEAN))
        house.after(60)

    assert [record.getMessage() for record in caplog.records] == said


def test_a_flood_of_changes_is_told_in_a_few_lines(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "collector.pipeline")
    house = House(analyzer=_Shifted(1000))
    house.send(draw(CLEAN))
    house.after(60)

    assert len(caplog.records) == ANNOUNCED_MAX + 1
    assert caplog.records[-1].getMessage() == f"{1000 - ANNOUNCED_MAX} more changes became normal"


def test_every_number_of_the_engine_is_in_the_table():
    """What nobody can read was not worth counting."""
    house = House()
    house.send(draw(FAILING))
    house.after(60)
    samples = analyzer_samples(house.analyzer) | pipeline_samples(house.pipeline.counts)

    assert [key for key in samples if not is_known(key)] == []
    assert samples["analyzer_learned_spans"] == 3
    assert samples["analyzer_suspicious_spans"] == 3
