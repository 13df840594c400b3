"""The tables. `traces-YYYYMMDDHH.sqlite`: one hour of answers with their outbox; `meta.sqlite`: the rest."""

from __future__ import annotations

from enum import IntEnum

from collector.store.database import Schema


class OutboxState(IntEnum):
    """Where an outbox row stands. Done and dead rows stay until their hour leaves: they keep their key known."""

    PENDING = 0
    DONE = 1
    DEAD = 2


class Decision(IntEnum):
    """What was decided of a trace."""

    CLEAN = 0  # analysed, nothing to say, not kept
    STORED = 1  # kept; when no file has it any more, retention took it
    PARTIAL = 2  # nothing to say of what came, but spans are missing, or all of them: only log records came
    UNTOLD = 3  # something was wrong with it; there was no time to say what, or that failed, and it was not kept


# `trace_id` is the name of a trace: 16 bytes, and `@tenant` behind them when a tenant sent it (collector.trace_names).
# `tk` is the first 8 bytes of it: an integer index is half the size and twice as fast.
# The listing indexes are partial: clean traces that were kept are not findings. One by service, because that
# is what people ask for, and most services are in few findings.
HOUR = Schema(
    1,
    """
CREATE TABLE trace_result (
    id INTEGER PRIMARY KEY,
    tk INTEGER NOT NULL,
    trace_id BLOB NOT NULL,
    revision INTEGER NOT NULL,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    root_service TEXT NOT NULL,
    root_operation TEXT NOT NULL,
    status TEXT NOT NULL,
    verdict TEXT NOT NULL,
    entity_kind TEXT NOT NULL,
    entity_name TEXT NOT NULL,
    service TEXT NOT NULL,
    rule TEXT NOT NULL,
    probability REAL NOT NULL,
    summary TEXT NOT NULL,
    answer BLOB NOT NULL
);
CREATE INDEX trace_result_tk ON trace_result (tk);
CREATE INDEX trace_result_time ON trace_result (start_ns, trace_id) WHERE verdict != 'none';
CREATE INDEX trace_result_service ON trace_result (service, start_ns, trace_id) WHERE verdict != 'none';
CREATE TABLE trace_blob (
    id INTEGER PRIMARY KEY,
    traces_otlp BLOB,
    logs_otlp BLOB
);
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    destination TEXT NOT NULL,
    key BLOB NOT NULL,
    signal INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_ns INTEGER NOT NULL DEFAULT 0,
    state INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    payload BLOB NOT NULL,
    UNIQUE (destination, key)
);
CREATE INDEX outbox_due ON outbox (destination, due_ns, id) WHERE state = 0
""",
)

META = Schema(
    1,
    """
CREATE TABLE setting (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE state (name TEXT PRIMARY KEY, saved_ns INTEGER NOT NULL, blob BLOB NOT NULL);
CREATE TABLE rollup (
    minute INTEGER NOT NULL,
    service TEXT NOT NULL,
    operation TEXT NOT NULL,
    kind INTEGER NOT NULL,
    count INTEGER NOT NULL,
    error_count INTEGER NOT NULL,
    duration_sum_ns INTEGER NOT NULL,
    duration_max_ns INTEGER NOT NULL,
    PRIMARY KEY (minute, service, operation, kind)
) WITHOUT ROWID;
CREATE TABLE edge_rollup (
    minute INTEGER NOT NULL,
    caller TEXT NOT NULL,
    callee TEXT NOT NULL,
    callee_kind TEXT NOT NULL,
    rule TEXT NOT NULL,
    count INTEGER NOT NULL,
    error_count INTEGER NOT NULL,
    duration_sum_ns INTEGER NOT NULL,
    PRIMARY KEY (minute, caller, callee, callee_kind, rule)
) WITHOUT ROWID;
CREATE TABLE decision_recent (
    id INTEGER PRIMARY KEY,
    decision INTEGER NOT NULL,
    ids BLOB NOT NULL
);
CREATE INDEX decision_recent_kind ON decision_recent (decision);
CREATE TABLE decision_segment (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    decision INTEGER NOT NULL,
    count INTEGER NOT NULL,
    first_ns INTEGER NOT NULL,
    last_ns INTEGER NOT NULL
);
CREATE TABLE decision_block (
    id INTEGER PRIMARY KEY,
    bits BLOB NOT NULL
)
""",
)
