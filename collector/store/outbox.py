"""The outbox of one hour: messages that stand in the same file, and the same transaction, as their findings.

In: `OutboxItem`s. Out: the ones that are due. A row is pending, then done or dead; it is never deleted
before its hour leaves, so a second put of its key is known for what it is. Row ids carry their hour.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from collector.contracts import OutboxItem, Signal
from collector.store.packing import UnreadableBlobError, unpack
from collector.store.schema import OutboxState

ROW_BITS = 36  # 6.9e10 rows an hour; with 19 bits of hour an id stays below 2**55
# A due time this far ahead was written before the wall clock stepped back; the row is due now.
DUE_AHEAD_MAX_NS = 2 * 3_600_000_000_000
REASON_CHARS_MAX = 1024


def insert(db: sqlite3.Connection, items: Iterable[OutboxItem]) -> int:
    """Add rows with packed payloads; a known (destination, key) is ignored. Inside the caller's transaction.

    Returns how many were added.
    """
    return db.executemany(
        # Not OR IGNORE: that would also swallow a row with a missing value, and its finding would stand alone.
        "INSERT INTO outbox (destination, key, signal, payload) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (destination, key) DO NOTHING",
        [(item.destination, item.key, int(item.signal), item.payload) for item in items],
    ).rowcount


def due(
    db: sqlite3.Connection, hour: int, destination: str, limit: int, now_ns: int
) -> tuple[list[OutboxItem], list[int]]:
    """Return the oldest pending rows whose time has come, and the ids of those whose payload is damaged."""
    rows = db.execute(
        "SELECT id, key, signal, payload, attempts FROM outbox WHERE state = 0 AND destination = ? AND due_ns <= ?"
        " ORDER BY due_ns, id LIMIT ?",
        (destination, now_ns, limit),
    ).fetchall()
    if len(rows) < limit:
        rows += db.execute(
            "SELECT id, key, signal, payload, attempts FROM outbox WHERE state = 0 AND destination = ? AND due_ns > ?"
            " ORDER BY due_ns, id LIMIT ?",
            (destination, now_ns + DUE_AHEAD_MAX_NS, limit - len(rows)),
        ).fetchall()
    items: list[OutboxItem] = []
    damaged: list[int] = []
    for row_id, key, signal, frame, attempts in rows:
        whole_id = hour << ROW_BITS | row_id
        try:
            items.append(OutboxItem(key, destination, Signal(signal), unpack(frame), attempts, whole_id))
        except UnreadableBlobError:
            damaged.append(whole_id)
    return items, damaged


def settle(db: sqlite3.Connection, ids: Sequence[int], state: OutboxState, reason: str = "") -> int:
    """Mark pending rows done (their payload goes) or dead (it stays); returns how many were pending."""
    payload = ", payload = x''" if state == OutboxState.DONE else ""
    return db.executemany(
        f"UPDATE outbox SET state = ?, reason = ?{payload} WHERE id = ? AND state = 0",  # noqa: S608 - fixed words
        [(int(state), reason[:REASON_CHARS_MAX], row_id) for row_id in ids],
    ).rowcount


def postpone(db: sqlite3.Connection, ids: Sequence[int], due_ns: int) -> int:
    """Count an attempt and set when the next is due; returns how many were pending."""
    return db.executemany(
        "UPDATE outbox SET attempts = attempts + 1, due_ns = ? WHERE id = ? AND state = 0",
        [(due_ns, row_id) for row_id in ids],
    ).rowcount


def revive(db: sqlite3.Connection, destination: str) -> int:
    """Make dead rows pending again; returns how many."""
    return db.execute(
        "UPDATE outbox SET state = 0, attempts = 0, due_ns = 0, reason = '' WHERE state = ? AND destination = ?",
        (int(OutboxState.DEAD), destination),
    ).rowcount


def count(db: sqlite3.Connection, state: OutboxState) -> int:
    (found,) = db.execute("SELECT count(*) FROM outbox WHERE state = ?", (int(state),)).fetchone()
    return int(found)


def known_keys(rows: Iterable[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
    return {(destination, bytes(key)) for destination, key in rows}


def by_hour(row_ids: Iterable[int]) -> Mapping[int, list[int]]:
    """Split row ids into hours and the ids inside them."""
    hours: defaultdict[int, list[int]] = defaultdict(list)
    for row_id in row_ids:
        hours[row_id >> ROW_BITS].append(row_id & (1 << ROW_BITS) - 1)
    return hours
