"""gRPC: the query room as firstfault.v1.RootCauseService, and the server that also carries the others.

In: Get, List, Watch. Out: the same answers as REST, typed; refusals in the words of `grpc_refusals`. Reads only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
from google.rpc import code_pb2, error_details_pb2
from grpc_reflection.v1alpha import reflection

from collector.auth.guard import Guard
from collector.contracts import FindingQuery
from collector.errors import BadRequestError, OverloadedError
from collector.grpc_limits import port_limits, why_not_bound
from collector.pb.firstfault.v1 import groups_pb2 as groups_pb
from collector.pb.firstfault.v1 import groups_pb2_grpc as groups_grpc
from collector.pb.firstfault.v1 import incidents_pb2 as incidents_pb
from collector.pb.firstfault.v1 import incidents_pb2_grpc as incidents_grpc
from collector.pb.firstfault.v1 import root_cause_pb2 as pb
from collector.pb.firstfault.v1 import root_cause_pb2_grpc as pb_grpc
from collector.query.desk import Desk
from collector.query.grpc_access import AccessInterceptor, tenant_asking
from collector.query.grpc_groups import GroupService
from collector.query.grpc_incidents import IncidentService
from collector.query.grpc_mapping import answer_to_proto, finding_to_proto, verdict_from_proto
from collector.query.grpc_refusals import DOMAIN, GrpcCounters, abort, answer, greet
from collector.query.lookup import MISSING, Look, look
from collector.query.own_traces import own_name
from collector.query.peer_words import HEADER
from collector.query.peers import Vigil, look_everywhere
from collector.query.watch import Wanted, Watcher, WatchHub
from collector.trace_names import read_name, text_of

LIMIT_DEFAULT = 100
WORKERS_SPARE = 8  # threads beside those the watchers may hold
ANSWER_BYTES_MAX = 64 * 2**20
REQUEST_BYTES_MAX = 64 * 2**10


class RootCauseService(pb_grpc.RootCauseServiceServicer):
    """Answers from the shelf and the engine. Called by gRPC threads, any number at once."""

    def __init__(self, desk: Desk, hub: WatchHub, stopping: threading.Event, counters: GrpcCounters) -> None:
        self._desk = desk
        self._hub = hub
        self._stopping = stopping
        self.counters = counters

    def Get(self, request: pb.GetRequest, context: Any) -> pb.GetResponse:
        return answer(self.counters, context, lambda: self._get(request, context))

    def List(self, request: pb.ListRequest, context: Any) -> pb.ListResponse:
        return answer(self.counters, context, lambda: self._list(request, context))

    def Watch(self, request: pb.WatchRequest, context: Any) -> Iterator[pb.WatchResponse]:
        watcher = answer(self.counters, context, lambda: self._enter(request, context), greets=False)
        try:
            # A call that is cancelled, or whose deadline is over, wakes the thread that waits below.
            if not context.add_callback(watcher.close):
                return
            greet(context)
            while (taken := watcher.take()) is not None:
                row, dropped_count = taken
                response = pb.WatchResponse(finding=finding_to_proto(row), dropped_count=dropped_count)
                if request.include_answer:
                    self._add_answer(response, row.name)
                yield response
        finally:
            self._hub.leave(watcher)

    def _get(self, request: pb.GetRequest, context: Any) -> pb.GetResponse:
        name = own_name(request.trace_id, tenant_asking(context))
        wait_s = request.wait.seconds + request.wait.nanos / 1e9
        if wait_s < 0:
            raise BadRequestError(f"wait is {wait_s} s; expected 0 or more", "wait")
        if name is None:
            found = Look("unknown", text_of(read_name(request.trace_id)))
        else:
            found = self._wait_for(name, min(wait_s, self._desk.settings.wait_max_s), context)
        if found.state == "unsure":
            raise OverloadedError(found.reason, "peers_silent", self._desk.settings.retry_after_s)
        if found.answer is None:
            title, advice = MISSING[found.state]
            reason = found.reason or f"trace {found.name} is {found.state}"
            details = [
                error_details_pb2.ErrorInfo(
                    reason=f"TRACE_{found.state.upper()}", domain=DOMAIN, metadata={"trace_id": found.trace_id}
                )
            ]
            code = code_pb2.FAILED_PRECONDITION if found.state == "several" else code_pb2.NOT_FOUND
            abort(context, code, f"{title}: {reason}; {advice}", details)
        return pb.GetResponse(answer=answer_to_proto(found.answer))

    def _wait_for(self, name: bytes, wait_s: float, context: Any) -> Look:
        alone = any(key == HEADER and value for key, value in context.invocation_metadata())
        deadline = time.monotonic() + wait_s
        vigil = Vigil(self._desk, name, alone=alone)
        while wait_s > 0:
            over = vigil.over()
            left = deadline - time.monotonic()
            if over or left <= 0 or not context.is_active():
                break
            if self._stopping.wait(min(self._desk.settings.poll_s, left)):
                break
        return look_everywhere(self._desk, name, alone=alone)

    def _list(self, request: pb.ListRequest, context: Any) -> pb.ListResponse:
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
                tenant=tenant_asking(context),
            )
        )
        return pb.ListResponse(
            findings=[finding_to_proto(row) for row in page.rows], next_cursor=page.next_cursor or ""
        )

    def _enter(self, request: pb.WatchRequest, context: Any) -> Watcher:
        wanted = Wanted(
            service=request.service or None,
            verdict=_verdict(request.verdict),
            rule=request.rule or None,
            tenant=tenant_asking(context),
        )
        return self._hub.enter(wanted)

    def _add_answer(self, response: pb.WatchResponse, name: bytes) -> None:
        found = look(self._desk, name)
        if found.answer is not None:
            response.answer.CopyFrom(answer_to_proto(found.answer))


def _verdict(value: int) -> str | None:
    try:
        return verdict_from_proto(value)
    except ValueError as error:
        raise BadRequestError(f"verdict is {value}; expected a number of VerdictKind", "verdict") from error


class GrpcServer:
    """RootCauseService, IncidentService and GroupService on a port. `start` and `stop` belong to one owner thread."""

    def __init__(
        self,
        desk: Desk,
        host: str,
        port: int,
        *,
        reflect: bool = False,
        credentials: grpc.ServerCredentials | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._credentials = credentials
        self._address = f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
        self._stopping = threading.Event()
        self.hub = WatchHub(desk)
        self._counters = GrpcCounters()
        workers = 2 * desk.settings.watchers_max + WORKERS_SPARE  # of findings, and of incidents
        self._server = grpc.server(
            futures.ThreadPoolExecutor(workers, thread_name_prefix="query-grpc"),
            options=[
                ("grpc.so_reuseport", 0),  # a second server on the port is a mistake, not a helper
                ("grpc.max_receive_message_length", REQUEST_BYTES_MAX),
                ("grpc.max_send_message_length", ANSWER_BYTES_MAX),
                *port_limits(),
            ],
            interceptors=(AccessInterceptor(guard),),
            # Callers over the threads wait in a queue that nobody bounds, so they are turned away instead.
            maximum_concurrent_rpcs=workers,
        )
        findings = RootCauseService(desk, self.hub, self._stopping, self._counters)
        self._incidents = IncidentService(desk, self._stopping, self._counters)
        pb_grpc.add_RootCauseServiceServicer_to_server(findings, self._server)
        groups_grpc.add_GroupServiceServicer_to_server(GroupService(desk, self._counters), self._server)
        incidents_grpc.add_IncidentServiceServicer_to_server(self._incidents, self._server)
        if reflect:
            ours = (pb.DESCRIPTOR, incidents_pb.DESCRIPTOR, groups_pb.DESCRIPTOR)
            names = (
                *(one.full_name for file in ours for one in file.services_by_name.values()),
                reflection.SERVICE_NAME,
            )
            reflection.enable_server_reflection(names, self._server)

    def start(self) -> int:
        """Listen and return the port.

        Raises
        ------
        OSError
            The address cannot be bound.
        """
        try:
            if self._credentials is None:
                port = int(self._server.add_insecure_port(self._address))
            else:
                port = int(self._server.add_secure_port(self._address, self._credentials))
        except RuntimeError as error:
            raise OSError(f"query-grpc cannot listen on {self._address}: {why_not_bound(self._address)}") from error
        if port == 0:
            raise OSError(f"query-grpc cannot listen on {self._address}; is the port taken?")
        self.hub.start()
        self._server.start()
        return port

    def stop(self, grace_s: float = 5.0) -> None:
        """End the watchers, let running questions end for `grace_s`, then cut them."""
        self._stopping.set()
        self._incidents.stop()
        self.hub.stop()
        self._server.stop(grace_s).wait()

    def snapshot(self) -> dict[str, float]:
        """Counters under the names of the metric table."""
        return self._counters.snapshot()
