"""Messages over HTTP/1.1, by default OTLP with protobuf bodies: one kept connection, no redirects, no proxies."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

from analyzer.digits import is_number
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

PATHS = {Signal.TRACES: "/v1/traces", Signal.LOGS: "/v1/logs"}
PROTOBUF = "application/x-protobuf"
RETRYABLE = frozenset({429, 502, 503, 504})  # OTLP specification 1.11, Retryable Response Codes
GZIP_LEVEL = 5


@dataclass(frozen=True, slots=True)
class Spoken:
    """What is spoken over HTTP: where it is posted, the type of a body, how an answer of status 200 is read."""

    paths: Mapping[Signal, str]
    content_type: str
    success: Callable[[Signal, str, bytes], Outcome]


class HttpTransport:
    """`Transport` over one connection, made again when it breaks."""

    def __init__(self, settings: OtlpSettings, clock: Clock, spoken: Spoken | None = None) -> None:
        self._spoken = spoken or Spoken(PATHS, PROTOBUF, _success)
        host, _, port = settings.endpoint.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._timeout_s = settings.timeout_s
        self._gzip = settings.compression == "gzip"
        self._headers = {
            **settings.headers,
            "Content-Type": self._spoken.content_type,
            "User-Agent": USER_AGENT,
            **({"Content-Encoding": "gzip"} if self._gzip else {}),
        }
        self._server_name = settings.server_name_override or self._host
        self._tls: Watched[ClientFiles] | None = None
        self._shown: ClientFiles | None = None
        if not settings.insecure:
            self._tls = client_tls("tls_exporter", settings.ca_file, settings.cert_file, settings.key_file, clock)
        self._connection: http.client.HTTPConnection | None = None
        self._cancelled = False
        self._broken = False  # the call under way was ended from outside

    def send(self, signal: Signal, payload: bytes) -> Outcome:
        self._broken = False
        if self._cancelled:  # read after the line above: a cancel in between is seen by one of the two
            return Outcome(Verdict.RETRY, "stopping")
        # Socket timeouts are for one read; a destination that drips a byte a second must end too.
        watchdog = threading.Timer(self._timeout_s, self._break)
        watchdog.daemon = True
        watchdog.start()
        began = time.monotonic()
        try:
            return self._exchange(signal, gzip.compress(payload, GZIP_LEVEL, mtime=0) if self._gzip else payload)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._drop()
            late = time.monotonic() - began >= self._timeout_s
            what = f"no answer in {self._timeout_s:g} s" if late else f"{type(error).__name__}: {shown(str(error))}"
            return Outcome(Verdict.RETRY, what)
        finally:
            watchdog.cancel()

    def cancel(self) -> None:
        self._cancelled = True
        self._break()

    def close(self) -> None:
        self._drop()

    def _exchange(self, signal: Signal, body: bytes) -> Outcome:
        if self._tls is not None and (files := self._tls.current()) is not self._shown:
            self._shown = files
            self._drop()  # the next one shows the new certificate
        connection = self._connection = self._connection or self._connect()
        if connection.sock is None:
            connection.connect()
        if self._broken:  # ended while it was connecting: there was no socket to wake then
            raise ConnectionAbortedError("ended while connecting")
        connection.request("POST", self._spoken.paths[signal], body, self._headers)
        response = connection.getresponse()
        answer = response.read(ANSWER_BYTES_MAX + 1)
        if len(answer) > ANSWER_BYTES_MAX:
            self._drop()
            reason = f"HTTP {response.status}: the answer is over {ANSWER_BYTES_MAX} bytes"
            if response.status in RETRYABLE:  # a proxy's page, say: nothing was taken, and nothing is wrong with it
                return Outcome(Verdict.RETRY, reason, _retry_after_s(response.getheader("Retry-After")))
            return Outcome(Verdict.REFUSED, reason)
        if response.length or self._broken:  # read(n) gives what there is when the other side breaks off
            raise http.client.IncompleteRead(answer, response.length)
        if response.will_close:
            self._drop()
        content_type = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
        if response.status == 200:
            return self._spoken.success(signal, content_type, answer)
        reason = f"HTTP {response.status}: {_said(content_type, answer)}"
        if response.status in RETRYABLE:
            return Outcome(Verdict.RETRY, reason, _retry_after_s(response.getheader("Retry-After")))
        return Outcome(Verdict.REFUSED, reason)

    def _connect(self) -> http.client.HTTPConnection:
        if self._shown is not None:
            return _NamedConnection(self._host, self._port, self._timeout_s, self._shown.context, self._server_name)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)

    def _break(self) -> None:
        """Wake whoever reads from the connection; it then drops it. Any thread."""
        self._broken = True
        connection = self._connection
        sock = connection.sock if connection is not None else None
        if sock is not None:
            with suppress(OSError):  # it was over already
                # The plain one: SSLSocket.shutdown would take the TLS state away from the thread that reads.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _NamedConnection(http.client.HTTPConnection):
    """TLS to a destination whose certificate may have another name than its address."""

    def __init__(self, host: str, port: int, timeout_s: float, tls: ssl.SSLContext, server_name: str) -> None:
        super().__init__(host, port, timeout=timeout_s)
        self._tls, self._server_name = tls, server_name

    def connect(self) -> None:
        super().connect()
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._server_name)


def _success(signal: Signal, content_type: str, answer: bytes) -> Outcome:
    if not answer:
        return Outcome(Verdict.ACCEPTED)
    if content_type == "application/json":
        return _json_success(signal, answer)
    if content_type != PROTOBUF:
        return Outcome(Verdict.RETRY, f"HTTP 200 of type {shown(content_type)!r} is not an OTLP answer")
    return read_answer(signal, answer)


def _json_success(signal: Signal, answer: bytes) -> Outcome:
    """Some servers answer protobuf with JSON."""
    try:
        partial = json.loads(answer).get("partialSuccess") or {}
        rejected = int(partial.get("rejectedSpans" if signal == Signal.TRACES else "rejectedLogRecords") or 0)
        message = str(partial.get("errorMessage") or "")
    except (ValueError, AttributeError, TypeError, RecursionError):
        return Outcome(Verdict.RETRY, "the answer is not an OTLP answer; is the endpoint right?")
    if rejected <= 0:
        return Outcome(Verdict.ACCEPTED, shown(message))
    return Outcome(Verdict.ACCEPTED, f"partial success, {rejected} rejected: {shown(message)}", rejected_count=rejected)


def _said(content_type: str, answer: bytes) -> str:
    if content_type == PROTOBUF:
        try:
            return shown(Status.FromString(answer).message)
        except DecodeError:
            return "an answer that cannot be read"
    return shown(answer[:1024].decode("utf-8", "replace"))


def _retry_after_s(header: str | None) -> float | None:
    """Seconds, or an HTTP date (RFC 9110 10.2.3)."""
    if header is None:
        return None
    if is_number(header.strip()):
        return bounded_wait_s(float(header.strip()))
    try:
        return bounded_wait_s(parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
