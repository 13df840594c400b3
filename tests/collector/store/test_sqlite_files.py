"""What SQLite files promise beyond the contract: who may read them, all or nothing, several processes."""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import random
import sqlite3
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from collector.contracts import FindingQuery, OutboxItem, Rollup, Signal
from collector.errors import OverloadedError, PermanentError
from collector.store.database import NewerFileError
from collector.store.ownership import StoreInUseError
from collector.store.sqlite import SqliteStore
from tests.support.answers import checkout, message, stored, trace_id
from tests.support.fakes.clock import EPOCH_NS, ManualClock

NOW_FILE = "traces-2025100908.sqlite"  # the hour of EPOCH_NS
MIB = 2**20


# -- memory ------------------------------------------------------------------------------------


def test_what_was_written_does_not_stay_in_memory(store: SqliteStore):
    """Both files together keep a few pages; a cache that fills for ten minutes looks like a leak all the while."""
    memory_used = ctypes.CDLL(_sqlite3.__file__).sqlite3_memory_used
    memory_used.restype = ctypes.c_int64
    before = memory_used()
    rng = random.Random(8)
    for first in range(0, 4000, 200):
        store.put(
            [replace(stored(first + n), trace_otlp=rng.randbytes(6000)) for n in range(200)],
            [rng.randbytes(16) for _ in range(10_000)],
        )

    assert memory_used() - before < 10 * MIB


# -- names and modes ---------------------------------------------------------------------------


def test_nobody_else_may_read(store: SqliteStore, folder: Path):
    store.put([stored(1)])

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {NOW_FILE, f"{NOW_FILE}-wal", "meta.sqlite", "writer.lock"} <= set(modes)
    assert set(modes.values()) == {0o600}


def test_a_planted_link_is_not_followed(store: SqliteStore, folder: Path, tmp_path: Path):
    """Somebody who may write the directory cannot make us write elsewhere."""
    target = tmp_path / "elsewhere"
    target.write_bytes(b"")
    (folder / NOW_FILE).symlink_to(target)

    with pytest.raises(NewerFileError, match="symbolic link"):
        store.put([stored(1)])

    assert target.read_bytes() == b""


def test_one_writer_a_directory(store: SqliteStore, folder: Path):
    with pytest.raises(StoreInUseError, match="written by another process; expected one writer"):
        SqliteStore.open(folder)


def test_a_newer_file_is_left_alone(folder: Path, clock: ManualClock):
    """After a rollback of the program the files of the newer one are refused, not changed."""
    store = SqliteStore.open(folder, clock=clock)
    store.put([stored(1)])
    store.close()
    db = sqlite3.connect(folder / NOW_FILE)
    db.execute("PRAGMA user_version = 99")
    db.close()
    before = (folder / NOW_FILE).read_bytes()

    with pytest.raises(NewerFileError, match="schema version 99; this program knows 1"):
        SqliteStore.open(folder, clock=clock)

    assert (folder / NOW_FILE).read_bytes() == before
    db = sqlite3.connect(folder / NOW_FILE)
    db.execute("PRAGMA user_version = 1")
    db.close()
    store = SqliteStore.open(folder, clock=clock)  # the refusal held no lock
    assert store.find(trace_id(1)).status == "stored"
    store.close()


# -- all or nothing -----------------------------------------------------------------------------


def test_a_finding_without_its_message_is_not_kept(store: SqliteStore):
    """The message cannot be written (a key must be there), so the finding is not either."""
    broken = OutboxItem(key=None, destination="otlp", signal=Signal.LOGS, payload=b"")  # type: ignore[arg-type]
    store.put([stored(1)])

    with pytest.raises(OverloadedError, match="NOT NULL"):
        store.put([stored(2, exports=(message(1), broken))])

    assert store.find(trace_id(2)).status == "unknown"
    assert store.outbox_count() == 0


def test_a_full_disk_is_refused_and_work_goes_on_after(store: SqliteStore):
    """Nothing of the put that did not fit is there; the same put succeeds when there is room."""
    store.put([stored(1)])
    db = store._files.connection(store._files.hours[0])
    assert db is not None
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages}")
    big = [stored(number, otlp=os.urandom(20_000), exports=(message(number),)) for number in range(2, 30)]

    with pytest.raises(OverloadedError) as caught:
        store.put(big)

    assert caught.value.reason == "disk_full"
    assert store.find(trace_id(2)).status == "unknown"
    assert store.outbox_count() == 0
    db.execute("PRAGMA max_page_count = 1000000")
    store.put(big)
    assert store.find(trace_id(29)).status == "stored"
    assert store.outbox_count() == 28


def test_one_trace_that_cannot_be_written_costs_only_itself(store: SqliteStore):
    """Its id is too short; it is counted and logged."""
    store.put([stored(1), replace(stored(2), name=b"abc"), stored(3)])

    assert [store.find(trace_id(number)).status for number in (1, 2, 3)] == ["stored", "unknown", "stored"]
    assert store.counters()["unpackable_traces"] == 1


def test_text_that_is_not_unicode_is_kept(store: SqliteStore):
    store.put([stored(1, answer=checkout(1, service="a\ud800b"))])

    (row,) = store.findings(FindingQuery()).rows

    assert row.service == "a?b"
    found = store.find(trace_id(1))
    assert found.answer is not None
    assert found.answer.root_causes[0].entity.service == "a?b"


# -- other processes -------------------------------------------------------------------------------


def test_a_reader_sees_new_hours(store: SqliteStore, folder: Path, clock: ManualClock):
    """It was opened before there was any file."""
    reader = SqliteStore.open(folder, read_only=True)
    assert reader.find(trace_id(1)).status == "unknown"

    store.put([stored(1)], clean_trace_ids=[trace_id(2)], rollups=[Rollup(1, "a", "x", 2, 1, 0, 1, 1)])
    clock.advance(3600)
    store.put([stored(3, exports=(message(1),))])

    assert [reader.find(trace_id(number)).status for number in (1, 2, 3)] == ["stored", "clean", "stored"]
    assert len(reader.findings(FindingQuery()).rows) == 2
    assert len(reader.services(0, EPOCH_NS)) == 1
    assert reader.outbox_count() == 1
    reader.close()


def test_a_reader_may_come_before_the_directory(tmp_path: Path):
    reader = SqliteStore.open(tmp_path / "later", read_only=True)

    assert reader.find(trace_id(1)).status == "unknown"
    assert reader.findings(FindingQuery()).rows == []
    assert reader.load_state("baselines") is None
    reader.close()


def test_a_reader_lets_go_of_hours_that_left(store: SqliteStore, folder: Path, clock: ManualClock):
    store.put([stored(1)])
    reader = SqliteStore.open(folder, read_only=True)
    assert reader.find(trace_id(1)).status == "stored"

    clock.advance(100 * 3600)
    store.retain(clock.now_ns())

    assert reader.find(trace_id(1)).status == "expired"
    assert not (folder / NOW_FILE).exists()
    reader.close()


def test_a_reader_follows_over_the_turn_of_hours(store: SqliteStore, folder: Path, clock: ManualClock):
    """Hour by hour what is new; when the newest file is lost, nothing old takes its place, and a new one is new."""
    reader = SqliteStore.open(folder, read_only=True)
    _, position = reader.new_findings(None, 10)
    seen: list[str] = []

    def look() -> list[str]:
        nonlocal position
        rows, position = reader.new_findings(position, 10)
        return [row.trace_id for row in rows]

    for number in range(1, 6):
        store.put([stored(number)])
        seen += look()
        clock.advance(3600)
    assert seen == [trace_id(number).hex() for number in range(1, 6)]

    last = sorted(folder.glob("traces-*.sqlite"))[-1]
    last.rename(last.with_suffix(".lost"))
    assert look() == []
    store.put([stored(6)])
    assert look() == [trace_id(6).hex()]
    reader.close()


def test_a_reader_cannot_write(store: SqliteStore, folder: Path):
    reader = SqliteStore.open(folder, read_only=True)

    with pytest.raises(PermanentError, match="read only"):
        reader.put([stored(1)])
    reader.close()


def test_another_process_reads_while_we_write(store: SqliteStore, folder: Path):
    """A real process, on files whose WAL we hold open."""
    store.put([stored(1)])
    script = (
        "import sys; from collector.store.sqlite import SqliteStore;"
        "s = SqliteStore.open(sys.argv[1], read_only=True);"
        "print(s.find(bytes.fromhex(sys.argv[2])).status)"
    )

    out = subprocess.run(
        [sys.executable, "-c", script, str(folder), trace_id(1).hex()], capture_output=True, text=True, check=True
    )

    assert out.stdout == "stored\n"


def test_a_reader_reads_what_a_stopped_writer_left(folder: Path, clock: ManualClock):
    store = SqliteStore.open(folder, clock=clock)
    store.put([stored(1)])
    store.close()

    reader = SqliteStore.open(folder, read_only=True)

    assert reader.find(trace_id(1)).status == "stored"
    reader.close()


def test_the_outbox_outlives_the_process(folder: Path, clock: ManualClock):
    store = SqliteStore.open(folder, clock=clock)
    store.put([stored(1, exports=(message(1), message(2)))])
    first = store.outbox_take("otlp", 1, EPOCH_NS)
    store.outbox_done([item.row_id for item in first])
    store.close()

    store = SqliteStore.open(folder, clock=clock)

    assert store.outbox_count() == 1
    assert [item.key for item in store.outbox_take("otlp", 10, EPOCH_NS)] == [b"key-2"]
    store.close()


def test_dead_letters_can_be_sent_again(store: SqliteStore):
    """The token was wrong for an hour."""
    store.put([stored(1, exports=(message(1, payload=b"precious"), message(1, "webhook")))])
    for destination in ("otlp", "webhook"):
        rows = store.outbox_take(destination, 10, EPOCH_NS)
        store.outbox_dead([item.row_id for item in rows], "UNAUTHENTICATED")
    assert (store.outbox_count(), store.dead_letter_count()) == (0, 2)

    assert store.outbox_revive("otlp") == 1

    assert [item.payload for item in store.outbox_take("otlp", 10, EPOCH_NS)] == [b"precious"]
    assert (store.outbox_count(), store.dead_letter_count()) == (1, 1)
