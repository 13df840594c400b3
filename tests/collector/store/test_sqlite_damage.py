"""What damage to SQLite files costs: the file, never the store; what is put aside is counted."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.store.sqlite import SqliteStore
from tests.support.answers import message, stored, trace_id
from tests.support.fakes.clock import EPOCH_NS, ManualClock

NOW_FILE = "traces-2025100908.sqlite"  # the hour of EPOCH_NS
MIB = 2**20


def spoil(path: Path) -> None:
    """Overwrite every page but the first; the header still looks like SQLite."""
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xa5" * (size - 8192))


def two_hours_one_spoiled(folder: Path, clock: ManualClock) -> None:
    """Trace 1 in the damaged hour, trace 2 in the next."""
    store = SqliteStore.open(folder, clock=clock)
    store.put([stored(1)])
    clock.advance(3600)
    store.put([stored(2)])
    store.close()
    spoil(folder / NOW_FILE)


def test_a_damaged_hour_is_put_aside_and_the_rest_lives(folder: Path, clock: ManualClock):
    """The file is renamed, never deleted; other hours answer; what it held is said to be gone."""
    two_hours_one_spoiled(folder, clock)
    size = (folder / NOW_FILE).stat().st_size

    store = SqliteStore.open(folder, clock=clock)

    assert [store.find(trace_id(number)).status for number in (1, 2)] == ["expired", "stored"]
    assert (folder / f"{NOW_FILE}.corrupt-1").stat().st_size == size
    assert not (folder / NOW_FILE).exists()
    assert store.counters()["quarantined_files"] == 1
    store.close()


@pytest.mark.parametrize("content", [b"this is no database" * 1000, b"SQLite format 3\x00" + b"\xff" * 9000])
def test_a_file_of_something_else_is_put_aside(folder: Path, clock: ManualClock, content: bytes):
    """The current hour's name is taken by rubbish; the put goes to a new file."""
    folder.mkdir()
    (folder / NOW_FILE).write_bytes(content)
    store = SqliteStore.open(folder, clock=clock)

    store.put([stored(1, exports=(message(1),))])

    assert store.find(trace_id(1)).status == "stored"
    assert store.outbox_count() == 1
    assert (folder / f"{NOW_FILE}.corrupt-1").read_bytes() == content
    store.close()


@pytest.mark.parametrize("name", [NOW_FILE, "meta.sqlite"])
@pytest.mark.parametrize("what", ["empty", "directory"])
def test_a_name_that_holds_nothing_is_put_aside_and_counted(folder: Path, clock: ManualClock, name: str, what: str):
    """SQLite would fill an empty file without a word, and nobody would know that something is gone."""
    folder.mkdir()
    (folder / name).touch() if what == "empty" else (folder / name).mkdir()

    store = SqliteStore.open(folder, clock=clock)
    store.put([stored(1)])

    assert store.find(trace_id(1)).status == "stored"
    assert (folder / f"{name}.corrupt-1").exists()
    assert store.counters()["quarantined_files"] == 1
    store.close()


def test_damage_while_running_costs_the_file_only(store: SqliteStore, folder: Path, clock: ManualClock):
    """Messages that waited in the file are counted as dropped; new ones are kept."""
    store.put([stored(number, exports=(message(number),)) for number in range(200)])
    store._files.release(store._files.hours[0])  # folds the WAL in, as an hour later
    spoil(folder / NOW_FILE)

    store.put([stored(1000, exports=(message(1000),))])

    assert store.find(trace_id(1000)).status == "stored"
    assert store.outbox_count() == 1
    assert store.counters()["outbox_dropped"] == 200
    assert len(list(folder.glob("*.corrupt-*"))) == 1


def test_a_damaged_meta_file_is_begun_anew(folder: Path, clock: ManualClock):
    """Findings do not need it."""
    store = SqliteStore.open(folder, clock=clock)
    store.put([stored(1)], clean_trace_ids=[trace_id(2)])
    store.save_state("baselines", b"x" * 100_000)
    store.close()
    (folder / "meta.sqlite").write_bytes(b"rubbish" * 5000)

    store = SqliteStore.open(folder, clock=clock)
    store.save_state("baselines", b"again")

    assert store.find(trace_id(1)).status == "stored"
    assert store.find(trace_id(2)).status == "unknown"
    assert store.load_state("baselines") == b"again"
    assert (folder / "meta.sqlite.corrupt-1").exists()
    assert store.counters()["quarantined_files"] == 1
    store.close()


def test_a_reader_steps_over_damage(folder: Path, clock: ManualClock):
    """It may not rename; it reads the rest, and counts the file once."""
    two_hours_one_spoiled(folder, clock)

    reader = SqliteStore.open(folder, read_only=True)

    assert [reader.find(trace_id(number)).status for number in (2, 1, 1)] == ["stored", "expired", "expired"]
    assert reader.counters()["quarantined_files"] == 1
    assert (folder / NOW_FILE).exists()
    reader.close()


def test_a_damaged_answer_is_said_to_be_so(store: SqliteStore):
    """One row's bytes are wrong; the file is fine."""
    store.put([stored(1), stored(2)])
    db = store._files.connection(store._files.hours[0])
    assert db is not None
    db.execute("UPDATE trace_result SET answer = x'00ff' WHERE trace_id = ?", (trace_id(1),))

    found = store.find(trace_id(1))

    assert (found.status, found.answer) == ("dropped", None)
    assert "damaged" in found.reason
    assert store.find(trace_id(2)).status == "stored"
    assert store.counters()["unreadable_rows"] == 1


def test_a_damaged_message_is_a_dead_letter(store: SqliteStore):
    """It cannot be sent; the one behind it can."""
    store.put([stored(1, exports=(message(1), message(2)))])
    db = store._files.connection(store._files.hours[0])
    assert db is not None
    db.execute("UPDATE outbox SET payload = x'00' WHERE key = ?", (b"key-1",))

    assert [item.key for item in store.outbox_take("otlp", 10, EPOCH_NS)] == [b"key-2"]
    assert (store.outbox_count(), store.dead_letter_count()) == (1, 1)
    assert store.counters()["unreadable_rows"] == 1
