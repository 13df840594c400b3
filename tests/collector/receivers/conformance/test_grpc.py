"""The OTLP 1.11 receiver over gRPC: its services, and what each refusal tells the client to do."""

from __future__ import annotations

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.errors import QuotaError
from tests.collector.receivers.conformance.rows import row
from tests.support.doors import Doors, detail_names, log_request, refusal, request, trailers


@row(2)
def test_grpc_export_of_traces_and_logs(doors: Doors):
    doors.traces.Export(request("a"), timeout=10)
    doors.logs.Export(log_request("disk full"), timeout=10)

    assert (doors.handover.spans(), doors.handover.logs()) == (["a"], ["disk full"])


@row(2)
def test_grpc_metrics_are_answered_counted_and_ignored(doors: Doors):
    before = doors.counts().get("receiver_ignored_requests|otlp|grpc|metrics", 0)

    answer = doors.metrics.Export(ExportMetricsServiceRequest(), timeout=10)

    assert (answer.SerializeToString(), doors.handover.taken) == (b"", [])
    assert before + 1 == doors.counts()["receiver_ignored_requests|otlp|grpc|metrics"]


@row(2)
def test_an_unknown_grpc_service_is_unimplemented(doors: Doors):
    call = doors.channel.unary_unary("/opentelemetry.proto.collector.none.v1.NoService/Export")

    with pytest.raises(grpc.RpcError) as caught:
        call(b"", timeout=10)

    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


@row(2)
def test_the_default_ports_are_those_of_the_specification():
    from collector.config import Config

    protocols = Config().receivers.otlp.protocols

    assert (protocols.grpc.endpoint, protocols.http.endpoint) == ("127.0.0.1:4317", "127.0.0.1:4318")


@row(7)
def test_grpc_bad_data_is_invalid_argument_with_bad_request(doors: Doors):
    call = doors.channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")

    with pytest.raises(grpc.RpcError) as caught:
        call(b"\x0a\xff\xff", timeout=10)

    status = Status.FromString(trailers(caught.value)["grpc-status-details-bin"])
    assert (caught.value.code(), status.code) == (grpc.StatusCode.INVALID_ARGUMENT, 3)
    assert detail_names(status) == ["google.rpc.BadRequest"]
    assert "google.rpc.retryinfo-bin" not in trailers(caught.value)


@row(7)
def test_grpc_quota_is_resource_exhausted_with_a_delay(doors: Doors):
    """RESOURCE_EXHAUSTED is only retryable with RetryInfo."""
    doors.handover.faults.append(QuotaError("tenant a is over its share", retry_after_s=7.0))

    error = refusal(doors.traces.Export, request("a"))

    delay = RetryInfo.FromString(trailers(error)["google.rpc.retryinfo-bin"]).retry_delay
    assert (error.code(), delay.seconds) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 7)


@row(7)
def test_our_own_fault_is_retryable_once_then_poison(doors: Doors):
    """INTERNAL would make the client drop the data at once."""
    doors.handover.faults += [KeyError("a bug"), KeyError("a bug")]

    codes = [refusal(doors.traces.Export, request("fragile")).code() for _ in range(2)]

    assert codes == [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INVALID_ARGUMENT]


@row(8)
def test_grpc_overload_is_unavailable_with_the_delay_told_both_ways(doors: Doors):
    """The Collector reads the details, the Python exporter the bare RetryInfo."""
    doors.handover.has_room = False

    error = refusal(doors.traces.Export, request("a"))

    status = Status.FromString(trailers(error)["grpc-status-details-bin"])
    detail = RetryInfo()
    assert status.details[0].Unpack(detail)
    assert (error.code(), status.code) == (grpc.StatusCode.UNAVAILABLE, 14)
    assert detail == RetryInfo.FromString(trailers(error)["google.rpc.retryinfo-bin"])
    assert 1 <= detail.retry_delay.seconds <= 30


def test_a_bad_request_names_what_is_wrong(doors: Doors):
    """google.rpc.BadRequest carries the same words as the status."""
    error = refusal(doors.traces.Export, _bomb())

    detail = BadRequest()
    status = Status.FromString(trailers(error)["grpc-status-details-bin"])
    assert status.details[0].Unpack(detail)
    assert status.message == detail.field_violations[0].description == error.details()


def _bomb() -> ExportTraceServiceRequest:
    message = ExportTraceServiceRequest()
    for _ in range(20_000):
        message.resource_spans.add()
    return message
