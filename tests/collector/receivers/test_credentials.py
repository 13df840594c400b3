"""Credentials at the OTLP doors: who may send, and whose what they send is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import grpc
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.app.doors import ingest_tenant
from collector.auth.bearer import BearerTokens, TokenGrant
from collector.auth.guard import Guard
from collector.auth.identity import Identity, Role
from tests.support.doors import JSON, PROTOBUF, Doors, log_request, open_doors, refusal, request, trailers
from tests.support.fakes.clock import ManualClock

PEOPLE = {
    "sender-token-0123456789": Identity("sender", frozenset({Role.INGEST})),
    "tenant-token-0123456789": Identity("shop", frozenset({Role.INGEST}), "shop-1"),
    "reader-token-0123456789": Identity("reader", frozenset({Role.READ, Role.WRITE})),
    "admin-token-01234567890": Identity("admin", frozenset({Role.ADMIN})),
}
SENDER, TENANT, READER, ADMIN = PEOPLE
BODY = request("a").SerializeToString()


@pytest.fixture
def doors() -> Iterator[Doors]:
    guard = Guard([BearerTokens([TokenGrant(who, token) for token, who in PEOPLE.items()], ManualClock())])
    with open_doors(authorize=ingest_tenant(guard)) as found:
        yield found


@pytest.mark.parametrize(
    ("token", "code", "status"),
    [
        (SENDER, "OK", 200),
        (TENANT, "OK", 200),
        (ADMIN, "OK", 200),
        (READER, "PERMISSION_DENIED", 403),
        (SENDER + "x", "UNAUTHENTICATED", 401),
        (SENDER[:-1], "UNAUTHENTICATED", 401),
        ("x", "UNAUTHENTICATED", 401),
    ],
)
def test_only_who_may_send_is_taken_in(doors: Doors, token: str, code: str, status: int):
    """The same through both doors; a refusal is final, and nothing is kept."""
    metadata = (("authorization", f"Bearer {token}"),)
    if code == "OK":
        doors.traces.Export(request("a"), timeout=10, metadata=metadata)
    else:
        error = refusal(doors.traces.Export, request("a"), metadata=metadata)
        assert error.code().name == code
        assert "google.rpc.retryinfo-bin" not in trailers(error)
    answer = doors.http.post("/v1/traces", content=BODY, headers=PROTOBUF | dict(metadata))

    assert answer.status_code == status
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert "retry-after" not in answer.headers
    assert doors.handover.spans() == (["a", "a"] if status == 200 else [])


EVERYBODY = [Identity(f"{role}-{tenant or 'all'}", frozenset({role}), tenant) for role in Role for tenant in ("", "a")]


@pytest.mark.parametrize("who", EVERYBODY, ids=lambda who: who.name)
def test_door_by_signal_by_role_by_tenant(who: Identity):
    """Traces, logs and metrics, over gRPC and HTTP: who may send may send all, with a tenant too; nobody else anything."""
    token = f"token-of-{who.name}-and-more"
    headers = {"authorization": f"Bearer {token}"}
    metadata = tuple(headers.items())
    with open_doors(authorize=ingest_tenant(Guard([BearerTokens([TokenGrant(who, token)], ManualClock())]))) as doors:
        calls = (
            (doors.traces.Export, request("a"), "traces"),
            (doors.logs.Export, log_request("a"), "logs"),
            (doors.metrics.Export, ExportMetricsServiceRequest(), "metrics"),
        )
        let_in = []
        for call, message, signal in calls:
            try:
                call(message, timeout=30, metadata=metadata)
                let_in.append(True)
            except grpc.RpcError as error:
                let_in.append(error.code().name != "PERMISSION_DENIED")
            body = message.SerializeToString()
            answer = doors.http.post(f"/v1/{signal}", content=body, headers=PROTOBUF | headers)
            let_in.append(answer.status_code != 403)

    assert set(let_in) == {who.may(Role.INGEST)}
    assert who.may(Role.INGEST) == bool({Role.INGEST, Role.ADMIN} & who.roles)


def test_a_refusal_comes_before_the_body_is_read(doors: Doors):
    """A stranger's megabytes are not held."""
    answer = doors.http.post("/v1/traces", content=bytes(8_000_000), headers=PROTOBUF)

    assert answer.status_code == 401
    assert answer.headers["connection"] == "close"
    assert doors.http_door.snapshot().get("receiver_request_bytes|otlp|http|traces", 0) == 0


def _tenants(doors: Doors) -> list[list[str]]:
    return [
        [one.value.string_value for one in group.resource.attributes if one.key == "tenant.id"]
        for _, payload in doors.handover.taken
        for group in ExportTraceServiceRequest.FromString(payload).resource_spans
    ]


def test_the_tenant_of_the_credential_is_written_down(doors: Doors):
    """Protobuf and JSON, both doors; without a tenant the bytes stay as they are."""
    headers = {"authorization": f"Bearer {TENANT}"}
    span = {"traceId": "01" * 16, "spanId": "02" * 8, "name": "j"}
    text = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
    doors.traces.Export(request("a"), timeout=10, metadata=tuple(headers.items()))
    doors.http.post("/v1/traces", content=BODY, headers=PROTOBUF | headers)
    doors.http.post("/v1/traces", content=text, headers=JSON | headers)
    doors.http.post("/v1/traces", content=BODY, headers=PROTOBUF | {"authorization": f"Bearer {SENDER}"})

    assert _tenants(doors) == [["shop-1"], ["shop-1"], ["shop-1"], []]
    assert doors.handover.taken[-1][1] == BODY


def test_health_and_a_browsers_question_need_no_credential(doors: Doors):
    """Probes have none to give; nothing is told but that the door is there."""
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    status = health_pb2_grpc.HealthStub(doors.channel).Check(health_pb2.HealthCheckRequest(service=""), timeout=10)

    assert status.status == health_pb2.HealthCheckResponse.SERVING
    assert doors.http.get("/").status_code == 200


def test_odd_methods_are_not_there(doors: Doors):
    """`:path` without its slash, and others (CVE-2026-33186): never another handler."""
    ends = set()
    for method in ("/opentelemetry.proto.collector.trace.v1.TraceService/export", "/TraceService/Export", "//x/Export"):
        with pytest.raises(grpc.RpcError) as caught:
            doors.channel.unary_unary(method)(BODY, timeout=10)
        ends.add(caught.value.code().name)

    assert ends == {"UNIMPLEMENTED"}
    assert doors.handover.taken == []
