"""What was decided of every trace, in 3 bytes each: tells "clean" from "never seen", and "expired" from both.

In: trace ids. Out: whether an id was decided so. Recent ids are exact; every `FOLD_IDS` of them are
folded into a Bloom filter (a segment) of `SEGMENT_IDS` ids. It never forgets an id before its segment
leaves, and never holds more than `SEGMENTS_MAX` segments a decision.

How often it is wrong: an id that was never seen is taken for a decided one with p <= 1.2e-5 a full
segment (24 bits an id, 17 probes), so with p <= 1 % when all 800 segments are full (838 million
traces), and 0.1 % after 84 million. An id that was decided is always found. The probes depend on a
salt of this store, so nobody outside can make ids that look decided.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from collector.store.schema import Decision
from collector.trace_names import ID_BYTES

FOLD_IDS = 65_536  # 1 MiB of exact ids, searched in under a millisecond
RECENT_ROWS_MAX = 256  # small puts are joined, or a quiet night would leave 65,536 rows to search
SEGMENT_IDS = 1_048_576
SEGMENT_AGE_NS = 6 * 3_600_000_000_000  # closed at this age, so that retention can let go of it
SEGMENTS_MAX = 800
BITS_PER_ID = 24
PROBES = 17  # ln 2 * 24, rounded
BLOCK_BYTES = 4000  # two blocks and their headers fill a page of 8192
BLOCK_BITS = BLOCK_BYTES * 8
BLOCKS = SEGMENT_IDS * BITS_PER_ID // BLOCK_BITS + 1
_BLOCK_IDS = 1024  # row id of a block: segment * 1024 + number
assert BLOCKS <= _BLOCK_IDS

U64 = npt.NDArray[np.uint64]


class DecisionLog:
    """Reads and writes the log in one `meta.sqlite` connection; the store's lock is around it."""

    def __init__(self, connection: sqlite3.Connection, *, read_only: bool) -> None:
        self._db = connection
        if not read_only:
            connection.execute("INSERT OR IGNORE INTO setting VALUES ('salt', ?)", (secrets.token_bytes(8),))
        row = connection.execute("SELECT value FROM setting WHERE name = 'salt'").fetchone()
        self._salt = int.from_bytes(row[0], "little") if row else 0

    def add(self, decision: Decision, trace_ids: Sequence[bytes], now_ns: int) -> None:
        """Note ids; inside the caller's transaction."""
        if not trace_ids:
            return
        # The flat layout below rests on it; a wrong length would shift every id behind it.
        ids = b"".join(trace_id for trace_id in trace_ids if len(trace_id) == ID_BYTES)
        self._db.execute("INSERT INTO decision_recent (decision, ids) VALUES (?, ?)", (decision, ids))
        rows, held = self._db.execute(
            "SELECT count(*), sum(length(ids)) FROM decision_recent WHERE decision = ?", (decision,)
        ).fetchone()
        if held >= FOLD_IDS * ID_BYTES:
            self._fold(decision, now_ns)
        elif rows >= RECENT_ROWS_MAX:
            joined = self._recent(decision)
            self._db.execute("DELETE FROM decision_recent WHERE decision = ?", (decision,))
            self._db.execute("INSERT INTO decision_recent (decision, ids) VALUES (?, ?)", (decision, joined))

    def holds(self, decision: Decision, trace_id: bytes) -> bool:
        """Whether the id was decided so; see the module for how often this errs."""
        # Recent ids first: one that is folded between the two looks is then in the segment.
        recent = self._recent(decision)
        at = recent.find(trace_id)
        while at >= 0:
            if at % ID_BYTES == 0:
                return True
            at = recent.find(trace_id, at + 1)
        blocks, bits = probes(np.frombuffer(trace_id, "<u8").reshape(1, 2), self._salt)
        block, bits = int(blocks[0]), bits[0]
        for (segment,) in self._db.execute(
            "SELECT id FROM decision_segment WHERE decision = ? ORDER BY id DESC", (decision,)
        ).fetchall():
            row = self._db.execute("SELECT bits FROM decision_block WHERE id = ?", (_row(segment, block),)).fetchone()
            if row is not None and _all_set(row[0], bits):
                return True
        return False

    def forget(self, decision: Decision, before_ns: int) -> int:
        """Let go of segments that were closed before, and of the oldest over `SEGMENTS_MAX`; return how many ids."""
        rows = self._db.execute(
            "SELECT id, count, last_ns FROM decision_segment WHERE decision = ? ORDER BY id", (decision,)
        ).fetchall()
        over = max(0, len(rows) - SEGMENTS_MAX)
        leaving = [row for number, row in enumerate(rows) if number < over or row[2] < before_ns]
        for segment, _, _ in leaving:
            self._db.execute(
                "DELETE FROM decision_block WHERE id BETWEEN ? AND ?", (_row(segment, 0), _row(segment, _BLOCK_IDS - 1))
            )
            self._db.execute("DELETE FROM decision_segment WHERE id = ?", (segment,))
        return sum(row[1] for row in leaving)

    def _recent(self, decision: Decision) -> bytes:
        rows = self._db.execute("SELECT ids FROM decision_recent WHERE decision = ?", (decision,)).fetchall()
        return b"".join(row[0] for row in rows)

    def _fold(self, decision: Decision, now_ns: int) -> None:
        ids = np.frombuffer(self._recent(decision), "<u8").reshape(-1, 2)
        blocks, bits = probes(ids, self._salt)
        segment = self._segment(decision, len(ids), now_ns)
        order = np.argsort(blocks, kind="stable")
        edges = np.searchsorted(blocks[order], np.arange(BLOCKS + 1))
        for block in range(BLOCKS):
            here = bits[order[edges[block] : edges[block + 1]]].ravel()
            if not len(here):
                continue
            old = self._db.execute("SELECT bits FROM decision_block WHERE id = ?", (_row(segment, block),)).fetchone()
            unpacked = np.zeros(BLOCK_BITS, np.uint8)
            unpacked[here] = 1
            new = np.packbits(unpacked, bitorder="little")
            if old is not None:
                new |= np.frombuffer(old[0], np.uint8)
            self._db.execute(
                "INSERT OR REPLACE INTO decision_block VALUES (?, ?)", (_row(segment, block), new.tobytes())
            )
        self._db.execute("DELETE FROM decision_recent WHERE decision = ?", (decision,))

    def _segment(self, decision: Decision, count: int, now_ns: int) -> int:
        """Count the ids into the open segment, or begin one."""
        row = self._db.execute(
            "SELECT id, count, first_ns FROM decision_segment WHERE decision = ? ORDER BY id DESC LIMIT 1", (decision,)
        ).fetchone()
        if row is not None and row[1] + count <= SEGMENT_IDS and now_ns - row[2] < SEGMENT_AGE_NS:
            self._db.execute(
                "UPDATE decision_segment SET count = count + ?, last_ns = ? WHERE id = ?", (count, now_ns, row[0])
            )
            return int(row[0])
        cursor = self._db.execute(
            "INSERT INTO decision_segment (decision, count, first_ns, last_ns) VALUES (?, ?, ?, ?)",
            (decision, count, now_ns, now_ns),
        )
        return int(cursor.lastrowid or 0)


def probes(ids: npt.NDArray[np.uint64], salt: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where the bits of each id stand.

    Parameters
    ----------
    ids : uint64[n, 2]
        Trace ids as little-endian words.

    Returns
    -------
    blocks : int64[n]
        Block of each id, below `BLOCKS`.
    bits : int64[n, PROBES]
        Bits inside the block, below `BLOCK_BITS`.

    Notes
    -----
    A blocked Bloom filter (Putze, Sanders, Singler 2007): all bits of an id are in one block, so a
    look costs one row. The mixing is SplitMix64 (Steele, Lea, Flood 2014), 21 bits a probe.
    """
    seed = mix(mix(ids[:, 0] ^ np.uint64(salt)) ^ ids[:, 1])
    blocks = (mix(seed) % np.uint64(BLOCKS)).astype(np.int64)
    bits = np.empty((len(ids), PROBES), np.int64)
    for number in range(PROBES):
        if number % 3 == 0:
            word = mix(seed + np.uint64(number + 1))
        bits[:, number] = ((word >> np.uint64(21 * (number % 3))) & np.uint64(0x1FFFFF)) % np.uint64(BLOCK_BITS)
    return blocks, bits


def mix(word: U64) -> U64:
    """SplitMix64's finaliser."""
    word = word + np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def _row(segment: int, block: int) -> int:
    return int(segment) * _BLOCK_IDS + block


def _all_set(block: bytes, bits: npt.NDArray[np.int64]) -> bool:
    return all(block[bit >> 3] >> (bit & 7) & 1 for bit in bits.tolist())
