"""The decision log forgets nothing, and says so rarely of what it never saw."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import numpy as np
import pytest

from collector.store import decisions
from collector.store.decisions import BLOCK_BYTES, BLOCKS, DecisionLog, probes
from collector.store.schema import META, Decision
from tests.support.fakes.clock import EPOCH_NS, HOUR_NS

SALT = 0x5EED


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(META.script)
    connection.execute("INSERT INTO setting VALUES ('salt', ?)", (SALT.to_bytes(8, "little"),))
    yield connection
    connection.close()


@pytest.fixture
def log(db: sqlite3.Connection) -> DecisionLog:
    return DecisionLog(db, read_only=False)


def ids(seed: int, count: int) -> list[bytes]:
    raw = np.random.default_rng(seed).bytes(16 * count)
    return [raw[i : i + 16] for i in range(0, len(raw), 16)]


def rows(db: sqlite3.Connection, table: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_recent_ids_are_exact(log: DecisionLog):
    """Found whole, not as the end of one id and the beginning of the next."""
    one, other = b"a" * 8 + b"b" * 8, b"c" * 8 + b"d" * 8
    log.add(Decision.CLEAN, [one, other], EPOCH_NS)

    assert log.holds(Decision.CLEAN, other)
    assert not log.holds(Decision.CLEAN, b"b" * 8 + b"c" * 8)


def test_decisions_are_kept_apart(log: DecisionLog):
    (one,) = ids(1, 1)
    log.add(Decision.CLEAN, [one], EPOCH_NS)

    assert not log.holds(Decision.STORED, one)


def test_folded_ids_are_all_found(log: DecisionLog, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch):
    """What was exact is in the filter now; nothing recent is left."""
    monkeypatch.setattr(decisions, "FOLD_IDS", 1000)
    many = ids(2, 3000)
    for start in range(0, 3000, 500):
        log.add(Decision.CLEAN, many[start : start + 500], EPOCH_NS)

    assert rows(db, "decision_recent") == 0
    assert rows(db, "decision_segment") == 1
    assert all(log.holds(Decision.CLEAN, one) for one in many)
    assert not any(log.holds(Decision.CLEAN, one) for one in ids(3, 3000))


def test_a_full_segment_errs_once_in_a_hundred_thousand(log: DecisionLog, db: sqlite3.Connection):
    """1,048,576 ids in 3 MB; of a million others 12 or fewer expected, 24 allowed."""
    for part in range(16):
        log.add(Decision.CLEAN, ids(100 + part, 65_536), EPOCH_NS)
    assert rows(db, "decision_segment") == 1
    table = np.zeros((BLOCKS, BLOCK_BYTES), np.uint8)
    for row_id, bits in db.execute("SELECT id, bits FROM decision_block").fetchall():
        table[row_id % 1024] = np.frombuffer(bits, np.uint8)

    def share(seed: int) -> int:
        raw = np.frombuffer(np.random.default_rng(seed).bytes(16_000_000), "<u8").reshape(-1, 2)
        blocks, bits = probes(raw, SALT)
        return int((table[blocks[:, None], bits >> 3] >> (bits & 7).astype(np.uint8) & 1).all(axis=1).sum())

    assert share(999) <= 24
    known = np.frombuffer(b"".join(ids(100, 65_536)), "<u8").reshape(-1, 2)
    blocks, bits = probes(known, SALT)
    assert (table[blocks[:, None], bits >> 3] >> (bits & 7).astype(np.uint8) & 1).all()


def test_small_puts_are_joined(log: DecisionLog, db: sqlite3.Connection):
    """A quiet night puts one id at a time; looking must not slow down."""
    many = ids(4, 1000)
    for one in many:
        log.add(Decision.CLEAN, [one], EPOCH_NS)

    assert rows(db, "decision_recent") < 256
    assert all(log.holds(Decision.CLEAN, one) for one in many)


def test_a_segment_is_closed_by_count_and_by_age(
    log: DecisionLog, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(decisions, "FOLD_IDS", 100)
    monkeypatch.setattr(decisions, "SEGMENT_IDS", 200)
    for seed in range(3):
        log.add(Decision.CLEAN, ids(seed, 100), EPOCH_NS)
    assert rows(db, "decision_segment") == 2

    log.add(Decision.CLEAN, ids(9, 100), EPOCH_NS + 7 * HOUR_NS)

    assert rows(db, "decision_segment") == 3


def test_old_segments_leave_with_their_blocks(
    log: DecisionLog, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(decisions, "FOLD_IDS", 100)
    old, new = ids(1, 100), ids(2, 100)
    log.add(Decision.CLEAN, old, EPOCH_NS)
    log.add(Decision.CLEAN, new, EPOCH_NS + 7 * HOUR_NS)

    gone = log.forget(Decision.CLEAN, EPOCH_NS + HOUR_NS)

    assert gone == 100
    assert not any(log.holds(Decision.CLEAN, one) for one in old)
    assert all(log.holds(Decision.CLEAN, one) for one in new)
    assert rows(db, "decision_block") <= 100


def test_the_number_of_segments_is_bounded(log: DecisionLog, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch):
    """Each segment adds its errors, so there may not be any number of them."""
    monkeypatch.setattr(decisions, "FOLD_IDS", 10)
    monkeypatch.setattr(decisions, "SEGMENT_IDS", 10)
    monkeypatch.setattr(decisions, "SEGMENTS_MAX", 4)
    for seed in range(6):
        log.add(Decision.CLEAN, ids(seed, 10), EPOCH_NS)

    assert log.forget(Decision.CLEAN, 0) == 20
    assert rows(db, "decision_segment") == 4
    assert [log.holds(Decision.CLEAN, ids(seed, 10)[0]) for seed in range(6)] == [False, False, True, True, True, True]


def test_the_salt_decides_where_bits_stand():
    """Who does not know it cannot make ids that look decided."""
    one = np.frombuffer(b"0123456789abcdef", "<u8").reshape(1, 2)

    assert probes(one, 1)[1].tolist() != probes(one, 2)[1].tolist()
