"""Minute rollups: the only thing a window is answered from.

In: counts of a minute. Out: sums over a window. It never looks at traces: summing them in SQLite took
seconds where these sums take milliseconds (ecosystem.md 2.1).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from analyzer.spans import SpanKind
from collector.contracts import EdgeRollup, Rollup
from collector.store.database import used_bytes

MINUTE_NS = 60_000_000_000
_MAX = 2**63 - 1
_ENTERING = (SpanKind.SERVER, SpanKind.CONSUMER)
# Summed in two halves: 292 years of summed time overflow 64 bits, and a float would not add up exactly.
_SUM_NS = "sum(duration_sum_ns >> 32), sum(duration_sum_ns & 4294967295)"


def add_rollups(db: sqlite3.Connection, rollups: Sequence[Rollup]) -> None:
    """Add counts to their minutes; inside the caller's transaction."""
    db.executemany(
        "INSERT INTO rollup VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET count = count + excluded.count, error_count = error_count + excluded.error_count,"
        " duration_sum_ns = duration_sum_ns + excluded.duration_sum_ns,"
        " duration_max_ns = max(duration_max_ns, excluded.duration_max_ns)",
        [
            (
                rollup.minute,
                _text(rollup.service),
                _text(rollup.operation),
                rollup.kind,
                rollup.count,
                rollup.error_count,
                min(rollup.duration_sum_ns, _MAX),
                min(rollup.duration_max_ns, _MAX),
            )
            for rollup in rollups
        ],
    )


def add_edges(db: sqlite3.Connection, edges: Sequence[EdgeRollup]) -> None:
    """Add counts of edges to their minutes; inside the caller's transaction."""
    db.executemany(
        "INSERT INTO edge_rollup VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET count = count + excluded.count, error_count = error_count + excluded.error_count,"
        " duration_sum_ns = duration_sum_ns + excluded.duration_sum_ns",
        [
            (
                edge.minute,
                _text(edge.caller),
                _text(edge.callee),
                edge.callee_kind,
                edge.rule,
                edge.count,
                edge.error_count,
                min(edge.duration_sum_ns, _MAX),
            )
            for edge in edges
        ],
    )


def sum_rollups(db: sqlite3.Connection, from_ns: int, to_ns: int) -> list[Rollup]:
    """Sum per operation over the minutes that [from_ns, to_ns) touches; busiest first."""
    first, last = minutes(from_ns, to_ns)
    return [
        Rollup(first, service, operation, kind, count, error_count, (high << 32) + low, maximum)
        for service, operation, kind, count, error_count, high, low, maximum in db.execute(
            f"SELECT service, operation, kind, sum(count), sum(error_count), {_SUM_NS}, max(duration_max_ns)"  # noqa: S608
            " FROM rollup WHERE minute >= ? AND minute < ? GROUP BY service, operation, kind"
            " ORDER BY 4 DESC, service, operation, kind",
            (first, last),
        )
    ]


def sum_minutes(db: sqlite3.Connection, service: str, from_ns: int, to_ns: int) -> dict[int, int]:
    """Calls of a service by minute: the spans that enter it; all of its spans when it has none of these."""
    first, last = minutes(from_ns, to_ns)
    entering: dict[int, int] = {}
    all_of_them: dict[int, int] = {}
    for minute, kind, count in db.execute(
        "SELECT minute, kind, sum(count) FROM rollup WHERE minute >= ? AND minute < ? AND service = ?"
        " GROUP BY minute, kind",
        (first, last, _text(service)),
    ):
        all_of_them[minute] = all_of_them.get(minute, 0) + count
        if kind in _ENTERING:
            entering[minute] = entering.get(minute, 0) + count
    return entering or all_of_them


def sum_edges(db: sqlite3.Connection, from_ns: int, to_ns: int) -> list[EdgeRollup]:
    """Sum per edge over the minutes that [from_ns, to_ns) touches; busiest first."""
    first, last = minutes(from_ns, to_ns)
    return [
        EdgeRollup(first, caller, callee, callee_kind, rule, count, error_count, (high << 32) + low)
        for caller, callee, callee_kind, rule, count, error_count, high, low in db.execute(
            f"SELECT caller, callee, callee_kind, rule, sum(count), sum(error_count), {_SUM_NS}"  # noqa: S608
            " FROM edge_rollup WHERE minute >= ? AND minute < ? GROUP BY caller, callee, callee_kind, rule"
            " ORDER BY 5 DESC, caller, callee, callee_kind, rule",
            (first, last),
        )
    ]


def minutes(from_ns: int, to_ns: int) -> tuple[int, int]:
    """First minute of a window, and the first behind it."""
    return from_ns // MINUTE_NS, -(-to_ns // MINUTE_NS)


def forget_rollups(db: sqlite3.Connection, before_ns: int) -> int:
    """Let go of minutes before; inside the caller's transaction. Returns rows."""
    minute = before_ns // MINUTE_NS
    gone = 0
    for table in ("rollup", "edge_rollup"):
        gone += db.execute(f"DELETE FROM {table} WHERE minute < ?", (minute,)).rowcount  # noqa: S608 - two fixed words
    return gone


def shrink_rollups(db: sqlite3.Connection, bytes_max: int) -> int:
    """Let the oldest tenth of the kept minutes go, when the file is over its share. Returns rows."""
    if used_bytes(db) <= bytes_max:
        return 0
    first, last = db.execute("SELECT min(minute), max(minute) FROM rollup").fetchone()
    if first is None:
        return 0
    return forget_rollups(db, (first + max(1, (last - first) // 10)) * MINUTE_NS)


def _text(value: str) -> str:
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
