"""What every HTTP answer of the query room has: safe headers, a correlation id, an end.

In: an ASGI application. Out: the same with security headers, X-Correlation-Id, a bound on requests at the same
time, counters, and a problem instead of a traceback. Owner of its counters: the event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector import correlation
from collector.query.problems import MEDIA_TYPE, ProblemError, problem_body
from collector.telemetry import Histogram, sample

# Answers are data: nothing of them may be run, framed, sniffed or sent on as a referrer.
SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_ONLY_TLS = ("Strict-Transport-Security", "max-age=31536000")
_OUTCOMES = {202: "in_progress", 304: "not_modified", 404: "not_found", 410: "gone", 503: "refused", 413: "refused"}

log = logging.getLogger(__name__)


class QueryCounters:
    """What was asked and how it ended. Owner: the event loop; others only read."""

    def __init__(self) -> None:
        self.running = 0
        self.outcomes: Counter[str] = Counter()
        self.seconds = Histogram()

    def snapshot(self) -> dict[str, float]:
        """Counters under the names of the metric table."""
        counts: dict[str, float] = {
            sample("query_requests", "rest", outcome): count for outcome, count in list(self.outcomes.items())
        }
        return counts | self.seconds.samples("query_seconds", "rest")


class QueryMiddleware:
    """Outermost of our own; a page of the user interface may bring its own Content-Security-Policy."""

    def __init__(self, app: ASGIApp, counters: QueryCounters, requests_max: int) -> None:
        self._app = app
        self._counters = counters
        self._requests_max = requests_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        correlation_id = scope["correlation_id"] = _correlation_id(scope)
        status = 0
        counters = self._counters

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if scope.get("scheme") == "https":
                    headers.setdefault(*_ONLY_TLS)
                headers[correlation.HEADER] = correlation_id
            await send(message)

        begun = time.perf_counter()
        counters.running += 1
        try:
            if counters.running > self._requests_max:
                await _send_problem(scope, send_safely, _busy(self._requests_max))
            else:
                await self._app(scope, receive, send_safely)
        except ClientDisconnect:
            pass  # nobody waits for an answer
        except asyncio.CancelledError:  # only a stop whose time is over cuts a question off
            if not status:
                await _send_problem(scope, send_safely, _stopping())
        except Exception:
            # Our own bug: said once with the id the client has, never shown to it.
            log.exception("query failed; correlation id %s", correlation_id)
            if not status:
                await _send_problem(scope, send_safely, _failed())
        finally:
            counters.running -= 1
            counters.outcomes[_outcome(status)] += 1
            counters.seconds.observe(time.perf_counter() - begun)


def _outcome(status: int) -> str:
    if status in _OUTCOMES:
        return _OUTCOMES[status]
    if not status or status >= 500:
        return "failed"
    return "invalid" if status >= 400 else "ok"


def _correlation_id(scope: Scope) -> str:
    """Take the client's id when it is one that is safe to show; make one otherwise."""
    wanted = correlation.HEADER.lower().encode()
    return correlation.accept(value.decode("latin-1") for name, value in scope["headers"] if name == wanted)


def _busy(requests_max: int) -> ProblemError:
    return ProblemError(
        503,
        "busy",
        "Too many questions at once",
        f"{requests_max} questions are being answered",
        expected=f"at most {requests_max} at the same time",
        do="try again after the time in Retry-After",
        headers={"Retry-After": "1"},
    )


def _stopping() -> ProblemError:
    return ProblemError(
        503,
        "stopping",
        "Stopping",
        "the server stops, and there was no time left for the answer",
        do="try again after the time in Retry-After",
        headers={"Retry-After": "1"},
    )


def _failed() -> ProblemError:
    return ProblemError(
        500,
        "internal",
        "Internal error",
        "the question could not be answered; this is a defect of firstfault",
        do="report it with the correlation id; the log has the cause under it",
    )


async def _send_problem(scope: Scope, send: Any, error: ProblemError) -> None:
    body = problem_body(scope["path"], scope["correlation_id"], error)
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
