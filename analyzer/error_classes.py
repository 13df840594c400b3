"""What kind of failure it is: from codes, type names and words of a message.

In: an HTTP status, a gRPC code, a type name, a message. Out: an `ErrorClass`.
The tables are data; kernels get them as arrays (`HTTP_CLASS`, `RPC_CLASS`).
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class ErrorClass(IntEnum):
    """Families of failure that propagate in the same way."""

    NONE = 0
    TIMEOUT = 1  # gave up waiting
    CANCELLED = 2  # told to stop by somebody else
    UNAVAILABLE = 3  # refused, reset, no such host, no healthy upstream
    EXHAUSTED = 4  # pool, quota, memory, disk, too many connections
    THROTTLED = 5  # 429
    AUTH = 6  # 401, 403
    CLIENT = 7  # the caller's fault: not found, validation, bad request, conflict
    INTERNAL = 8  # 500, crash, unhandled exception
    DATA = 9  # constraint, dead lock, syntax, decode
    BUSINESS = 10  # declined, out of stock, insufficient funds: no system failed
    UNKNOWN = 11


def http_class(status: int) -> ErrorClass:
    """Class of an HTTP status; NONE below 400."""
    exact = {
        401: ErrorClass.AUTH,
        402: ErrorClass.BUSINESS,
        403: ErrorClass.AUTH,
        408: ErrorClass.TIMEOUT,
        429: ErrorClass.THROTTLED,
        499: ErrorClass.CANCELLED,
        502: ErrorClass.UNAVAILABLE,
        503: ErrorClass.UNAVAILABLE,
        504: ErrorClass.TIMEOUT,
        507: ErrorClass.EXHAUSTED,
    }
    if status in exact:
        return exact[status]
    if 400 <= status < 500:
        return ErrorClass.CLIENT
    return ErrorClass.INTERNAL if 500 <= status < 600 else ErrorClass.NONE


# gRPC codes 0..16.
_RPC = (
    ErrorClass.NONE,
    ErrorClass.CANCELLED,
    ErrorClass.UNKNOWN,
    ErrorClass.CLIENT,
    ErrorClass.TIMEOUT,
    ErrorClass.CLIENT,
    ErrorClass.CLIENT,
    ErrorClass.AUTH,
    ErrorClass.EXHAUSTED,
    ErrorClass.CLIENT,
    ErrorClass.CANCELLED,
    ErrorClass.CLIENT,
    ErrorClass.INTERNAL,
    ErrorClass.INTERNAL,
    ErrorClass.UNAVAILABLE,
    ErrorClass.DATA,
    ErrorClass.AUTH,
)

RPC_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)

HTTP_CLASS = np.array([http_class(status) for status in range(600)], np.uint8)
RPC_CLASS = np.array([*_RPC, *[ErrorClass.NONE] * (256 - len(_RPC))], np.uint8)

# Words of a message or type name -> class, in lower case; the first row found wins. Looked for in
# the first MESSAGE_SCAN_BYTES bytes. Kept short: a wrong class is worse than UNKNOWN.
MESSAGE_SCAN_BYTES = 256
KEYWORDS: tuple[tuple[bytes, ErrorClass], ...] = (
    (b"deadline exceeded", ErrorClass.TIMEOUT),
    (b"deadline_exceeded", ErrorClass.TIMEOUT),
    (b"deadlineexceeded", ErrorClass.TIMEOUT),
    (b"timed out", ErrorClass.TIMEOUT),
    (b"timedout", ErrorClass.TIMEOUT),
    (b"timeout", ErrorClass.TIMEOUT),
    (b"time out", ErrorClass.TIMEOUT),
    (b"context canceled", ErrorClass.CANCELLED),
    (b"cancelled", ErrorClass.CANCELLED),
    (b"canceled", ErrorClass.CANCELLED),
    (b"cancellederror", ErrorClass.CANCELLED),
    (b"aborterror", ErrorClass.CANCELLED),
    (b"connection refused", ErrorClass.UNAVAILABLE),
    (b"connectionrefused", ErrorClass.UNAVAILABLE),
    (b"econnrefused", ErrorClass.UNAVAILABLE),
    (b"connection reset", ErrorClass.UNAVAILABLE),
    (b"econnreset", ErrorClass.UNAVAILABLE),
    (b"connectionreset", ErrorClass.UNAVAILABLE),
    (b"connectionerror", ErrorClass.UNAVAILABLE),
    (b"connectexception", ErrorClass.UNAVAILABLE),
    (b"no such host", ErrorClass.UNAVAILABLE),
    (b"name or service not known", ErrorClass.UNAVAILABLE),
    (b"unknownhost", ErrorClass.UNAVAILABLE),
    (b"enotfound", ErrorClass.UNAVAILABLE),
    (b"no healthy upstream", ErrorClass.UNAVAILABLE),
    (b"no route to host", ErrorClass.UNAVAILABLE),
    (b"broken pipe", ErrorClass.UNAVAILABLE),
    (b"unavailable", ErrorClass.UNAVAILABLE),
    (b"bad gateway", ErrorClass.UNAVAILABLE),
    (b"circuit breaker", ErrorClass.UNAVAILABLE),
    (b"circuitbreaker", ErrorClass.UNAVAILABLE),
    (b"callnotpermitted", ErrorClass.UNAVAILABLE),
    (b"pool exhausted", ErrorClass.EXHAUSTED),
    (b"too many connections", ErrorClass.EXHAUSTED),
    (b"too many clients", ErrorClass.EXHAUSTED),
    (b"out of memory", ErrorClass.EXHAUSTED),
    (b"outofmemory", ErrorClass.EXHAUSTED),
    (b"no space left", ErrorClass.EXHAUSTED),
    (b"resource exhausted", ErrorClass.EXHAUSTED),
    (b"resource_exhausted", ErrorClass.EXHAUSTED),
    (b"too many requests", ErrorClass.THROTTLED),
    (b"rate limit", ErrorClass.THROTTLED),
    (b"ratelimit", ErrorClass.THROTTLED),
    (b"unauthorized", ErrorClass.AUTH),
    (b"unauthenticated", ErrorClass.AUTH),
    (b"forbidden", ErrorClass.AUTH),
    (b"permission denied", ErrorClass.AUTH),
    (b"permission_denied", ErrorClass.AUTH),
    (b"access denied", ErrorClass.AUTH),
    (b"insufficient funds", ErrorClass.BUSINESS),
    (b"insufficientfunds", ErrorClass.BUSINESS),
    (b"card declined", ErrorClass.BUSINESS),
    (b"card was declined", ErrorClass.BUSINESS),
    (b"payment required", ErrorClass.BUSINESS),
    (b"paymentdeclined", ErrorClass.BUSINESS),
    (b"carddeclined", ErrorClass.BUSINESS),
    (b"declined", ErrorClass.BUSINESS),
    (b"out of stock", ErrorClass.BUSINESS),
    (b"outofstock", ErrorClass.BUSINESS),
    (b"not found", ErrorClass.CLIENT),
    (b"notfound", ErrorClass.CLIENT),
    (b"not_found", ErrorClass.CLIENT),
    (b"validation", ErrorClass.CLIENT),
    (b"invalid argument", ErrorClass.CLIENT),
    (b"invalid_argument", ErrorClass.CLIENT),
    (b"bad request", ErrorClass.CLIENT),
    (b"deadlock", ErrorClass.DATA),
    (b"constraint", ErrorClass.DATA),
    (b"duplicate key", ErrorClass.DATA),
    (b"syntax error", ErrorClass.DATA),
    (b"integrityerror", ErrorClass.DATA),
    (b"internal server error", ErrorClass.INTERNAL),
    (b"nullpointer", ErrorClass.INTERNAL),
    (b"panic", ErrorClass.INTERNAL),
)


def message_class(text: bytes) -> ErrorClass:
    """Class of a message or type name by its words; NONE when no word is known."""
    head = text[:MESSAGE_SCAN_BYTES].lower()
    for word, found in KEYWORDS:
        if word in head:
            return found
    return ErrorClass.NONE


def type_class(text: bytes) -> ErrorClass:
    """Class of `error.type` or `exception.type`: a status number, a gRPC name, or words."""
    if text.isdigit() and len(text) == 3:
        return http_class(int(text))
    upper = text.decode("utf-8", "replace").upper()
    if upper in RPC_NAMES:
        return ErrorClass(_RPC[RPC_NAMES.index(upper)])
    return message_class(text)
