"""Incidents in the running program: an open one survives a restart, ends, and everybody is told."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from analyzer.incident_config import IncidentConfig
from analyzer.incidents.recent import Recent
from analyzer.incidents.tracker import IncidentTracker
from collector.contracts import INCIDENTS_STATE_NAME, Signal, StoredIncident
from collector.pb.firstfault.v1.incidents_pb2 import INCIDENT_STATUS_CLOSED, GetIncidentRequest, WatchIncidentsRequest
from collector.pb.firstfault.v1.incidents_pb2_grpc import IncidentServiceStub
from collector.store.sqlite import SqliteStore
from tests.support.answers import incident
from tests.support.drawing import draw
from tests.support.fakes.otlp_sink import GrpcSink
from tests.support.running import Server, firstfault, serving
from tests.support.traffic import CHECKOUT, FakeAlarm, rank_by_blame

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def leave_open(folder: Path) -> str:
    """What an engine leaves behind that was stopped while the last alarm of an incident had just gone.

    And an incident that nobody knows of any more.
    """
    now_ns = time.time_ns()
    tracker = IncidentTracker(IncidentConfig(), Recent(), rank_by_blame)
    alarm = FakeAlarm("checkout", onset_ns=now_ns - 60 * 10**9)
    tracker.take([alarm], now_ns)
    (told,) = tracker.tell(now_ns)
    tracker.take([alarm.gone()], now_ns)
    store = SqliteStore.open(folder)
    store.put_incidents([StoredIncident(told.incident), StoredIncident(incident(1, updated_ns=now_ns))])
    store.save_state(INCIDENTS_STATE_NAME, tracker.save())
    store.close()
    return told.incident.incident_id


@pytest.fixture(
    scope="module", params=[pytest.param(1, marks=pytest.mark.deep), 2], ids=["one process", "several processes"]
)
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, GrpcSink, str]]:
    folder = tmp_path_factory.mktemp("incidents")
    incident_id = leave_open(folder / "store")
    changes = {"incidents": {"close_after_s": 1.0}}
    with (
        GrpcSink() as sink,
        serving(folder, processes=request.param, exporter=sink.endpoint, changes=changes) as server,
    ):
        yield server, sink, incident_id
        assert server.stop() == 0, server.said()


def test_its_end_is_watched_over_rest(house: tuple[Server, GrpcSink, str]):
    server, _, incident_id = house
    seen = {}
    path = f"{server.url}/api/v1/incidents/watch?after=0&service=checkout"
    with httpx.stream("GET", path, timeout=40, trust_env=False) as stream:
        for line in stream.iter_lines():
            if line.startswith("data: "):
                one = json.loads(line.removeprefix("data: "))
                seen[one["incident_id"]] = one["status"]
                if seen.get(incident_id) == "closed":
                    break

    assert seen[incident_id] == "closed"


def test_rest_grpc_and_command_line_say_the_same(house: tuple[Server, GrpcSink, str]):
    server, _, incident_id = house
    with grpc.insecure_channel(f"127.0.0.1:{server.ports['grpc']}") as channel:
        stub = IncidentServiceStub(channel)
        for change in stub.Watch(WatchIncidentsRequest(after=0, status=INCIDENT_STATUS_CLOSED), timeout=40):
            if change.incident.incident_id == incident_id:
                break
        wire = stub.Get(GetIncidentRequest(incident_id=incident_id), timeout=20).incident

    rest = server.get(f"/api/v1/incidents/{incident_id}").json()
    printed = firstfault("incidents", incident_id, "--server", server.url)
    as_json = firstfault("incidents", incident_id, "--server", server.url, "--json")
    listed = server.get("/api/v1/incidents?status=closed").json()["incidents"]

    assert (rest["status"], wire.status, wire.revision) == ("closed", INCIDENT_STATUS_CLOSED, rest["revision"])
    assert json.loads(as_json.stdout) == rest
    assert b"CLOSED" in printed.stdout
    assert [one["incident_id"] for one in listed] == [incident_id, incident(1).incident_id]
    assert "Its end was not seen" in listed[1]["summary"]
    assert server.get("/api/v1/incidents?status=open").json()["incidents"] == []


def test_it_is_reported_on(house: tuple[Server, GrpcSink, str]):
    """Without an example trace: all is there, and what is not known says so."""
    server, _, incident_id = house

    report = server.get(f"/api/v1/incidents/{incident_id}/report").json()
    printed = firstfault("report", incident_id, "--server", server.url)

    assert (report["subject"], report["subject_id"]) == ("incident", incident_id)
    assert report["testing"]["fixture"] is None
    assert report["missing"]
    assert printed.returncode == 0, printed.stderr


def test_its_end_is_written_back(house: tuple[Server, GrpcSink, str]):
    server, sink, incident_id = house

    def told() -> list[str]:
        logs = [
            ExportLogsServiceRequest.FromString(request.payload)
            for request in list(sink.taken)
            if request.signal is Signal.LOGS
        ]
        records = [r for one in logs for g in one.resource_logs for s in g.scope_logs for r in s.log_records]
        return [r.event_name for r in records if incident_id in str(r.attributes)]

    assert server.until(told, "the message about the incident") == ["firstfault.incident.closed"]


def test_what_is_remembered_is_counted(house: tuple[Server, GrpcSink, str]):
    """Traces that come in are remembered; the numbers are on /metrics, and the configuration can be seen."""
    server, _, _ = house
    for seed in range(5):
        server.send(draw(CHECKOUT, seed=seed + 9_000_000).requests()[0])

    server.until(lambda: server.metrics().get("incidents_recent_traces", 0) >= 5, "five remembered traces")
    metrics = server.metrics()

    assert metrics["incidents_closed"] == 1
    assert metrics["incidents_open"] == 0
    assert metrics["incidents_looks"] >= 1
    assert metrics.get("incidents_failed", 0) == 0
