"""The thread of a delivery: it runs by itself, and stops in time."""

from __future__ import annotations

import threading

import pytest

from collector.errors import OverloadedError
from collector.store.sqlite import SqliteStore
from tests.collector.exporters.deliveries import Bench, expected, findings, put
from tests.support.fakes.clock import ManualClock
from tests.support.fakes.otlp_sink import Reply, Sink


def test_it_runs_by_itself(store: SqliteStore, sink: Sink, bench: Bench):
    """Woken by a put, through a short outage, to the end."""
    sink.plan(Reply.down())
    bench.exporter.start()
    put(store, 0, 5)
    bench.exporter.wake()

    sink.wait_taken(2)

    assert bench.exporter.stop(10)
    assert findings(sink) == expected(0, 5)
    assert store.outbox_count() == 0
    assert not bench.exporter.alive


def test_stop_delivers_what_is_due(store: SqliteStore, sink: Sink, bench: Bench):
    """Started and stopped at once: the backlog still goes out."""
    put(store, 0, 300)
    bench.exporter.start()

    assert bench.exporter.stop(30)
    assert findings(sink) == expected(0, 300)


def test_stop_ends_a_call_that_hangs(store: SqliteStore, sink: Sink, clock: ManualClock):
    """The deadline is a minute away; stop has one second. The row stays for the next start."""
    put(store, 1)
    sink.always(Reply(hang=True))
    bench = Bench(store, sink, clock, timeout_s=60)  # type: ignore[arg-type]
    bench.exporter.start()
    sink.wait_for(1)

    assert bench.exporter.stop(1.0)
    assert store.outbox_count() == 2
    assert len(sink.requests) == 1


def test_nothing_is_sent_after_stop(store: SqliteStore, sink: Sink, bench: Bench):
    bench.exporter.start()
    assert bench.exporter.stop(10)
    put(store, 1)
    bench.exporter.wake()

    assert sink.requests == []


def test_stop_without_start_is_nothing(bench: Bench):
    assert bench.exporter.stop(1)


def test_a_store_that_fails_does_not_end_the_thread(
    store: SqliteStore, sink: Sink, bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    """It is counted, and asked again."""
    take, failed = store.outbox_take, threading.Event()

    def outbox_take(*args, **kwargs):  # type: ignore[no-untyped-def]
        if not failed.is_set():
            failed.set()
            raise OverloadedError("no disk", "store_failed")
        return take(*args, **kwargs)

    monkeypatch.setattr(store, "outbox_take", outbox_take)
    put(store, 1)
    bench.exporter.start()
    sink.wait_taken(2)

    assert bench.counters()["store_errors"] == 1
    assert bench.exporter.stop(10)
