"""Incidents over REST and gRPC: the same words, found by id, status and service, and live as they change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args

import grpc
import httpx
import pytest
from google.rpc import error_details_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

from analyzer.findings import Entity, Evidence, Judgement
from analyzer.incident_words import Affected, Incident, IncidentStatus, IncidentVerdict, Symptom
from collector.contracts import StoredIncident
from collector.pb.firstfault.v1 import incidents_pb2 as pb
from collector.pb.firstfault.v1 import incidents_pb2_grpc as pb_grpc
from collector.query.desk import Desk, QuerySettings
from collector.query.grpc import GrpcServer
from collector.query.grpc_mapping import check_mapping, incident_from_proto, incident_to_proto
from collector.query.models_incidents import INCIDENT_EXAMPLE
from collector.query.rest import RestServer, create_app
from tests.collector.query.answers import HOSTILE_TEXTS
from tests.collector.query.test_grpc_mapping import leaves
from tests.support.answers import incident
from tests.support.fakes.clock import EPOCH_NS, SECOND_NS, ManualClock
from tests.support.fakes.store import FakeOpenTraces, FakeStore

DEADLINE_S = 20
SETTINGS = QuerySettings(watch_poll_s=0.005, watchers_max=2, streams_max=2, incidents_max=50)
ONE = incident(1)


@dataclass
class Room:
    """A query room on loopback over fakes."""

    store: FakeStore
    url: str
    stub: pb_grpc.IncidentServiceStub
    rest: RestServer
    grpc: GrpcServer
    channel: grpc.Channel

    def put(self, *incidents: Incident) -> None:
        self.store.put_incidents([StoredIncident(one) for one in incidents])

    def get(self, path: str, **more: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=DEADLINE_S, trust_env=False, **more)

    def stream(self, path: str, **more: Any):
        return httpx.stream("GET", self.url + path, timeout=DEADLINE_S, trust_env=False, **more)


@pytest.fixture
def room() -> Iterator[Room]:
    store, open_traces = FakeStore(), FakeOpenTraces()
    rest = RestServer(create_app(store, open_traces, SETTINGS, clock=ManualClock()), "127.0.0.1", 0)
    server = GrpcServer(Desk(store, open_traces, ManualClock(), SETTINGS), "127.0.0.1", 0, reflect=True)
    url = f"http://127.0.0.1:{rest.start()}/api/v1/incidents"
    with grpc.insecure_channel(f"127.0.0.1:{server.start()}") as channel:
        yield Room(store, url, pb_grpc.IncidentServiceStub(channel), rest, server, channel)
    server.stop(0)
    rest.stop(0.5)


def events(lines: Iterator[str]) -> Iterator[tuple[int, Incident]]:
    """Server-sent events as (id, incident); comments are left out."""
    found: dict[str, str] = {}
    for line in lines:
        if line and not line.startswith(":"):
            key, _, value = line.partition(": ")
            found[key] = value
        elif found:
            assert found["event"] == "incident"
            yield int(found["id"]), Incident.model_validate_json(found["data"])
            found = {}


# -- REST ------------------------------------------------------------------------------------------


def test_an_incident_is_answered_whole(room: Room):
    room.put(ONE)

    response = room.get(f"/{ONE.incident_id}")

    assert response.status_code == 200
    assert Incident.model_validate(response.json()) == ONE


def test_incidents_are_listed_by_status_and_service(room: Room):
    room.put(ONE, incident(2, status="closed", onset_ns=EPOCH_NS + SECOND_NS), incident(3, service="ledger"))

    def numbers(query: str) -> list[int]:
        return [int(one["incident_id"], 16) for one in room.get(query).json()["incidents"]]

    assert numbers("") == [2, 1, 3]
    assert numbers("?status=open") == [1, 3]
    assert numbers("?service=ledger") == [3]
    assert numbers("?limit=1") == [2]


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        (f"/{'0' * 31}f", 404, "incident_unknown"),
        ("/4bf9", 400, "incident_id"),
        ("/<script>", 400, "incident_id"),
        ("?status=half", 400, "invalid_request"),
        ("?limit=0", 400, "invalid_request"),
        ("?limit=51", 400, "invalid_request"),
        ("/watch?after=-1", 400, "invalid_request"),
    ],
)
def test_what_cannot_be_answered_says_why(room: Room, path: str, status: int, word: str):
    response = room.get(path)

    body = response.json()
    assert (response.status_code, body["type"]) == (status, f"urn:firstfault:problem:{word}")
    assert response.headers["content-type"] == "application/problem+json"
    assert body["do"]


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_text_stays_text(room: Room, text: str):
    room.put(incident(1, service=text, summary=text))

    response = room.get(f"/{ONE.incident_id}")

    assert response.json()["summary"] == text
    assert not set("<>&") & set(response.text)
    with room.stream("/watch?after=0") as stream:
        assert next(events(stream.iter_lines()))[1].summary == text


def test_a_watch_tells_what_changes(room: Room):
    """Not what was there before; then an incident that opens, and its end."""
    room.put(incident(7))
    with room.stream("/watch") as stream:
        lines = stream.iter_lines()
        assert next(lines) == ": watching"
        told = events(lines)
        room.put(ONE)
        first = next(told)
        room.put(incident(1, status="closed", revision=2))
        second = next(told)

    assert stream.headers["content-type"].startswith("text/event-stream")
    assert (first, second) == ((2, ONE), (3, incident(1, status="closed", revision=2)))


def test_a_watch_goes_on_where_it_was(room: Room):
    """A browser that connects again says what it saw last; what came meanwhile is told."""
    room.put(ONE, incident(2), incident(3))

    with room.stream("/watch", headers={"Last-Event-ID": "1"}) as stream:
        told = events(stream.iter_lines())

        assert [next(told)[0], next(told)[0]] == [2, 3]


def test_a_watch_of_one_service(room: Room):
    with room.stream("/watch?service=ledger&after=0&status=open") as stream:
        room.put(ONE, incident(2, service="ledger", status="closed"), incident(3, service="ledger"))

        assert next(events(stream.iter_lines()))[1] == incident(3, service="ledger")


def test_a_shelf_that_was_begun_anew_is_watched_from_its_beginning(room: Room):
    """The number the watcher saw last is above every number there is now."""
    with room.stream("/watch?after=900") as stream:
        room.put(ONE)

        assert next(events(stream.iter_lines())) == (1, ONE)


def test_watchers_have_a_bound(room: Room):
    """Two streams are open: the third is refused; when one has left there is room again."""
    with room.stream("/watch") as first, room.stream("/watch") as second:
        both = [stream.iter_lines() for stream in (first, second)]  # a stream whose lines nobody holds is closed
        assert [next(lines) for lines in both] == [": watching", ": watching"]
        refused = room.get("/watch")
    statuses = [503]
    while statuses[-1] == 503:  # the server notices within a poll that they have left
        with room.stream("/watch?after=0") as again:
            statuses.append(again.status_code)

    assert (refused.status_code, refused.json()["type"]) == (503, "urn:firstfault:problem:watchers")
    assert statuses[-1] == 200


def test_a_stop_ends_the_streams(room: Room):
    """Nobody waits for watchers to go home."""
    with room.stream("/watch") as stream:
        lines = stream.iter_lines()
        next(lines)
        room.rest.stop(15)

        assert [line for line in lines if line] == []


def test_the_example_is_an_incident():
    Incident.model_validate(INCIDENT_EXAMPLE)


# -- gRPC ------------------------------------------------------------------------------------------


def full(text: str = "words") -> Incident:
    """Every field has a value that is not its default."""
    entity = Entity(kind="edge", name=text, service="s", operation="o", instance="i", version="v", host="h")
    entity = entity.model_copy(update={"caller": "a", "callee": "b", "peer": "p"})
    base = incident(1, status="closed", revision=3, summary=text)
    suspect = base.suspects[0].model_copy(
        update={
            "entity": entity,
            "finer": entity,
            "evidence": [Evidence(claim=text, span_ids=["01" * 8], log_ids=["02" * 8], numbers={"x": 0.5})],
        }
    )
    affected = [
        Affected(service=text, symptoms=list(get_args(Symptom)), role="victim", failed_share=0.5, slowdown_ms=3.5)
    ]
    return base.model_copy(
        update={"suspects": [suspect], "affected": affected, "coverage": 0.25, "next_probe": "look at payment"}
        | {axis: Judgement(value=text, reason=text) for axis in ("severity", "type", "observability")}
    )


def test_proto_and_incident_have_the_same_fields_and_values():
    assert check_mapping(Incident, pb.Incident.DESCRIPTOR) == []


@pytest.mark.parametrize("text", ["words", *HOSTILE_TEXTS])
def test_every_field_of_a_full_incident_survives(text: str):
    one = full(text)
    assert [path for path, value, default in leaves(one) if value == default] == []

    again = incident_from_proto(pb.Incident.FromString(incident_to_proto(one).SerializeToString()))

    assert again == one


def test_what_is_not_set_stays_not_set():
    """It goes on; nobody outside is hit; there is nothing to look at."""
    bare = Incident(
        incident_id="00" * 16, verdict="insufficient_evidence", summary="", onset_ns=1, detected_ns=2, updated_ns=3
    )

    again = incident_from_proto(incident_to_proto(bare))

    assert again == bare
    assert (again.ended_ns, again.blast_radius, again.next_probe) == (None, None, None)


@pytest.mark.parametrize(
    ("field", "words"), [("status", get_args(IncidentStatus)), ("verdict", get_args(IncidentVerdict))]
)
def test_every_word_survives(field: str, words: tuple[str, ...]):
    for word in words:
        one = ONE.model_copy(update={field: word})
        assert getattr(incident_from_proto(incident_to_proto(one)), field) == word


def test_grpc_says_the_same_as_rest(room: Room):
    room.put(ONE, incident(2, status="closed"))

    one = room.stub.Get(pb.GetIncidentRequest(incident_id=ONE.incident_id.upper()), timeout=DEADLINE_S)
    listed = room.stub.List(pb.ListIncidentsRequest(status=pb.INCIDENT_STATUS_OPEN), timeout=DEADLINE_S)

    assert incident_from_proto(one.incident) == ONE
    assert [incident_from_proto(found) for found in listed.incidents] == [ONE]


@pytest.mark.parametrize(
    ("call", "code", "reason"),
    [
        (lambda stub: stub.Get(pb.GetIncidentRequest(incident_id="0" * 32)), "NOT_FOUND", "INCIDENT_UNKNOWN"),
        (lambda stub: stub.Get(pb.GetIncidentRequest(incident_id="x")), "INVALID_ARGUMENT", "INCIDENT_ID"),
        (lambda stub: stub.List(pb.ListIncidentsRequest(limit=51)), "INVALID_ARGUMENT", "LIMIT"),
        (lambda stub: stub.List(pb.ListIncidentsRequest(status=9)), "INVALID_ARGUMENT", "STATUS"),
        (lambda stub: list(stub.Watch(pb.WatchIncidentsRequest(status=9))), "INVALID_ARGUMENT", "STATUS"),
    ],
)
def test_grpc_refusals_say_why(room: Room, call: Any, code: str, reason: str):
    with pytest.raises(grpc.RpcError) as caught:
        call(room.stub)

    status = rpc_status.from_call(caught.value)
    assert caught.value.code().name == code
    info = error_details_pb2.ErrorInfo()
    assert status is not None
    status.details[0].Unpack(info)
    assert info.reason == reason


def test_grpc_watches_as_rest_does(room: Room):
    room.put(incident(7))
    call = room.stub.Watch(pb.WatchIncidentsRequest(service="payment"), timeout=DEADLINE_S)
    call.initial_metadata()
    room.put(ONE.model_copy(update={"incident_id": "ab" * 16}), incident(1, revision=2))

    told = [next(call), next(call)]
    call.cancel()

    assert [(one.sequence, one.incident.incident_id) for one in told] == [(2, "ab" * 16), (3, ONE.incident_id)]


def test_grpc_watchers_have_a_bound_and_leave(room: Room):
    calls = [room.stub.Watch(pb.WatchIncidentsRequest(), timeout=DEADLINE_S) for _ in range(2)]
    for call in calls:
        call.initial_metadata()

    with pytest.raises(grpc.RpcError) as caught:
        next(room.stub.Watch(pb.WatchIncidentsRequest(), timeout=DEADLINE_S))
    for call in calls:
        call.cancel()

    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    room.put(ONE)
    codes = [grpc.StatusCode.UNAVAILABLE]
    while codes[-1] == grpc.StatusCode.UNAVAILABLE:  # a thread notices the cancelled call within a poll
        again = room.stub.Watch(pb.WatchIncidentsRequest(after=0), timeout=DEADLINE_S)
        try:
            told = next(again)
            break
        except grpc.RpcError as error:
            codes.append(error.code())
    assert told.incident.incident_id == ONE.incident_id


def test_a_stop_ends_grpc_watchers(room: Room):
    call = room.stub.Watch(pb.WatchIncidentsRequest(), timeout=DEADLINE_S)
    call.initial_metadata()

    room.grpc.stop(15)

    assert list(call) == []


def test_reflection_names_the_service(room: Room):
    services = ProtoReflectionDescriptorDatabase(room.channel).get_services()

    assert {"firstfault.v1.IncidentService", "firstfault.v1.RootCauseService"} <= set(services)


def test_questions_about_incidents_are_counted(room: Room):
    room.put(ONE)
    room.stub.Get(pb.GetIncidentRequest(incident_id=ONE.incident_id), timeout=DEADLINE_S)
    json.loads(room.get("").text)

    assert room.grpc.snapshot()["query_requests|grpc|ok"] == 1
    assert room.rest.snapshot()["query_requests|rest|ok"] == 1
