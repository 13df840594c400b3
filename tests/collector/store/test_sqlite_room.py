"""What leaves when there is no room: the oldest first, messages last, all of it counted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from collector.contracts import FindingQuery, Rollup
from collector.store.sqlite import SqliteStore
from tests.support.answers import checkout, message, stored, trace_id
from tests.support.fakes.clock import EPOCH_NS, SECOND_NS, ManualClock

NOW_FILE = "traces-2025100908.sqlite"  # the hour of EPOCH_NS
MIB = 2**20


def test_the_oldest_hour_leaves_first(folder: Path, clock: ManualClock):
    """Three hours of 1 MiB under a quota of 2.5 MiB; the message that waited in the first is counted."""
    store = SqliteStore.open(folder, clock=clock, bytes_max=5 * MIB // 2)
    for hour in range(3):
        store.put(
            [stored(hour * 100 + number, otlp=os.urandom(MIB // 8)) for number in range(8)]
            + [stored(hour * 100 + 50, exports=(message(hour),))]
        )
        clock.advance(3600)
    clock.advance(-3600)

    store.retain(clock.now_ns())

    assert [store.find(trace_id(number)).status for number in (0, 100, 200)] == ["expired", "stored", "stored"]
    counters = store.counters()
    assert (counters["expired_files"], counters["expired_traces"], counters["outbox_dropped"]) == (1, 9, 1)
    assert store.outbox_count() == 2
    store.close()


def test_one_hour_that_outgrows_the_quota_is_trimmed(folder: Path, clock: ManualClock):
    """Its oldest traces leave; its messages stay; its pages are used again, so the file stops growing."""
    store = SqliteStore.open(folder, clock=clock, bytes_max=2 * MIB)
    for round_ in range(8):
        store.put(
            [
                stored(round_ * 10 + n, otlp=os.urandom(MIB // 10), exports=(message(round_ * 10 + n),))
                for n in range(10)
            ]
        )
        store.retain(clock.now_ns())

    assert [store.find(trace_id(number)).status for number in (0, 79)] == ["expired", "stored"]
    assert store.outbox_count() == 80
    assert store.counters()["outbox_dropped"] == 0
    assert (folder / NOW_FILE).stat().st_size < 5 * MIB
    store.close()


def test_messages_leave_last_and_counted(folder: Path, clock: ManualClock):
    """A destination that is down for an hour fills the quota by itself."""
    store = SqliteStore.open(folder, clock=clock, bytes_max=2 * MIB)
    for number in range(40):
        store.put([stored(number, exports=(message(number, payload=os.urandom(MIB // 10)),))])
        store.retain(clock.now_ns())

    counters = store.counters()
    assert 0 < counters["outbox_dropped"] < 40
    assert store.outbox_count() == 40 - counters["outbox_dropped"]
    assert len(store.outbox_take("otlp", 100, EPOCH_NS)) == store.outbox_count()
    assert store.outbox_take("otlp", 1, EPOCH_NS)[0].key != b"key-0"
    store.close()


def test_rollups_do_not_push_the_answers_out(folder: Path, clock: ManualClock):
    """They have a quarter of the quota; their oldest minutes leave."""
    store = SqliteStore.open(folder, clock=clock, bytes_max=4 * MIB)
    store.put([stored(1)])
    minute = EPOCH_NS // (60 * SECOND_NS) - 100
    for step in range(100):
        store.put([], rollups=[Rollup(minute + step, "s", f"operation {n:060d}", 2, 1, 0, 1, 1) for n in range(300)])
        store.retain(clock.now_ns())

    assert store._meta.read(lambda meta: meta.used_bytes(), 0) < 2 * MIB
    assert store.find(trace_id(1)).status == "stored"
    assert store.services((minute + 99) * 60 * SECOND_NS, EPOCH_NS) != []
    assert store.services(minute * 60 * SECOND_NS, (minute + 1) * 60 * SECOND_NS) == []
    store.close()


def test_more_hours_than_connections(folder: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch):
    """Connections are closed and opened again; every hour still answers."""
    monkeypatch.setattr("collector.store.hours.OPEN_MAX", 3)
    store = SqliteStore.open(folder, clock=clock)
    for hour in range(8):
        store.put([stored(hour, answer=checkout(hour, start_ns=clock.now_ns()), exports=(message(hour),))])
        clock.advance(3600)

    assert [row.trace_id for row in store.findings(FindingQuery()).rows] == [
        trace_id(n).hex() for n in range(7, -1, -1)
    ]
    assert {store.find(trace_id(number)).status for number in range(8)} == {"stored"}
    assert [item.key for item in store.outbox_take("otlp", 10, EPOCH_NS)] == [b"key-%d" % n for n in range(8)]
    store.close()
