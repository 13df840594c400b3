"""Every message reaches its destination, as the same bytes, however long that takes."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.contracts import OutboxItem, Signal
from collector.errors import OverloadedError
from collector.store.sqlite import SqliteStore
from tests.collector.exporters.deliveries import Bench, expected, findings, put
from tests.support.answers import message, stored
from tests.support.fakes.clock import ManualClock
from tests.support.fakes.otlp_sink import GrpcSink, HttpSink, Reply, Sink

# -- all is well -----------------------------------------------------------------------------------


def test_findings_arrive_once(store: SqliteStore, sink: Sink, bench: Bench):
    """Fifty findings, in few requests of each signal."""
    put(store, 0, 50)

    bench.steps()

    assert findings(sink) == expected(0, 50)
    spans = [r for r in sink.taken if r.signal == Signal.TRACES]
    assert sum(len(ExportTraceServiceRequest.FromString(r.payload).resource_spans) for r in spans) == 50
    assert len(sink.requests) <= 6
    counters = bench.counters()
    assert (counters["sent_messages"], counters["queued_messages"]) == (100, 0)
    assert (counters["failed_tries"], counters["breaker_state"]) == (0, "closed")


def test_requests_stay_below_what_destinations_take(store: SqliteStore, sink: Sink, bench: Bench):
    """Five messages of 1 MB: gRPC servers take 4 MiB by default."""
    payload = ExportLogsServiceRequest()
    payload.resource_logs.add().schema_url = "x" * 1_000_000
    items = tuple(OutboxItem(b"%d" % n, "otlp", Signal.LOGS, payload.SerializeToString()) for n in range(5))
    store.put([stored(1, exports=items)])

    bench.steps()

    assert sorted(len(request.payload) // 1_000_000 for request in sink.taken) == [2, 3]
    assert store.outbox_count() == 0


def test_other_destinations_are_left_alone(store: SqliteStore, sink: Sink, bench: Bench):
    store.put([stored(1, exports=(OutboxItem(b"k", "webhook", Signal.LOGS, b""),))])

    bench.steps()

    assert sink.requests == []
    assert store.outbox_count() == 1


# -- trouble that passes -----------------------------------------------------------------------------


def test_two_failures_are_overcome_at_once(store: SqliteStore, sink: Sink, bench: Bench):
    """The third quick try gets through: the same bytes three times, one effect."""
    put(store, 1)
    sink.plan(Reply.down(), Reply.down())

    bench.steps()

    logs = [request.payload for request in sink.requests if request.signal == Signal.LOGS]
    assert len(logs) == 3
    assert len(set(logs)) == 1
    assert findings(sink) == expected(1, 1)
    assert store.outbox_count() == 0


def test_after_three_failures_it_waits_longer_each_time(
    store: SqliteStore, sink: Sink, bench: Bench, clock: ManualClock
):
    """About one second, then two; the breaker (five failures) then makes it a minute."""
    store.put([stored(1, exports=(message(1),))])
    sink.always(Reply.down())

    bench.steps()
    assert len(sink.requests) == 3
    clock.advance(0.49)
    bench.steps()
    assert len(sink.requests) == 3
    clock.advance(0.52)
    bench.steps()

    assert len(sink.requests) == 5
    assert bench.counters()["breaker_state"] == "open"
    assert store.outbox_count() == 1


def test_the_bytes_of_every_try_are_the_same(store: SqliteStore, sink: Sink, bench: Bench, clock: ManualClock):
    """Over quick tries, back-off, and the breaker."""
    put(store, 1)
    sink.plan(*[Reply.down()] * 7)
    for _ in range(40):
        bench.steps()
        clock.advance(10)

    logs = {request.payload for request in sink.requests if request.signal == Signal.LOGS}
    spans = {request.payload for request in sink.requests if request.signal == Signal.TRACES}
    assert (len(logs), len(spans)) == (1, 1)
    assert store.outbox_count() == 0


def test_a_wait_that_was_asked_for_is_kept(store: SqliteStore, sink: Sink, bench: Bench, clock: ManualClock):
    """RetryInfo 5 s: nothing for 5 s, not even another message; then all at once."""
    put(store, 1)
    sink.plan(Reply.down(retry_after_s=5))

    bench.steps()
    put(store, 2)
    clock.advance(4.9)
    bench.steps()
    assert len(sink.requests) == 1

    clock.advance(0.1)
    bench.steps()

    assert findings(sink) == expected(1, 2)
    assert bench.counters()["breaker_state"] == "closed"


def test_an_outage_of_an_hour_loses_nothing(store: SqliteStore, sink: Sink, bench: Bench, clock: ManualClock):
    """Findings come in all the while, into two hour files; the destination is not hammered meanwhile."""
    sink.always(Reply.down())
    for minute in range(60):
        put(store, minute * 3, 3)
        bench.steps()
        clock.advance(60)
    calls = len(sink.requests)

    sink.always(None)
    clock.advance(60)
    for _ in range(8):  # half open: one call at a time, then all of it
        bench.steps()
        clock.advance(30)

    assert findings(sink) == expected(0, 180)
    assert store.outbox_count() == 0
    assert calls < 130
    assert bench.counters()["breaker_opened"] >= 1


def test_an_outage_is_said_once_and_so_is_its_end(
    store: SqliteStore, sink: Sink, bench: Bench, clock: ManualClock, caplog: pytest.LogCaptureFixture
):
    """A wrong address must not be found out from counters alone; a hiccup of two tries is not worth a line."""
    caplog.set_level(logging.INFO, logger="collector.exporters.delivery")
    put(store, 1)
    sink.plan(Reply.down(), Reply.down())
    bench.steps()
    assert caplog.messages == []

    sink.always(Reply.down())
    for minute in range(10):
        put(store, 2 + minute)
        bench.steps()
        clock.advance(61)
    told = caplog.messages.copy()
    sink.always(None)
    clock.advance(60)
    for _ in range(8):
        bench.steps()
        clock.advance(30)

    assert len(told) == 1
    assert told[0].startswith("exporter otlp: nothing gets through: ")
    assert caplog.messages == [*told, "exporter otlp: findings get through again"]


def test_seven_of_ten_calls_fail_and_nothing_is_lost(store: SqliteStore, sink: Sink, bench: Bench, clock: ManualClock):
    put(store, 0, 40)
    sink.plan(*[Reply.down() if n % 10 < 7 else Reply() for n in range(200)])
    for _ in range(400):
        bench.steps()
        clock.advance(20)
        if store.outbox_count() == 0:
            break

    assert findings(sink) == expected(0, 40)
    assert store.outbox_count() == 0


def test_a_backlog_survives_the_process(tmp_path: Path, clock: ManualClock):
    """The exporter is killed while its call hangs; the next one delivers the same bytes."""
    child = """
import sys
from collector.clock import SystemClock
from collector.exporters.delivery import Delivery
from collector.exporters.otlp import connect
from collector.exporters.transport import OtlpSettings
from collector.store.sqlite import SqliteStore
store = SqliteStore.open(sys.argv[1])
exporter = Delivery(store, connect(OtlpSettings(sys.argv[2], timeout_s=60)), SystemClock())
exporter.start()
exporter._thread.join()
"""
    store = SqliteStore.open(tmp_path / "shelf", clock=clock)
    put(store, 0, 5)
    store.close()
    with GrpcSink() as sink:
        for _ in range(2):
            sink.plan(Reply(hang=True))
            before = len(sink.requests)
            process = subprocess.Popen([sys.executable, "-c", child, str(tmp_path / "shelf"), sink.endpoint])
            sink.wait_for(before + 1)
            process.kill()
            process.wait(10)
        store = SqliteStore.open(tmp_path / "shelf", clock=clock)
        assert store.outbox_count() == 10
        bench = Bench(store, sink, clock)
        bench.steps()

        assert findings(sink) == expected(0, 5)
        assert len({request.payload for request in sink.requests if request.signal == Signal.LOGS}) == 1
        bench.exporter.stop(10)
        store.close()


def test_delivered_is_not_sent_again_because_our_disk_is_full(
    store: SqliteStore, sink: Sink, bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    """The destination took it; that cannot be written down for a while; it is written down later."""
    put(store, 1)
    done, full = store.outbox_done, threading.Event()
    full.set()

    def outbox_done(row_ids: list[int]) -> None:
        if full.is_set():
            raise OverloadedError("disk full", "disk_full")
        done(row_ids)

    monkeypatch.setattr(store, "outbox_done", outbox_done)
    for _ in range(5):
        bench.exporter.step()
    assert findings(sink) == expected(1, 1)
    assert store.outbox_count() == 2

    full.clear()
    bench.steps()

    assert store.outbox_count() == 0
    assert findings(sink) == expected(1, 1)
    assert len(sink.requests) == 2


# -- trouble that stays --------------------------------------------------------------------------------


def test_a_refused_message_becomes_a_dead_letter(store: SqliteStore, sink: Sink, bench: Bench):
    put(store, 1)
    sink.plan(Reply.permanent("no such tenant"), Reply.permanent("no such tenant"))

    bench.steps()

    assert (store.outbox_count(), store.dead_letter_count()) == (0, 2)
    assert len(sink.requests) == 2
    assert "no such tenant" in str(bench.counters()["last_reason"])
    assert bench.counters()["dead_letters"] == 2
    assert bench.counters()["breaker_state"] == "closed"


def test_one_bad_message_does_not_take_its_neighbours(
    store: SqliteStore, bench: Bench, sink: Sink, monkeypatch: pytest.MonkeyPatch
):
    """Sixteen in a request, one of them refused: it is found by halving, fifteen arrive."""
    store.put([stored(1, exports=tuple(OutboxItem(b"%d" % n, "otlp", Signal.LOGS, bytes([n])) for n in range(16)))])
    note = sink.note

    def picky(request):  # type: ignore[no-untyped-def]
        if 11 in request.payload:
            sink._plan.appendleft(Reply.permanent("not 11"))
        return note(request)

    monkeypatch.setattr(sink, "note", picky)
    bench.steps()

    assert sorted(b"".join(request.payload for request in sink.taken)) == [n for n in range(16) if n != 11]
    assert (store.outbox_count(), store.dead_letter_count()) == (0, 1)
    assert bench.counters()["sent_messages"] == 15


def test_partial_success_is_counted_and_not_repeated(store: SqliteStore, sink: Sink, bench: Bench):
    """OTLP: the client must not send the rejected ones again."""
    put(store, 1)
    sink.plan(Reply.partial(2, "too old"))

    bench.steps()

    assert len(sink.requests) == 2
    counters = bench.counters()
    assert (counters["rejected_records"], counters["dead_letters"], counters["sent_messages"]) == (2, 1, 1)
    assert (store.outbox_count(), store.dead_letter_count()) == (0, 1)


def test_after_a_partial_success_the_next_rejection_names_its_message(store: SqliteStore, sink: Sink, bench: Bench):
    """The destination does not say which; requests of one message do."""
    put(store, 0, 32)
    sink.plan(Reply.partial(1))
    bench.steps()
    began = len(sink.requests)
    put(store, 100, 1)
    sink.plan(Reply.partial(1))

    bench.steps()

    first = ExportLogsServiceRequest.FromString(sink.requests[began].payload)
    assert len(first.resource_logs) == 1


def test_a_destination_that_accepts_and_hangs(store: SqliteStore, sink: GrpcSink | HttpSink, clock: ManualClock):
    """Three tries to the deadline; the row stays."""
    put(store, 1)
    sink.always(Reply(hang=True))
    bench = Bench(store, sink, clock, timeout_s=0.1)

    bench.steps()

    assert len(sink.requests) == 3
    assert store.outbox_count() == 2
    bench.exporter.stop(10)
