"""Errors that are only logged: records with an exception and without a trace.

In: log requests as they came. Out: facts and their groups. Assembly lets such records go, as they belong to no trace;
here they are read, as many as the budget allows. Owner: the engine's thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from analyzer.errors.model import ExceptionFact, Fingerprint
from analyzer.errors.sightings import Parse, Sighting, correlation_of, of_log
from analyzer.errors.stack_traces import parse_stack
from analyzer.errors.trace_groups import Group
from analyzer.resource_fields import read_resource
from analyzer.spans import MISSING_SERVICE, OWN_SCOPE_NAME, Resource
from collector.wire.detail import read_detail

BYTES_PER_S = 2**20  # of requests that are opened: at worst 60 ms, of small records that only speak of exceptions
RECORDS_PER_S = 50  # exceptions read: 1 ms each with stacks of 60 frames
_NAMED = b"exception."  # of every attribute that names an exception
_SECOND_NS = 1_000_000_000


class Logged(NamedTuple):
    """One error. key : of the record's bytes, the same when a request is sent again."""

    key: str
    fact: ExceptionFact
    group: Fingerprint


class LoggedErrors:
    """Reads within a budget that fills up again every second."""

    def __init__(self, group: Group, parse: Parse = parse_stack) -> None:
        self._group, self._parse = group, parse
        self._bytes, self._records, self._at_ns = float(BYTES_PER_S), float(RECORDS_PER_S), 0
        self.unopened_requests = 0
        self.unread_records = 0

    def read(self, payload: bytes | memoryview, now_ns: int) -> list[Logged]:
        """Find the errors of one request.

        Parameters
        ----------
        payload : an ExportLogsServiceRequest, valid during the call
        now_ns : monotonic nanoseconds
        """
        raw = bytes(payload)
        if _NAMED not in raw:
            return []
        self._refill(now_ns)
        if self._bytes <= 0.0:
            self.unopened_requests += 1
            return []
        self._bytes -= len(raw)  # below 0 for one request larger than a second's share
        try:
            request = ExportLogsServiceRequest.FromString(raw)
        except DecodeError:  # the decoder counts it
            return []
        found = []
        for record, resource in _outside_of_traces(request):
            if self._records < 1.0:
                self.unread_records += 1
                continue
            self._records -= 1.0
            one = self._read(record, resource)
            if one is not None:
                found.append(one)
        return found

    def _refill(self, now_ns: int) -> None:
        passed = max(0, now_ns - self._at_ns) / _SECOND_NS if self._at_ns else 1.0
        self._at_ns = now_ns
        self._bytes = min(BYTES_PER_S, self._bytes + passed * BYTES_PER_S)
        self._records = min(RECORDS_PER_S, self._records + passed * RECORDS_PER_S)

    def _read(self, record: LogRecord, resource: Resource) -> Logged | None:
        raw = record.SerializeToString(deterministic=True)
        detail = read_detail(memoryview(raw), log=True)
        time_ns = record.time_unix_nano or record.observed_time_unix_nano
        seen = of_log(detail, time_ns, resource.language, self._parse)
        if seen is None:
            return None
        fact = _fact(seen, resource, correlation_of(detail))
        group = self._group(fact)
        return Logged(blake2b(raw, digest_size=16).hexdigest(), fact, group) if group is not None else None


def _outside_of_traces(request: ExportLogsServiceRequest) -> Iterator[tuple[LogRecord, Resource]]:
    """Yield records that name an exception and no trace; what we told ourselves is left out."""
    for of_resource in request.resource_logs:
        resource: Resource | None = None
        for of_scope in of_resource.scope_logs:
            if of_scope.scope.name == OWN_SCOPE_NAME:
                continue
            for record in of_scope.log_records:
                if len(record.trace_id) == 16 and any(record.trace_id):
                    continue
                if any(pair.key.startswith("exception.") for pair in record.attributes):
                    if resource is None:
                        resource = read_resource(of_resource.resource.SerializeToString())
                    yield record, resource


def _fact(seen: Sighting, resource: Resource, correlation_id: str) -> ExceptionFact:
    return ExceptionFact(
        trace_id="",
        span_id="",
        service=resource.service or MISSING_SERVICE,
        operation="",
        time_ns=seen.time_ns,
        type=seen.type,
        message=seen.message,
        stack_text=seen.stack_text,
        stack=seen.stack,
        sources=("log",),
        version=resource.version,
        environment=resource.environment,
        host=resource.host,
        escaped=seen.escaped,
        correlation_id=correlation_id,
        attributes=seen.attributes,
    )
