"""OTLP over gRPC: request bytes out as they are, no message objects in between."""

from __future__ import annotations

import threading
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from collector.contracts import Signal
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

    def __init__(self, settings: OtlpSettings) -> None:
        self._timeout_s = settings.timeout_s
        self._metadata = tuple((name.lower(), value) for name, value in settings.headers.items())
        options = [
            ("grpc.primary_user_agent", USER_AGENT),
            ("grpc.max_receive_message_length", ANSWER_BYTES_MAX),
            # gRPC's own back-off grows to 2 minutes, in which every call fails at once; ours decides.
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.min_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 2000),
        ]
        compression = grpc.Compression.Gzip if settings.compression == "gzip" else grpc.Compression.NoCompression
        if settings.insecure:
            self._channel = grpc.insecure_channel(settings.endpoint, options, compression)
        else:
            credentials = grpc.ssl_channel_credentials(
                *(path.read_bytes() if path is not None else None for path in _files(settings))
            )
            self._channel = grpc.secure_channel(settings.endpoint, credentials, options, compression)
        # No serialiser: bytes in, bytes out.
        self._calls = {signal: self._channel.unary_unary(method) for signal, method in METHODS.items()}
        self._lock = threading.Lock()
        self._call: Any = None
        self._cancelled = False

    def send(self, signal: Signal, payload: bytes) -> Outcome:
        with self._lock:
            if self._cancelled:
                return Outcome(Verdict.RETRY, "stopping")
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

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            call = self._call
        if call is not None:
            call.cancel()

    def close(self) -> None:
        self._channel.close()


def _files(settings: OtlpSettings) -> tuple[Any, Any, Any]:
    return settings.ca_file, settings.key_file, settings.cert_file


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
