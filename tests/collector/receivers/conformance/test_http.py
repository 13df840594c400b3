"""The OTLP 1.11 receiver over HTTP: paths, methods, encodings, and what each refusal tells the client to do."""

from __future__ import annotations

import json

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from collector.contracts import Signal
from collector.errors import QuotaError
from collector.receivers import otlp_http
from tests.collector.receivers.conformance.rows import row
from tests.support.doors import JSON, PROTOBUF, Doors, detail_names, log_request, open_doors, request


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
