"""What a reader with a tenant gets: its own traces, and of another's not even whether they are there.

shop reads  4bf9…        -> its own
            4bf9…@shop   -> the same
            4bf9…@bank   -> 404, word for word the same whether the bank has it or not
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import grpc
import httpx
import pytest
from starlette.requests import Request

from analyzer.service_graph import trace_graph
from collector.auth.bearer import BearerTokens, TokenGrant
from collector.auth.guard import Guard
from collector.auth.identity import Identity, Role
from collector.contracts import Found
from collector.errors import OverloadedError
from collector.pb.firstfault.v1 import root_cause_pb2 as pb
from collector.pb.firstfault.v1 import root_cause_pb2_grpc as pb_grpc
from collector.query.access import tenant_asking as asked_over_rest
from collector.query.desk import Desk, QuerySettings
from collector.query.grpc import GrpcServer
from collector.query.grpc_access import tenant_asking as asked_over_grpc
from collector.query.own_traces import is_own_method, is_own_route
from collector.query.rest import app_of
from collector.query.watch import Wanted, WatchHub
from collector.trace_names import name_of
from tests.collector.query.answers import OTHER, TRACE, row, small
from tests.collector.query.rooms import CHECKOUT, Client
from tests.support.drawing import batch
from tests.support.fakes.clock import ManualClock
from tests.support.fakes.store import FakeOpenTraces, FakeStore
from tests.support.measured import measure

API = "/api/v1"
READERS = {"shop": "shop", "bank": "bank", "all": ""}  # who reads: its tenant
PARTS = ("root-cause", "graph", "spans")
DEADLINE_S = 20


def bearer(who: str) -> str:
    return f"Bearer token-of-{who}-and-more"


class Room:
    """Two tenants have sent a trace of one id; a second one only the bank has, a third came without a tenant."""

    def __init__(self) -> None:
        self.store, self.open_traces = FakeStore(), FakeOpenTraces()
        for tenant in ("shop", "bank"):
            self.keep(TRACE, tenant)
        self.keep(OTHER, "bank")
        self.nobodys = bytes(15) + b"\x07"
        self.keep(self.nobodys, "")
        self.rows = [row(n, tenant=tenant) for n, tenant in enumerate(("shop", "bank", "", "shop"))]
        self.store.add(*self.rows)
        grants = [
            TokenGrant(Identity(who, frozenset({Role.READ}), tenant), bearer(who).split()[1])
            for who, tenant in READERS.items()
        ]
        self.guard = Guard([BearerTokens(grants, ManualClock())])
        self.desk = Desk(
            self.store,
            self.open_traces,
            ManualClock(),
            QuerySettings(watch_poll_s=0.005),
            draw_trace=lambda traces, logs, answer: trace_graph(measure(batch(CHECKOUT)), 0, answer),
        )
        self._client = Client(app_of(self.desk, self.guard))

    def keep(self, trace_id: bytes, tenant: str) -> None:
        answer = small(trace_id, tenant=tenant, summary=f"what {tenant or 'nobody'} sent")
        self.store.found[name_of(trace_id, tenant)] = Found("stored", answer, CHECKOUT.requests()[0])

    def get(self, who: str, path: str) -> httpx.Response:
        return self._client.get(API + path, headers={"authorization": bearer(who)})


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def stub(room: Room) -> Iterator[pb_grpc.RootCauseServiceStub]:
    server = GrpcServer(room.desk, "127.0.0.1", 0, guard=room.guard)
    with grpc.insecure_channel(f"127.0.0.1:{server.start()}") as channel:
        yield pb_grpc.RootCauseServiceStub(channel)
    server.stop(0)


def metadata(who: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", bearer(who)),)


@pytest.mark.parametrize("who", ["shop", "bank"])
@pytest.mark.parametrize("part", PARTS)
def test_an_id_means_the_trace_of_who_asks(room: Room, who: str, part: str):
    """With its own name behind it, or without: no 409, which would say that others have it."""
    plain, named = (room.get(who, f"/traces/{TRACE.hex()}{tail}/{part}") for tail in ("", f"@{who}"))

    assert (plain.status_code, named.status_code) == (200, 200)
    assert plain.content == named.content
    if part == "root-cause":
        assert plain.json()["summary"] == f"what {who} sent"


@pytest.mark.parametrize("part", PARTS)
def test_a_trace_of_another_is_not_known_whether_it_is_there_or_not(room: Room, part: str):
    """Word for word, and as a trace that nobody sent: bank has one of the two, and shop cannot tell which."""
    there, gone = OTHER.hex(), "9" * 32

    def words(name: str) -> str:
        answer = room.get("shop", f"/traces/{name}/{part}")
        assert answer.status_code == 404
        told = answer.json()
        del told["correlation_id"], told["instance"]
        return str(told).replace(name[:32], "ID").replace("@bank", "").replace("@shop", "")

    assert words(f"{there}@bank") == words(f"{gone}@bank") == words(gone) == words(room.nobodys.hex())
    assert {name[17:] for name in room.open_traces.asked} == {b"shop"}


@pytest.mark.parametrize("part", PARTS)
def test_who_has_no_tenant_reads_all(room: Room, part: str):
    assert room.get("all", f"/traces/{OTHER.hex()}@bank/{part}").status_code == 200
    assert room.get("all", f"/traces/{room.nobodys.hex()}/{part}").status_code == 200
    assert room.get("all", f"/traces/{TRACE.hex()}/{part}").status_code == 409


@pytest.mark.parametrize(("who", "expected"), [("shop", {0, 3}), ("bank", {1}), ("all", {0, 1, 2, 3})])
def test_lists_have_what_the_tenant_sent(room: Room, stub: pb_grpc.RootCauseServiceStub, who: str, expected: set[int]):
    """Page by page, over both doors."""
    listed, path = set(), "/findings?limit=1"
    while path:
        page = room.get(who, path).json()
        listed |= {one["summary"] for one in page["findings"]}
        path = f"/findings?limit=1&cursor={page['next_cursor']}" if page["next_cursor"] else ""
    over_grpc = stub.List(pb.ListRequest(), timeout=DEADLINE_S, metadata=metadata(who)).findings

    assert listed == {one.summary for one in over_grpc} == {f"finding {n}" for n in expected}


def test_over_grpc_too(room: Room, stub: pb_grpc.RootCauseServiceStub):
    def get(who: str, text: str) -> str:
        try:
            request = pb.GetRequest(trace_id=text)
            return str(stub.Get(request, timeout=DEADLINE_S, metadata=metadata(who)).answer.summary)
        except grpc.RpcError as error:
            return str(error.code().name)

    assert get("shop", TRACE.hex()) == get("shop", f"{TRACE.hex()}@shop") == "what shop sent"
    assert get("bank", TRACE.hex()) == "what bank sent"
    assert get("shop", f"{TRACE.hex()}@bank") == get("shop", OTHER.hex()) == "NOT_FOUND"
    assert get("shop", f"{OTHER.hex()}@bank") == get("shop", room.nobodys.hex()) == "NOT_FOUND"
    assert get("all", f"{OTHER.hex()}@bank") == "what bank sent"
    assert get("shop", "xyz") == "INVALID_ARGUMENT"


def test_a_watcher_sees_its_own(room: Room, stub: pb_grpc.RootCauseServiceStub):
    """What others sent passes by, with the answer or without it."""
    stream = stub.Watch(pb.WatchRequest(include_answer=True), timeout=DEADLINE_S, metadata=metadata("bank"))
    stream.initial_metadata()
    room.store.add(row(10, tenant="shop"), row(11, tenant=""), row(12, tenant="bank"))

    assert next(stream).finding.summary == "finding 12"
    stream.cancel()


def test_a_tenant_has_half_of_the_watchers(room: Room):
    """The others stay for others; a tenant's own are told to come again."""
    hub = WatchHub(room.desk)
    half = room.desk.settings.watchers_max // 2
    watchers = [hub.enter(Wanted(tenant="shop")) for _ in range(half)]

    with pytest.raises(OverloadedError, match="of this tenant"):
        hub.enter(Wanted(tenant="shop"))
    for _ in range(half):
        hub.enter(Wanted(tenant="bank"))
    with pytest.raises(OverloadedError, match="that is the bound"):
        hub.enter(Wanted())
    hub.leave(watchers[0])
    hub.enter(Wanted())


def test_how_many_were_left_out_is_told_to_who_sees_all(room: Room):
    """The number is of all tenants together."""
    desk = replace(room.desk, shed_traces=lambda: 4_711)
    client = Client(app_of(desk, room.guard))
    told = {
        who: client.get(f"{API}/traces/{'9' * 32}/root-cause", headers={"authorization": bearer(who)}).json()["detail"]
        for who in READERS
    }

    assert {who for who, words in told.items() if "4711" in words} == {"all"}
    assert all("left out under stress" in words for words in told.values())


@pytest.mark.parametrize(
    ("identity", "path", "word"),
    [
        (Identity("a", frozenset({Role.INGEST}), "shop"), "/findings", "lacks the role read"),
        (Identity("b", frozenset({Role.INGEST})), "/findings", "lacks the role read"),
        (Identity("c", frozenset({Role.READ}), "shop"), "/groups", "of what that tenant sent"),
        (Identity("d", frozenset({Role.ADMIN}), "shop"), "/groups", "of what that tenant sent"),
    ],
    ids=["a", "b", "c", "d"],
)
def test_a_refusal_says_what_is_missing(room: Room, identity: Identity, path: str, word: str):
    """The role, or that somebody with a tenant may not have this at all."""
    guard = Guard([BearerTokens([TokenGrant(identity, "a-token-of-somebody")], ManualClock())])
    answer = Client(app_of(room.desk, guard)).get(API + path, headers={"authorization": "Bearer a-token-of-somebody"})

    assert answer.status_code == 403
    assert word in answer.json()["detail"]


def test_a_door_without_a_doorman_is_an_error_and_not_open():
    """Were the part that knows who asks ever left out, nobody would be taken for somebody who sees all."""
    with pytest.raises(KeyError):
        asked_over_rest(Request({"type": "http"}))
    with pytest.raises(AttributeError):
        asked_over_grpc(object())


@pytest.mark.parametrize(
    "path",
    ["/findings/", "/findings\n", "/traces/xyz/graph", f"/traces/{TRACE.hex()}/report", f"/traces/{TRACE.hex()}/held",
     f"/traces/{TRACE.hex()}@shop/runbook", f"/traces/{TRACE.hex()}/graph\n", "/groups", "/services", "/stats", ""],
)  # fmt: skip
def test_all_else_is_closed(room: Room, path: str):
    """What is made of everybody's telemetry, and what nobody thought of."""
    assert not is_own_route("GET", API + path)
    assert not is_own_route("POST", f"{API}/findings")
    assert not is_own_method("/firstfault.v1.IncidentService/List")
    assert room.get("shop", path.replace("\n", "%0a")).status_code == 403
