"""What every gRPC answer of the query room has: an outcome that is counted, refusals in google.rpc's words.

In: the making of an answer. Out: the answer, or a status with `ErrorInfo` (a stable reason), `BadRequest` (the field)
or `RetryInfo` (when trying again helps).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from collector import correlation
from collector.errors import ForbiddenError, NotAllowedError, RefusedError, RetryableError, response_for
from collector.pb.firstfault.v1 import root_cause_pb2 as pb
from collector.telemetry import Histogram, sample

DOMAIN = "firstfault"

log = logging.getLogger(__name__)
T = TypeVar("T")


class GrpcCounters:
    """What was asked and how it ended. Bumped by any gRPC thread, under its lock."""

    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._seconds = Histogram()
        self._lock = threading.Lock()

    def count(self, outcome: str, seconds: float) -> None:
        with self._lock:
            self._outcomes[outcome] += 1
            self._seconds.observe(seconds)

    def snapshot(self) -> dict[str, float]:
        """Counters under the names of the metric table."""
        with self._lock:
            counts = {sample("query_requests", "grpc", outcome): float(n) for outcome, n in self._outcomes.items()}
            return counts | self._seconds.samples("query_seconds", "grpc")


def greet(context: Any) -> None:
    """Send the caller its correlation id, in the initial metadata."""
    context.send_initial_metadata(((correlation.HEADER.lower(), correlation.current.get()),))


def answer(counters: GrpcCounters, context: Any, make: Callable[[], T], *, greets: bool = True) -> T:
    """Answer, count, and say refusals in gRPC's words. Without `greets`, who calls greets when all is well."""
    sent = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
    correlation.accept([sent.get(correlation.HEADER.lower(), "")])
    if greets:
        greet(context)
    begun = time.perf_counter()
    outcome = "failed"
    try:
        made = make()
        waiting = isinstance(made, pb.GetResponse) and made.answer.status == pb.STATUS_IN_PROGRESS
        outcome = "in_progress" if waiting else "ok"
        return made
    except RefusedError as refusal:
        outcome = "refused" if isinstance(refusal, RetryableError) else "invalid"
        if not greets:
            greet(context)
        refuse(context, refusal)
    except Exception as error:
        if context.code() is not None:  # we aborted it ourselves
            outcome = "not_found"
            raise
        log.exception("query failed; correlation id %s", correlation.current.get())
        abort(context, code_pb2.INTERNAL, "internal error; the log of the server has the cause", [], error)
    finally:
        counters.count(outcome, time.perf_counter() - begun)


def refuse(context: Any, refusal: RefusedError) -> NoReturn:
    """End the call with a refusal of ours."""
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=refusal.reason.upper(), domain=DOMAIN)]
    if isinstance(refusal, RetryableError):
        nanos = round(refusal.retry_after_s * 1e9)
        delay = duration_pb2.Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    elif not isinstance(refusal, ForbiddenError | NotAllowedError):
        violation = error_details_pb2.BadRequest.FieldViolation(field=refusal.reason, description=str(refusal))
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    abort(context, code_pb2.Code.Value(response_for(refusal).grpc), str(refusal), details, refusal)


def abort(context: Any, code: int, message: str, details: list[Any], cause: BaseException | None = None) -> NoReturn:
    """End the call with a status and google.rpc details."""
    packed = []
    for detail in details:
        wrapped = any_pb2.Any()
        wrapped.Pack(detail)
        packed.append(wrapped)
    status = status_pb2.Status(code=code, message=message, details=packed)
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError("abort_with_status raises") from cause
