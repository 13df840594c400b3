"""Alive, and ready: two questions of an orchestrator, and the metrics page.

In: named checks of the rooms. Out: `/healthz`, `/readyz` (which part is not ready, and why) on 13133, and
`/metrics` on 8888. `/` answers as `/readyz` does: the Collector's health_check extension stands there.
Never asks a client for anything, never tells more than the names and words of the parts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import orjson

from collector.asgi_thread import App, AsgiThread, Receive, Scope, Send, respond
from collector.guarded_protocol import ServerLimits
from collector.telemetry import CONTENT_TYPE

Check = Callable[[], str]

_LIMITS = ServerLimits(connections_max=64)


class Told(Protocol):
    """What a metrics page is made from."""

    def text(self) -> bytes: ...


class Health:
    """What every part says of itself. Any thread; checks must be quick and may not block.

    A check returns "" when all is well, else a few words ("replaying the journal").
    """

    def __init__(self) -> None:
        self._ready: dict[str, Check] = {}
        self._alive: dict[str, Check] = {}
        self._lock = threading.Lock()

    def ready(self, part: str, check: Check) -> None:
        """Add a condition for taking traffic."""
        with self._lock:
            self._ready[part] = check

    def alive(self, part: str, check: Check) -> None:
        """Add a condition for going on at all; when it fails, the orchestrator should start us anew."""
        with self._lock:
            self._alive[part] = check

    def readiness(self) -> dict[str, str]:
        """Return the parts that are not ready, with their reasons."""
        return self._failing(self._ready)

    def liveness(self) -> dict[str, str]:
        """Return the parts that are stuck, with their reasons."""
        return self._failing(self._alive)

    def _failing(self, checks: dict[str, Check]) -> dict[str, str]:
        with self._lock:
            todo = dict(checks)
        return {part: reason for part, check in todo.items() if (reason := _ask(check))}


def _ask(check: Check) -> str:
    try:
        return check()
    except Exception as error:  # a check that breaks is a part that is not well
        return f"the check failed ({type(error).__name__})"


def health_app(health: Health) -> App:
    """Return the ASGI application of the health port."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not await _is_get(scope, send):
            return
        if scope["path"] in ("/", "/readyz"):
            await _verdict(send, health.readiness(), "ready", "not ready")
        elif scope["path"] == "/healthz":
            await _verdict(send, health.liveness(), "alive", "stuck")
        else:
            await respond(send, 404, b"expected /healthz or /readyz\n", "text/plain")

    return app


async def _verdict(send: Send, failing: dict[str, str], good: str, bad: str) -> None:
    answer: dict[str, object] = {"status": bad if failing else good}
    if failing:
        answer["parts"] = failing
    await respond(send, 503 if failing else 200, orjson.dumps(answer), "application/json")


def metrics_app(telemetry: Told) -> App:
    """Return the ASGI application of the metrics port."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if not await _is_get(scope, send):
            return
        if scope["path"] == "/metrics":
            await respond(send, 200, telemetry.text(), CONTENT_TYPE)
        else:
            await respond(send, 404, b"expected /metrics\n", "text/plain")

    return app


async def _is_get(scope: Scope, send: Send) -> bool:
    if scope["method"] in ("GET", "HEAD"):
        return True
    await respond(send, 405, b"expected GET\n", "text/plain", (b"allow", b"GET, HEAD"))
    return False


def health_server(health: Health, host: str, port: int) -> AsgiThread:
    """Return the health port, not yet started."""
    return AsgiThread(health_app(health), host, port, name="health", limits=_LIMITS)


def metrics_server(telemetry: Told, host: str, port: int) -> AsgiThread:
    """Return the metrics port, not yet started."""
    return AsgiThread(metrics_app(telemetry), host, port, name="metrics", limits=_LIMITS)
