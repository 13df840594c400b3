"""Words have a share of the engine's time; what comes beyond it is told in brief, then counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector import telling
from collector.allowance import SAVED_NS, Allowance
from collector.contracts import Signal
from tests.support.drawing import draw
from tests.support.stepping import CLEAN, FAILING, SECOND_NS, House, one_of_two_in_brief, put_on_disk, slow_words


def test_an_allowance_grows_with_time_and_may_be_overdrawn_by_one():
    """A quarter of the time: four moments bring one; what is saved up has a bound."""
    allowance = Allowance(0.25, 0)
    allowance.spend(SAVED_NS + 1)
    assert not allowance.is_left(0)
    assert not allowance.is_left(3)
    assert allowance.is_left(8)
    assert allowance.is_left(1000 * SECOND_NS)
    allowance.spend(SAVED_NS)
    assert not allowance.is_left(1000 * SECOND_NS)


def test_beyond_its_share_a_trace_is_told_in_brief(monkeypatch: pytest.MonkeyPatch):
    """Explaining takes 2 s each: the first uses up what was saved, the others say what, not where."""
    house = House()
    slow_words(house, monkeypatch, 2 * SECOND_NS, 0)
    for seed in range(5):
        house.send(draw(FAILING, seed=seed))

    house.after(30)

    answers = [stored.answer for stored in house.shelf.traces]
    assert [answer.status for answer in answers] == ["finding"] + ["unknown"] * 4
    assert {answer.verdict for answer in answers} == {"error"}
    assert all("than there was time to explain" in answer.status_reason for answer in answers[1:])
    assert all(stored.trace_otlp for stored in house.shelf.traces)
    assert house.pipeline.counts.explained_traces == 1
    assert house.pipeline.counts.brief_traces == 4
    assert house.shelf.clean == []


def test_what_is_told_in_brief_is_exported_with_its_finding(monkeypatch: pytest.MonkeyPatch):
    """Acknowledged, found, told: the backend hears of it at the span where the trace came in."""
    house = House()
    slow_words(house, monkeypatch, 2 * SECOND_NS, 0)
    drawings = {drawing.trace_id: drawing for drawing in (draw(FAILING, seed=seed) for seed in range(2))}
    for drawing in drawings.values():
        house.send(drawing)

    house.after(30)

    brief = house.shelf.traces[1]
    assert brief.answer.status == "unknown"
    spans = next(item for item in brief.exports if item.signal is Signal.TRACES)
    (annotation,) = ExportTraceServiceRequest.FromString(spans.payload).resource_spans[0].scope_spans[0].spans
    assert (annotation.trace_id, annotation.name) == (brief.name, "firstfault brief")
    assert annotation.end_time_unix_nano - annotation.start_time_unix_nano == 100_000_000
    assert annotation.parent_span_id == drawings[brief.name].spans[0].span_id


def test_clean_traces_leave_time_for_the_next_failing_one(monkeypatch: pytest.MonkeyPatch):
    """Twenty clean ones at 100 ms each would use up all that was saved; half of it is not theirs."""
    house = House(clean_per_second=1000.0)
    slow_words(house, monkeypatch, SECOND_NS // 10, 0)
    for seed in range(20):
        house.send(draw(CLEAN, seed=seed))
    house.after(30)
    clean = len(house.shelf.traces)
    house.send(draw(FAILING, seed=99))

    house.pipeline.step()
    house.after(30)

    assert 0 < clean < 20
    assert len(house.shelf.clean) == 20 - clean
    assert house.shelf.traces[-1].answer.status == "finding"


def test_beyond_that_it_is_only_counted_and_never_called_clean(monkeypatch: pytest.MonkeyPatch):
    house = House()
    slow_words(house, monkeypatch, 20 * SECOND_NS, 2 * SECOND_NS)
    for seed in range(5):
        house.send(draw(FAILING, seed=seed))

    house.after(30)

    counts = house.pipeline.counts
    assert (counts.explained_traces, counts.brief_traces, counts.untold_traces) == (1, 1, 3)
    told = [stored.name for stored in house.shelf.traces]
    assert house.shelf.clean == []
    assert sorted(told + house.shelf.untold) == sorted(draw(FAILING, seed=seed).trace_id for seed in range(5))


def test_time_that_passes_gives_words_again(monkeypatch: pytest.MonkeyPatch):
    """A fifth of thirty seconds pays for what was overdrawn."""
    house = House()
    slow_words(house, monkeypatch, 2 * SECOND_NS, 0)
    house.send(draw(FAILING, seed=1))
    house.after(30)
    house.send(draw(FAILING, seed=2))
    house.after(30)

    assert house.pipeline.counts.explained_traces == 2


def test_failing_traces_are_told_before_slow_ones(monkeypatch: pytest.MonkeyPatch):
    """One is told in full: the failing one, wherever it stands in its batch."""
    house = House()
    monkeypatch.setattr(house.analyzer.baselines, "is_slow", lambda score, ns: ns >= 0)
    slow_words(house, monkeypatch, 2 * SECOND_NS, 0)
    for seed in range(4):
        house.send(draw(FAILING if seed == 2 else CLEAN, seed=seed))

    house.after(30)

    found = {stored.name: stored.answer for stored in house.shelf.traces}
    assert found[draw(FAILING, seed=2).trace_id].status == "finding"
    assert {answer.verdict for answer in found.values()} == {"error", "latency"}


def test_a_trace_that_cannot_be_explained_is_not_called_clean(monkeypatch: pytest.MonkeyPatch):
    house = House()

    def fail(*_: Any) -> Any:
        raise RuntimeError("our own bug")

    monkeypatch.setattr(house.analyzer, "explain_errors", fail)
    house.send(draw(FAILING))

    house.after(30)

    assert house.pipeline.counts.failed_traces == 1
    assert house.shelf.clean == []
    assert house.shelf.untold == [draw(FAILING).trace_id]


def test_while_requests_wait_words_have_less_time():
    """Overdrawn by a second: at a twentieth of the time that is paid after twenty, at a tenth after ten."""
    for share, seconds in ((telling.HURRIED_SHARE, 20), (telling.EXPLAIN_SHARE, 10)):
        allowance = Allowance(share, 0)
        allowance.spend(SAVED_NS + SECOND_NS)
        assert not allowance.is_left(seconds * SECOND_NS - 1)
        assert allowance.is_left(seconds * SECOND_NS + 100)


def test_the_engine_is_in_a_hurry_while_requests_wait(monkeypatch: pytest.MonkeyPatch):
    house = House()
    hurried: list[bool] = []
    tell = telling.Teller.tell

    def seen(teller: Any, *arguments: Any, **named: Any) -> None:
        hurried.append(named["hurried"])
        tell(teller, *arguments, **named)

    monkeypatch.setattr(telling.Teller, "tell", seen)
    monkeypatch.setattr("collector.pipeline.INGEST_SLICE", 1)
    house.send(draw(CLEAN, seed=1))
    house.pipeline.step()
    house.clock.ns += 30 * SECOND_NS
    house.send(draw(CLEAN, seed=2))
    house.send(draw(CLEAN, seed=3))

    house.after(30)

    assert hurried == [True, False]


def test_in_a_hurry_the_engine_keeps_time_for_the_rest():
    """Briefs may cost intake (what is refused comes again), but never all of it."""
    assert telling.HURRIED_SHARE + telling.BRIEF_SHARE <= 0.6


def test_what_was_told_in_brief_is_explained_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The bytes are on the shelf: who asks gets the finding, under the revision it was told as."""
    house = one_of_two_in_brief(monkeypatch)
    reader = put_on_disk(house, tmp_path)

    found = [reader.find(stored.name).answer for stored in house.shelf.traces]

    assert [stored.answer.status for stored in house.shelf.traces] == ["finding", "unknown"]
    assert [answer.status for answer in found if answer] == ["finding", "finding"]
    assert {answer.root_causes[0].entity.service for answer in found if answer} == {"payment"}
    reader.close()
