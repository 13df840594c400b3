"""OTLP over gRPC: request bytes out as they are, no message objects in between."""

from __future__ import annotations

import threading
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from collector.contracts import Clock, Signal
from collector.exporters.transport import (
    ANSWER_BYTES_MAX,
    USER_AGENT,
    OtlpSettings,
    Outcome,
    Verdict,
    bounded_wait_s,
    read_answer,
    shown,
)
from collector.tls import ClientFiles, client_tls
from collector.watched import Watched

METHODS = {
    Signal.TRACES: "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    Signal.LOGS: "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
}
# OTLP specification 1.11, OTLP/gRPC, Failures; RESOURCE_EXHAUSTED only with RetryInfo.
RETRYABLE = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)


class GrpcTransport:
    """`Transport` over one channel."""

    def __init__(self, settings: OtlpSettings, clock: Clock) -> None:
        self._settings = settings
        self._timeout_s = settings.timeout_s
        self._metadata = tuple((name.lower(), value) for name, value in settings.headers.items())
        self._options: list[tuple[str, Any]] = [
            ("grpc.primary_user_agent", USER_AGENT),
            ("grpc.max_receive_message_length", ANSWER_BYTES_MAX),
            # gRPC's own back-off grows to 2 minutes, in which every call fails at once; ours decides.
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.min_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 2000),
        ]
        if settings.server_name_override:
            self._options.append(("grpc.ssl_target_name_override", settings.server_name_override))
        self._tls: Watched[ClientFiles] | None = None
        self._shown: ClientFiles | None = None
        if not settings.insecure:
            self._tls = client_tls("tls_exporter", settings.ca_file, settings.cert_file, settings.key_file, clock)
            self._shown = self._tls.current()
        self._open()
        self._lock = threading.Lock()
        self._call: Any = None
        self._cancelled = False

    def send(self, signal: Signal, payload: bytes) -> Outcome:
        with self._lock:
            if self._cancelled:
                return Outcome(Verdict.RETRY, "stopping")
            if self._tls is not None and (files := self._tls.current()) is not self._shown:
                self._shown = files
                self._channel.close()
                self._open()
            call = self._call = self._calls[signal].future(payload, timeout=self._timeout_s, metadata=self._metadata)
        try:
            body = call.result()
        except grpc.FutureCancelledError:
            return Outcome(Verdict.RETRY, "stopping")
        except grpc.RpcError as error:
            return _failure(error)
        finally:
            self._call = None
        return read_answer(signal, body)

    def _open(self) -> None:
        """Make the channel; a channel keeps the certificates it was made with."""
        settings = self._settings
        compression = grpc.Compression.Gzip if settings.compression == "gzip" else grpc.Compression.NoCompression
        if self._shown is None:
            self._channel = grpc.insecure_channel(settings.endpoint, self._options, compression)
        else:
            credentials = grpc.ssl_channel_credentials(self._shown.ca, self._shown.key, self._shown.certificate)
            self._channel = grpc.secure_channel(settings.endpoint, credentials, self._options, compression)
        # No serialiser: bytes in, bytes out.
        self._calls = {signal: self._channel.unary_unary(method) for signal, method in METHODS.items()}

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            call = self._call
        if call is not None:
            call.cancel()

    def close(self) -> None:
        self._channel.close()


def _failure(error: Any) -> Outcome:
    code = error.code()
    reason = f"{code.name}: {shown(error.details() or '')}"
    retry_after_s = _retry_after_s(error)
    if code in RETRYABLE or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and retry_after_s is not None):
        return Outcome(Verdict.RETRY, reason, retry_after_s)
    return Outcome(Verdict.REFUSED, reason)


def _retry_after_s(error: Any) -> float | None:
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            try:
                for detail in Status.FromString(value).details:
                    info = RetryInfo()
                    if detail.Unpack(info):
                        return bounded_wait_s(info.retry_delay.seconds + info.retry_delay.nanos / 1e9)
            except DecodeError:
                return None
    return None
