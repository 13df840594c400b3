"""Starting, stopping, dying and coming back: nothing that was acknowledged and decided is lost, and words say why."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.contracts import Signal
from tests.support.drawing import draw
from tests.support.fakes.otlp_sink import GrpcSink, Reply
from tests.support.running import Server, again, end, firstfault, serving, start, write_configuration

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

FAILING = """
frontend POST /checkout 0..100 ERROR http.response.status_code=500
  frontend CLIENT POST 5..95 ERROR server.address=payment http.response.status_code=500
    payment POST /charge 10..90 ERROR http.response.status_code=500 !CardError: "terminal 7 does not answer"
"""
PATIENT = {"assembly": {"root_idle_s": 50.0, "root_idle_min_s": 50.0, "root_idle_max_s": 60.0, "idle_s": 60.0}}


def ask_about(server: Server, seed: int) -> str:
    """Send a failing trace; the service that is blamed."""
    drawing = draw(FAILING, seed=seed)
    server.send(*drawing.requests())
    name: str = server.root_cause(drawing.trace_id)["root_causes"][0]["entity"]["service"]
    return name


@pytest.mark.parametrize("processes", [pytest.param(1, marks=pytest.mark.deep), 2])
def test_an_open_trace_is_decided_at_the_stop_and_found_after_the_restart(tmp_path: Path, processes: int):
    """Nothing is kept but in memory. SIGTERM: exit status 0 in time; the trace that was open stands in the store."""
    changes = PATIENT | {"durability": "memory"}
    path, tree, ports = write_configuration(tmp_path, processes=processes, changes=changes)
    drawing = draw(FAILING, seed=31)
    with again(tmp_path, path, tree, ports) as server:
        server.send(*drawing.requests())
        server.until(lambda: server.metrics()["assembly_open_spans"] == 3, "open spans")
        assert server.stop(timeout_s=30) == 0, server.said()

    with again(tmp_path, path, tree, ports) as server:
        answer = server.root_cause(drawing.trace_id)

    assert (answer["status"], answer["completeness"]["release_reason"]) == ("finding", "shutdown")
    assert answer["root_causes"][0]["entity"]["service"] == "payment"


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of several processes that the tests may hurt."""
    with serving(tmp_path_factory.mktemp("many"), processes=2) as server:
        yield server
        assert server.stop() == 0, server.said()


@pytest.mark.parametrize("role", ["receiver", "query", "engine"])
def test_a_process_that_dies_is_started_again(many: Server, role: str):
    """Not ready while it is gone, ready again after; the restart is counted; what was found before is found again,
    and the next trace is answered."""
    before = draw(FAILING, seed=sum(role.encode()))
    many.send(*before.requests())
    answer = many.root_cause(before.trace_id)
    victim = many.children()[role][0]
    restarts = many.metrics().get("process_restarts", 0)

    os.kill(victim, signal.SIGKILL)
    many.until(lambda: not many.ready(), "the death to be noticed")
    many.until(many.ready, "readiness after the death", 60)

    assert victim not in many.children()[role]
    assert many.metrics()["process_restarts"] == restarts + 1
    assert many.root_cause(before.trace_id) == answer
    assert ask_about(many, 42 + sum(role.encode())) == "payment"


@pytest.mark.parametrize(
    ("processes", "door"),
    [
        (1, "otlp_grpc"),
        (2, "grpc"),
        *(pytest.param(*one, marks=pytest.mark.deep) for one in ((1, "rest"), (1, "metrics"), (2, "otlp_http"))),
    ],
)
def test_a_port_that_is_taken_is_said(tmp_path: Path, door: str, processes: int):
    """Exit status 1, the address in the message, no traceback, nobody left behind."""
    path, tree, ports = write_configuration(tmp_path, processes=processes)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports[door]))
        taken.listen()

        server = start(tmp_path, path, tree, ports)
        try:
            status = server.process.wait(100)
            said = server.log.read_text()
        finally:
            end(server)

    assert status == 1, said
    assert str(ports[door]) in said
    assert "in use" in said.lower()
    assert "Traceback" not in said
    assert not (Path("/proc") / str(server.process.pid)).exists()


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.deep)])
def test_one_directory_has_one_owner(many: Server, tmp_path: Path, processes: int):
    """A second server on the same storage says so and ends with status 1; the first goes on."""
    path, tree, ports = write_configuration(tmp_path, processes=processes, changes={"storage": many.tree["storage"]})
    second = start(tmp_path, path, tree, ports)
    try:
        status = second.process.wait(100)
        said = second.log.read_text()
    finally:
        end(second)

    assert status == 1, said
    assert many.tree["storage"]["path"] in said
    assert "another process" in said
    assert "Traceback" not in said
    assert ask_about(many, 61 + processes) == "payment"


def test_a_configuration_with_faults_names_all_of_them(tmp_path: Path):
    """Exit status 2, a line for each fault, before anything starts."""
    path = tmp_path / "config.yaml"
    path.write_text("service: {processes: -1}\nassembly: {idle_s: 0, nonsense: 1}\nquery: {endpoint: nowhere}\n")

    done = firstfault("serve", "--config", path)

    assert done.returncode == 2
    for word in (b"service.processes", b"assembly.idle_s", b"assembly.nonsense", b"query.endpoint", b"4 fault(s)"):
        assert word in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_retry_sends_the_same_bytes(tmp_path: Path):
    """The destination refuses at first: what comes again is byte for byte what came before."""
    with GrpcSink() as sink, serving(tmp_path, exporter=sink.endpoint) as server:
        sink.plan(Reply.down(), Reply.down())
        drawing = draw(FAILING, seed=71)
        server.send(*drawing.requests())
        server.root_cause(drawing.trace_id)
        sink.wait_taken(2)

    for signal_ in (Signal.TRACES, Signal.LOGS):
        assert len({request.payload for request in sink.requests if request.signal is signal_}) == 1
    assert len(sink.requests) >= 3


def test_what_could_not_be_sent_is_sent_after_the_restart(tmp_path: Path):
    """The outbox is on disk: the destination comes back after we did."""
    with GrpcSink() as sink:
        path, tree, ports = write_configuration(tmp_path, exporter=sink.endpoint)
        sink.always(Reply.down())
        drawing = draw(FAILING, seed=81)
        with again(tmp_path, path, tree, ports) as server:
            server.send(*drawing.requests())
            server.root_cause(drawing.trace_id)
            sink.wait_for(2)
            assert server.stop() == 0, server.said()
        assert sink.taken == []

        sink.always(None)
        with again(tmp_path, path, tree, ports) as server:
            sink.wait_taken(2, 40)

    assert {request.signal for request in sink.taken} == {Signal.TRACES, Signal.LOGS}
    assert {r.payload for r in sink.taken} <= {r.payload for r in sink.requests}


def test_what_was_learned_is_known_after_the_restart(tmp_path: Path):
    """Hundreds of healthy traces, a restart, one more, then one without its usual call: a finding."""
    whole = """
    frontend POST /checkout 0..60 http.response.status_code=200
      frontend CLIENT POST 2..58 server.address=checkout http.response.status_code=200
        checkout POST /checkout 4..56 http.response.status_code=200
          checkout CLIENT POST 10..50 server.address=payment http.response.status_code=200
            payment POST /charge 12..48 http.response.status_code=200
    """
    silent = "\n".join(whole.splitlines()[:4])
    path, tree, ports = write_configuration(tmp_path)
    with again(tmp_path, path, tree, ports) as server:
        for seed in range(300):
            server.send(draw(whole, seed=9000 + seed).jitter(seed).requests()[0])
        server.until(lambda: server.metrics()["analyzer_analysed_traces"] == 300, "300 traces to be analysed", 40)
        assert server.stop() == 0, server.said()

    with again(tmp_path, path, tree, ports) as server:
        server.send(draw(whole, seed=90).requests()[0])  # names are met again before what was learned of them counts
        server.until(lambda: server.metrics()["analyzer_analysed_traces"] == 1, "the healthy trace to be analysed")
        drawing = draw(silent, seed=91)
        server.send(drawing.requests()[0])
        answer = server.root_cause(drawing.trace_id)

    assert (answer["status"], answer["verdict"]) == ("finding", "structure")
    assert "payment" in answer["summary"]
