"""gRPC: firstfault.v1.IncidentService.

In: Get, List, Watch. Out: the same incidents as REST, typed. A watch holds a thread; there are `watchers_max` of them
at most. Reads only.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from google.rpc import code_pb2, error_details_pb2

from collector.contracts import IncidentQuery
from collector.errors import BadRequestError, OverloadedError
from collector.pb.firstfault.v1 import incidents_pb2 as pb
from collector.pb.firstfault.v1 import incidents_pb2_grpc as pb_grpc
from collector.query.desk import Desk
from collector.query.grpc_mapping import incident_to_proto, status_from_proto
from collector.query.grpc_refusals import DOMAIN, GrpcCounters, abort, answer, greet
from collector.query.incidents import LIMIT_DEFAULT, NOT_KNOWN, IncidentChanges, read_incident_id


class IncidentService(pb_grpc.IncidentServiceServicer):
    """Incidents from the shelf. Called by gRPC threads, any number at once."""

    def __init__(self, desk: Desk, stopping: threading.Event, counters: GrpcCounters) -> None:
        self._desk = desk
        self._stopping = stopping
        self._counters = counters
        self._watchers: set[threading.Event] = set()
        self._lock = threading.Lock()

    def Get(self, request: pb.GetIncidentRequest, context: Any) -> pb.GetIncidentResponse:
        return answer(self._counters, context, lambda: self._get(request, context))

    def List(self, request: pb.ListIncidentsRequest, context: Any) -> pb.ListIncidentsResponse:
        return answer(self._counters, context, lambda: self._list(request))

    def Watch(self, request: pb.WatchIncidentsRequest, context: Any) -> Iterator[pb.WatchIncidentsResponse]:
        leaving = threading.Event()
        changes = answer(self._counters, context, lambda: self._enter(request, leaving), greets=False)
        try:
            # A call that is cancelled, or whose deadline is over, ends the wait below.
            if not context.add_callback(leaving.set):
                return
            greet(context)
            while not leaving.is_set():
                for change in changes.take():
                    yield pb.WatchIncidentsResponse(
                        sequence=change.sequence, incident=incident_to_proto(change.incident)
                    )
                leaving.wait(self._desk.settings.watch_poll_s)
        finally:
            with self._lock:
                self._watchers.discard(leaving)

    def stop(self) -> None:
        """End the watchers."""
        with self._lock:
            for leaving in self._watchers:
                leaving.set()

    def _get(self, request: pb.GetIncidentRequest, context: Any) -> pb.GetIncidentResponse:
        incident_id = read_incident_id(request.incident_id)
        found = self._desk.store.incident(incident_id)
        if found is None:
            title, advice = NOT_KNOWN
            info = error_details_pb2.ErrorInfo(
                reason="INCIDENT_UNKNOWN", domain=DOMAIN, metadata={"incident_id": incident_id}
            )
            abort(context, code_pb2.NOT_FOUND, f"{title}: {incident_id}; {advice}", [info])
        return pb.GetIncidentResponse(incident=incident_to_proto(found))

    def _list(self, request: pb.ListIncidentsRequest) -> pb.ListIncidentsResponse:
        limit_max = self._desk.settings.incidents_max
        if not 0 <= request.limit <= limit_max:
            raise BadRequestError(f"limit is {request.limit}; expected 1 to {limit_max}, or 0 for the default", "limit")
        query = IncidentQuery(
            _status(request.status), request.service or None, request.limit or min(LIMIT_DEFAULT, limit_max)
        )
        return pb.ListIncidentsResponse(incidents=[incident_to_proto(one) for one in self._desk.store.incidents(query)])

    def _enter(self, request: pb.WatchIncidentsRequest, leaving: threading.Event) -> IncidentChanges:
        after = request.after if request.HasField("after") else None
        changes = IncidentChanges(self._desk, _status(request.status), request.service or None, after)
        with self._lock:
            if self._stopping.is_set():
                raise OverloadedError("this firstfault is stopping; watch another one", "draining")
            if len(self._watchers) >= self._desk.settings.watchers_max:
                most = self._desk.settings.watchers_max
                raise OverloadedError(f"{most} watchers of incidents are here; that is the bound", "watchers")
            self._watchers.add(leaving)
        return changes


def _status(value: int) -> str | None:
    try:
        return status_from_proto(value)
    except ValueError as error:
        raise BadRequestError(f"status is {value}; expected a number of IncidentStatus", "status") from error
