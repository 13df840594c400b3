"""Small requests of every signal with every field in them: what damage begins with."""

from __future__ import annotations

import random
from functools import cache

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.contracts import Signal
from tests.collector.wire.strategies import written_oddly
from tests.support.drawing import draw
from tests.support.load import requests
from tests.support.load_traces import Fault
from tests.support.shop import FAULTS


@cache
def requests_of_every_kind() -> list[tuple[bytes, Signal]]:
    """As clients send them, as nobody writes them, hand-made ones, drawn failures."""
    rng = random.Random(3)
    sent = [payload for payload, _ in requests(11, 4, 3, faults=[Fault("edge-gateway", 0.5)])][:8]
    odd = [written_oddly(ExportTraceServiceRequest.FromString(payload), rng) for payload in sent[:4]]
    drawn = [draw(fault.text, b"\5" * 16, seed=n).requests() for n, fault in enumerate(FAULTS[:6])]
    traces = [*sent, *odd, every_field(), *(spans for spans, _ in drawn)]
    logs = [log_payload(), *(records for _, records in drawn if records)]
    return [
        *((payload, Signal.TRACES) for payload in traces),
        *((payload, Signal.LOGS) for payload in logs),
        (metrics_payload(), Signal.METRICS),
    ]


def every_field() -> bytes:
    """One span that has everything OTLP 1.11 knows."""
    message = ExportTraceServiceRequest()
    group = message.resource_spans.add(schema_url="https://example.com/1")
    group.resource.dropped_attributes_count = 1
    group.resource.attributes.add(key="service.name").value.string_value = "shop"
    group.resource.entity_refs.add(type="host", id_keys=["a", "b"], description_keys=["c"], schema_url="s")
    scope = group.scope_spans.add(schema_url="https://example.com/2")
    scope.scope.name, scope.scope.version, scope.scope.dropped_attributes_count = "lib", "1", 2
    span = scope.spans.add(trace_id=bytes(range(16)), span_id=bytes(range(8)), parent_span_id=bytes(range(8, 16)))
    span.trace_state, span.flags, span.name, span.kind = "ot=th:8,a=b", 0x301, "näme \U0001f600", 3
    span.start_time_unix_nano, span.end_time_unix_nano = 1_780_000_000_000_000_000, 1_780_000_000_100_000_000
    span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count = 1, 2, 3
    for key, number in (("http.response.status_code", 503), ("rpc.grpc.status_code", 4)):
        span.attributes.add(key=key).value.int_value = number
    span.attributes.add(key="db.query.text").value.string_value = "SELECT * FROM users WHERE password = 'x'"
    values = span.attributes.add(key="list").value.array_value.values
    values.add().bool_value, values.add().double_value, values.add().bytes_value = True, -0.25, b"\0\xff"
    values.add().kvlist_value.values.add(key="inner").value.string_value = "deep"
    event = span.events.add(name="exception", time_unix_nano=5, dropped_attributes_count=6)
    for key, text in (("exception.type", "TimeoutError"), ("exception.message", "read timed out")):
        event.attributes.add(key=key).value.string_value = text
    link = span.links.add(trace_id=b"\7" * 16, span_id=b"\xff" * 8, trace_state="c=d", flags=7)
    link.attributes.add(key="k").value.int_value = -(2**63)
    span.status.code, span.status.message = 2, "no"
    return message.SerializeToString()


def log_payload() -> bytes:
    """Three log records of three traces, each an exception."""
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.add(key="service.name").value.string_value = "payment"
    scope = group.scope_logs.add()
    for i in range(1, 4):
        record = scope.log_records.add(
            trace_id=bytes([i]) * 16, span_id=bytes([i]) * 8, severity_number=17, time_unix_nano=i, event_name="e"
        )
        record.body.string_value = "read timed out"
        record.attributes.add(key="exception.type").value.string_value = "TimeoutError"
    return request.SerializeToString()


def metrics_payload() -> bytes:
    """Metrics of several kinds, with packed lists and an exemplar."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.add(key="service.name").value.string_value = "payment"
    metrics = group.scope_metrics.add().metrics
    histogram = metrics.add(name="latency").histogram.data_points.add(count=3, sum=1.5)
    histogram.bucket_counts.extend([1, 2, 300])
    histogram.explicit_bounds.extend([0.5, 1.0])
    exponential = metrics.add(name="size").exponential_histogram.data_points.add(count=3, scale=2)
    exponential.positive.bucket_counts.extend([1, 200, 70_000])
    point = metrics.add(name="heap").gauge.data_points.add(as_double=1.0)
    point.exemplars.add(as_int=4).filtered_attributes.add(key="k").value.int_value = 3
    return request.SerializeToString()
