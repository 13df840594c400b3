"""Realistic OTLP requests for benchmarks and load, from a seed.

A system of services is drawn once, traces are walks through it, and their spans are packed as a Collector or an SDK
sends them. One trace in sixty fails by itself.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Literal

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from tests.support.load_system import Service, system
from tests.support.load_traces import Call, Fault, Walk, attribute

Grouping = Literal["gateway", "sdk"]

ERROR_TRACES = 1 / 60
START_NS = 1_780_000_000_000_000_000
MS = 1_000_000


def requests(
    seed: int,
    traces: int,
    spans_per_request: int = 512,
    grouping: Grouping = "gateway",
    faults: Sequence[Fault] = (),
) -> list[tuple[bytes, int]]:
    """Draw traces and pack their spans into requests, in the order the spans ended.

    Parameters
    ----------
    grouping : "gateway" or "sdk"
        A Collector's batch (many resources a request), or an SDK's (one resource a request).
    faults : sequence of Fault
        Planted failures; beside them one trace in sixty fails by itself.

    Returns
    -------
    list of (serialised ExportTraceServiceRequest, span count)
    """
    rng = random.Random(seed)
    services = system(seed)
    calls: list[Call] = []
    for i in range(traces):
        walk = Walk(rng, faults, rng.random() < ERROR_TRACES)
        walk.serve(services[0], b"", START_NS + i * MS // 3)
        calls += walk.calls
    calls.sort(key=lambda call: call.span.end_time_unix_nano)
    return [(_pack(batch), len(batch)) for batch in _batches(calls, spans_per_request, grouping)]


def _batches(calls: list[Call], size: int, grouping: Grouping) -> Iterable[list[Call]]:
    if grouping == "gateway":
        yield from (calls[i : i + size] for i in range(0, len(calls), size))
        return
    waiting: dict[tuple[str, int], list[Call]] = {}
    for call in calls:
        key = (call.service.name, call.instance)
        waiting.setdefault(key, []).append(call)
        if len(waiting[key]) == size:
            yield waiting.pop(key)
    yield from waiting.values()


def _pack(batch: list[Call]) -> bytes:
    groups: dict[tuple[str, int], ResourceSpans] = {}
    request = ExportTraceServiceRequest()
    for call in batch:
        key = (call.service.name, call.instance)
        if key not in groups:
            groups[key] = group = request.resource_spans.add()
            _describe(group, call.service, call.instance)
        groups[key].scope_spans[0].spans.append(call.span)
    return request.SerializeToString()


def _describe(group: ResourceSpans, service: Service, instance: int) -> None:
    group.schema_url = "https://opentelemetry.io/schemas/1.40.0"
    words = {
        "service.name": service.name,
        "service.version": service.version,
        "service.instance.id": service.instances[instance],
        "deployment.environment.name": "production",
        "telemetry.sdk.language": service.language,
    }
    group.resource.attributes.extend(attribute(key, value) for key, value in words.items())
    scope = group.scope_spans.add().scope
    scope.name, scope.version = f"io.opentelemetry.{service.language}.http", "2.4.0"
