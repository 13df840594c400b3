"""Assembly alone: nanoseconds a span to link, gather and let go, and bytes a live span.

Run: python -m tests.benchmarks.bench_assembly [live spans]

Rows are read by a decoder that costs almost nothing, so the figures are assembly's own; the copy of the
request and the fake decoding are measured apart and left out of `link`. Traces of 30 spans, each
request carries spans of 512 traces ("mixed", the worst case for the table) or whole traces ("whole").
Times are CPU time of the one thread, so busy neighbours count only for what they do to the caches.
"""

from __future__ import annotations

import gc
import resource
import sys
import time

import numpy as np

from analyzer.spans import SpanFlag
from collector.assembly import Assembler, AssemblyConfig, warm
from collector.assembly.kernels import link as link_kernel
from collector.contracts import Signal
from collector.wire.detail import read_detail
from tests.collector.assembly.support import RecordDecoder, record_dtype
from tests.support.naive.vocabulary import vocabulary

RAW_BYTES = 457
TRACE_SPANS = 30
REQUEST_SPANS = 512
GIB = 1 << 30


class Stopwatch:
    """Wraps a kernel and adds up the time it takes."""

    def __init__(self, kernel):
        self.kernel, self.seconds = kernel, 0.0

    def __call__(self, *arguments):
        began = time.thread_time()
        result = self.kernel(*arguments)
        self.seconds += time.thread_time() - began
        return result


def requests(count: int, mixed: bool):
    """`count` spans; mixed: the spans of 512 traces one after another."""
    rng = np.random.default_rng(1)
    made = np.zeros(REQUEST_SPANS, record_dtype(RAW_BYTES))
    group = REQUEST_SPANS * TRACE_SPANS
    for first in range(0, count, REQUEST_SPANS):
        at = np.arange(first, first + REQUEST_SPANS)
        trace = (at // group * REQUEST_SPANS + at % REQUEST_SPANS) if mixed else at // TRACE_SPANS
        made["trace_0"] = trace * np.int64(0x9E3779B97F4A7) + 1
        made["trace_1"] = trace
        made["span"] = rng.integers(1, 2**63, REQUEST_SPANS)
        made["flags"] = np.where(at % TRACE_SPANS == 0, int(SpanFlag.ROOT), 0)
        yield made.tobytes()


def rss() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def run(live: int, mixed: bool) -> None:
    config = AssemblyConfig(
        arena_bytes=int(live * (RAW_BYTES + 128) * 1.2) // (4 << 20) * (4 << 20) + (64 << 20),
        open_traces_max=live,
        soft_share=0.95,
        hard_share=0.95,
        idle_ms=60_000,
        root_idle_ms=5_000,
    )
    assembler = Assembler(config, RecordDecoder(RAW_BYTES), vocabulary(), read_detail, seed=1)
    gc.collect()
    before = rss()
    kernel = link_kernel.link
    watch = Stopwatch(kernel)
    link_kernel.link = watch
    began = time.thread_time()
    spans = 0
    for payload in requests(live, mixed):
        spans += assembler.ingest(payload, Signal.TRACES, spans // 1000)
    ingest_s = time.thread_time() - began
    link_kernel.link = kernel
    held = (rss() - before) / spans
    now = spans // 1000 + 200_000
    gather_s = done_s = 0.0
    released = 0
    while True:
        began = time.thread_time()
        batch = assembler.due(now, 4096)
        gather_s += time.thread_time() - began
        if batch is None:
            break
        released += len(batch.traces.rows)
        began = time.thread_time()
        assembler.done(batch)
        done_s += time.thread_time() - began
    assert released == spans
    began = time.thread_time()
    assembler.due(now + 20_000)  # what was kept is let go
    close_s = time.thread_time() - began
    assert assembler.counts().held_spans == 0
    print(
        f"{'mixed' if mixed else 'whole':6} {spans:>9,} live  link {watch.seconds / spans * 1e9:5.0f}  "
        f"ingest {ingest_s / spans * 1e9:5.0f} (with making the request, copy, fake decode)  "
        f"gather {gather_s / spans * 1e9:5.0f}  "
        f"done {done_s / spans * 1e9:4.0f}  let go {close_s / spans * 1e9:4.0f} ns/span   "
        f"{held:4.0f} bytes a live span ({RAW_BYTES} raw)"
    )


if __name__ == "__main__":
    warm(vocabulary(), read_detail)
    most = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    for live in (10_000, 100_000, 1_000_000, 5_000_000):
        if live <= most:
            for mixed in (False, True):
                run(live // REQUEST_SPANS * REQUEST_SPANS, mixed)
