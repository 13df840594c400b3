"""Databases. Data, and one look at a slow statement."""

from __future__ import annotations

import re
from collections.abc import Sequence

from analyzer.errors.model import ExceptionFact
from analyzer.errors.patterns.pattern import Pattern, Seen
from analyzer.findings import Answer
from analyzer.words import ms, named

_STATEMENT = re.compile(r"^(select|insert|update|delete|merge|with|call|replace|find|aggregate)\b", re.IGNORECASE)


def _slow_statement(answer: Answer, _: Sequence[ExceptionFact]) -> Seen | None:
    """The largest excess of a slow trace is a client span named like a statement."""
    if answer.latency is None or not answer.latency.excess or answer.verdict not in ("latency", "mixed"):
        return None
    excess = max(answer.latency.excess, key=lambda one: one.excess_ns)
    if excess.kind != "work" or excess.span.kind != "CLIENT" or not _STATEMENT.match(excess.span.operation):
        return None
    where = named(excess.span.service, excess.span.operation)
    claim = f"{where} took {ms(excess.observed_ns)} where {ms(excess.expected_ns)} is usual"
    return claim, (excess.span.span_id,), 0.85


PATTERNS: tuple[Pattern, ...] = (
    Pattern(
        "database.dead_lock",
        "Dead lock in the database",
        "Two transactions held rows and each waited for the other's; the database ended one of them.",
        "Touch tables and rows in the same order everywhere, keep transactions short, and retry the transaction that "
        "was "
        "ended (it was rolled back whole).",
        "Two transactions at once that touch the same two rows in opposite order: both must succeed in the end.",
        "One order of access as a rule; indexes so that updates lock few rows.",
        "Dead locks per minute (pg_stat_database.deadlocks, Innodb_deadlocks).",
        types=("deadlockloserdataaccessexception", "deadlockdetected"),
        messages=(r"dead ?lock (found|detected|victim)", r"was deadlocked on", r"ora-00060", r"\b40p01\b"),
    ),
    Pattern(
        "database.lock_wait_timeout",
        "Waited too long for a lock",
        "A row or table was locked by a long transaction.",
        "Find the transaction that holds the lock (pg_stat_activity, sys.innodb_lock_waits) and shorten it.",
        "Hold a row lock in one connection; the other must give up in its time limit with a clear error.",
        "Short transactions without remote calls inside; statement and lock time limits.",
        "Oldest open transaction; sessions waiting for locks.",
        types=("locktimeoutexception", "cannotacquirelockexception", "pessimisticlockexception"),
        messages=(
            r"lock wait timeout exceeded",
            r"canceling statement due to lock timeout",
            r"could not obtain lock on row",
            r"database is locked",
            r"ora-00054",
        ),
    ),
    Pattern(
        "database.duplicate_key",
        "Duplicate key",
        "A row with this key is there already: the same request twice, two writers at once, or a wrong sequence.",
        "Make the write idempotent (insert ... on conflict, an idempotency key), and answer the second request with "
        "the "
        "first one's result.",
        "Send the same request twice at once: one row, two equal answers.",
        "Idempotency keys on everything that is retried.",
        "Unique violations by constraint.",
        types=("duplicatekeyexception", "uniqueviolation", "duplicatekeyerror"),
        messages=(
            r"duplicate key value",
            r"duplicate entry .{0,120}for key",
            r"unique constraint (failed|.{0,80}violated)",
            r"e11000 duplicate key",
            r"violation of (unique|primary) key",
        ),
    ),
    Pattern(
        "database.foreign_key",
        "Row that refers to nothing",
        "A row refers to another that is not there (not yet, or no longer): order of writes, or a deletion.",
        "Write the parent first, in the same transaction; decide what deletions do.",
        "Delete the parent while the child is written.",
        "Foreign keys with a stated rule for deletion.",
        "Foreign key violations by constraint.",
        types=("foreignkeyviolation",),
        messages=(r"foreign key constraint (fails|failed)", r"violates foreign key", r"ora-02291"),
    ),
    Pattern(
        "database.too_many_connections",
        "Too many database connections",
        "All clients together opened more connections than the database allows: pools times instances are more than "
        "the "
        "maximum, or connections leak.",
        "Count pool size times instances against max_connections; lower the pools or put a pooler between; end idle "
        "ones.",
        "Scale the service to its maximum in a test environment and count connections.",
        "A budget of connections per service; a pooler.",
        "Connections in use against the maximum (alert at 80 %).",
        messages=(
            r"too many connections",
            r"too many clients already",
            r"remaining connection slots are reserved",
            r"max_user_connections",
            r"ora-00018",
        ),
        instead_of=("resource.connection_pool_exhausted",),
    ),
    Pattern(
        "database.syntax_or_schema",
        "Statement does not fit the schema",
        "A table, column or piece of syntax is not what the code expects: a migration missing, or run in the wrong "
        "order.",
        "Compare the schema's version with what the release expects; run or roll back the migration.",
        "Run the migrations of the release on a copy, then the release's tests.",
        "Expand, deploy, contract: schema changes that both releases can live with.",
        "Version of the schema per environment; count of this exception per release.",
        types=(
            "badsqlgrammarexception",
            "undefinedtable",
            "undefinedcolumn",
            "sqlgrammarexception",
            "programmingerror",
        ),
        messages=(
            r"(relation|column) .{0,120}does not exist",
            r"unknown column",
            r"no such (table|column)",
            r"invalid column name",
            r"table .{0,120}doesn't exist",
            r"syntax error at or near",
        ),
    ),
    Pattern(
        "database.slow_query",
        "Slow query",
        "One statement took much longer than it usually does: a missing index, another plan, a lock, or much more "
        "data.",
        "Explain the statement with its parameters (EXPLAIN ANALYZE) and compare with the plan of before; add the "
        "index "
        "or limit the result.",
        "Load test with data of production size; assert the statement's p95.",
        "Review plans of new statements; statement time limits; slow query log.",
        "p95 of this statement against the week before; slow query count.",
        rules=("latency.own_time",),
        look=_slow_statement,
        instead_of=("network.slow_dependency",),
        messages=(
            r"canceling statement due to statement timeout",
            r"query execution was interrupted",
            r"query timeout expired",
        ),
    ),
    Pattern(
        "database.n_plus_one",
        "N+1 queries",
        "One query per element where one for all would do: typically lazy loading in a loop over a list.",
        "Fetch the related rows together: a join or one query with an IN list (eager loading, prefetch, data loader).",
        "Count the queries of the operation with 1 and with 50 elements: the same number.",
        "A test that bounds the queries per request; lazy loading off by default.",
        "Database calls per request, p95, by operation.",
        rules=("structure.n_plus_one", "latency.fan_out"),
    ),
    Pattern(
        "database.read_only",
        "Write to a read-only database",
        "A write went to a replica, or the primary is in recovery after a fail-over.",
        "Let clients find the new primary (close pooled connections); check the fail-over.",
        "Fail over in a test environment under load.",
        "Drivers that know primary and replica; short connection lifetime.",
        "Role of each instance; errors of writes after a fail-over.",
        messages=(
            r"read-only (transaction|option|mode)",
            r"cannot execute .{0,20} in a read-only",
            r"not (primary|master)\b",
        ),
    ),
)
