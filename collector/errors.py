"""Every way a request can be refused, and what the client is told.

    RefusedError                  work we do not take; counted under `reason`
    |- PermanentError             the same input would fail again: the client must not retry
    |   |- BadRequestError        cannot be read, or over a structural budget
    |   |- TooLargeError          over the message size limit
    |   |- UnsupportedError       content type or encoding we do not speak
    |   |- ForbiddenError         no or wrong credential
    |   `- NotAllowedError        the credential is good, and may not do this
    `- RetryableError             try again after `retry_after_s`
        |- OverloadedError        no room now: memory, ring, disk, starting, draining
        `- QuotaError             this tenant is over its share

Data defects (an orphan, an end before its start) are not here: they are repaired and
leave a warning on the answer. The mapping to gRPC and HTTP codes is `RESPONSES`,
after the failure tables of the OTLP specification 1.11 (Failures; Retryable Response Codes).
"""

from __future__ import annotations

from dataclasses import dataclass


class RefusedError(Exception):
    """Work we do not take. `reason` is a counter label: few, fixed words."""

    reason = "refused"

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason


class PermanentError(RefusedError):
    """The same input would fail again."""

    reason = "invalid"


class BadRequestError(PermanentError):
    reason = "undecodable"


class TooLargeError(PermanentError):
    reason = "too_large"


class UnsupportedError(PermanentError):
    reason = "unsupported"


class ForbiddenError(PermanentError):
    """`challenge` is what WWW-Authenticate says: which credentials are taken."""

    reason = "unauthenticated"

    def __init__(self, message: str, reason: str | None = None, challenge: str = "Bearer") -> None:
        super().__init__(message, reason)
        self.challenge = challenge


class NotAllowedError(PermanentError):
    reason = "not_allowed"


class RetryableError(RefusedError):
    """Try again after `retry_after_s` seconds."""

    reason = "unavailable"

    def __init__(self, message: str, reason: str | None = None, retry_after_s: float = 1.0) -> None:
        super().__init__(message, reason)
        self.retry_after_s = retry_after_s


class OverloadedError(RetryableError):
    reason = "overloaded"


class QuotaError(RetryableError):
    reason = "quota"


@dataclass(frozen=True, slots=True)
class Response:
    """gRPC status name and HTTP status of a refusal."""

    grpc: str
    http: int


RESPONSES: tuple[tuple[type[RefusedError], Response], ...] = (
    (TooLargeError, Response("RESOURCE_EXHAUSTED", 413)),
    (UnsupportedError, Response("UNIMPLEMENTED", 415)),
    (ForbiddenError, Response("UNAUTHENTICATED", 401)),
    (NotAllowedError, Response("PERMISSION_DENIED", 403)),
    (PermanentError, Response("INVALID_ARGUMENT", 400)),
    (QuotaError, Response("RESOURCE_EXHAUSTED", 429)),
    (RetryableError, Response("UNAVAILABLE", 503)),
)


def response_for(error: RefusedError) -> Response:
    """Find what the client is told; the first matching row of `RESPONSES`."""
    for kind, response in RESPONSES:
        if isinstance(error, kind):
            return response
    return Response("UNAVAILABLE", 503)
