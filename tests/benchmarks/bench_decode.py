"""Decoding alone: nanoseconds a span from request bytes to rows, against protobuf objects in the same run.

Run: python -m tests.benchmarks.bench_decode [--quick]

Each request is decoded from where it lies into rows that stand ready, as assembly does it. The reference
parses the same request into one Python object per span (tests.benchmarks.reference.parse), which is
what its analysis needs. CPU time of the one thread; rounds of both take turns.
"""

from __future__ import annotations

import statistics
import sys
import time

import numpy as np

from analyzer.kernels.hashing import SLACK_BYTES
from analyzer.spans import SPAN_DTYPE
from analyzer.strings import new_vocabulary
from collector.contracts import Signal
from collector.wire.decode import Decoder
from tests.benchmarks import reference
from tests.benchmarks.goals import Measured, show, write
from tests.support.load import requests

FORMS = (("gateway", 512), ("sdk", 512), ("gateway", 10))


def run(quick: bool = False) -> tuple[list[Measured], dict[str, object]]:
    """Decode every form of request; the goal is that of 512-span gateway batches."""
    figures: dict[str, object] = {}
    for grouping, size in FORMS:
        made = requests(5, 400 if quick else 1500, size, grouping)  # type: ignore[arg-type]
        buffers = [np.frombuffer(payload + bytes(SLACK_BYTES), np.uint8).copy() for payload, _ in made]
        spans = sum(count for _, count in made)
        decoder = Decoder(new_vocabulary())
        rows = np.zeros(size, SPAN_DTYPE)
        ours, theirs = [], []
        for _ in range(5 if quick else 15):
            began = time.thread_time()
            found = 0
            for buffer in buffers:
                found += decoder.decode_into(Signal.TRACES, buffer, 0, len(buffer) - SLACK_BYTES, rows, 0)
            ours.append((time.thread_time() - began) / spans)
            assert found == spans, f"decoded {found} spans of {spans}"
            part = made[: max(1, len(made) // 10)]
            began = time.thread_time()
            parsed = sum(len(reference.parse(payload)) for payload, _ in part)
            theirs.append((time.thread_time() - began) / parsed)
        mine, other = statistics.median(ours), statistics.median(theirs)
        size_bytes = sum(len(payload) for payload, _ in made) / spans
        figures[f"{grouping}{size}"] = {
            "ns_per_span": mine * 1e9, "best_ns_per_span": min(ours) * 1e9, "ratio": other / mine, "bytes_per_span": size_bytes,
        }  # fmt: skip
        print(f"decode {grouping:7} {size:4}  {mine * 1e9:6.0f} ns/span (best {min(ours) * 1e9:.0f}) "
              f"= {1e-6 / mine:5.2f} M spans/s; protobuf objects {other * 1e9:7.0f} ns/span; "
              f"{other / mine:4.0f}x; {size_bytes:.0f} B/span")  # fmt: skip
    gateway = figures["gateway512"]
    assert isinstance(gateway, dict)
    return [Measured("decode", 1e3 / gateway["ns_per_span"], "median of rounds, CPU time")], figures


if __name__ == "__main__":
    goals, numbers = run("--quick" in sys.argv)
    show(goals)
    write("decode", goals, numbers)
