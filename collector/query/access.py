"""Who may ask what over REST.

In: every request, before any route sees it. Out: the same with who asks (`scope["identity"]`), or a refusal. Without a
guard everybody may. The rule is closed: whatever only reads needs the role `read`, whatever else there is or will be
needs `write`, but for the analysis of what somebody brings, which keeps nothing. A credential with a tenant reads its
own traces and nothing else (`own_traces`). No rule gives more rights to a strange path.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from collector.auth.guard import Guard
from collector.auth.identity import Identity, Role
from collector.errors import ForbiddenError, NotAllowedError, RefusedError, RetryableError
from collector.query.own_traces import is_own_route, tenant_of
from collector.query.problems import MEDIA_TYPE, ProblemError, problem_body

READS = frozenset({"GET", "HEAD", "OPTIONS"})
READS_BY_POST = frozenset({"/api/v1/analyze"})
_WAITERS = 4  # threads in which credentials are looked at; one hash and one fetch at a time are the most that wait
_LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def role_for(method: str, path: str) -> Role:
    """What somebody must be to ask this."""
    return Role.READ if method in READS or path in READS_BY_POST else Role.WRITE


def asker(request: Request) -> str:
    """Name of the credential a request came with; empty when none is asked for."""
    found: Identity | None = request.scope.get("identity")
    return found.name if found is not None else ""


def tenant_asking(request: Request) -> str | None:
    """Whose traces are asked about; None: those of all. Only behind `Access`, or it is an error, not all."""
    return tenant_of(request.scope["identity"])


class Access:
    """Stands behind `QueryMiddleware`, which gives its refusals their headers.

    Parameters
    ----------
    guard : knows credentials; None: nobody is asked for one
    hosts : names under which we may be asked; empty: any. On loopback it keeps out pages of the web whose name somebody
        let lead to this machine (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, guard: Guard | None, hosts: frozenset[str] = frozenset()) -> None:
        self._app, self._guard, self._hosts = app, guard, hosts
        self._waiters = ThreadPoolExecutor(_WAITERS, thread_name_prefix="query-access")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["identity"] = None
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        problem = self._misplaced(scope["method"], headers)
        if problem is None and self._guard is not None:
            method, path = scope["method"], scope["path"]
            admit = functools.partial(
                self._guard.admit, headers, role_for(method, path), own=is_own_route(method, path)
            )
            try:
                scope["identity"] = await asyncio.get_running_loop().run_in_executor(self._waiters, admit)
            except RefusedError as refusal:
                problem = _problem(refusal)
        if problem is None:
            await self._app(scope, receive, send)
        else:
            await _refuse(scope, send, problem)

    def _misplaced(self, method: str, headers: Mapping[str, str]) -> ProblemError | None:
        host = headers.get("host", "")
        if self._hosts and _name(host) not in self._hosts:
            return ProblemError(
                421,
                "wrong_host",
                "Not known under this name",
                "the Host header names somebody else",
                found=host,
                expected=" or ".join(sorted(self._hosts)),
                do="ask at one of these, or set query.hosts",
            )
        origin = headers.get("origin")
        if method not in READS and origin is not None and urlsplit(origin).netloc != host:
            return ProblemError(
                403,
                "cross_origin",
                "A page from elsewhere may not do this",
                "the Origin header names another place than the Host header",
                found=origin,
                expected=host,
                do="send it from a program, or from a page of this server",
            )
        return None


def local_hosts(host: str, more: list[str]) -> frozenset[str]:
    """Names we may be asked by: on loopback those of loopback, elsewhere any, unless some are given."""
    local = host.strip("[]") in _LOCAL_NAMES or host.startswith("127.")
    return frozenset({*more, *_LOCAL_NAMES, host.strip("[]")}) if local else frozenset(more)


def _name(host: str) -> str:
    """The name of a Host header, without its port."""
    return (host.partition("]")[0].removeprefix("[") if host.startswith("[") else host.partition(":")[0]).lower()


def _problem(refusal: RefusedError) -> ProblemError:
    if isinstance(refusal, ForbiddenError):
        return ProblemError(
            401,
            "unauthenticated",
            "Who asks?",
            str(refusal),
            expected=refusal.challenge,
            do="send a credential of the section auth",
            headers={"WWW-Authenticate": refusal.challenge},
        )
    if isinstance(refusal, NotAllowedError):
        return ProblemError(403, "not_allowed", "Not allowed", str(refusal), do="ask with another credential")
    wait_s = refusal.retry_after_s if isinstance(refusal, RetryableError) else 1.0
    headers = {"Retry-After": str(max(1, round(wait_s)))}
    return ProblemError(503, refusal.reason, "Not now", str(refusal), do="try again later", headers=headers)


async def _refuse(scope: Scope, send: Send, problem: ProblemError) -> None:
    body = problem_body(scope["path"], scope.get("correlation_id", ""), problem)
    headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in problem.headers.items()]
    if scope["method"] not in READS:
        headers.append((b"connection", b"close"))  # its body is not read
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
