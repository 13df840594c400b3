"""A raw ASGI application on a port, in a thread with its own event loop.

In: the application and an address. Out: a port. Used by the OTLP/HTTP receiver, health and metrics.
What a client may do with a connection stands in `guarded_protocol`. Never installs signal handlers, never logs a line
per request.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import uvicorn

from collector.guarded_protocol import ServerLimits, guarded

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_START_TIMEOUT_S = 10.0
_LAST_ANSWERS_S = 1.0


class AsgiThread:
    """One listening socket, one thread. `start` and `stop` belong to one owner thread."""

    def __init__(
        self,
        app: App,
        host: str,
        port: int,
        *,
        name: str,
        reuse_port: bool = False,
        tls: ssl.SSLContext | None = None,
        limits: ServerLimits | None = None,
    ) -> None:
        self._address = (host, port)
        self._name = name
        self._reuse_port = reuse_port
        self._failure: BaseException | None = None
        self._started = threading.Event()
        self._thread: threading.Thread | None = None
        self._limits = limits or ServerLimits()
        config = uvicorn.Config(
            app,
            http=guarded(self._limits),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",  # a warning for each malformed request would let strangers fill the log
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=self._limits.idle_timeout_s,  # type: ignore[arg-type]
            ssl_context_factory=None if tls is None else (lambda _config, _default: tls),
        )
        self._server = _Server(config, self._started, self._limits.head_timeout_s)

    def start(self) -> int:
        """Bind, serve, return the port.

        Raises
        ------
        OSError
            The address cannot be bound.
        """
        listener = self._bind()
        port: int = listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, args=(listener,), name=self._name, daemon=True)
        self._thread.start()
        if not self._started.wait(_START_TIMEOUT_S) or self._failure is not None:
            raise OSError(f"{self._name} did not start on {self._address[0]}:{port}") from self._failure
        return port

    def _bind(self) -> socket.socket:
        host, port = self._address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if self._reuse_port:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind((host.strip("[]"), port))
        except OSError as error:
            listener.close()
            raise OSError(error.errno, f"{self._name} cannot listen on {host}:{port}: {error.strerror}") from error
        return listener

    def _run(self, listener: socket.socket) -> None:
        try:
            self._server.run(sockets=[listener])
        except BaseException as failure:
            self._failure = failure
        finally:
            self._started.set()
            listener.close()

    def stop(self, grace_s: float = 5.0) -> None:
        """Stop listening, let running requests end for `grace_s`, cut what is left."""
        if self._thread is None:
            return
        self._server.config.timeout_graceful_shutdown = grace_s  # type: ignore[assignment]
        self._server.should_exit = True
        self._thread.join(grace_s + 5.0)
        self._thread = None


class _Server(uvicorn.Server):
    """Says when it listens, and leaves no connection behind."""

    def __init__(self, config: uvicorn.Config, started: threading.Event, handshake_timeout_s: float) -> None:
        super().__init__(config)
        self._listening = started
        self._handshake_timeout_s = handshake_timeout_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; uvicorn's own has no deadline for a TLS handshake but asyncio's minute."""
        await self.lifespan.startup()
        loop, tls = asyncio.get_running_loop(), self.config.ssl
        self.servers = [
            await loop.create_server(
                self._protocol,
                sock=listener,
                ssl=tls,
                backlog=self.config.backlog,
                ssl_handshake_timeout=None if tls is None else self._handshake_timeout_s,
            )
            for listener in sockets or []
        ]
        self.started = True
        self._listening.set()

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if self.server_state.tasks:  # cancelled just now; they still answer
            await asyncio.wait(self.server_state.tasks, timeout=_LAST_ANSWERS_S)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)


async def respond(send: Send, status: int, body: bytes, content_type: str, *headers: tuple[bytes, bytes]) -> None:
    """Send one whole response."""
    fixed = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": body})
