"""The shelf: traces a second put, milliseconds to find one, bytes a trace.

Run: python -m tests.benchmarks.bench_store [traces] [hours]

Every trace is an anomalous one: its answer, its 20 spans as OTLP (about 8 KB raw), two messages in the
outbox; with each come 20 clean ids. Batches of 500, each on disk (fsync) before the next. Beside it the
plain way, in the same run: a row a span and JSON answers in one indexed SQLite file, same batches, same
durability.
"""

from __future__ import annotations

import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.contracts import FindingQuery, Rollup, StoredTrace
from collector.exporters.findings import ExportSettings, finding_exports
from collector.store.sqlite import SqliteStore
from tests.support.answers import checkout, trace_id
from tests.support.fakes.clock import EPOCH_NS, ManualClock

BATCH = 500
SPANS = 20


def request(number: int, rng: random.Random) -> bytes:
    """Twenty spans of four services with the attributes an HTTP instrumentation writes."""
    made = ExportTraceServiceRequest()
    for service in ("gateway", "payment", "bank", "ledger"):
        resource_spans = made.resource_spans.add()
        resource_spans.resource.attributes.add(key="service.name").value.string_value = service
        scope_spans = resource_spans.scope_spans.add()
        for n in range(SPANS // 4):
            span = scope_spans.spans.add(
                trace_id=trace_id(number),
                span_id=rng.randbytes(8),
                parent_span_id=rng.randbytes(8),
                name=f"GET /{service}/{n}",
            )
            span.start_time_unix_nano = EPOCH_NS + rng.randrange(10**9)
            span.end_time_unix_nano = span.start_time_unix_nano + rng.randrange(10**8)
            for key, value in (
                ("http.request.method", "GET"),
                ("url.full", f"https://{service}.shop.example/api/v1/items/{rng.randrange(10**6)}?page={n}"),
                ("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101"),
                ("server.address", f"10.1.{rng.randrange(256)}.{rng.randrange(256)}"),
                ("thread.name", f"worker-{rng.randrange(64)}"),
                ("enduser.id", f"{rng.getrandbits(64):x}"),
            ):
                span.attributes.add(key=key).value.string_value = value
    return made.SerializeToString()


def quantiles(work: Callable[[int], object], numbers: list[int]) -> str:
    """p50 and p99 of single calls, in milliseconds."""
    times = []
    for number in numbers:
        began = time.perf_counter()
        work(number)
        times.append((time.perf_counter() - began) * 1e3)
    times.sort()
    return f"p50 {times[len(times) // 2]:.3f} ms, p99 {times[len(times) * 99 // 100]:.3f} ms"


def packed(folder: Path, traces: list[StoredTrace], hours: int, rng: random.Random) -> None:
    clock = ManualClock()
    store = SqliteStore.open(folder, clock=clock)
    spent, cpu, puts = 0.0, 0.0, []
    for first in range(0, len(traces), BATCH):
        clock.set_wall(EPOCH_NS + first * hours // len(traces) * 3_600_000_000_000)
        clean = [rng.randbytes(16) for _ in range(BATCH * 20)]
        rollups = [Rollup(EPOCH_NS // 60_000_000_000, "bank", f"GET /{n}", 2, 1, 0, 1, 1) for n in range(200)]
        began, cpu_began = time.perf_counter(), time.thread_time()
        store.put(traces[first : first + BATCH], clean, rollups)
        puts.append(time.perf_counter() - began)
        spent += puts[-1]
        cpu += time.thread_time() - cpu_began
    size = sum(path.stat().st_size for path in folder.iterdir())
    puts.sort()
    rate = len(traces) / spent
    print(f"packed      put    {rate:8.0f} traces/s = {rate * SPANS:9.0f} spans/s; a put of {BATCH}: "
          f"p50 {puts[len(puts) // 2] * 1e3:.0f} ms, max {puts[-1] * 1e3:.0f} ms; {size / len(traces):.0f} bytes a trace")  # fmt: skip
    print(f"            CPU    {len(traces) / cpu:8.0f} traces/s of one core, were nothing else running")
    some = [rng.randrange(len(traces)) for _ in range(2000)]
    print(f"            find   {quantiles(lambda n: store.find(trace_id(n)), some)}")
    print(f"            never  {quantiles(lambda n: store.find(rng.randbytes(16)), some)}")
    print(f"            page   {quantiles(lambda n: store.findings(FindingQuery(limit=100)), some[:200])}")
    rare = FindingQuery(service="nobody", limit=100)
    print(f"            scan   {quantiles(lambda n: store.findings(rare), some[:20])} (a filter that nothing passes)")
    began, count = time.perf_counter(), 0
    while items := store.outbox_take("otlp", 64, EPOCH_NS):
        store.outbox_done([item.row_id for item in items])
        count += len(items)
    print(f"            outbox {count / (time.perf_counter() - began):8.0f} messages/s taken and done, 64 at a time")
    reader = SqliteStore.open(folder, read_only=True)
    print(f"            reader {quantiles(lambda n: reader.find(trace_id(n)), some)}")
    reader.close()
    began = time.perf_counter()
    clock.set_wall(EPOCH_NS + 1000 * 3_600_000_000_000)
    store.retain(clock.now_ns())
    print(f"            retain {(time.perf_counter() - began) * 1e3:.1f} ms for {hours} hours that leave")
    store.close()


def plain(folder: Path, traces: list[StoredTrace], rng: random.Random) -> None:
    db = sqlite3.connect(folder / "plain.sqlite", isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(
        "CREATE TABLE span (trace_id TEXT, span_id TEXT, name TEXT, start INTEGER, end INTEGER, attributes TEXT)"
    )
    db.execute("CREATE INDEX span_trace ON span (trace_id)")
    db.execute("CREATE TABLE finding (trace_id TEXT PRIMARY KEY, start INTEGER, answer TEXT)")
    db.execute("CREATE INDEX finding_start ON finding (start)")
    spent = 0.0
    for first in range(0, len(traces), BATCH):
        began = time.perf_counter()
        db.execute("BEGIN")
        for trace in traces[first : first + BATCH]:
            key = trace.name.hex()
            db.execute(
                "INSERT INTO finding VALUES (?, ?, ?)", (key, trace.answer.start_ns, trace.answer.model_dump_json())
            )
            for resource in ExportTraceServiceRequest.FromString(trace.trace_otlp or b"").resource_spans:
                db.executemany(
                    "INSERT INTO span VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        (key, span.span_id.hex(), span.name, span.start_time_unix_nano, span.end_time_unix_nano,
                         str({pair.key: pair.value.string_value for pair in span.attributes}))
                        for span in resource.scope_spans[0].spans
                    ],
                )  # fmt: skip
        db.execute("COMMIT")
        spent += time.perf_counter() - began
    size = sum(path.stat().st_size for path in folder.iterdir())
    rate = len(traces) / spent
    print(
        f"row a span  put    {rate:8.0f} traces/s = {rate * SPANS:9.0f} spans/s; {size / len(traces):.0f} bytes a trace"
    )
    some = [rng.randrange(len(traces)) for _ in range(2000)]

    def find(number: int) -> object:
        key = trace_id(number).hex()
        return (
            db.execute("SELECT answer FROM finding WHERE trace_id = ?", (key,)).fetchall(),
            db.execute("SELECT * FROM span WHERE trace_id = ?", (key,)).fetchall(),
        )

    print(f"            find   {quantiles(find, some)}")
    db.close()


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    hours = int(sys.argv[2]) if len(sys.argv) > 2 else 24
    rng = random.Random(1)
    settings = ExportSettings()
    traces = []
    for number in range(count):
        answer = checkout(number, start_ns=EPOCH_NS + number)
        traces.append(
            StoredTrace(
                trace_id(number), answer, request(number, rng), None, tuple(finding_exports(answer, settings, EPOCH_NS))
            )
        )
    raw = sum(len(trace.trace_otlp or b"") for trace in traces) / count
    print(
        f"{count} anomalous traces of {SPANS} spans, {raw:.0f} bytes of OTLP each, over {hours} hour files; load {os.getloadavg()[0]:.1f}"
    )
    for work in (lambda folder: packed(folder, traces, hours, rng), lambda folder: plain(folder, traces, rng)):
        with tempfile.TemporaryDirectory(prefix="bench_store_") as folder:
            work(Path(folder))


if __name__ == "__main__":
    main()
