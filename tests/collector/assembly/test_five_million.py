"""R15: memory is bounded by bytes, whatever the number of ids or the size of one trace; what leaves early is counted.

Each case runs in a process of its own, so that its resident memory is its own.
"""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numba.core import config as numba_config

from collector.assembly import Assembler, AssemblyConfig
from collector.assembly.counts import AssemblyCounts
from collector.contracts import Signal
from collector.errors import OverloadedError
from tests.collector.assembly.support import new_assembler, record_dtype, records, take

MIB = 1 << 20
REQUEST_SPANS = 1_000
SPAN_BYTES = 64 + 128  # a record of the test and its row
BUDGET = AssemblyConfig(
    arena_bytes=256 * MIB, segment_bytes=8 * MIB, idle_ms=600_000, root_idle_max_ms=600_000, age_max_ms=600_000
)
SMALL = replace(BUDGET, arena_bytes=4 * MIB, segment_bytes=128 << 10, open_traces_max=100_000, closed_traces_max=20_000)
# Beside the arena: 96 bytes a trace that is open or remembered, and an index of them.
RESIDENT_FACTOR = 2.0


@dataclass(frozen=True)
class Seen:
    """counts at the end; the most that was held at once: span bytes with rows, and memory of the process beyond its start."""

    counts: AssemblyCounts
    held_bytes_max: int
    resident_bytes: int


def each_its_own(request: int) -> np.ndarray:
    return np.arange(request * REQUEST_SPANS, (request + 1) * REQUEST_SPANS, dtype=np.uint64)


def all_one(request: int) -> np.ndarray:
    return np.full(REQUEST_SPANS, 7, np.uint64)


def flood(config: AssemblyConfig, shape: str, spans: int) -> Seen:
    """Send spans as fast as they are taken; every release is let go of at once, as the engine does under load."""
    traces_of = {"each its own": each_its_own, "all one": all_one}[shape]
    take(_warmed(config), 1)
    start = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    assembler, held_max = new_assembler(config), 0
    for request in range(spans // REQUEST_SPANS):
        payload = _payload(traces_of(request), request)
        now_ms = 1_000 + request
        while True:
            try:
                assembler.ingest(payload, Signal.TRACES, now_ms)
                break
            except OverloadedError:
                _let_go(assembler, now_ms)
        counts = assembler.counts()
        assert counts.balanced
        held_max = max(held_max, counts.held_spans * SPAN_BYTES)
        _let_go(assembler, now_ms)
    while (released := assembler.flush()) is not None:
        assembler.done(released)
    return Seen(assembler.counts(), held_max, _memory("VmHWM") - start)


def _payload(traces: np.ndarray, request: int) -> bytes:
    made = np.zeros(len(traces), record_dtype(64))
    made["trace_0"], made["trace_1"] = traces, traces ^ np.uint64(0xABCDEF)
    made["span"] = np.arange(request * REQUEST_SPANS + 1, (request + 1) * REQUEST_SPANS + 1)
    return made.tobytes()


def _let_go(assembler: Assembler, now_ms: int) -> None:
    while (released := assembler.due(now_ms)) is not None:
        assembler.done(released)


def _warmed(config: AssemblyConfig) -> Assembler:
    """Kernels are loaded before anything is weighed."""
    assembler = new_assembler(
        replace(config, arena_bytes=4 * MIB, segment_bytes=128 << 10, open_traces_max=1000, closed_traces_max=16)
    )
    assembler.ingest(records([1, 2]), Signal.TRACES, 1)
    return assembler


def _memory(line: str) -> int:
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"{line}:")[2].split()[0]) << 10


def in_own_process(config: AssemblyConfig, shape: str, spans: int) -> Seen:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(flood, (config, shape, spans))


def check_ids(config: AssemblyConfig, spans: int) -> Seen:
    """A trace for each span: what does not fit leaves early, the oldest first, with its reason; nothing is lost."""
    seen = in_own_process(config, "each its own", spans)
    counts = seen.counts
    early, late = counts.released_spans["memory_pressure"], counts.released_spans["shutdown"]
    assert counts.received_spans == spans == early + late
    assert counts.released_traces["memory_pressure"] == early
    assert early >= spans - config.arena_bytes // SPAN_BYTES
    assert (counts.open_spans, sum(counts.dropped_spans.values())) == (0, 0)
    return seen


def check_one(config: AssemblyConfig, spans: int) -> Seen:
    """One trace for all: decided once at its limit, then only counted."""
    seen = in_own_process(config, "all one", spans)
    counts = seen.counts
    kept = counts.released_spans["span_limit"]
    assert counts.released_traces["span_limit"] == 1
    assert kept + counts.dropped_spans["trace_too_large"] == counts.received_spans == spans
    assert kept <= config.trace_spans_max
    return seen


def check_memory(config: AssemblyConfig, seen: Seen) -> None:
    print(
        f"held {seen.held_bytes_max / MIB:.0f} MiB, resident {seen.resident_bytes / MIB:.0f} MiB of {config.arena_bytes / MIB:.0f}"
    )
    assert seen.held_bytes_max <= config.arena_bytes
    assert seen.resident_bytes <= RESIDENT_FACTOR * config.arena_bytes


@pytest.mark.skipif(numba_config.DISABLE_JIT, reason="a hundred thousand spans in the interpreter")
def test_a_hundred_thousand_ids_and_a_trace_of_a_hundred_thousand_spans():
    """The same as below, with a sixty-fourth of the memory."""
    ids = check_ids(SMALL, 100_000)
    one = check_one(replace(SMALL, trace_spans_max=5_000), 100_000)

    assert max(ids.held_bytes_max, one.held_bytes_max) <= SMALL.arena_bytes


@pytest.mark.deep
def test_five_million_ids():
    check_memory(BUDGET, check_ids(BUDGET, 5_000_000))


@pytest.mark.deep
def test_a_trace_of_five_million_spans():
    check_memory(BUDGET, check_one(BUDGET, 5_000_000))
