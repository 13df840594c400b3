"""The guard alone: spans a second through the structural check, beside protobuf's own parse of the same bytes.

Run: python -m tests.benchmarks.bench_guard [--quick]

CPU time of one thread, best of several rounds. upb parses into its arena and no Python object is made of
a span, so its figure is what a receiver would pay only to learn whether the bytes are sound.
"""

from __future__ import annotations

import sys
import time

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.contracts import Signal
from collector.wire.limits import prescan, warm
from collector.wire.request_limits import RequestLimits
from tests.support.load import Grouping, requests

FORMS: tuple[tuple[Grouping, int], ...] = (("gateway", 512), ("sdk", 512), ("sdk", 10))


def run(quick: bool = False) -> None:
    """Print one line a form of request."""
    warm()
    limits = RequestLimits()
    for grouping, size in FORMS:
        made = requests(5, 300 if quick else 1500, size, grouping)
        spans = sum(count for _, count in made)
        ours, theirs = [], []
        for _ in range(3 if quick else 7):
            began = time.thread_time()
            for payload, _ in made:
                prescan(payload, Signal.TRACES, limits)
            ours.append(time.thread_time() - began)
            began = time.thread_time()
            for payload, _ in made:
                ExportTraceServiceRequest.FromString(payload)
            theirs.append(time.thread_time() - began)
        mine, other = min(ours) / spans, min(theirs) / spans
        print(
            f"guard {grouping:7} {size:4}  {mine * 1e9:5.0f} ns/span = {1e-6 / mine:5.2f} M spans/s; "
            f"upb parse {other * 1e9:5.0f} ns/span = {1e-6 / other:5.2f} M spans/s; {other / mine:4.1f}x"
        )


if __name__ == "__main__":
    run("--quick" in sys.argv)
