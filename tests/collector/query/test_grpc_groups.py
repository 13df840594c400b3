"""Groups of errors over gRPC: the same as REST, and refusals that say why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from analyzer.errors.group_words import Bucket, ErrorGroup, GroupStatus, SeenAs
from analyzer.findings import Judgement
from collector.pb.firstfault.v1 import groups_pb2 as pb
from collector.pb.firstfault.v1.groups_pb2_grpc import GroupServiceStub
from collector.query.desk import Desk, QuerySettings
from collector.query.grpc import GrpcServer
from collector.query.grpc_mapping import check_mapping, group_from_proto, group_to_proto
from tests.collector.query.answers import HOSTILE_TEXTS
from tests.collector.query.test_grpc_mapping import leaves
from tests.contract.group_suite import SPIKE
from tests.support.answers import error_group
from tests.support.fakes.clock import EPOCH_NS, ManualClock
from tests.support.fakes.store import FakeOpenTraces, FakeStore

DEADLINE_S = 20
ONE = error_group(1)


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def stub(store: FakeStore) -> Iterator[GroupServiceStub]:
    server = GrpcServer(Desk(store, FakeOpenTraces(), ManualClock(), QuerySettings(groups_max=50)), "127.0.0.1", 0)
    with grpc.insecure_channel(f"127.0.0.1:{server.start()}") as channel:
        yield GroupServiceStub(channel)
    server.stop(0)


def full(text: str) -> ErrorGroup:
    """Every field holds something."""
    seen = [SeenAs(name=text, count=3, first_seen_ns=1, last_seen_ns=2)]
    numbers = ("inferred_count", "logged_count", "visible_count", "synthetic_count", "resolved_ns", "ignored_until_ns")
    texts = ("message", "location", "operation", "error_class", "status_reason", "resolved_in_version", "novel_reason")
    return error_group(1, status="regressed", decided=True).model_copy(
        update=dict.fromkeys((*numbers, "ignored_until_count", "regressions", "lost"), 5)
        | dict.fromkeys(texts, text)
        | dict.fromkeys(("operations", "environments", "hosts"), seen)
        | {axis: Judgement(value=text, reason=text) for axis in ("severity", "kind", "observability")}
        | {
            "minutes": [Bucket(start=7, count=2)],
            "spike": SPIKE.model_copy(update={"per": "calls", "calls": 9, "sentence": text}),
            "novel": True,
            "merge_with": ["a" * 16],
        }
    )


def test_proto_and_group_have_the_same_fields_and_values():
    assert check_mapping(ErrorGroup, pb.ErrorGroup.DESCRIPTOR) == []


@pytest.mark.parametrize("text", ["words", *HOSTILE_TEXTS])
def test_every_field_of_a_full_group_survives(text: str):
    one = full(text)
    unset = [path for path, value, default in leaves(one) if value == default]

    again = group_from_proto(pb.ErrorGroup.FromString(group_to_proto(one).SerializeToString()))

    assert unset == []
    assert again == one


def test_what_is_not_set_stays_not_set():
    again = group_from_proto(group_to_proto(ONE))

    assert again == ONE
    assert (again.spike, again.severity) == (None, None)


@pytest.mark.parametrize("word", get_args(GroupStatus))
def test_every_status_survives(word: str):
    assert group_from_proto(group_to_proto(ONE.model_copy(update={"status": word}))).status == word


def test_groups_are_found_listed_and_filtered(stub: GroupServiceStub, store: FakeStore):
    store.put_groups(
        [
            ONE,
            error_group(2, status="new", count=99, last_ns=EPOCH_NS),
            error_group(3, last_ns=EPOCH_NS + 1).model_copy(update={"spike": SPIKE}),
        ]
    )

    def ids(**wanted: Any) -> list[int]:
        found = stub.List(pb.ListGroupsRequest(**wanted), timeout=DEADLINE_S)
        return [int(one.group_id, 16) for one in found.groups]

    one = stub.Get(pb.GetGroupRequest(group_id=ONE.group_id.upper()), timeout=DEADLINE_S)
    assert group_from_proto(one.group) == ONE
    assert ids() == [1, 3, 2]
    assert ids(sort=pb.GROUP_SORT_COUNT, limit=1) == [2]
    assert ids(status=pb.GROUP_STATUS_NEW) == [2]
    assert ids(spiking=True) == [3]
    assert ids(spiking=False) == [1, 2]
    assert ids(service="nobody") == []


@pytest.mark.parametrize(
    ("call", "code", "reason"),
    [
        (lambda stub: stub.Get(pb.GetGroupRequest(group_id="0" * 16)), "NOT_FOUND", "GROUP_UNKNOWN"),
        (lambda stub: stub.Get(pb.GetGroupRequest(group_id="x")), "INVALID_ARGUMENT", "GROUP_ID"),
        (lambda stub: stub.List(pb.ListGroupsRequest(limit=51)), "INVALID_ARGUMENT", "LIMIT"),
        (lambda stub: stub.List(pb.ListGroupsRequest(status=9)), "INVALID_ARGUMENT", "STATUS"),
        (lambda stub: stub.List(pb.ListGroupsRequest(sort=9)), "INVALID_ARGUMENT", "SORT"),
    ],
)
def test_refusals_say_why(stub: GroupServiceStub, call: Any, code: str, reason: str):
    with pytest.raises(grpc.RpcError) as caught:
        call(stub)

    status, info = rpc_status.from_call(caught.value), error_details_pb2.ErrorInfo()
    assert status is not None
    status.details[0].Unpack(info)
    assert (caught.value.code().name, info.reason) == (code, reason)
