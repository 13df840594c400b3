"""`firstfault selftest`: send one failing trace, ask for its root cause, say whether the answer is right.

In: the address of an OTLP/gRPC receiver and of the query API, which may be a load balancer's. Out: an exit status: 0
only if the planted origin is named. Everything passes the doors that applications use; nothing is read from the inside.

    firstfault-selftest-shop POST /checkout        ERROR   500
      firstfault-selftest-shop POST                ERROR   500
        firstfault-selftest-payment POST /charge   ERROR   500  SelftestError   <- began here
"""

from __future__ import annotations

import http.client
import os
import secrets
import ssl
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import grpc
import orjson
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from pydantic import ValidationError

from analyzer.findings import Answer
from collector.correlation import outgoing
from collector.verdict_text import plain

SHOP, PAYMENT = "firstfault-selftest-shop", "firstfault-selftest-payment"
# Not options: what stands on a command line is read by everybody on the machine.
TOKEN_VARIABLE, CA_VARIABLE = "FIRSTFAULT_TOKEN", "FIRSTFAULT_CA_FILE"
ANSWER_BYTES_MAX = 4 * 2**20
PAUSE_S = 0.3  # between two tries
WAIT_S = 10.0  # one question waits this long for a trace that is still open
_MS = 1_000_000


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


@dataclass(frozen=True, slots=True)
class Planted:
    """A trace and where its trouble began."""

    trace_id: str
    span_id: str
    request: ExportTraceServiceRequest


class SelftestError(Exception):
    """The test cannot be made, or its answer is wrong; `status` is the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def selftest(otlp: str, query: str, timeout_s: float, keys: Keys) -> int:
    """Send, ask, compare, print.

    Parameters
    ----------
    otlp : str
        HOST:PORT of an OTLP/gRPC receiver; https://HOST:PORT with TLS.
    query : str
        Address of the query API.
    timeout_s : float
        For everything together; what refuses connections is tried again until then.
    keys : Keys
        For TLS.

    Returns
    -------
    int
        0: the answer is right; 1: it is wrong, or none came in time; 2: wrong use.
    """
    deadline = time.monotonic() + timeout_s
    planted = plant(time.time_ns())
    try:
        send_to, ask_at = _address(otlp, 4317), _address(query, 8080)
        _send(planted.request, send_to, keys, deadline)
        answer = _ask(planted.trace_id, ask_at, keys, deadline)
        sys.stdout.write(plain(_judge(answer, planted)) + "\n")
    except SelftestError as error:
        sys.stderr.write(plain(f"trace {planted.trace_id}: {error}") + "\n")
        return error.status
    return 0


def plant(now_ns: int) -> Planted:
    """Draw the failing trace; it ended at `now_ns`. Its ids are new each time."""
    trace_id = secrets.token_bytes(16)
    root, call, charge = (secrets.token_bytes(8) for _ in range(3))
    begin = now_ns - 100 * _MS
    request = ExportTraceServiceRequest()
    failed: dict[str, str | int] = {"http.request.method": "POST", "http.response.status_code": 500}
    for service, span_id, parent, name, kind, start, end, more in (
        (SHOP, root, b"", "POST /checkout", Span.SPAN_KIND_SERVER, 0, 100, {"http.route": "/checkout"}),
        (SHOP, call, root, "POST", Span.SPAN_KIND_CLIENT, 5, 95, {"server.address": PAYMENT}),
        (PAYMENT, charge, call, "POST /charge", Span.SPAN_KIND_SERVER, 10, 90, {"http.route": "/charge"}),
    ):
        resource = request.resource_spans.add()
        _set(resource.resource.attributes.add(), "service.name", service)
        span = resource.scope_spans.add().spans.add(
            trace_id=trace_id,
            span_id=span_id,
            parent_span_id=parent,
            name=name,
            kind=kind,
            start_time_unix_nano=begin + start * _MS,
            end_time_unix_nano=begin + end * _MS,
            status=Status(code=Status.STATUS_CODE_ERROR),
        )
        for key, value in (failed | more).items():
            _set(span.attributes.add(), key, value)
    thrown = span.events.add(name="exception", time_unix_nano=begin + 50 * _MS)
    _set(thrown.attributes.add(), "exception.type", "SelftestError")
    _set(thrown.attributes.add(), "exception.message", "planted by firstfault selftest")
    return Planted(trace_id.hex(), charge.hex(), request)


def _set(pair: KeyValue, key: str, value: str | int) -> None:
    pair.key = key
    if isinstance(value, int):
        pair.value.int_value = value
    else:
        pair.value.string_value = value


def _address(text: str, port: int) -> SplitResult:
    """Read an address; without a port, `port` is meant."""
    try:
        found = urlsplit(text if "//" in text else f"//{text}", scheme="http")
        if found.scheme in ("http", "https") and found.hostname and found.port != 0:
            host = f"[{found.hostname}]" if ":" in found.hostname else found.hostname
            return found._replace(netloc=f"{host}:{found.port or port}")
    except ValueError:  # a port that is no number, brackets that do not close
        pass
    raise SelftestError(f"{text[:80]!r} is not an address; expected for example firstfault:{port}", 2)


def _send(request: ExportTraceServiceRequest, address: SplitResult, keys: Keys, deadline: float) -> None:
    """Send until it is taken; overload and a server that is not there yet are tried again."""
    options = [("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 1000)]
    if address.scheme == "https":
        try:
            parts = [path.read_bytes() if path is not None else None for path in (keys.ca, keys.key, keys.cert)]
        except OSError as error:
            raise SelftestError(f"cannot read {error.filename}: {error.strerror}", 2) from error
        channel = grpc.secure_channel(address.netloc, grpc.ssl_channel_credentials(*parts), options)
    else:
        channel = grpc.insecure_channel(address.netloc, options)
    with channel:
        stub = TraceServiceStub(channel)  # type: ignore[no-untyped-call]
        while True:
            try:
                timeout_s = max(0.1, min(WAIT_S, deadline - time.monotonic()))
                answer = stub.Export(request, timeout=timeout_s, metadata=tuple(keys.headers.items()))
                break
            except grpc.RpcError as error:
                busy = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
                if not busy or time.monotonic() + PAUSE_S >= deadline:
                    said = f"{error.code().name}: {error.details()}"
                    raise SelftestError(f"{address.netloc} did not take the trace: {said}") from error
            time.sleep(PAUSE_S)
    if answer.partial_success.rejected_spans:
        raise SelftestError(f"{address.netloc} rejected spans: {answer.partial_success.error_message}")


def _ask(trace_id: str, address: SplitResult, keys: Keys, deadline: float) -> Answer:
    """Ask until the trace is decided."""
    said = "it was not asked"
    while (left := deadline - time.monotonic()) > 0:
        path = f"{address.path.rstrip('/')}/api/v1/traces/{trace_id}/root-cause?wait={min(WAIT_S, left):.1f}"
        try:
            status, body = _get(address, path, keys, left)
        except (OSError, http.client.HTTPException, ValueError) as error:
            status, body = 0, b""
            said = str(error) or type(error).__name__
        if status == 200:
            try:
                answer = Answer.model_validate_json(body)
            except ValidationError as error:
                raise SelftestError(f"{address.netloc} answers, but not as firstfault does") from error
            if answer.status != "in_progress":
                return answer
            said = "the trace is still open"
        elif status in (202, 404, 429, 503):  # not decided yet; not known to this instance; not ready
            said = f"HTTP {status}: {_title(body)}"
        elif status:
            raise SelftestError(f"{address.netloc} answered HTTP {status}: {_title(body)}")
        time.sleep(max(0.0, min(PAUSE_S, deadline - time.monotonic())))
    raise SelftestError(f"no answer from {address.netloc} in time; the last try: {said}")


def _get(address: SplitResult, path: str, keys: Keys, timeout_s: float) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address.netloc, timeout=timeout_s)
    if address.scheme == "https":
        context = ssl.create_default_context(cafile=keys.ca)
        if keys.cert is not None:
            context.load_cert_chain(keys.cert, keys.key)
        connection = http.client.HTTPSConnection(address.netloc, timeout=timeout_s, context=context)
    try:
        headers = {"accept": "application/json"} | outgoing("firstfault-selftest") | keys.headers
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read(ANSWER_BYTES_MAX)
    finally:
        connection.close()


def _title(body: bytes) -> str:
    try:
        problem = orjson.loads(body)
        return str(problem.get("title") or problem.get("status_reason") or problem.get("status") or "no title")
    except (orjson.JSONDecodeError, AttributeError):
        return "no answer of firstfault"


def _judge(answer: Answer, planted: Planted) -> str:
    """Compare with what was planted; the words for a right answer.

    Raises
    ------
    SelftestError
        Somebody else is named first, or nobody.
    """
    cause = answer.root_causes[0] if answer.root_causes else None
    if cause is None or answer.status != "finding":
        raise SelftestError(f"the answer is {answer.status}, without a root cause; expected {PAYMENT}")
    if cause.entity.service != PAYMENT or planted.span_id not in [span.span_id for span in cause.origin_spans]:
        raise SelftestError(f"the answer names {cause.entity.name} ({cause.rule}); expected {PAYMENT}")
    return f"right: {PAYMENT} is named, {cause.probability:.0%} [{cause.rule}], trace {answer.trace_id}"
