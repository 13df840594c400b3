"""gRPC on loopback: the same truth as REST, typed, and findings as they come."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

from collector.contracts import Found
from collector.errors import OverloadedError
from collector.pb.firstfault.v1 import root_cause_pb2 as pb
from collector.pb.firstfault.v1 import root_cause_pb2_grpc as pb_grpc
from collector.query.desk import Desk, QuerySettings
from collector.query.grpc import GrpcServer
from collector.query.grpc_mapping import answer_from_proto
from collector.query.watch import PAGE_ROWS, PAGES_MAX, Wanted, Watcher, WatchHub
from tests.collector.query.answers import OTHER, TRACE, full, row, small
from tests.support.fakes.clock import ManualClock
from tests.support.fakes.store import FakeOpenTraces, FakeStore

DEADLINE_S = 20


@dataclass
class Room:
    store: FakeStore
    open_traces: FakeOpenTraces
    server: GrpcServer
    channel: grpc.Channel
    stub: pb_grpc.RootCauseServiceStub

    def get(self, trace_id: str = TRACE.hex(), wait: Duration | None = None) -> pb.GetResponse:
        return self.stub.Get(pb.GetRequest(trace_id=trace_id, wait=wait), timeout=DEADLINE_S)


def serve(settings: QuerySettings, *, reflect: bool = False) -> Iterator[Room]:
    store, open_traces = FakeStore(), FakeOpenTraces()
    server = GrpcServer(Desk(store, open_traces, ManualClock(), settings), "127.0.0.1", 0, reflect=reflect)
    port = server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Room(store, open_traces, server, channel, pb_grpc.RootCauseServiceStub(channel))
    server.stop(0)


@pytest.fixture
def room() -> Iterator[Room]:
    yield from serve(QuerySettings(poll_s=0.001, watch_poll_s=0.005, watchers_max=2, findings_max=50), reflect=True)


def refusal(call: object, code: grpc.StatusCode) -> dict[str, object]:
    """Details of an error by the name of their message."""
    assert callable(call)
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert caught.value.code() == code
    status = rpc_status.from_call(caught.value)
    assert status is not None
    found: dict[str, object] = {"message": status.message}
    for packed in status.details:
        name = packed.TypeName().rpartition(".")[2]
        found[name] = getattr(error_details_pb2, name)()
        packed.Unpack(found[name])
    return found


def test_get_answers_whole(room: Room):
    room.store.found[TRACE] = Found("stored", full())

    assert answer_from_proto(room.get().answer) == full()


def test_get_of_an_open_trace_is_in_progress(room: Room):
    room.open_traces.answers[TRACE] = small(status="in_progress")

    assert room.get().answer.status == pb.STATUS_IN_PROGRESS
    assert room.server.snapshot()["query_requests|grpc|in_progress"] == 1


def test_get_of_a_clean_trace_without_bytes(room: Room):
    room.store.found[TRACE] = Found("clean")

    assert room.get().answer.status == pb.STATUS_CLEAN


def test_get_waits_for_the_verdict(room: Room):
    """It comes at the fifth look."""

    def at_last(trace_id: bytes) -> None:
        if room.store.looks == 5:
            room.store.found[TRACE] = Found("stored", small())

    room.store.on_find = at_last

    assert room.get(wait=Duration(seconds=15)).answer.trace_id == TRACE.hex()
    assert room.open_traces.asked == []


@pytest.mark.parametrize(
    ("status", "reason"), [("unknown", "TRACE_UNKNOWN"), ("expired", "TRACE_EXPIRED"), ("dropped", "TRACE_DROPPED")]
)
def test_no_answer_says_why(room: Room, status: str, reason: str):
    room.store.found[TRACE] = Found(status, reason="why")

    details = refusal(room.get, grpc.StatusCode.NOT_FOUND)

    assert (details["ErrorInfo"].reason, details["ErrorInfo"].metadata["trace_id"]) == (reason, TRACE.hex())  # type: ignore[attr-defined]
    assert "why" in str(details["message"])
    assert room.server.snapshot()["query_requests|grpc|not_found"] == 1


@pytest.mark.parametrize("trace_id", ["", "4bf9", "g" * 32, "0" * 32, "<script>"])
def test_a_bad_trace_id_names_the_field(room: Room, trace_id: str):
    details = refusal(lambda: room.get(trace_id), grpc.StatusCode.INVALID_ARGUMENT)

    assert details["BadRequest"].field_violations[0].field == "trace_id"  # type: ignore[attr-defined]
    assert room.store.looks == 0


def test_a_negative_wait_is_refused(room: Room):
    details = refusal(lambda: room.get(wait=Duration(seconds=-1)), grpc.StatusCode.INVALID_ARGUMENT)

    assert details["BadRequest"].field_violations[0].field == "wait"  # type: ignore[attr-defined]


def test_a_busy_engine_says_when_to_come_back(room: Room):
    def busy(trace_id: bytes) -> None:
        raise OverloadedError("starting", retry_after_s=1.5)

    room.open_traces.on_ask = busy

    details = refusal(room.get, grpc.StatusCode.UNAVAILABLE)

    assert details["RetryInfo"].retry_delay == Duration(seconds=1, nanos=500_000_000)  # type: ignore[attr-defined]


def test_our_own_bug_is_internal_without_its_words(room: Room, caplog: pytest.LogCaptureFixture):
    def broken(trace_id: bytes) -> None:
        raise RuntimeError("secret path")

    room.store.on_find = broken

    details = refusal(room.get, grpc.StatusCode.INTERNAL)

    assert "secret" not in str(details["message"])
    assert "secret path" in caplog.text


def test_list_filters_and_pages(room: Room):
    room.store.add(*(row(i, verdict="latency" if i % 2 else "error") for i in range(5)))

    first = room.stub.List(pb.ListRequest(verdict=pb.VERDICT_KIND_LATENCY, limit=1))
    second = room.stub.List(pb.ListRequest(verdict=pb.VERDICT_KIND_LATENCY, limit=1, cursor=first.next_cursor))

    assert [first.findings[0].summary, second.findings[0].summary] == ["finding 3", "finding 1"]
    assert second.next_cursor == ""
    room.stub.List(pb.ListRequest(service="s", rule="r", from_ns=0, to_ns=9))
    query = room.store.queries[-1]
    assert (query.service, query.rule, query.verdict, query.from_ns, query.to_ns, query.limit) == (
        "s",
        "r",
        None,
        0,
        9,
        50,
    )


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.ListRequest(limit=51), "limit"),
        (pb.ListRequest(limit=-1), "limit"),
        (pb.ListRequest(cursor="stolen"), "bad_query"),
        (pb.ListRequest(verdict=99), "verdict"),  # type: ignore[arg-type]
    ],
)
def test_list_names_bad_fields(room: Room, request_: pb.ListRequest, field: str):
    details = refusal(lambda: room.stub.List(request_), grpc.StatusCode.INVALID_ARGUMENT)

    assert details["BadRequest"].field_violations[0].field == field  # type: ignore[attr-defined]


def test_watch_streams_what_is_new(room: Room):
    """Old findings are not repeated, others' services are not sent, order is the order of time."""
    room.store.add(row(1))
    room.store.found[bytes.fromhex(row(4).trace_id)] = Found("stored", small(trace_id=bytes.fromhex(row(4).trace_id)))
    stream = room.stub.Watch(pb.WatchRequest(service="payment", include_answer=True), timeout=DEADLINE_S)
    stream.initial_metadata()  # it watches now

    room.store.add(row(2), row(3, service="cart"), row(4))

    first, second = next(stream), next(stream)
    stream.cancel()
    assert [first.finding.summary, second.finding.summary] == ["finding 2", "finding 4"]
    assert (first.HasField("answer"), second.answer.trace_id) == (False, row(4).trace_id)
    assert (first.dropped_count, second.dropped_count) == (0, 0)


def test_a_new_revision_is_new(room: Room):
    """A late span re-opened the trace."""
    room.store.add(row(1))
    stream = room.stub.Watch(pb.WatchRequest(), timeout=DEADLINE_S)
    stream.initial_metadata()

    room.store.add(replace(row(1), revision=2))

    assert next(stream).finding.revision == 2
    stream.cancel()


def test_a_flood_of_others_hides_nothing(room: Room):
    """More than a look reads at once, all dated after the one that is waited for."""
    stream = room.stub.Watch(pb.WatchRequest(service="cart"), timeout=DEADLINE_S)
    stream.initial_metadata()

    room.store.add(*(row(10 + n) for n in range(PAGE_ROWS * PAGES_MAX + 1)), row(1, service="cart"))

    assert next(stream).finding.summary == "finding 1"
    stream.cancel()


def test_watchers_are_bounded_and_leave(room: Room):
    """Two may watch; the third is told to come back; when one leaves there is room again."""
    streams = [room.stub.Watch(pb.WatchRequest(), timeout=DEADLINE_S) for _ in range(2)]
    for stream in streams:
        stream.initial_metadata()

    details = refusal(lambda: next(room.stub.Watch(pb.WatchRequest(), timeout=DEADLINE_S)), grpc.StatusCode.UNAVAILABLE)
    assert details["ErrorInfo"].reason == "WATCHERS"  # type: ignore[attr-defined]

    left = threading.Event()
    leave = room.server.hub.leave
    room.server.hub.leave = lambda watcher: (leave(watcher), left.set())  # type: ignore[assignment,func-returns-value]
    streams[0].cancel()
    assert left.wait(DEADLINE_S)
    again = room.stub.Watch(pb.WatchRequest(), timeout=DEADLINE_S)
    again.initial_metadata()
    again.cancel()
    streams[1].cancel()


def test_stopping_ends_a_watch(room: Room):
    """No watcher keeps the server from stopping."""
    stream = room.stub.Watch(pb.WatchRequest(), timeout=DEADLINE_S)
    stream.initial_metadata()

    room.server.stop(5)

    assert list(stream) == []


def test_a_slow_watcher_loses_the_oldest_and_is_told():
    """Room for three: of ten findings the last three stay, seven are said to be gone, once."""
    watcher = Watcher(Wanted(), 3)
    for i in range(10):
        watcher.put(row(i))

    taken = [watcher.take() for _ in range(3)]

    assert [(found[0].summary, found[1]) for found in taken if found] == [
        ("finding 7", 7),
        ("finding 8", 0),
        ("finding 9", 0),
    ]
    assert watcher.dropped_count == 7
    watcher.close()
    assert watcher.take() is None


def test_a_broken_shelf_does_not_end_the_watch(caplog: pytest.LogCaptureFixture):
    """Polls fail for a while; said once, then findings come again."""
    store = FakeStore()
    hub = WatchHub(Desk(store, FakeOpenTraces(), ManualClock(), QuerySettings(watch_poll_s=0.001)))
    watcher = hub.enter(Wanted())
    find = store.new_findings
    failed = threading.Event()

    def broken(after: object, limit: int) -> None:
        if hub.failed_polls >= 3:
            failed.set()
        raise OSError("disk")

    store.new_findings = broken  # type: ignore[assignment]
    hub.start()
    assert failed.wait(DEADLINE_S)
    store.new_findings = find  # type: ignore[method-assign]
    store.add(row(1))

    taken = watcher.take()
    hub.stop()

    assert taken is not None
    assert taken[0].summary == "finding 1"
    assert len(caplog.records) == 1


def test_reflection_shows_the_service(room: Room):
    """A client without the proto can ask for it."""
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(room.channel))

    service = pool.FindServiceByName("firstfault.v1.RootCauseService")

    assert [method.name for method in service.methods] == ["Get", "List", "Watch"]


def test_reflection_is_off_unless_asked_for():
    for room in serve(QuerySettings()):
        database = ProtoReflectionDescriptorDatabase(room.channel)
        with pytest.raises(grpc.RpcError) as caught:
            list(database.get_services())
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_a_port_that_is_taken_is_said():
    store = FakeStore()
    desk = Desk(store, FakeOpenTraces(), ManualClock())
    first = GrpcServer(desk, "127.0.0.1", 0)
    port = first.start()
    try:
        with pytest.raises(OSError, match="cannot listen on 127"):
            GrpcServer(desk, "127.0.0.1", port).start()
    finally:
        first.stop(0)


def test_get_counts_every_question(room: Room):
    room.store.found[OTHER] = Found("stored", small(OTHER))
    room.get(OTHER.hex())
    room.get(OTHER.hex())

    assert room.server.snapshot()["query_requests|grpc|ok"] == 2


def test_the_correlation_id_comes_back_with_every_call(room: Room):
    """With an answer, with a refusal, and at the beginning of a stream; one that is not safe to show is replaced."""

    def echoed(call: grpc.Call) -> str:
        return dict(call.initial_metadata())["x-correlation-id"]

    sent = (("x-correlation-id", "order-42"),)
    _, listed = room.stub.List.with_call(pb.ListRequest(), metadata=sent, timeout=DEADLINE_S)
    with pytest.raises(grpc.RpcError) as refused:
        room.stub.Get(pb.GetRequest(trace_id="no id"), metadata=sent, timeout=DEADLINE_S)
    stream = room.stub.Watch(pb.WatchRequest(), metadata=sent, timeout=DEADLINE_S)
    unsafe = (("x-correlation-id", "a b<script>"),)
    _, replaced = room.stub.List.with_call(pb.ListRequest(), metadata=unsafe, timeout=DEADLINE_S)

    assert [echoed(call) for call in (listed, refused.value, stream)] == ["order-42"] * 3
    assert len(echoed(replaced)) == 32
    stream.cancel()
