"""OTLP over HTTP: the door on 4318.

In: POST /v1/traces, /v1/logs, /v1/metrics, protobuf or JSON by Content-Type, plain or compressed.
Out: `Intake.take`, and its answer in the encoding of the request (OTLP 1.11, OTLP/HTTP). A raw ASGI
application: bodies stay bytes. The event loop only moves bytes; opening and taking them is done by a few threads.
Never repeats a header of the client, never shows a value of the telemetry.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

import orjson

from analyzer.digits import is_number
from collector.asgi_thread import AsgiThread, Receive, Scope, Send, respond
from collector.contracts import Encoding, Intake, Signal
from collector.errors import (
    ForbiddenError,
    OverloadedError,
    PermanentError,
    RefusedError,
    RetryableError,
    UnsupportedError,
    response_for,
)
from collector.guarded_protocol import ServerLimits
from collector.receivers.answers import answer_json, answer_protobuf
from collector.receivers.cors import Cors, CorsSettings, Headers
from collector.receivers.inflate import ByteBudget, inflate, too_large
from collector.receivers.refusals import retry_after_header, status_for, status_json
from collector.receivers.tally import RECEIVER, Tally
from collector.telemetry import Snapshot, sample

Authorize = Callable[[Mapping[str, str]], str]
"""Gets the lower-case header names with their values; gives the tenant, or raises ForbiddenError. May take a moment."""
_AUTHORIZERS = 4  # threads for it, apart from those that take bodies in

_CONTENT_TYPES = {"application/x-protobuf": Encoding.PROTOBUF, "application/json": Encoding.JSON}
_SENT_AS = {Encoding.PROTOBUF: "application/x-protobuf", Encoding.JSON: "application/json"}
_TEXT = "text/plain; charset=utf-8"
_CLOSE: Headers = ((b"connection", b"close"),)
_ABOUT = b"This is the OTLP/HTTP receiver of firstfault. POST to /v1/traces, /v1/logs or /v1/metrics.\n"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """How one HTTP door behaves.

    message_bytes_max : of one body, as sent and after decompression (OTLP 1.11 recommends 64 MiB)
    inflight_bytes_max : of all bodies at once (reliability.md R10)
    body_timeout_s : from the head of a request to the end of its body (R13)
    workers : requests opened and taken in at once
    """

    message_bytes_max: int = 64 * 1024 * 1024
    inflight_bytes_max: int = 256 * 1024 * 1024
    body_timeout_s: float = 30.0
    workers: int = 4
    paths: Mapping[str, Signal] = field(
        default_factory=lambda: {
            "/v1/traces": Signal.TRACES,
            "/v1/logs": Signal.LOGS,
            "/v1/metrics": Signal.METRICS,
        }
    )
    cors: CorsSettings = field(default_factory=CorsSettings)
    server: ServerLimits = field(default_factory=lambda: ServerLimits(body_timeout_s=None))  # it has its own
    reuse_port: bool = False


class _BodyTimeoutError(PermanentError):
    reason = "body_timeout"


class _Gone(Exception):
    """The client went away; nobody waits for an answer."""


class HttpReceiver:
    """The HTTP door. `start` and `stop` belong to one owner thread; requests live on its event loop.

    Parameters
    ----------
    intake : takes the request bytes
    host, port : where to listen; port 0 picks a free one
    tls : serves TLS; None plain text
    authorize : checks the headers of every request before its body is read; None lets all in
    """

    def __init__(
        self,
        intake: Intake,
        host: str,
        port: int,
        settings: HttpSettings | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        authorize: Authorize | None = None,
    ) -> None:
        self._intake = intake
        self._settings = settings or HttpSettings()
        self._authorize = authorize
        self._tally = Tally("http")
        self._cors = Cors(self._settings.cors)
        self._budget = ByteBudget(self._settings.inflight_bytes_max)
        self._pool: ThreadPoolExecutor | None = None
        self._authorizers: ThreadPoolExecutor | None = None
        self._server = AsgiThread(
            self.app,
            host,
            port,
            name="OTLP/HTTP",
            reuse_port=self._settings.reuse_port,
            tls=tls,
            limits=self._settings.server,
        )

    def start(self) -> int:
        """Listen; return the port.

        Raises
        ------
        OSError
            The address cannot be bound.
        """
        self._pool = ThreadPoolExecutor(self._settings.workers, thread_name_prefix="otlp-http")
        self._authorizers = ThreadPoolExecutor(_AUTHORIZERS, thread_name_prefix="otlp-http-auth")
        return self._server.start()

    def stop(self, grace_s: float = 5.0) -> None:
        """Take no new connections, let running requests end for `grace_s`, cut what is left."""
        self._server.stop(grace_s)
        if self._pool is not None:
            self._pool.shutdown(wait=True)
            self._pool = None
        if self._authorizers is not None:
            self._authorizers.shutdown(wait=False)
            self._authorizers = None

    def snapshot(self) -> Snapshot:
        """Copy the counters, for `Telemetry.register`."""
        found = self._tally.snapshot()
        found[sample("receiver_inflight_bytes", RECEIVER, "http")] = self._budget.held_bytes
        return found

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        signal = self._settings.paths.get(scope["path"])
        method = scope["method"]
        cors = self._cors.response_headers(headers.get("origin"))
        encoding = _CONTENT_TYPES.get(_media_type(headers))
        if method == "OPTIONS" and signal is not None and self._cors.enabled:
            allowed = self._cors.preflight_headers(headers.get("origin"))
            await send({"type": "http.response.start", "status": 204, "headers": list(allowed)})
            await send({"type": "http.response.body", "body": b""})
        elif signal is None and scope["path"] == "/" and method in ("GET", "HEAD"):
            await respond(send, 200, _ABOUT, _TEXT)
        elif signal is None:
            await self._refuse_early(send, 404, "not_found", "no such path; expected /v1/traces, logs or metrics", cors)
        elif method != "POST":
            allow = (b"allow", b"POST")
            await self._refuse_early(send, 405, "method", "OTLP is sent with POST", (allow, *cors), encoding)
        elif encoding is None:
            text = "content type not known; expected application/x-protobuf or application/json"
            await self._refuse_early(send, 415, "unsupported", text, cors)
        else:
            with suppress(_Gone):
                await self._post(headers, signal, encoding, receive, send, cors)

    async def _refuse_early(
        self, send: Send, status: int, reason: str, text: str, headers: Headers, encoding: Encoding | None = None
    ) -> None:
        """Refuse before the body is read. The connection is closed: what follows on it is that body."""
        self._tally.refused(reason)
        if encoding is None:
            await respond(send, status, text.encode() + b"\n", _TEXT, *headers, *_CLOSE)
        else:
            body = _written(UnsupportedError(text), encoding)
            await respond(send, status, body, _SENT_AS[encoding], *headers, *_CLOSE)

    async def _post(
        self,
        headers: Mapping[str, str],
        signal: Signal,
        encoding: Encoding,
        receive: Receive,
        send: Send,
        cors: Headers,
    ) -> None:
        held = _Held(self._budget)
        began = time.perf_counter()
        body_read = False
        try:
            try:
                tenant = await self._tenant(headers)
                body = await self._read(headers, receive, held)
                body_read = True
            except RefusedError as error:
                self._tally.refused(error.reason)
                raise
            assert self._pool is not None
            work = (body, headers.get("content-encoding", ""), signal, encoding, held, tenant)
            answer = await asyncio.get_running_loop().run_in_executor(self._pool, self._take, *work)
            await respond(send, 200, answer, _SENT_AS[encoding], *cors)
        except RefusedError as error:
            await _refuse(send, error, encoding, cors if body_read else (*cors, *_CLOSE))
        except asyncio.CancelledError:  # `stop` has waited long enough for this one
            self._tally.refused("draining")
            stopping = OverloadedError("the collector is stopping; send it again after the delay", "draining")
            await _refuse(send, stopping, encoding, (*cors, *_CLOSE))
        finally:
            self._tally.answered(signal, held.bytes, time.perf_counter() - began)
            held.release()

    async def _tenant(self, headers: Mapping[str, str]) -> str:
        if self._authorize is None:
            return ""
        return await asyncio.get_running_loop().run_in_executor(self._authorizers, self._authorize, headers)

    async def _read(self, headers: Mapping[str, str], receive: Receive, held: _Held) -> bytes:
        """Collect the body, in bounds and in time."""
        limit = self._settings.message_bytes_max
        if _declared_bytes(headers) > limit and "expect" in headers:
            raise too_large(limit)  # the client asked first: it has sent nothing yet
        pieces: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self._settings.body_timeout_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    size += len(message["body"])
                    if size <= limit:
                        held.reserve(len(message["body"]))
                        pieces.append(message["body"])
                    elif pieces or size > 2 * limit:
                        # Read on for a while and keep nothing: cut off while it sends, a client would
                        # see a broken connection, not the answer, and would try again.
                        held.release()
                        pieces.clear()
                        if size > 2 * limit:
                            raise too_large(limit)
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise _BodyTimeoutError(
                f"the body did not arrive within {self._settings.body_timeout_s:g} s of its head"
            ) from None
        if size > limit:
            raise too_large(limit)
        return b"".join(pieces)

    def _take(self, body: bytes, coding: str, signal: Signal, encoding: Encoding, held: _Held, tenant: str) -> bytes:
        """Open the body and hand it in. Runs in a thread of the pool."""
        coding = coding.strip().lower()
        if coding not in ("", "identity", "none"):
            try:
                body = inflate(body, coding, self._settings.message_bytes_max, held.reserve)
            except RefusedError as error:
                self._tally.refused(error.reason)
                raise
        try:
            admission = self._intake.take(body, signal, encoding, "http", tenant)
        except RefusedError:
            raise
        except Exception as error:
            # 500 would make clients drop the data (OTLP 1.11, Retryable Response Codes)
            _log.exception("an OTLP/HTTP request failed")
            self._tally.failed("internal")
            raise OverloadedError("the collector failed on this request; send it again", "internal") from error
        return answer_json(admission, signal) if encoding is Encoding.JSON else answer_protobuf(admission, signal)


class _Held:
    """What one request holds of the budget; also while it is refused."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._reserved = 0
        self.bytes = 0

    def reserve(self, count: int) -> None:
        self._budget.reserve(count)
        self._reserved += count
        self.bytes += count

    def release(self) -> None:
        self._budget.release(self._reserved)
        self._reserved = 0


async def _refuse(send: Send, error: RefusedError, encoding: Encoding, headers: Headers) -> None:
    await respond(send, _status(error), _written(error, encoding), _SENT_AS[encoding], *_hints(error), *headers)


def _media_type(headers: Mapping[str, str]) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _declared_bytes(headers: Mapping[str, str]) -> int:
    """What Content-Length says; 0 when it says nothing that can be a length."""
    text = headers.get("content-length", "")
    return int(text) if is_number(text, 19) else 0


def _status(error: RefusedError) -> int:
    return 408 if isinstance(error, _BodyTimeoutError) else response_for(error).http


def _hints(error: RefusedError) -> Headers:
    if isinstance(error, RetryableError):
        return ((b"retry-after", retry_after_header(error)),)
    if isinstance(error, ForbiddenError):
        return ((b"www-authenticate", error.challenge.encode()),)
    return ()


def _written(error: RefusedError, encoding: Encoding) -> bytes:
    """Write google.rpc.Status in the encoding of the request (OTLP 1.11, OTLP/HTTP Response)."""
    status = status_for(error)
    return orjson.dumps(status_json(status)) if encoding is Encoding.JSON else status.SerializeToString()
