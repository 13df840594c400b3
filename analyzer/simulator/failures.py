"""The failures of the simulated systems, and what a caller makes of one.

In: what went wrong. Out: `Failure`, before any dialect writes it down.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True)
class Failure:
    """One failure. `answered`: a response came, so its codes are known on the client's side too."""

    kind: str
    http: int
    grpc: int
    type: str
    message: str
    retryable: bool = True
    answered: bool = True

    @property
    def business(self) -> bool:
        """Nothing failed; the answer is no."""
        return self.http in (402, 404)


_BUGS = (
    ("NullPointerException", "Cannot invoke getPrice() because item is null"),
    ("ValueError", "could not convert string to float"),
    ("IllegalStateException", "order in state PAID cannot move to NEW"),
    ("TypeError", "cannot read properties of undefined (reading 'id')"),
    ("panic", "runtime error: index out of range [3] with length 3"),
    ("SerializationException", "unexpected end of input"),
)
BUG_COUNT = len(_BUGS)


@lru_cache(maxsize=4096)
def bug(number: int) -> Failure:
    """Return an exception in a service's own code."""
    kind, text = _BUGS[number % BUG_COUNT]
    return Failure("internal", 500, 13, kind, text)


@lru_cache(maxsize=4096)
def timed_out(target: str) -> Failure:
    return Failure("timeout", 504, 4, "TimeoutError", f"deadline exceeded while calling {target}", answered=False)


@lru_cache(maxsize=4096)
def refused(target: str) -> Failure:
    return Failure("refused", 503, 14, "ConnectionRefusedError", f"connection refused: {target}:8080", answered=False)


@lru_cache(maxsize=4096)
def reset(target: str) -> Failure:
    return Failure("reset", 503, 14, "ConnectionResetError", f"connection reset by peer: {target}", answered=False)


@lru_cache(maxsize=4096)
def no_such_host(target: str) -> Failure:
    return Failure("dns", 503, 14, "UnknownHostException", f"no such host: {target}", answered=False)


@lru_cache(maxsize=4096)
def pool_exhausted(service: str) -> Failure:
    return Failure("exhausted", 503, 8, "PoolTimeoutError", f"connection pool exhausted in {service}: 20 of 20 in use")


@lru_cache(maxsize=4096)
def throttled(service: str) -> Failure:
    return Failure("throttled", 429, 8, "TooManyRequests", f"rate limit of {service} reached")


@lru_cache(maxsize=4096)
def unavailable(target: str) -> Failure:
    return Failure("unavailable", 503, 14, "ServiceUnavailable", f"{target} answered 503")


TOKEN = Failure("auth", 401, 16, "TokenError", "token is not valid yet (clock)", retryable=False)
CANCELLED = Failure("cancelled", 499, 1, "CancelledError", "context canceled", retryable=False)
NOT_FOUND = Failure("business", 404, 5, "NotFound", "no such item", retryable=False)
DECLINED = Failure("business", 402, 9, "CardDeclined", "card declined", retryable=False)


@lru_cache(maxsize=4096)
def passed_on(inner: Failure, callee: str) -> Failure:
    """Return what a service answers when a call it cannot do without has failed."""
    if inner.business or inner.kind == "auth":
        return inner
    http = {504: 504, 503: 503, 429: 503}.get(inner.http, 500)
    grpc = inner.grpc if inner.grpc in (4, 14) else 13
    return Failure(
        f"upstream_{inner.kind.removeprefix('upstream_')}", http, grpc, "UpstreamError", _words(inner, callee)
    )


def _words(inner: Failure, callee: str) -> str:
    return f"call to {callee} failed: {inner.message}"[:160]
