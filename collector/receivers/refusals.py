"""A refusal, as OTLP says it: google.rpc.Status with BadRequest or RetryInfo.

In: a `RefusedError`. Out: the Status message both doors send. The table of codes is `collector.errors.RESPONSES`.
"""

from __future__ import annotations

import math

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from collector.errors import PermanentError, RefusedError, RetryableError, response_for

MESSAGE_MAX = 1024  # the status travels twice in gRPC trailers, which clients cap at 8 KiB


def retry_info(error: RetryableError) -> RetryInfo:
    """Return the delay the client is asked to keep."""
    nanos_all = max(0, round(error.retry_after_s * 1e9))
    return RetryInfo(retry_delay=Duration(seconds=nanos_all // 10**9, nanos=nanos_all % 10**9))


def retry_after_header(error: RetryableError) -> bytes:
    """Return the same delay for HTTP: whole seconds, at least one."""
    return str(max(1, math.ceil(error.retry_after_s))).encode()


def status_for(error: RefusedError) -> Status:
    """Return the google.rpc.Status of a refusal (OTLP 1.11: Failures, Bad Data, Throttling)."""
    response = response_for(error)
    status = Status(code=Code.Value(response.grpc), message=message_of(error))
    if isinstance(error, RetryableError):
        status.details.add().Pack(retry_info(error))
    elif isinstance(error, PermanentError) and response.http == 400:
        violation = BadRequest.FieldViolation(field="request", description=message_of(error))
        status.details.add().Pack(BadRequest(field_violations=[violation]))
    return status


def message_of(error: RefusedError) -> str:
    """Return the text of an error, in bounds."""
    return str(error)[:MESSAGE_MAX]


def status_json(status: Status) -> dict[str, object]:
    """Return the Status as the proto3 JSON mapping writes it."""
    found: dict[str, object] = MessageToDict(status)
    return found
