"""The OTLP 1.11 receiver, row by row (ecosystem.md, section 1), with real clients on loopback."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from collector.contracts import Signal
from collector.errors import QuotaError
from collector.receivers import otlp_grpc, otlp_http
from collector.receivers.inflate import zstd
from tests.support import raw_http2
from tests.support.doors import (
    JSON,
    PROTOBUF,
    Doors,
    detail_names,
    log_request,
    open_doors,
    refusal,
    request,
    trailers,
)

ROWS: dict[int, list[str]] = {}
LIMIT = 256 * 1024


def row(number: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Note which row of the list a test stands for."""

    def note(test: Callable[..., None]) -> Callable[..., None]:
        ROWS.setdefault(number, []).append(test.__name__)
        return test

    return note


@pytest.fixture(scope="module")
def shared_doors() -> Iterator[Doors]:
    with open_doors(
        grpc_settings=otlp_grpc.GrpcSettings(message_bytes_max=LIMIT),
        http_settings=otlp_http.HttpSettings(message_bytes_max=LIMIT),
    ) as doors:
        yield doors


@pytest.fixture
def doors(shared_doors: Doors) -> Doors:
    shared_doors.handover.taken.clear()
    shared_doors.handover.has_room = True
    shared_doors.handover.faults.clear()
    return shared_doors


def test_every_row_has_a_test():
    """The list has 17 rows."""
    assert list(range(1, 18)) == sorted(ROWS)


@row(1)
@pytest.mark.parametrize("compression", list(grpc.Compression))
def test_grpc_takes_plain_gzip_and_deflate(doors: Doors, compression: grpc.Compression):
    doors.traces.Export(request("a"), compression=compression, timeout=10)

    assert doors.handover.spans() == ["a"]


@row(1)
@pytest.mark.parametrize(("coding", "pack"), [("", bytes), ("identity", bytes), ("gzip", gzip.compress)])
def test_http_takes_plain_and_gzip(doors: Doors, coding: str, pack: Callable[[bytes], bytes]):
    body = pack(request("a").SerializeToString())

    answer = doors.http.post("/v1/traces", content=body, headers=PROTOBUF | {"content-encoding": coding})

    assert (answer.status_code, doors.handover.spans()) == (200, ["a"])


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


@row(3)
@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_grpc_over_the_limit_is_refused_for_good(doors: Doors, compression: grpc.Compression):
    """RESOURCE_EXHAUSTED without RetryInfo, also when only the decompressed message is too large."""
    error = refusal(doors.traces.Export, request("x" * LIMIT), compression=compression)

    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "google.rpc.retryinfo-bin" not in trailers(error)
    assert doors.handover.taken == []


@row(3)
def test_grpc_just_at_the_limit_is_taken(doors: Doors):
    doors.traces.Export(_sized(LIMIT), timeout=10)

    assert len(doors.handover.taken) == 1


@row(3)
def test_the_default_limit_is_64_mib():
    assert 64 * 2**20 == otlp_grpc.GrpcSettings().message_bytes_max == otlp_http.HttpSettings().message_bytes_max


@row(4)
def test_the_message_of_a_partial_success_is_short(doors: Doors):
    answer = doors.traces.Export(request(*["bad"] * 3000), timeout=10)

    assert answer.partial_success.rejected_spans == 3000
    assert 0 < len(answer.partial_success.error_message) <= 4096


@row(5)
def test_full_success_leaves_partial_success_unset(doors: Doors):
    over_grpc = doors.traces.Export(request("a"), timeout=10)
    over_http = doors.http.post("/v1/traces", content=request("a").SerializeToString(), headers=PROTOBUF)

    assert (over_grpc.HasField("partial_success"), over_http.content) == (False, b"")


@row(5)
@pytest.mark.parametrize("envelopes", ["none", "resource", "scope"])
def test_empty_requests_and_envelopes_succeed(doors: Doors, envelopes: str):
    message = ExportTraceServiceRequest()
    if envelopes != "none":
        resource = message.resource_spans.add()
        if envelopes == "scope":
            resource.scope_spans.add()

    over_grpc = doors.traces.Export(message, timeout=10)
    over_http = doors.http.post("/v1/traces", content=message.SerializeToString(), headers=PROTOBUF)

    assert (over_grpc.SerializeToString(), over_http.status_code) == (b"", 200)
    assert doors.handover.taken == []


@row(6)
def test_one_bad_span_among_good_ones_is_rejected_alone(doors: Doors):
    answer = doors.traces.Export(request("a", "bad", "b"), timeout=10)

    assert answer.partial_success.rejected_spans == 1
    assert (
        answer.partial_success.error_message
        == "1 of 3 spans rejected: 1 with a span id that is not 8 bytes or is all zero; the others were taken"
    )
    assert len(doors.handover.taken) == 1


@row(6)
def test_a_bad_trace_id_is_said_to_be_one(doors: Doors):
    answer = doors.traces.Export(request("a", "b", trace_id=b"short"), timeout=10)

    assert answer.partial_success.rejected_spans == 2
    assert "2 with a trace id that is not 16 bytes" in answer.partial_success.error_message
    assert doors.handover.taken == []


@row(6)
def test_json_tells_partial_success_with_64_bit_counts_as_text(doors: Doors):
    span = {"traceId": "01" * 16, "spanId": "zz", "name": "a"}

    answer = doors.http.post("/v1/traces", json={"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})

    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"


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


@row(9)
@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-protobuf", request("a").SerializeToString()),
        ("Application/X-Protobuf", request("a").SerializeToString()),
        ("application/json", None),
        ("application/json; charset=utf-8", None),
        ("application/json;charset=UTF-8", None),
    ],
)
def test_http_takes_protobuf_and_json_on_one_port(doors: Doors, content_type: str, body: bytes | None):
    span = {"traceId": "01" * 16, "spanId": "01" * 8, "name": "a"}
    body = body or json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).encode()

    answer = doors.http.post("/v1/traces", content=body, headers={"content-type": content_type})

    assert (answer.status_code, doors.handover.spans()) == (200, ["a"])


@row(9)
@pytest.mark.parametrize(
    ("path", "signal", "body"),
    [
        ("/v1/traces", Signal.TRACES, request("a")),
        ("/v1/logs", Signal.LOGS, log_request("a")),
        ("/v1/metrics", None, ExportMetricsServiceRequest()),
    ],
)
def test_http_has_a_path_for_every_signal(doors: Doors, path: str, signal: Signal | None, body: object):
    answer = doors.http.post(path, content=body.SerializeToString(), headers=PROTOBUF)  # type: ignore[attr-defined]

    assert answer.status_code == 200
    assert ([signal] if signal is not None else []) == [taken for taken, _ in doors.handover.taken]


@row(9)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"])
def test_http_other_methods_are_405(doors: Doors, method: str):
    answer = doors.http.request(method, "/v1/traces")

    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@row(9)
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
def test_http_other_content_types_are_415_in_plain_text(doors: Doors, content_type: str):
    answer = doors.http.post("/v1/traces", content=b"x", headers={"content-type": content_type})

    assert answer.status_code == 415
    assert answer.headers["content-type"].startswith("text/plain")


@row(9)
def test_http_other_paths_are_404(doors: Doors):
    assert doors.http.post("/v1/profiles", content=b"", headers=PROTOBUF).status_code == 404


@row(9)
def test_http_paths_can_be_configured():
    with open_doors(http_settings=otlp_http.HttpSettings(paths={"/in/t": Signal.TRACES})) as doors:
        answers = [
            doors.http.post(path, content=request("a").SerializeToString(), headers=PROTOBUF).status_code
            for path in ("/in/t", "/v1/traces")
        ]

    assert answers == [200, 404]


@row(10)
@pytest.mark.parametrize(("headers", "empty"), [(PROTOBUF, b""), (JSON, b"{}")])
def test_http_answers_in_the_encoding_of_the_request(doors: Doors, headers: dict[str, str], empty: bytes):
    good = doors.http.post("/v1/traces", content=empty, headers=headers)
    bad = doors.http.post("/v1/traces", content=b"\x0a\xff", headers=headers)

    assert (200, empty, headers["content-type"]) == (good.status_code, good.content, good.headers["content-type"])
    assert (400, headers["content-type"]) == (bad.status_code, bad.headers["content-type"])


@row(10)
def test_http_protobuf_success_is_a_serialised_response(doors: Doors):
    body = request("a", "bad").SerializeToString()

    answer = doors.http.post("/v1/traces", content=body, headers=PROTOBUF)

    assert ExportTraceServiceResponse.FromString(answer.content).partial_success.rejected_spans == 1


@row(11)
@pytest.mark.parametrize("coding", ["identity", "gzip", "deflate", "zstd"])
@pytest.mark.parametrize("over", [0, 1])
def test_http_limit_holds_after_decompression(doors: Doors, coding: str, over: int):
    """Exactly the limit is taken; one byte more is 413."""
    body = _sized(LIMIT + over).SerializeToString()

    answer = doors.http.post("/v1/traces", content=_packed(coding, body), headers=PROTOBUF | _coding(coding))

    assert answer.status_code == (413 if over else 200)
    assert len(doors.handover.taken) == 1 - over


@row(11)
def test_http_limit_holds_for_bodies_without_a_length(doors: Doors):
    answer = doors.http.post("/v1/traces", content=(b"x" * 4096 for _ in range(100)), headers=PROTOBUF)

    assert (answer.status_code, Status.FromString(answer.content).code) == (413, 8)


@row(12)
def test_http_overload_is_503_with_retry_after(doors: Doors):
    doors.handover.has_room = False

    answer = doors.http.post("/v1/traces", content=request("a").SerializeToString(), headers=PROTOBUF)

    status = Status.FromString(answer.content)
    assert (answer.status_code, status.code, detail_names(status)) == (503, 14, ["google.rpc.RetryInfo"])
    assert 1 <= int(answer.headers["retry-after"]) <= 30


@row(12)
def test_http_quota_is_429_with_retry_after(doors: Doors):
    doors.handover.faults.append(QuotaError("tenant a is over its share", retry_after_s=6.5))

    answer = doors.http.post("/v1/traces", content=request("a").SerializeToString(), headers=PROTOBUF)

    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")


@row(12)
def test_http_never_answers_500(doors: Doors):
    """500 is not retryable: the client would drop the data."""
    doors.handover.faults += [KeyError("a bug"), KeyError("a bug")]
    body = request("http fragile").SerializeToString()

    answers = [doors.http.post("/v1/traces", content=body, headers=PROTOBUF).status_code for _ in range(2)]

    assert answers == [503, 400]


@row(13)
def test_http_undecodable_protobuf_is_400_with_bad_request(doors: Doors):
    answer = doors.http.post("/v1/traces", content=b"\x0a\xff\xff", headers=PROTOBUF)

    status = Status.FromString(answer.content)
    assert (answer.status_code, status.code, detail_names(status)) == (400, 3, ["google.rpc.BadRequest"])


@row(13)
def test_http_undecodable_json_is_400_with_bad_request_that_names_the_path(doors: Doors):
    body = {"resourceSpans": [{"scopeSpans": [{"spans": [{"name": 7}]}]}]}

    answer = doors.http.post("/v1/traces", json=body)

    found = answer.json()
    assert (answer.status_code, found["code"]) == (400, 3)
    assert (
        found["message"]
        == "the JSON does not fit OTLP: $.resourceSpans[0].scopeSpans[0].spans[0].name is an integer; expected a string"
    )
    assert found["details"][0]["@type"] == "type.googleapis.com/google.rpc.BadRequest"


@row(13)
@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_http_damaged_compression_is_400(doors: Doors, coding: str):
    packed = _packed(coding, request("a").SerializeToString())
    bodies = [packed[:-3], b"\x00\x01\x02\x03" + packed[4:], packed + b"garbage"]

    answers = [
        doors.http.post("/v1/traces", content=body, headers=PROTOBUF | _coding(coding)).status_code for body in bodies
    ]

    assert answers == [400, 400, 400]


@row(14)
@pytest.mark.parametrize("trace_id", ["0102030405060708090a0b0c0d0e0f10", "0102030405060708090A0B0C0D0E0F10"])
def test_json_ids_are_hex_of_either_case(doors: Doors, trace_id: str):
    """More rows of the JSON encoding: tests/collector/wire/test_otlp_json.py."""
    span = {
        "traceId": trace_id,
        "spanId": "eee19b7ec3c1b174",
        "parentSpanId": "EEE19B7EC3C1B173",
        "name": "a",
        "kind": 2,
        "startTimeUnixNano": "1544712660000000000",
        "endTimeUnixNano": 1544712661000000000,
        "not_in_any_proto": {"ignored": True},
    }

    doors.http.post("/v1/traces", json={"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}).raise_for_status()

    sent = ExportTraceServiceRequest.FromString(doors.handover.taken[0][1]).resource_spans[0].scope_spans[0].spans[0]
    assert bytes(range(1, 17)) == sent.trace_id
    assert bytes.fromhex("eee19b7ec3c1b173") == sent.parent_span_id
    assert (
        sent.kind,
        sent.start_time_unix_nano,
        sent.end_time_unix_nano,
    ) == (2, 1544712660000000000, 1544712661000000000)


@row(15)
def test_unknown_protobuf_fields_are_ignored_and_any_value_may_be_anything(doors: Doors):
    message = request("a")
    span = message.resource_spans[0].scope_spans[0].spans[0]
    span.attributes.add(key="empty")
    span.attributes.add(key="bytes").value.bytes_value = b"\x00\xff"
    values = span.attributes.add(key="mixed").value.array_value.values
    values.add(int_value=1)
    values.add(string_value="b")
    values.add().kvlist_value.values.add(key="k").value.double_value = 0.5
    unknown = b"\xf8\x3f\x07" + b"\xfa\x3f\x02hi" + b"\xfd\x3f\0\0\0\0" + b"\xf9\x3f" + bytes(8)
    call = doors.channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")

    answer = call(unknown + message.SerializeToString(), timeout=10)

    assert (answer, len(doors.handover.taken)) == (b"", 1)


@row(15)
@pytest.mark.parametrize("junk", [b"\x0b\x0c", b"\x0c", b"\x0a\x05\x01", b"\x0e", b"\x80" * 11])
def test_groups_bad_wire_types_and_cut_lengths_are_refused(doors: Doors, junk: bytes):
    call = doors.channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")

    with pytest.raises(grpc.RpcError) as caught:
        call(junk, timeout=10)

    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@row(16)
def test_a_request_that_comes_twice_succeeds_twice(doors: Doors):
    """After a lost acknowledgement the client sends again; the assembler de-duplicates."""
    for _ in range(2):
        assert doors.traces.Export(request("a"), timeout=10).SerializeToString() == b""

    assert doors.handover.spans() == ["a", "a"]


@row(17)
@pytest.mark.parametrize("coding", ["zstd", "deflate", "zlib", "raw deflate"])
def test_http_takes_more_compressions_than_the_specification(doors: Doors, coding: str):
    body = _packed(coding, request("a").SerializeToString())

    answer = doors.http.post("/v1/traces", content=body, headers=PROTOBUF | _coding(coding))

    assert (answer.status_code, doors.handover.spans()) == (200, ["a"])


@row(17)
@pytest.mark.parametrize("coding", ["br", "snappy", "gzip, gzip"])
def test_http_unknown_compression_is_415(doors: Doors, coding: str):
    answer = doors.http.post("/v1/traces", content=b"x", headers=PROTOBUF | {"content-encoding": coding})

    assert (answer.status_code, Status.FromString(answer.content).code) == (415, 12)


@row(17)
def test_grpc_zstd_is_refused_by_grpcio_itself(doors: Doors):
    """13 INTERNAL, so clients drop the data: the documentation says to use gzip. When this fails, change it."""
    body = raw_http2.message(zstd.compress(request("a").SerializeToString()), compressed=True)

    status = raw_http2.call(doors.grpc_address, _TRACES, [body], encoding="zstd")

    assert grpc.StatusCode.INTERNAL.value[0] == status


_TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"


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


def _sized(size_bytes: int) -> ExportTraceServiceRequest:
    """A good request of exactly this size."""
    message = request("x" * (size_bytes - 100))
    message.resource_spans[0].schema_url = "x" * (size_bytes - message.ByteSize() - 2)
    assert message.ByteSize() == size_bytes
    return message


def _packed(coding: str, body: bytes) -> bytes:
    packers: dict[str, Callable[[bytes], bytes]] = {
        "identity": bytes,
        "gzip": gzip.compress,
        "deflate": zlib.compress,
        "zlib": zlib.compress,
        "raw deflate": lambda data: zlib.compress(data)[2:-4],
        "zstd": zstd.compress,
    }
    return packers[coding](body)


def _coding(coding: str) -> dict[str, str]:
    return {"content-encoding": coding.removeprefix("raw ")}
