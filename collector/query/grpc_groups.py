"""gRPC: firstfault.v1.GroupService.

In: Get, List. Out: the same groups of errors as REST, typed. Reads only; decisions go over REST.
"""

from __future__ import annotations

from typing import Any

from google.rpc import code_pb2, error_details_pb2

from collector.contracts import GroupQuery
from collector.errors import BadRequestError
from collector.pb.firstfault.v1 import groups_pb2 as pb
from collector.pb.firstfault.v1 import groups_pb2_grpc as pb_grpc
from collector.query.desk import Desk
from collector.query.grpc_mapping import group_to_proto
from collector.query.grpc_refusals import DOMAIN, GrpcCounters, abort, answer
from collector.query.rest_groups import read_group_id

LIMIT_DEFAULT = 100


class GroupService(pb_grpc.GroupServiceServicer):
    """Groups from the shelf. Called by gRPC threads, any number at once."""

    def __init__(self, desk: Desk, counters: GrpcCounters) -> None:
        self._desk = desk
        self._counters = counters

    def Get(self, request: pb.GetGroupRequest, context: Any) -> pb.GetGroupResponse:
        return answer(self._counters, context, lambda: self._get(request, context))

    def List(self, request: pb.ListGroupsRequest, context: Any) -> pb.ListGroupsResponse:
        return answer(self._counters, context, lambda: self._list(request))

    def _get(self, request: pb.GetGroupRequest, context: Any) -> pb.GetGroupResponse:
        group_id = read_group_id(request.group_id)
        found = self._desk.store.group(group_id)
        if found is None:
            info = error_details_pb2.ErrorInfo(reason="GROUP_UNKNOWN", domain=DOMAIN, metadata={"group_id": group_id})
            advice = "check the id; a group is forgotten 90 days after it was last seen"
            abort(context, code_pb2.NOT_FOUND, f"Group not known: {group_id}; {advice}", [info])
        return pb.GetGroupResponse(group=group_to_proto(found))

    def _list(self, request: pb.ListGroupsRequest) -> pb.ListGroupsResponse:
        limit_max = self._desk.settings.groups_max
        if not 0 <= request.limit <= limit_max:
            raise BadRequestError(f"limit is {request.limit}; expected 1 to {limit_max}, or 0 for the default", "limit")
        query = GroupQuery(
            _word(pb.GroupStatus, "GROUP_STATUS", "status", request.status),
            request.service or None,
            _word(pb.GroupSort, "GROUP_SORT", "sort", request.sort) or "last_seen",
            request.limit or min(LIMIT_DEFAULT, limit_max),
            request.spiking if request.HasField("spiking") else None,
        )
        return pb.ListGroupsResponse(groups=[group_to_proto(one) for one in self._desk.store.groups(query)])


def _word(enum: Any, prefix: str, field: str, value: int) -> str | None:
    """Read a word of a request; None when it is unspecified."""
    if value == 0:
        return None
    try:
        return str(enum.Name(value)).removeprefix(f"{prefix}_").lower()
    except ValueError as error:
        raise BadRequestError(f"{field} is {value}; expected a number of {enum.DESCRIPTOR.name}", field) from error
