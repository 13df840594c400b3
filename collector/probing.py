"""Asking a server from the outside, as applications and people do: send a trace, ask for its answer.

In: the addresses of an OTLP/gRPC receiver and of the query API, which may be a load balancer's, and keys. Out: an
`Answer`, or a `ProbeError` in words. Everything passes the doors; nothing is read from the inside. `firstfault
selftest` and `firstfault canary` are made of this. Any thread.
"""

from __future__ import annotations

import http.client
import os
import ssl
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import grpc
import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from pydantic import ValidationError

from analyzer.findings import Answer
from collector.correlation import outgoing

# Not options: what stands on a command line is read by everybody on the machine.
TOKEN_VARIABLE, CA_VARIABLE = "FIRSTFAULT_TOKEN", "FIRSTFAULT_CA_FILE"
ANSWER_BYTES_MAX = 4 * 2**20
PAUSE_S = 0.3  # between two tries
WAIT_S = 10.0  # one question waits this long for a trace that is still open


class ProbeError(Exception):
    """What was tried cannot be done, or its answer is wrong; `status` is the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


class NoAnswerError(ProbeError):
    """The trace was taken, and no answer came in time."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What doors may ask for; all may be missing. ca: who signed the server. cert, key, token: who we are."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    token: str = field(default="", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"} if self.token else {}


def keys_of(ca: Path | None, cert: Path | None, key: Path | None) -> Keys:
    """Put what was said together with what the environment says."""
    told = os.environ.get(CA_VARIABLE)
    return Keys(ca or (Path(told) if told else None), cert, key, os.environ.get(TOKEN_VARIABLE, "").strip())


@dataclass(frozen=True)
class Doors:
    """Both doors of a server, and the keys to them; files of keys are read anew for every connection.

    name : who asks, told to the server
    wait_s : one question waits this long for a trace that is still open
    stop : set, it ends all waiting
    """

    otlp: SplitResult
    query: SplitResult
    keys: Keys
    name: str
    wait_s: float = WAIT_S
    stop: threading.Event = field(default_factory=threading.Event)

    def send(self, request: ExportTraceServiceRequest, deadline: float) -> None:
        """Send until it is taken; overload and a server that is not there yet are tried again.

        Parameters
        ----------
        request : ExportTraceServiceRequest
            All of it must be taken.
        deadline : float
            On the clock of `time.monotonic`.

        Raises
        ------
        ProbeError
            It was not taken.
        """
        place = self.otlp.netloc
        with self._channel() as channel:
            stub = TraceServiceStub(channel)  # type: ignore[no-untyped-call]
            while True:
                try:
                    timeout_s = max(0.1, min(WAIT_S, deadline - time.monotonic()))
                    answer = stub.Export(request, timeout=timeout_s, metadata=tuple(self.keys.headers.items()))
                    break
                except grpc.RpcError as error:
                    busy = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
                    if not busy or time.monotonic() + PAUSE_S >= deadline or self.stop.wait(PAUSE_S):
                        said = f"{error.code().name}: {error.details()}"
                        raise ProbeError(f"{place} did not take the trace: {said}") from error
        if answer.partial_success.rejected_spans:
            raise ProbeError(f"{place} rejected spans: {answer.partial_success.error_message}")

    def ask(self, trace_id: str, deadline: float) -> Answer:
        """Ask until the trace is decided.

        Raises
        ------
        NoAnswerError
            It was not, in time.
        ProbeError
            The door is closed to us, or nobody there speaks as firstfault does.
        """
        said = "it was not asked"
        while (left := deadline - time.monotonic()) > 0 and not self.stop.is_set():
            wait_s = min(self.wait_s, left)
            path = f"{self.query.path.rstrip('/')}/api/v1/traces/{trace_id}/root-cause?wait={wait_s:.1f}"
            try:
                status, body = self._get(path, left)
            except (OSError, http.client.HTTPException, ValueError) as error:
                status, body = 0, b""
                said = str(error) or type(error).__name__
            if status == 200:
                try:
                    answer = Answer.model_validate_json(body)
                except ValidationError as error:
                    raise ProbeError(f"{self.query.netloc} answers, but not as firstfault does") from error
                if answer.status != "in_progress":
                    return answer
                said = "the trace is still open"
            elif status in (202, 404, 429, 503):  # not decided yet; not known to this instance; not ready
                said = f"HTTP {status}: {_title(body)}"
            elif status:
                raise ProbeError(f"{self.query.netloc} answered HTTP {status}: {_title(body)}")
            self.stop.wait(max(0.0, min(PAUSE_S, deadline - time.monotonic())))
        raise NoAnswerError(f"no answer from {self.query.netloc} in time; the last try: {said}")

    def _channel(self) -> grpc.Channel:
        options = [("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 1000)]
        if self.otlp.scheme != "https":
            return grpc.insecure_channel(self.otlp.netloc, options)
        keys = self.keys
        try:
            parts = [path.read_bytes() if path is not None else None for path in (keys.ca, keys.key, keys.cert)]
        except OSError as error:
            raise ProbeError(f"cannot read {error.filename}: {error.strerror}", 2) from error
        return grpc.secure_channel(self.otlp.netloc, grpc.ssl_channel_credentials(*parts), options)

    def _get(self, path: str, timeout_s: float) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.query.netloc, timeout=timeout_s)
        if self.query.scheme == "https":
            context = ssl.create_default_context(cafile=self.keys.ca)
            if self.keys.cert is not None:
                context.load_cert_chain(self.keys.cert, self.keys.key)
            connection = http.client.HTTPSConnection(self.query.netloc, timeout=timeout_s, context=context)
        try:
            headers = {"accept": "application/json"} | outgoing(self.name) | self.keys.headers
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            return response.status, response.read(ANSWER_BYTES_MAX)
        finally:
            connection.close()


def address(text: str, port: int) -> SplitResult:
    """Read an address; without a port, `port` is meant.

    Raises
    ------
    ProbeError
        It is none; with exit status 2.
    """
    try:
        found = urlsplit(text if "//" in text else f"//{text}", scheme="http")
        if found.scheme in ("http", "https") and found.hostname and found.port != 0:
            host = f"[{found.hostname}]" if ":" in found.hostname else found.hostname
            return found._replace(netloc=f"{host}:{found.port or port}")
    except ValueError:  # a port that is no number, brackets that do not close
        pass
    raise ProbeError(f"{text[:80]!r} is not an address; expected for example firstfault:{port}", 2)


def _title(body: bytes) -> str:
    try:
        problem = orjson.loads(body)
        return str(problem.get("title") or problem.get("status_reason") or problem.get("status") or "no title")
    except (orjson.JSONDecodeError, AttributeError):
        return "no answer of firstfault"
