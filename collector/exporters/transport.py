"""One call to an OTLP destination, and what became of it.

In: a serialised request. Out: an `Outcome`; a transport never raises for what a destination does. The
destination is not trusted: answers are read up to `ANSWER_BYTES_MAX`, every call has a deadline, what it
says is cut and cleaned before it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Literal, Protocol

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from analyzer.version import __version__
from collector.contracts import Signal

ANSWER_BYTES_MAX = 64 * 1024  # CVE-2026-39882: exporters that read any answer whole
RETRY_AFTER_MAX_S = 3600.0  # a destination may slow us, not stop us: 2 h is what the store takes for a clock set back
SHOWN_CHARS_MAX = 200
USER_AGENT = f"firstfault/{__version__}"
_HEADER_NAME = re.compile(r"^[a-z0-9][a-z0-9_.-]*$")
_HEADER_VALUE = re.compile(r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$")
_OURS = frozenset(
    {"content-type", "content-length", "content-encoding", "host", "transfer-encoding", "te", "user-agent"}
)


class Verdict(Enum):
    """What a destination made of a request."""

    ACCEPTED = "accepted"
    RETRY = "retry"  # nobody knows, or it said so: send the same bytes again
    REFUSED = "refused"  # the same bytes would be refused again


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    retry_after_s : when the destination wants to be asked again; None when it did not say
    rejected_count : records of an accepted request that were not taken (partial success)
    """

    verdict: Verdict
    reason: str = ""
    retry_after_s: float | None = None
    rejected_count: int = 0


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """Where to send, and how.

    endpoint : "host:port"
    insecure : no TLS. With TLS the certificate is always verified, against `ca_file` when it is given.
    server_name_override : the name the certificate must have, when it is not that of the endpoint

    Raises
    ------
    ValueError
        A header cannot be sent.
    """

    endpoint: str
    protocol: Literal["grpc", "http"] = "grpc"
    insecure: bool = True
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    server_name_override: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # tokens stay out of logs
    compression: Literal["none", "gzip"] = "gzip"
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        for name, value in self.headers.items():
            if not _HEADER_NAME.match(name.lower()) or name.lower() in _OURS or name.lower().startswith("grpc-"):
                raise ValueError(
                    f"header {name[:64]!r} cannot be set; expected letters, digits, - and _, and not one of ours"
                )
            if not _HEADER_VALUE.match(value):
                raise ValueError(f"the value of header {name!r} has characters outside printable ASCII, or is empty")


class Transport(Protocol):
    """Carries requests. `send` by one thread; `cancel` by any."""

    def send(self, signal: Signal, payload: bytes) -> Outcome: ...

    def cancel(self) -> None:
        """End the call that is under way, and refuse later ones."""

    def close(self) -> None: ...


def read_answer(signal: Signal, body: bytes) -> Outcome:
    """Read the body of a success answer."""
    try:
        if signal == Signal.TRACES:
            traces = ExportTraceServiceResponse.FromString(body).partial_success
            rejected, message = traces.rejected_spans, traces.error_message
        else:
            logs = ExportLogsServiceResponse.FromString(body).partial_success
            rejected, message = logs.rejected_log_records, logs.error_message
    except DecodeError:
        # Success from something that does not speak OTLP: a proxy, a wrong port. Nothing was delivered.
        return Outcome(Verdict.RETRY, "the answer is not an OTLP answer; is the endpoint right?")
    if rejected <= 0:
        return Outcome(Verdict.ACCEPTED, shown(message))
    return Outcome(Verdict.ACCEPTED, f"partial success, {rejected} rejected: {shown(message)}", rejected_count=rejected)


def shown(message: str) -> str:
    """What a destination said, on one line, cut, without control characters."""
    return "".join(char if char.isprintable() else " " for char in message[:SHOWN_CHARS_MAX]).strip()


def bounded_wait_s(seconds: float) -> float:
    """A wait as the destination asks for it, inside reason."""
    return min(max(0.0, seconds), RETRY_AFTER_MAX_S)
