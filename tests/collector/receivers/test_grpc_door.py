"""The gRPC door besides Export: health, reflection, TLS, limits of calls, a clean end."""

from __future__ import annotations

import gzip
import resource
import subprocess
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from collector.contracts import Admission, Encoding, Signal
from collector.errors import ForbiddenError
from collector.receivers.otlp_grpc import SERVICES, GrpcReceiver, GrpcSettings, require_grpcio
from tests.support import raw_http2
from tests.support.bombs import packed_zeros
from tests.support.doors import PROTOBUF, Doors, open_doors, refusal, request, trailers

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def _health(doors: Doors, service: str) -> int:
    stub = health_pb2_grpc.HealthStub(doors.channel)
    status: int = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status
    return status


@pytest.mark.parametrize("service", ["", *SERVICES.values()])
def test_health_follows_the_collector(service: str):
    """For the server and for each service: not before it is ready, not while it drains."""
    with open_doors(started=False) as doors:
        starting = _health(doors, service)
        doors.grpc_door.set_serving(True)
        ready = _health(doors, service)
        doors.grpc_door.set_serving(False)
        draining = _health(doors, service)

    assert (starting, ready, draining) == (NOT_SERVING, SERVING, NOT_SERVING)


def test_many_health_watchers_do_not_keep_spans_out():
    """A watch lasts for ever; it may not hold a worker."""
    with open_doors(grpc_settings=GrpcSettings(workers=1)) as doors:
        stub = health_pb2_grpc.HealthStub(doors.channel)
        watches = [stub.Watch(health_pb2.HealthCheckRequest(service="")) for _ in range(90)]
        assert {next(watch).status for watch in watches} == {SERVING}

        doors.traces.Export(request("a"), timeout=10)

        assert doors.handover.spans() == ["a"]
        for watch in watches:
            watch.cancel()


def _listed(doors: Doors) -> set[str]:
    stub = reflection_pb2_grpc.ServerReflectionStub(doors.channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    answer = next(iter(stub.ServerReflectionInfo(asked, timeout=10)))
    return {service.name for service in answer.list_services_response.service}


def test_reflection_lists_the_services():
    with open_doors(grpc_settings=GrpcSettings(reflection=True)) as doors:
        assert _listed(doors) >= set(SERVICES.values())


def test_reflection_is_off_by_default():
    with open_doors() as doors, pytest.raises(grpc.RpcError) as caught:
        _listed(doors)

    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_drain_refuses_with_a_delay_through_both_doors():
    """UNAVAILABLE and 503: the client comes again, to another replica."""
    with open_doors() as doors:
        doors.gate.drain()
        over_grpc = refusal(doors.traces.Export, request("a"))
        over_http = doors.http.post("/v1/traces", content=request("a").SerializeToString(), headers=PROTOBUF)

        assert (over_grpc.code(), over_http.status_code) == (grpc.StatusCode.UNAVAILABLE, 503)
        assert "google.rpc.retryinfo-bin" in trailers(over_grpc)
        assert "retry-after" in over_http.headers
        assert doors.handover.taken == []
        assert doors.counts()["receiver_refused_spans|otlp|grpc|draining"] == 1


class _Slow:
    """An intake that waits until it is let go."""

    def __init__(self) -> None:
        self.entered, self.go = threading.Semaphore(0), threading.Event()
        self.inside = self.most = 0
        self._lock = threading.Lock()

    def take(self, payload: bytes, signal: Signal, encoding: Encoding, protocol: str, tenant: str = "") -> Admission:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.entered.release()
        self.go.wait(20)
        with self._lock:
            self.inside -= 1
        return Admission(1)


def test_stop_lets_a_running_call_end():
    intake = _Slow()
    door = GrpcReceiver(intake, "127.0.0.1:0")
    with grpc.insecure_channel(f"127.0.0.1:{door.start()}") as channel:
        running = TraceServiceStub(channel).Export.future(request("a"), timeout=20)
        assert intake.entered.acquire(timeout=10)
        stopper = threading.Thread(target=door.stop, args=(10.0,))
        stopper.start()
        intake.go.set()

        assert running.result(20).SerializeToString() == b""
        stopper.join(20)
        assert not stopper.is_alive()


def test_no_more_calls_than_workers_are_taken_in_at_once():
    """More threads than that only fight for the interpreter (performance.md, 3)."""
    intake = _Slow()
    door = GrpcReceiver(intake, "127.0.0.1:0", GrpcSettings(workers=2))
    with grpc.insecure_channel(f"127.0.0.1:{door.start()}") as channel:
        calls = [TraceServiceStub(channel).Export.future(request("a"), timeout=20) for _ in range(6)]
        assert [intake.entered.acquire(timeout=10) for _ in range(2)] == [True, True]
        intake.go.set()

        assert [call.result(20).SerializeToString() for call in calls] == [b""] * 6
        assert intake.most == 2
        door.stop()


def test_calls_that_never_send_their_message_do_not_keep_others_out():
    """A stalled call holds a thread, and there are more threads than workers."""
    with open_doors(grpc_settings=GrpcSettings(workers=2)) as doors:
        never = threading.Event()
        stalled = doors.channel.stream_unary(EXPORT)
        calls = [stalled.future(iter(lambda: never.wait(20) and None, None)) for _ in range(20)]

        doors.traces.Export(request("a"), timeout=10)

        assert doors.handover.spans() == ["a"]
        for call in calls:
            call.cancel()
        never.set()


def test_a_bomb_of_one_gib_is_refused_and_takes_no_memory():
    """grpcio before 1.84 took 1.6 GiB for this one call (reliability.md 0.3)."""
    bomb = packed_zeros("gzip", 1024)
    with open_doors(grpc_settings=GrpcSettings(message_bytes_max=16 * 2**20)) as doors:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

        status = raw_http2.call(doors.grpc_address, EXPORT, [raw_http2.message(bomb, compressed=True)], "gzip")

        grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert status == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    assert grown_mib < 128


def test_the_hand_made_client_is_understood():
    """What makes the bomb test mean something: the same client sends a good request."""
    body = gzip.compress(request("a").SerializeToString())
    with open_doors() as doors:
        status = raw_http2.call(doors.grpc_address, EXPORT, [raw_http2.message(body, compressed=True)], "gzip")

        assert (status, doors.handover.spans()) == (0, ["a"])


@pytest.mark.parametrize("version", ["1.60.2", "1.83.9", "0.99.0"])
def test_an_old_grpcio_is_refused_with_the_way_out(version: str):
    with pytest.raises(RuntimeError, match=rf"grpcio {version} found; expected 1\.84 or newer.*pip install"):
        require_grpcio(version)


@pytest.mark.parametrize("version", ["1.84.0", "1.85.1", "1.100.0rc1", "2.0"])
def test_a_new_grpcio_is_fine(version: str):
    require_grpcio(version)


def test_a_port_in_use_is_said_to_be():
    with open_doors() as doors, pytest.raises(OSError, match=doors.grpc_address):
        GrpcReceiver(doors.gate, doors.grpc_address).start()


def test_processes_can_share_a_port():
    """SO_REUSEPORT: one port, a receiver for each core."""
    with open_doors(grpc_settings=GrpcSettings(reuse_port=True)) as doors:
        second = GrpcReceiver(doors.gate, doors.grpc_address, GrpcSettings(reuse_port=True))

        assert f"127.0.0.1:{second.start()}" == doors.grpc_address
        second.stop()


def _only_with_a_token(headers: Mapping[str, str]) -> str:
    if headers.get("authorization") != "Bearer right":
        raise ForbiddenError("no or wrong token")
    return ""


def test_a_wrong_credential_is_unauthenticated_through_both_doors():
    """And not retryable; nothing of the request is looked at."""
    body = request("a").SerializeToString()
    with open_doors(authorize=_only_with_a_token) as doors:
        wrong = refusal(doors.traces.Export, request("a"), metadata=(("authorization", "Bearer wrong"),))
        right = doors.traces.Export(request("a"), timeout=10, metadata=(("authorization", "Bearer right"),))
        answers = [
            doors.http.post("/v1/traces", content=body, headers=PROTOBUF | {"authorization": token}).status_code
            for token in ("Bearer wrong", "", "Bearer right")
        ]

        assert (wrong.code(), right.SerializeToString()) == (grpc.StatusCode.UNAUTHENTICATED, b"")
        assert "google.rpc.retryinfo-bin" not in trailers(wrong)
        assert answers == [401, 401, 200]
        assert doors.counts()["receiver_refused_requests|otlp|http|unauthenticated"] == 2


def test_grpc_serves_tls(tmp_path: Path):
    """The server credentials are handed in; a plain client is not understood."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ],
        check=True,
        capture_output=True,
    )
    intake = _Slow()
    intake.go.set()
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    door = GrpcReceiver(intake, "127.0.0.1:0", credentials=credentials)
    port = door.start()
    trusted = grpc.ssl_channel_credentials(certificate.read_bytes())
    with (
        grpc.secure_channel(f"localhost:{port}", trusted) as secure,
        grpc.insecure_channel(f"localhost:{port}") as plain,
    ):
        answer = TraceServiceStub(secure).Export(request("a"), timeout=10)
        error = refusal(TraceServiceStub(plain).Export, request("a"))
    door.stop()

    assert (answer.SerializeToString(), error.code()) == (b"", grpc.StatusCode.UNAVAILABLE)


def test_both_doors_at_once_count_every_span_once():
    """Conservation: what was sent = accepted + rejected; many threads through both doors."""
    with open_doors() as doors:
        messages = [request("a", "bad", "b") for _ in range(200)]

        def send(number: int) -> None:
            if number % 2:
                doors.traces.Export(messages[number], timeout=20)
            else:
                doors.http.post("/v1/traces", content=messages[number].SerializeToString(), headers=PROTOBUF)

        with ThreadPoolExecutor(8) as clients:
            list(clients.map(send, range(200)))
        counts = doors.counts()

    assert [counts[f"receiver_accepted_spans|otlp|{door}"] for door in ("grpc", "http")] == [200, 200]
    assert [counts[f"receiver_rejected_spans|otlp|{door}|bad_span_id"] for door in ("grpc", "http")] == [100, 100]
    assert [counts[f"receiver_requests|otlp|{door}|traces"] for door in ("grpc", "http")] == [100, 100]
    assert len(doors.handover.taken) == 200
