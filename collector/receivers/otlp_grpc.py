"""OTLP over gRPC: the door on 4317.

In: Export calls for traces, logs and metrics; the request stays bytes, protobuf objects are never made.
Out: `Intake.take`, and its answer as OTLP 1.11 says it. Also grpc.health.v1, and reflection when asked for.
Never uses grpcio's own limit on concurrent calls: it answers RESOURCE_EXHAUSTED without RetryInfo, and
clients then drop their data (reliability.md 0.5).
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from collector.contracts import Encoding, Intake, Signal
from collector.errors import OverloadedError, RefusedError, RetryableError
from collector.grpc_limits import CONNECTIONS_MAX, HANDSHAKE_TIMEOUT_S, port_limits, why_not_bound
from collector.receivers.answers import answer_protobuf
from collector.receivers.refusals import message_of, retry_info, status_for
from collector.receivers.tally import Tally
from collector.telemetry import Snapshot

Authorize = Callable[[Mapping[str, str]], str]
"""Gets the lower-case header names with their values; gives the tenant, or raises ForbiddenError."""

SERVICES: dict[Signal, str] = {
    Signal.TRACES: trace_service_pb2.DESCRIPTOR.services_by_name["TraceService"].full_name,
    Signal.LOGS: logs_service_pb2.DESCRIPTOR.services_by_name["LogsService"].full_name,
    Signal.METRICS: metrics_service_pb2.DESCRIPTOR.services_by_name["MetricsService"].full_name,
}
GRPCIO_MIN = (1, 84)
# A call whose message has not come yet holds a thread of the pool. Threads beyond the workers are for
# those; they cost nothing until then, and only `workers` calls are taken in at once.
_STALLED_CALLS_MAX = 64
_LAST_ANSWERS_S = 0.25  # from the end of the last export until its answer is on the wire
_DETAILS_KEY = "grpc-status-details-bin"  # read by the Collector's exporter
_RETRY_KEY = "google.rpc.retryinfo-bin"  # the only one the Python exporter reads

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GrpcSettings:
    """How one gRPC door behaves. Names follow the Collector's configgrpc.

    message_bytes_max : after decompression, enforced by grpc-core (OTLP 1.11 recommends 64 MiB)
    workers : calls taken in at once
    concurrent_streams_max : calls at once on one connection (R14)
    connections_max : further ones are closed at once
    connection_age_max_s : then clients are asked to connect anew, so that replicas share the load
    connection_age_grace_s : time for running calls after that; also ends calls that never send their message
    ping_interval_min_s : clients that ping more often are cut off (too_many_pings)
    """

    message_bytes_max: int = 64 * 1024 * 1024
    workers: int = 8
    concurrent_streams_max: int = 100
    connections_max: int = CONNECTIONS_MAX
    connection_age_max_s: float = 300.0
    connection_age_grace_s: float = 30.0
    keepalive_time_s: float = 120.0
    keepalive_timeout_s: float = 20.0
    ping_interval_min_s: float = 10.0
    handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S
    reuse_port: bool = False
    reflection: bool = False


class _Refusal(namedtuple("_Refusal", ("code", "details", "trailing_metadata")), grpc.Status):  # type: ignore[misc]
    """What `ServicerContext.abort_with_status` takes."""


class GrpcReceiver:
    """The gRPC door. `start`, `set_serving` and `stop` belong to one owner thread; calls come on any.

    Parameters
    ----------
    intake : takes the request bytes
    address : host:port; port 0 picks a free one
    credentials : TLS; None serves plain text
    authorize : checks the metadata of every call; None lets all in
    """

    def __init__(
        self,
        intake: Intake,
        address: str,
        settings: GrpcSettings | None = None,
        *,
        credentials: grpc.ServerCredentials | None = None,
        authorize: Authorize | None = None,
    ) -> None:
        self._intake = intake
        self._address = address
        self._settings = settings or GrpcSettings()
        self._credentials = credentials
        self._authorize = authorize
        self._tally = Tally("grpc")
        self._turn = threading.BoundedSemaphore(self._settings.workers)
        self._server: grpc.Server | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._left = threading.Condition()
        self._inside = 0  # exports that are being answered
        self._health = health.HealthServicer(experimental_non_blocking=True)

    def start(self) -> int:
        """Listen; return the port. Health answers NOT_SERVING until `set_serving(True)`.

        Raises
        ------
        RuntimeError
            The installed grpcio is open to decompression bombs.
        OSError
            The address cannot be bound.
        """
        require_grpcio(grpc.__version__)
        threads_max = self._settings.workers + _STALLED_CALLS_MAX
        self._pool = ThreadPoolExecutor(threads_max, thread_name_prefix="otlp-grpc")
        server = grpc.server(self._pool, options=_options(self._settings))
        for signal, service in SERVICES.items():
            handler = grpc.unary_unary_rpc_method_handler(self._export(signal))
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": handler}),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        self.set_serving(False)
        if self._settings.reflection:
            names = (*SERVICES.values(), health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        port = self._bind(server)
        server.start()
        self._server = server
        return port

    def _bind(self, server: grpc.Server) -> int:
        try:
            if self._credentials is None:
                port = server.add_insecure_port(self._address)
            else:
                port = server.add_secure_port(self._address, self._credentials)
        except RuntimeError as error:
            raise OSError(f"OTLP/gRPC cannot listen on {self._address}: {why_not_bound(self._address)}") from error
        if port == 0:
            raise OSError(f"OTLP/gRPC cannot listen on {self._address}")
        return int(port)

    def set_serving(self, serving: bool) -> None:
        """Say in grpc.health.v1 whether calls are welcome; for the whole server and each service."""
        status = health_pb2.HealthCheckResponse.SERVING if serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in (health.OVERALL_HEALTH, *SERVICES.values()):
            self._health.set(name, status)

    def stop(self, grace_s: float = 5.0) -> None:
        """Say NOT_SERVING, take no new calls, let running exports end for `grace_s`, cut what is left.

        Who only watches our health holds its call for ever: nobody waits for that.
        """
        self.set_serving(False)
        if self._server is not None:
            deadline = time.monotonic() + grace_s
            ended = self._server.stop(grace_s)
            with self._left:
                self._left.wait_for(lambda: self._inside == 0, grace_s)
            ended.wait(min(_LAST_ANSWERS_S, max(0.0, deadline - time.monotonic())))
            self._server.stop(None).wait()
            self._server = None
        if self._pool is not None:
            self._pool.shutdown(wait=True)
            self._pool = None

    def snapshot(self) -> Snapshot:
        """Copy the counters, for `Telemetry.register`."""
        return self._tally.snapshot()

    def _export(self, signal: Signal) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        def export(payload: bytes, context: grpc.ServicerContext) -> bytes:
            began = time.perf_counter()
            with self._left:
                self._inside += 1
            try:
                tenant = self._check(context) if self._authorize is not None else ""
                with self._turn:
                    admission = self._intake.take(payload, signal, Encoding.PROTOBUF, "grpc", tenant)
                return answer_protobuf(admission, signal)
            except RefusedError as error:
                refusal = error
            except Exception:
                # INTERNAL would make clients drop the data (OTLP 1.11, Failures)
                _log.exception("an OTLP/gRPC call failed")
                self._tally.failed("internal")
                refusal = OverloadedError("the collector failed on this request; send it again", "internal")
            finally:
                self._tally.answered(signal, len(payload), time.perf_counter() - began)
                with self._left:
                    self._inside -= 1
                    self._left.notify_all()
            context.abort_with_status(_refusal(refusal))
            raise AssertionError("abort_with_status does not return")

        return export

    def _check(self, context: grpc.ServicerContext) -> str:
        assert self._authorize is not None
        try:
            return self._authorize(
                {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
            )
        except RefusedError as error:
            self._tally.refused(error.reason)
            raise


def _refusal(error: RefusedError) -> _Refusal:
    status = status_for(error)
    trailing: list[tuple[str, bytes]] = [(_DETAILS_KEY, status.SerializeToString())]
    if isinstance(error, RetryableError):
        trailing.append((_RETRY_KEY, retry_info(error).SerializeToString()))
    code = next(code for code in grpc.StatusCode if code.value[0] == status.code)
    return _Refusal(code, message_of(error), tuple(trailing))


def require_grpcio(version: str) -> None:
    """Refuse a grpcio that inflates without bound.

    Raises
    ------
    RuntimeError
        `version` is older than `GRPCIO_MIN`: there 1 MiB of gzip makes the server take more than 1 GiB.
    """
    found = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if found < GRPCIO_MIN:
        wanted = ".".join(map(str, GRPCIO_MIN))
        raise RuntimeError(
            f"grpcio {version} found; expected {wanted} or newer. Older ones let 1 MiB of gzip take more than "
            f"1 GiB of memory. Install with: pip install 'grpcio>={wanted}'"
        )


def _options(settings: GrpcSettings) -> list[tuple[str, Any]]:
    def ms(seconds: float) -> int:
        return round(seconds * 1000)

    return [
        ("grpc.max_receive_message_length", settings.message_bytes_max),
        ("grpc.max_send_message_length", 4 * 1024 * 1024),
        ("grpc.max_connection_age_ms", ms(settings.connection_age_max_s)),
        ("grpc.max_connection_age_grace_ms", ms(settings.connection_age_grace_s)),
        ("grpc.so_reuseport", int(settings.reuse_port)),
        *port_limits(
            streams_max=settings.concurrent_streams_max,
            connections_max=settings.connections_max,
            keepalive_time_s=settings.keepalive_time_s,
            keepalive_timeout_s=settings.keepalive_timeout_s,
            ping_interval_min_s=settings.ping_interval_min_s,
            handshake_timeout_s=settings.handshake_timeout_s,
        ),
    ]
