"""What masking costs: of requests that are kept, with and without a secret, and of details that are read.

Run: python -m tests.benchmarks.bench_redaction [--quick]

CPU time of one thread, best of several rounds, spans of the load generator in requests of some thirty, as traces are kept.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.contracts import Signal
from collector.redaction import Redactor
from collector.wire.detail import read_detail
from collector.wire.masking import masked_details, masked_request
from tests.support.load import requests


def run(quick: bool = False) -> None:
    """Print microseconds a span."""
    clean, planted, spans = [], [], []
    for payload, _ in requests(5, 100 if quick else 600, 30):
        found = ExportTraceServiceRequest.FromString(payload)
        clean.append(payload)
        for group in found.resource_spans:
            for scope in group.scope_spans:
                spans += [memoryview(span.SerializeToString()) for span in scope.spans]
        first = found.resource_spans[0].scope_spans[0].spans[0]
        first.attributes.add(key="http.request.header.authorization").value.string_value = "Bearer abc123def456"
        planted.append(found.SerializeToString())
    redactor = Redactor()
    details = masked_details(read_detail, redactor)

    def cost(work: Callable[[], object]) -> float:
        times = []
        for _ in range(3 if quick else 7):
            began = time.thread_time()
            work()
            times.append(time.thread_time() - began)
        return min(times) / len(spans) * 1e6

    print(
        f"kept, no secret     {cost(lambda: [masked_request(one, Signal.TRACES, redactor) for one in clean]):5.1f} us/span"
    )
    print(
        f"kept, one secret    {cost(lambda: [masked_request(one, Signal.TRACES, redactor) for one in planted]):5.1f} us/span"
    )
    print(f"details             {cost(lambda: [read_detail(one, log=False) for one in spans]):5.1f} us/span")
    print(f"details, masked     {cost(lambda: [details(one, log=False) for one in spans]):5.1f} us/span")


if __name__ == "__main__":
    run("--quick" in sys.argv)
