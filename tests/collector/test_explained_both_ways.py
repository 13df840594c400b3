"""One trace has one group: explained as it came, or when somebody asked for it.

Rows: drawn traces of every kind (exceptions, none, timeouts, retries, logs), and text that wants to be more. Columns: by
the engine from spans as they came in; from the bytes that were stored; by the engine, on request, of what it had told
in brief.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from analyzer.findings import NOT_EXPLAINED, Answer
from analyzer.strings import new_vocabulary
from collector import explaining
from collector.app.query_room import ExplainingStore
from collector.contracts import Signal
from collector.offline import Explainer, TraceReader, new_analyzer
from collector.recall import reread
from collector.redaction import Redactor
from collector.samples import pipeline_samples
from collector.store.sqlite import SqliteStore
from collector.wire.detail import read_detail
from collector.wire.encode import encode_logs, encode_traces
from collector.wire.masking import masked_details, masked_request
from tests.support.counting import Counting
from tests.support.drawing import EPOCH_NS, Drawing, draw, healthy
from tests.support.hostile_text import PAYLOADS, hostile_trace
from tests.support.shop import FAULTS, HEALTHY
from tests.support.situations.every import SITUATIONS
from tests.support.stepping import (
    CLEAN,
    FAILING,
    SECOND_NS,
    House,
    ManualClock,
    one_of_two_in_brief,
    put_on_disk,
    slow_words,
)

Requests = tuple[bytes, bytes]

# Whose fault it is rests on what was learned: once the page is seen to go on without ads, it must have failed by itself.
BOTH_FAILED = """
shop GET /home 0..50 ERROR !PageError: "no page"
  shop CLIENT GET 5..20 ERROR server.address=ads !AdsError: "no ads"
"""
WITHOUT_ADS = BOTH_FAILED.replace('ERROR !PageError: "no page"', "OK")
ADS_WENT_WELL = BOTH_FAILED.replace('ERROR server.address=ads !AdsError: "no ads"', "server.address=ads")


def drawn() -> list[Requests]:
    payloads = enumerate(PAYLOADS.values(), 101)
    hostile = [hostile_trace(text, "http://127.0.0.1:1/", bytes([n]) * 16, EPOCH_NS) for n, text in payloads]
    return [one.requests() for one in drawings()] + hostile


def drawings() -> list[Drawing]:
    return [Drawing(one.drawing().spans, bytes([n]) * 16) for n, one in enumerate((*SITUATIONS, *FAULTS), 1)]


def in_pieces(requests: Requests) -> Iterator[tuple[bytes, Signal]]:
    """Each span and each log record in a request of its own."""
    for spans in ExportTraceServiceRequest.FromString(requests[0]).resource_spans:
        for scope in spans.scope_spans:
            for span in scope.spans:
                one = ExportTraceServiceRequest()
                group = one.resource_spans.add(resource=spans.resource)
                group.scope_spans.add(scope=scope.scope).spans.append(span)
                yield one.SerializeToString(), Signal.TRACES
    for logs in ExportLogsServiceRequest.FromString(requests[1]).resource_logs:
        for of_scope in logs.scope_logs:
            for record in of_scope.log_records:
                two = ExportLogsServiceRequest()
                several = two.resource_logs.add(resource=logs.resource)
                several.scope_logs.add(scope=of_scope.scope).log_records.append(record)
                yield two.SerializeToString(), Signal.LOGS


def group_of(answer: Answer | None) -> str:
    return answer.group.id if answer is not None and answer.group is not None else ""


def test_what_is_read_from_the_shelf_is_in_the_group_of_what_came_in():
    """In pieces and in any order on one side, masked and sorted by service on the other; the same was learned."""
    redactor = Redactor()
    vocabulary = new_vocabulary(clean=redactor.text)
    details = masked_details(read_detail, redactor)
    analyzer = new_analyzer()
    usual = TraceReader(vocabulary, details=details)
    for text in HEALTHY:
        for one in healthy(draw(text), 100):
            usual.add(one.requests()[0], Signal.TRACES)
    analyzer.learn(analyzer.analyse(usual.batch()), EPOCH_NS)
    came = TraceReader(vocabulary, details=details)
    pieces = [piece for requests in drawn() for piece in in_pieces(requests)]
    random.Random(7).shuffle(pieces)
    for payload, signal in pieces:
        came.add(payload, signal)
    traces = came.batch()
    verdicts = analyzer.analyse(traces)
    explain = Explainer(analyzer.save, ManualClock())
    differ, named = [], set()

    for index in range(traces.trace_count):
        first = analyzer.explain(verdicts, index)
        stored = [(masked_request(encode_traces(traces, index), Signal.TRACES, redactor), Signal.TRACES)]
        if logs := masked_request(encode_logs(traces, index), Signal.LOGS, redactor):
            stored.append((logs, Signal.LOGS))
        (again,) = explain(stored)
        named.add(group_of(first))
        if group_of(again) != group_of(first):
            differ.append((first, again))

    assert differ == []
    assert len(named) > 80


@pytest.fixture
def busy(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """An engine that has had no time to explain any of the drawn traces; then it has, and learned of them all."""
    house = Counting()
    slow_words(house, monkeypatch, 2 * SECOND_NS, 0)
    house.send(draw(FAILING))
    house.after(30)
    for drawing in drawings():
        house.send(drawing)
    house.after(30)
    monkeypatch.undo()
    house.after(1000)
    return house


def on_request(house: House, trace_id: bytes) -> Answer | None:
    """What the engine says when it is asked between two batches; each question a second after the one before."""
    house.clock.ns += SECOND_NS
    return house.pipeline.on_request.explain(trace_id)


def test_who_asks_finds_what_everybody_finds_and_a_group_that_is_kept(busy: Counting):
    brief = [stored for stored in busy.shelf.traces if stored.answer.status_reason == NOT_EXPLAINED]
    first = {stored.name: on_request(busy, stored.name) for stored in brief}
    busy.after(2)

    for seed in range(300):  # more is learned meanwhile
        busy.send(draw(CLEAN, seed=1000 + seed))
    busy.after(30)
    again = {trace_id: on_request(busy, trace_id) for trace_id in first}
    busy.after(2)

    assert len(brief) > 40
    groups = {trace_id: group_of(answer) for trace_id, answer in first.items() if answer is not None}
    assert {trace_id: group_of(again[trace_id]) for trace_id in groups} == groups
    assert {group for group in groups.values() if group} - busy.shelf.groups.keys() == set()
    assert all(group_of(busy.shelf.found(trace_id).answer) == group for trace_id, group in groups.items())


def test_what_is_learned_later_changes_no_answer_that_was_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Told in brief, asked for, and asked for again when explaining it anew would put it in another group."""
    house = Counting()
    slow_words(house, monkeypatch, 2 * SECOND_NS, 0)
    drawing = draw(BOTH_FAILED, seed=2)
    house.send(draw(FAILING))
    house.send(drawing)
    house.after(30)
    first = on_request(house, drawing.trace_id)
    for seed in range(500):
        house.send(draw(WITHOUT_ADS if seed % 5 else ADS_WENT_WELL, seed=1000 + seed))
    house.after(30)
    anew = house.analyzer.answer(reread(house.shelf.found(drawing.trace_id), house.words, read_detail))
    writer = SqliteStore.open(tmp_path)
    writer.put(house.shelf.traces)
    store = ExplainingStore.open(tmp_path, read_only=True)

    found = store.find(drawing.trace_id).answer

    assert found == first == on_request(house, drawing.trace_id)
    assert group_of(found) in house.shelf.groups
    assert group_of(anew) not in ("", group_of(found))
    store.close()


def test_a_late_span_follows_what_was_kept_on_request(monkeypatch: pytest.MonkeyPatch):
    """Told in brief (1), explained on request (2), and once more with what came late (3)."""
    house = Counting()
    slow_words(house, monkeypatch, 2 * SECOND_NS, 0)
    drawing = draw(FAILING, seed=2)
    house.send(draw(FAILING))
    house.send(Drawing(drawing.spans[:2], drawing.trace_id))
    house.after(8)
    monkeypatch.undo()
    asked = on_request(house, drawing.trace_id)
    house.send(Drawing(drawing.spans[2:], drawing.trace_id))
    house.after(30)

    told = [stored.answer for stored in house.shelf.traces if stored.name == drawing.trace_id]

    assert [answer.revision for answer in told] == [1, 2, 3]
    assert told[1] == asked
    assert told[2].root_causes[0].origin_spans[0].operation == "Charge"


def test_words_for_who_asks_for_everything_have_an_end(monkeypatch: pytest.MonkeyPatch):
    """Two seconds each: one is explained and kept; who asks at once for another is told by somebody else."""
    house = Counting()
    slow_words(house, monkeypatch, 2 * SECOND_NS, 0)
    for seed in range(3):
        house.send(draw(FAILING, seed=seed))
    house.after(30)
    brief = [stored.name for stored in house.shelf.traces if stored.answer.status_reason == NOT_EXPLAINED]

    answers = [house.pipeline.on_request.explain(trace_id) for trace_id in brief]

    assert [answer is None for answer in answers] == [False, True]
    assert (house.pipeline.counts.asked_traces, house.pipeline.counts.refused_asks) == (1, 1)


def test_an_answer_nobody_keeps_names_no_group_nobody_keeps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The engine has no time: explained elsewhere, and the group it would be in may never be counted."""
    house = one_of_two_in_brief(monkeypatch)
    store = put_on_disk(house, tmp_path)
    asked: list[bytes] = []
    store.ask_engine = lambda trace_id, timeout_s: asked.append(trace_id)

    found = store.find(house.shelf.traces[1].name).answer

    assert asked == [house.shelf.traces[1].name]
    assert found is not None
    assert (found.status, found.group) == ("finding", None)
    store.close()


def test_the_memory_of_what_was_kept_is_bounded(busy: Counting, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(explaining, "KEPT_MAX", 3)
    brief = [stored for stored in busy.shelf.traces if stored.answer.status_reason == NOT_EXPLAINED]

    for stored in brief[:9]:
        on_request(busy, stored.name)

    assert len(busy.pipeline.on_request) == 3
    assert pipeline_samples(busy.pipeline.counts)["analyzer_evicted_keys|asked"] == 6
