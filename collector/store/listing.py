"""Findings, newest first, over all hour files.

In: a `FindingQuery`. Out: one page and the cursor of the next. Order is (start_ns, name of the trace), so a page
neither repeats nor skips a finding when others arrive meanwhile. It never reads an answer.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice
from typing import Any

from collector.contracts import FindingPage, FindingQuery, FindingRow, StorePosition
from collector.errors import BadRequestError, PermanentError
from collector.store.hours import HourFiles
from collector.store.packing import NAME_BYTES_MAX, trace_key
from collector.trace_names import ID_BYTES, NAMESAKES_MAX, name_of, split_name

LIMIT_MAX = 1000
CHUNK_ROWS = 64  # rows taken of a file at a time; a page rarely needs more of one hour
NEW_FILES = 3  # all is written into the file of now; what is older changes only when a clock is set back by hours
KEYS_MAX = 500  # SQLite takes 999 bound values in its oldest builds
_MAX_NS = 2**63 - 1
_CURSOR_CHARS_MAX = 21 + 2 * NAME_BYTES_MAX
_COLUMNS = (
    "start_ns, trace_id, revision, end_ns, root_service, root_operation, verdict,"
    " entity_kind, entity_name, service, rule, probability, summary, tk"
)
_Row = tuple[Any, ...]


def list_findings(files: HourFiles, query: FindingQuery) -> FindingPage:
    """Return one page.

    Raises
    ------
    BadRequestError
        The cursor or the limit cannot be used.
    """
    if query.limit < 1:
        raise BadRequestError(f"limit is {query.limit}; expected 1 to {LIMIT_MAX}", "bad_query")
    limit = min(query.limit, LIMIT_MAX)
    after = _read_cursor(query.cursor) if query.cursor is not None else (_MAX_NS, b"\xff" * ID_BYTES)
    hours = list(files.scan())
    merged = heapq.merge(*(_rows(files, hour, query, after) for hour in hours), key=_newest_first)
    kept: list[_Row] = []
    while len(kept) <= limit:
        group = list(islice(merged, limit + 1 - len(kept)))
        if not group:
            break
        kept += _latest(files, hours, group)
    page = kept[:limit]
    return FindingPage(
        rows=[_finding(row) for _, row in page],
        next_cursor=_write_cursor(page[-1]) if len(kept) > limit else None,
    )


def list_new(files: HourFiles, after: StorePosition | None, limit: int) -> tuple[list[FindingRow], StorePosition]:
    """Return findings in the order they were stored in, at most `limit`, and how far that is.

    Numbers of rows only grow in a file. A file whose last number is lower than before is a new one: read from its
    beginning; one that stands before all that were read was there already. So what is stored is seen once, whenever its
    trace began.
    """
    found: list[FindingRow] = []
    known = after or {}
    first = min(known, default=-1)
    position: dict[int, int] = {}
    for hour in reversed(files.scan()[:NEW_FILES]):
        heads = files.read(hour, "SELECT coalesce(max(id), 0) FROM trace_result")
        if not heads:  # it cannot be read now
            position[hour] = known.get(hour, 0)
            continue
        last: int = heads[0][0]
        before = known.get(hour, last if after is None or hour < first else 0)
        begin = before if before <= last else 0
        room = limit - len(found)
        rows = files.read(
            hour,
            f"SELECT id, {_COLUMNS} FROM trace_result"  # noqa: S608 - our own columns
            " WHERE id > ? AND id <= ? AND verdict != 'none' ORDER BY id LIMIT ?",
            (begin, last, room),
        )
        found += [_finding(row[1:]) for row in rows]
        position[hour] = last if len(rows) < room else rows[-1][0] if rows else begin
    return found, position


def list_namesakes(files: HourFiles, trace_id: bytes) -> list[bytes]:
    """Return names under which a trace of this id is kept, `NAMESAKES_MAX` at most.

    Raises
    ------
    PermanentError
        The id is not 16 bytes long.
    """
    key, found = trace_key(trace_id), set[bytes]()
    for hour in files.scan():
        rows = files.read(
            hour,
            "SELECT DISTINCT trace_id FROM trace_result WHERE tk = ? AND substr(trace_id, 1, 16) = ? LIMIT ?",
            (key, trace_id, NAMESAKES_MAX),
        )
        found |= {name for (name,) in rows}
    return sorted(found)[:NAMESAKES_MAX]


def _newest_first(item: _Row) -> tuple[int, bytes]:
    _, row = item
    return -row[0], bytes(255 - byte for byte in row[1]) + b"\xff"  # of two that begin alike the longer stands first


def _rows(files: HourFiles, hour: int, query: FindingQuery, after: tuple[int, bytes]) -> Iterator[_Row]:
    """Rows of one file as (hour, row). No cursor stays open between two chunks: the file may leave meanwhile."""
    wanted = "verdict != 'none'"
    values: list[str | int | bytes] = []
    for column, value in (("service", query.service), ("verdict", query.verdict), ("rule", query.rule)):
        if value is not None:
            wanted += f" AND {column} = ?"
            values.append(value)
    if query.tenant is not None:
        wanted += " AND substr(trace_id, ?) = ?"  # of the index, which has the name
        values += [ID_BYTES + 1, name_of(b"", query.tenant)]
    from_ns = -_MAX_NS - 1 if query.from_ns is None else max(-_MAX_NS - 1, query.from_ns)
    to_ns = _MAX_NS if query.to_ns is None else min(_MAX_NS, query.to_ns)
    sql = (
        f"SELECT {_COLUMNS} FROM trace_result WHERE {wanted} AND start_ns >= ? AND start_ns < ?"  # noqa: S608
        " AND (start_ns, trace_id) < (?, ?) ORDER BY start_ns DESC, trace_id DESC LIMIT ?"
    )
    chunk = min(query.limit + 1, CHUNK_ROWS)
    while True:
        rows = files.read(hour, sql, (*values, from_ns, to_ns, *after, chunk))
        for row in rows:
            yield hour, row
        if len(rows) < chunk:
            return
        after = rows[-1][0], rows[-1][1]


def _latest(files: HourFiles, hours: list[int], group: list[_Row]) -> list[_Row]:
    """Leave out rows of which a newer file has a higher revision."""
    newer_ones: dict[bytes, list[tuple[int, int]]] = {}
    oldest = min(hour for hour, _ in group)
    for newer in (hour for hour in hours if hour > oldest):
        keys = sorted({row[-1] for hour, row in group if hour < newer})
        for start in range(0, len(keys), KEYS_MAX):
            part = keys[start : start + KEYS_MAX]
            marks = ",".join("?" * len(part))
            for name, revision in files.read(
                newer,
                f"SELECT trace_id, revision FROM trace_result WHERE tk IN ({marks})",  # noqa: S608 - question marks
                part,
            ):
                newer_ones.setdefault(name, []).append((newer, revision))
    return [
        (hour, row)
        for hour, row in group
        if not any(newer > hour and revision > row[2] for newer, revision in newer_ones.get(row[1], ()))
    ]


def _finding(row: _Row) -> FindingRow:
    start_ns, name, revision, end_ns, *rest = row
    trace_id, tenant = split_name(name)
    return FindingRow(*(trace_id.hex(), revision, start_ns, end_ns, *rest[:-1], tenant))


def _write_cursor(item: _Row) -> str:
    _, row = item
    return f"{row[0]}.{row[1].hex()}"


def _read_cursor(text: str) -> tuple[int, bytes]:
    try:
        if len(text) > _CURSOR_CHARS_MAX:
            raise ValueError
        start, _, name = text.partition(".")
        found = int(start), bytes.fromhex(name)
        trace_key(found[1])
        if abs(found[0]) > _MAX_NS:
            raise ValueError
    except (ValueError, PermanentError):
        raise BadRequestError(
            f"cursor {text[:64]!r} was not made by this server; expected next_cursor of a page", "bad_query"
        ) from None
    return found
