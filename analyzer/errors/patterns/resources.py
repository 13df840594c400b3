"""Something ran out: pool, memory, descriptors, disk, threads, quota. Data only."""

from __future__ import annotations

from collections.abc import Sequence

from analyzer.errors.model import ExceptionFact
from analyzer.errors.patterns.pattern import Pattern, Seen
from analyzer.findings import Answer
from analyzer.words import ms, named


def _waited_for_a_connection(answer: Answer, _: Sequence[ExceptionFact]) -> Seen | None:
    """Time went by in a span before its first call of a database."""
    if answer.latency is None or answer.verdict not in ("latency", "mixed"):
        return None
    for excess in answer.latency.excess:
        if excess.kind == "wait" and excess.span.kind != "CONSUMER":
            where = named(excess.span.service, excess.span.operation)
            return f"{where} waited {ms(excess.excess_ns)} more than usual before a call", (excess.span.span_id,), 0.6
    return None


PATTERNS: tuple[Pattern, ...] = (
    Pattern(
        "resource.connection_pool_exhausted",
        "Connection pool exhausted",
        "Every connection of the pool was in use: they are held too long (slow queries, work inside a transaction), "
        "leaked, or the pool is too small for the load.",
        "Find who holds connections (slow queries, N+1, remote calls inside a transaction) and shorten that; return "
        "connections in a finally block; only then enlarge the pool, within what the database allows.",
        "Load test with pool size + 1 parallel requests while the dependency is slowed down; waiting must stay "
        "bounded.",
        "Acquire timeout shorter than the request's; leak detection on; no remote calls inside transactions.",
        "Pool: connections in use against size, waiting threads, acquire time p95 (alert at 80 % in use for 5 min).",
        types=(
            "sqltransientconnectionexception",
            "connectionpooltimeoutexception",
            "poolexhaustedexception",
            "pooltimeout",
            "pooltimeouterror",
        ),
        messages=(
            r"connection is not available, request timed out",
            r"queuepool limit",
            r"timeout waiting for (idle object|connection from pool)",
            r"(connection )?pool (is )?exhausted",
            r"unable to acquire (jdbc )?connection",
            r"timeout expired.{0,120}prior to obtaining a connection from the pool",
            r"remaining connection slots are reserved",
        ),
        rules=("error.pool.exhausted",),
        look=_waited_for_a_connection,
    ),
    Pattern(
        "resource.out_of_memory",
        "Out of memory",
        "The process needed more memory than it may have: a leak, one huge request, or a limit that is too low.",
        "Compare heap snapshots over time: steady growth is a leak; one peak is one request. Bound the size of what "
        "one "
        "request may load.",
        "Send the largest allowed request in a loop and watch the resident size: it must level out.",
        "Bounds on every buffer, page and cache; memory limit above the measured peak.",
        "Resident memory against limit (alert at 85 %), garbage collection time, restarts with reason OOMKilled.",
        types=("outofmemoryerror", "outofmemoryexception", "memoryerror"),
        messages=(
            r"java heap space",
            r"gc overhead limit exceeded",
            r"cannot allocate memory",
            r"javascript heap out of memory",
            r"runtime: out of memory",
            r"oomkilled",
        ),
    ),
    Pattern(
        "resource.too_many_open_files",
        "Too many open files",
        "The process has as many files and sockets open as it may: leaked handles, or a client made per request.",
        "Look at /proc/PID/fd for what they are; close in a finally block; share one client.",
        "Run a thousand requests and count the descriptors before and after: the same.",
        "One shared client per peer; a raised but bounded limit.",
        "process_open_fds against process_max_fds (alert at 80 %).",
        messages=(r"too many open files", r"\bemfile\b", r"\benfile\b"),
    ),
    Pattern(
        "resource.disk_full",
        "Disk full",
        "No space (or no inodes) left, or a quota reached: logs, temporary files, or data grew.",
        "Free space now (rotate logs, clean temporary files); then find what grows.",
        "Fill a small volume in a test environment: the service must refuse cleanly and recover.",
        "Retention for logs and temporary files; volumes with room for the growth of a week.",
        "Free space and inodes, with a forecast (predict_linear) to full within 4 h.",
        messages=(
            r"no space left on device",
            r"\benospc\b",
            r"disk quota exceeded",
            r"there is not enough space on the disk",
        ),
    ),
    Pattern(
        "resource.threads_exhausted",
        "Threads or workers exhausted",
        "No worker was free: all are waiting for something slow, or the pool's queue is full.",
        "Take a thread dump: what do they wait for? Put a time limit on it, and separate pools per dependency "
        "(bulkhead).",
        "Slow down one dependency under load: requests that do not need it must still be answered.",
        "Bounded queues with refusal; bulkheads; time limits shorter than the caller's.",
        "Active workers against size, queue length, refused tasks.",
        types=("rejectedexecutionexception", "bulkheadfullexception", "threadpoolrejectedexception"),
        messages=(
            r"unable to create (new )?native thread",
            r"can't start new thread",
            r"resource temporarily unavailable",
            r"bulkhead .{0,60}is full",
        ),
    ),
    Pattern(
        "resource.quota_exceeded",
        "Quota exceeded",
        "A quota of a provider or of a platform is used up; trying again does not help before it is renewed.",
        "Look up which quota and when it renews; reduce calls (cache, batch) or ask for more.",
        "Answer the quota error from a fake: the service must degrade, not loop.",
        "Budget of calls per period, spread evenly.",
        "Used share of the quota (alert at 80 %).",
        types=("quotaexceedederror", "quotaexceededexception", "limitexceededexception"),
        messages=(r"quota (has been )?exceeded", r"insufficient_quota", r"usage limit reached"),
        rpc=(8,),
    ),
    Pattern(
        "resource.cpu_starved",
        "CPU limit reached",
        "The process is held back by its CPU limit, or by work on its event loop.",
        "Profile (own time, top 20 by cumulative time); move long work off the event loop; raise the limit if the work "
        "is needed.",
        "Run the operation under the same CPU limit and compare with the baseline.",
        "Continuous profiling; limits from measurement.",
        "container_cpu_cfs_throttled_periods_total against periods; event loop delay p99.",
        messages=(r"event loop (is )?(blocked|lag)", r"cpu (was |is )?throttled", r"thread starvation or clock leap"),
    ),
)
