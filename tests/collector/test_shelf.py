"""Batches reach the store in order, whatever the store does; what is queued at a stop is written."""

from __future__ import annotations

import threading
from typing import Any

from analyzer.findings import Answer
from collector.clock import SystemClock
from collector.contracts import OutboxItem, Signal, StoredTrace
from collector.shelf import ShelfWriter


class Store:
    """Takes notes; refuses as often as it is told to."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.taken: list[Any] = []
        self.retained = threading.Event()

    def put(self, traces: Any, clean: Any, rollups: Any, edges: Any, partial: Any = (), untold: Any = ()) -> None:
        if self.refusals:
            self.refusals -= 1
            raise OSError("disk full")
        self.taken.append((list(traces), list(clean)))

    def save_state(self, name: str, blob: bytes) -> None:
        self.taken.append((name, blob))

    def retain(self, now_ns: int) -> None:
        self.retained.set()


def trace(number: int, exports: tuple[OutboxItem, ...] = ()) -> StoredTrace:
    trace_id = number.to_bytes(16, "big")
    return StoredTrace(trace_id, Answer(trace_id=trace_id.hex(), status="finding"), None, None, exports)


def write(store: Store, *batches: Any, on_stored: Any = lambda: None) -> ShelfWriter:
    shelf = ShelfWriter(store, SystemClock(), on_stored)  # type: ignore[arg-type]
    shelf.start()
    for batch in batches:
        shelf.put(batch, (), (), ())
    assert shelf.stop(10.0)
    return shelf


def test_batches_keep_their_order():
    store = Store()

    write(store, [trace(1)], [trace(2)], [trace(3)])

    assert [batch[0][0].name[-1] for batch in store.taken] == [1, 2, 3]


def test_a_refused_batch_is_tried_again_and_nothing_overtakes_it(monkeypatch: Any):
    monkeypatch.setattr("collector.shelf.RETRY_S", 0.01)
    store = Store(refusals=3)

    shelf = write(store, [trace(1)], [trace(2)])

    assert [batch[0][0].name[-1] for batch in store.taken] == [1, 2]
    assert shelf.failed_puts == 3
    assert shelf.stored_traces == 2


def test_the_exporter_is_woken_only_when_there_is_something_to_send():
    woken: list[int] = []
    item = OutboxItem(b"k", "otlp", Signal.LOGS, b"payload")

    write(Store(), [trace(1)], on_stored=lambda: woken.append(1))
    assert woken == []
    write(Store(), [trace(1, (item,))], on_stored=lambda: woken.append(1))

    assert woken == [1]


def test_an_empty_batch_is_not_written():
    store = Store()

    write(store, [])

    assert store.taken == []


def test_retention_runs():
    store = Store()

    write(store, [trace(1)])

    assert store.retained.is_set()


def test_a_full_queue_does_not_hold_a_stop(monkeypatch: Any):
    """A store that refuses for ever: the stop ends in its time all the same, and says that not all was written."""
    monkeypatch.setattr("collector.shelf.BATCHES_MAX", 1)
    monkeypatch.setattr("collector.shelf.RETRY_S", 0.01)
    shelf = ShelfWriter(Store(refusals=10**9), SystemClock())  # type: ignore[arg-type]
    shelf.start()
    shelf.put([trace(1)], (), (), ())
    while shelf.queued:  # the writer has taken it
        threading.Event().wait(0.001)
    shelf.put([trace(2)], (), (), ())

    assert not shelf.stop(0.2)
