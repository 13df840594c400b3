"""gRPC: the query room as firstfault.v1.RootCauseService.

In: Get, List, Watch. Out: the same answers as REST, typed. Errors carry google.rpc details: `ErrorInfo` with a
stable reason, `BadRequest` with the field, `RetryInfo` when trying again helps. Reads only.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, NoReturn, TypeVar

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_reflection.v1alpha import reflection
from grpc_status import rpc_status

from collector.contracts import FindingQuery
from collector.errors import BadRequestError, RefusedError, RetryableError, response_for
from collector.pb.firstfault.v1 import root_cause_pb2 as pb
from collector.pb.firstfault.v1 import root_cause_pb2_grpc as pb_grpc
from collector.query.desk import Desk
from collector.query.grpc_mapping import answer_to_proto, finding_to_proto, verdict_from_proto
from collector.query.lookup import MISSING, Look, look, look_everywhere, read_trace_id
from collector.query.watch import Wanted, Watcher, WatchHub
from collector.telemetry import Histogram, sample

DOMAIN = "firstfault"
LIMIT_DEFAULT = 100
WORKERS_SPARE = 8  # threads beside those the watchers may hold
ANSWER_BYTES_MAX = 64 * 2**20
REQUEST_BYTES_MAX = 64 * 2**10

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


class RootCauseService(pb_grpc.RootCauseServiceServicer):
    """Answers from the shelf and the engine. Called by gRPC threads, any number at once."""

    def __init__(self, desk: Desk, hub: WatchHub, stopping: threading.Event) -> None:
        self._desk = desk
        self._hub = hub
        self._stopping = stopping
        self.counters = GrpcCounters()

    def Get(self, request: pb.GetRequest, context: Any) -> pb.GetResponse:
        return self._answer(context, lambda: self._get(request, context))

    def List(self, request: pb.ListRequest, context: Any) -> pb.ListResponse:
        return self._answer(context, lambda: self._list(request))

    def Watch(self, request: pb.WatchRequest, context: Any) -> Iterator[pb.WatchResponse]:
        watcher = self._answer(context, lambda: self._enter(request))
        try:
            # A call that is cancelled, or whose deadline is over, wakes the thread that waits below.
            if not context.add_callback(watcher.close):
                return
            context.send_initial_metadata(())
            while (taken := watcher.take()) is not None:
                row, dropped_count = taken
                response = pb.WatchResponse(finding=finding_to_proto(row), dropped_count=dropped_count)
                if request.include_answer:
                    self._add_answer(response, row.trace_id)
                yield response
        finally:
            self._hub.leave(watcher)

    def _get(self, request: pb.GetRequest, context: Any) -> pb.GetResponse:
        trace_id = read_trace_id(request.trace_id)
        wait_s = request.wait.seconds + request.wait.nanos / 1e9
        if wait_s < 0:
            raise BadRequestError(f"wait is {wait_s} s; expected 0 or more", "wait")
        found = self._wait_for(trace_id, min(wait_s, self._desk.settings.wait_max_s), context)
        if found.answer is None:
            title, advice = MISSING[found.state]
            reason = found.reason or f"trace {found.trace_id} is {found.state}"
            details = [
                error_details_pb2.ErrorInfo(
                    reason=f"TRACE_{found.state.upper()}", domain=DOMAIN, metadata={"trace_id": found.trace_id}
                )
            ]
            _abort(context, code_pb2.NOT_FOUND, f"{title}: {reason}; {advice}", details)
        return pb.GetResponse(answer=answer_to_proto(found.answer))

    def _wait_for(self, trace_id: bytes, wait_s: float, context: Any) -> Look:
        deadline = time.monotonic() + wait_s
        while wait_s > 0:
            found = look(self._desk, trace_id)
            left = deadline - time.monotonic()
            if found.decided or left <= 0 or not context.is_active():
                break
            if self._stopping.wait(min(self._desk.settings.poll_s, left)):
                break
        return look_everywhere(self._desk, trace_id)

    def _list(self, request: pb.ListRequest) -> pb.ListResponse:
        limit_max = self._desk.settings.findings_max
        if not 0 <= request.limit <= limit_max:
            raise BadRequestError(f"limit is {request.limit}; expected 1 to {limit_max}, or 0 for the default", "limit")
        page = self._desk.store.findings(
            FindingQuery(
                service=request.service or None,
                verdict=_verdict(request.verdict),
                rule=request.rule or None,
                from_ns=request.from_ns if request.HasField("from_ns") else None,
                to_ns=request.to_ns if request.HasField("to_ns") else None,
                limit=request.limit or min(LIMIT_DEFAULT, limit_max),
                cursor=request.cursor or None,
            )
        )
        return pb.ListResponse(
            findings=[finding_to_proto(row) for row in page.rows], next_cursor=page.next_cursor or ""
        )

    def _enter(self, request: pb.WatchRequest) -> Watcher:
        return self._hub.enter(Wanted(request.service or None, _verdict(request.verdict), request.rule or None))

    def _add_answer(self, response: pb.WatchResponse, trace_id: str) -> None:
        found = look(self._desk, bytes.fromhex(trace_id))
        if found.answer is not None:
            response.answer.CopyFrom(answer_to_proto(found.answer))

    def _answer(self, context: Any, make: Callable[[], T]) -> T:
        """Answer, count, and say refusals in gRPC's words."""
        begun = time.perf_counter()
        outcome = "failed"
        try:
            made = make()
            waiting = isinstance(made, pb.GetResponse) and made.answer.status == pb.STATUS_IN_PROGRESS
            outcome = "in_progress" if waiting else "ok"
            return made
        except RefusedError as refusal:
            outcome = "refused" if isinstance(refusal, RetryableError) else "invalid"
            _refuse(context, refusal)
        except Exception as error:
            if context.code() is not None:  # we aborted it ourselves, in `_get`
                outcome = "not_found"
                raise
            log.exception("query failed")
            _abort(context, code_pb2.INTERNAL, "internal error; the log of the server has the cause", [], error)
        finally:
            self.counters.count(outcome, time.perf_counter() - begun)


def _verdict(value: int) -> str | None:
    try:
        return verdict_from_proto(value)
    except ValueError as error:
        raise BadRequestError(f"verdict is {value}; expected a number of VerdictKind", "verdict") from error


def _refuse(context: Any, refusal: RefusedError) -> NoReturn:
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=refusal.reason.upper(), domain=DOMAIN)]
    if isinstance(refusal, RetryableError):
        nanos = round(refusal.retry_after_s * 1e9)
        delay = duration_pb2.Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    else:
        violation = error_details_pb2.BadRequest.FieldViolation(field=refusal.reason, description=str(refusal))
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    _abort(context, code_pb2.Code.Value(response_for(refusal).grpc), str(refusal), details, refusal)


def _abort(context: Any, code: int, message: str, details: list[Any], cause: BaseException | None = None) -> NoReturn:
    packed = []
    for detail in details:
        wrapped = any_pb2.Any()
        wrapped.Pack(detail)
        packed.append(wrapped)
    status = status_pb2.Status(code=code, message=message, details=packed)
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError("abort_with_status raises") from cause


class GrpcServer:
    """RootCauseService on a port. `start` and `stop` belong to one owner thread."""

    def __init__(self, desk: Desk, host: str, port: int, *, reflect: bool = False) -> None:
        self._address = f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
        self._stopping = threading.Event()
        self.hub = WatchHub(desk)
        self._service = RootCauseService(desk, self.hub, self._stopping)
        workers = desk.settings.watchers_max + WORKERS_SPARE
        self._server = grpc.server(
            futures.ThreadPoolExecutor(workers, thread_name_prefix="query-grpc"),
            options=[
                ("grpc.so_reuseport", 0),  # a second server on the port is a mistake, not a helper
                ("grpc.max_receive_message_length", REQUEST_BYTES_MAX),
                ("grpc.max_send_message_length", ANSWER_BYTES_MAX),
            ],
            # Callers over the threads wait in a queue that nobody bounds, so they are turned away instead.
            maximum_concurrent_rpcs=workers,
        )
        pb_grpc.add_RootCauseServiceServicer_to_server(self._service, self._server)
        if reflect:
            names = (pb.DESCRIPTOR.services_by_name["RootCauseService"].full_name, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)

    def start(self) -> int:
        """Listen and return the port.

        Raises
        ------
        OSError
            The address cannot be bound.
        """
        try:
            port = int(self._server.add_insecure_port(self._address))
        except RuntimeError as error:
            raise OSError(f"query-grpc cannot listen on {self._address}: {error}") from error
        if port == 0:
            raise OSError(f"query-grpc cannot listen on {self._address}; is the port taken?")
        self.hub.start()
        self._server.start()
        return port

    def stop(self, grace_s: float = 5.0) -> None:
        """End the watchers, let running questions end for `grace_s`, then cut them."""
        self._stopping.set()
        self.hub.stop()
        self._server.stop(grace_s).wait()

    def snapshot(self) -> dict[str, float]:
        """Counters under the names of the metric table."""
        return self._service.counters.snapshot()
