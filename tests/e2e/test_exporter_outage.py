"""A destination that is away, hangs, refuses or breaks off: no finding is lost, none that is refused is forgotten (R6)."""

from __future__ import annotations

import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.contracts import Signal
from tests.support.fakes.otlp_sink import GrpcSink, Reply, Sink
from tests.support.planted import Load, Plan, Verdict, conserve, verify
from tests.support.running import Server, free_port, serving

pytestmark = pytest.mark.e2e

PLANTED_EVERY = 10
ANSWER_BYTES = 2 * 2**20


class Resetting:
    """Takes connections and some bytes, then breaks off with a TCP reset."""

    def __init__(self, port: int) -> None:
        self.count = 0
        self._door = socket.create_server(("127.0.0.1", port), reuse_port=False)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._door.accept()
            except OSError:
                return
            connection.recv(4096)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            self.count += 1

    def close(self) -> None:
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self._thread.join(10)


def delivered(*sinks: Sink) -> dict[Signal, set[bytes]]:
    """Trace ids of the findings that were taken, by signal."""
    found: dict[Signal, set[bytes]] = {Signal.TRACES: set(), Signal.LOGS: set()}
    for request in (request for sink in sinks for request in sink.taken):
        if request.signal is Signal.TRACES:
            traces = ExportTraceServiceRequest.FromString(request.payload)
            found[Signal.TRACES] |= {
                span.trace_id
                for resource in traces.resource_spans
                for scope in resource.scope_spans
                for span in scope.spans
            }
        else:
            logs = ExportLogsServiceRequest.FromString(request.payload)
            found[Signal.LOGS] |= {
                record.trace_id
                for resource in logs.resource_logs
                for scope in resource.scope_logs
                for record in scope.log_records
            }
    return found


class Outage:
    """Load and a destination whose trouble changes; findings go on being made in each."""

    def __init__(self, server: Server, load: Load, phase_s: float) -> None:
        self._server, self._load, self._phase_s = server, load, phase_s

    def last(self, what: str) -> None:
        """Until the trouble was met: tries failed, and new findings were stored meanwhile."""
        before, acked = self._server.metrics(), len(self._load.acked)
        began = time.monotonic()

        def met() -> bool:
            now = self._server.metrics()
            return (
                now["store_stored_findings"] > before["store_stored_findings"]
                and now["exporter_send_failed_messages"] > before["exporter_send_failed_messages"]
                and time.monotonic() - began >= self._phase_s
            )

        self._server.until(met, f"findings while {what}", 40 + self._phase_s)
        assert len(self._load.acked) > acked, f"ingest stands while the exporter {what}"


def through_outages(
    folder: Path, *, phase_s: float, rate: float, processes: int, retry_wait_max_s: float
) -> dict[str, Any]:
    port = free_port()
    plan = Plan(6, PLANTED_EVERY)
    changes = {"exporters": {"otlp": {"timeout_s": 1.0, "retry_wait_max_s": retry_wait_max_s}}}
    with (
        serving(folder, processes=processes, exporter=f"127.0.0.1:{port}", changes=changes) as server,
        Load(server, plan, rate=rate, threads=2, traces=10) as load,
    ):
        outage = Outage(server, load, phase_s)
        outage.last("is refused a connection")
        resetting = Resetting(port)
        outage.last("is cut off")
        resetting.close()
        assert resetting.count >= 1
        with GrpcSink(port) as sink:
            sink.always(Reply("RESOURCE_EXHAUSTED", 0.5))
            outage.last("is asked to wait")
            sink.always(None)
            for _ in range(3):
                sink.plan(*[Reply.down()] * 7, *[Reply()] * 3)
            sink.wait_for(len(sink.requests) + 10, 300)  # the breaker rests in between
            sink.plan(*[Reply.down()] * 20)  # what is left of the backlog waits for what comes now
            sink.always(Reply(hang=True))
            outage.last("is left hanging")
            backlog = server.metrics()["exporter_queue_size"]
            # Calls that hang stay so; the destination is well for every later one.
            sink._plan.clear()
            sink.always(None)
            began = time.monotonic()
            load.stop()
            server.until(
                lambda: (
                    (now := server.metrics())["exporter_queue_size"] == 0
                    and now["assembly_open_traces"] == 0
                    and now["store_queued_batches"] == 0
                ),
                "the backlog to drain",
                120,
            )
            drained_s = time.monotonic() - began
            metrics = conserve(server, load)
            planted = {plan.trace_id(number) for number in load.acked if plan.fault(number)}
            took = delivered(sink)
            assert metrics["exporter_dead_letter_items"] == metrics["outbox_dropped_messages"] == 0
            assert planted <= took[Signal.TRACES]
            assert planted <= took[Signal.LOGS]
            assert metrics["analyzer_untold_traces"] == 0
            assert not load.refusals
            found = {
                "findings": len(planted),
                "in_brief": metrics["analyzer_brief_traces"],
                "acked": len(load.acked),
                "backlog": backlog,
                "drained_s": round(drained_s, 1),
                "failed_tries": metrics["exporter_send_failed_messages"],
            }
            print(found)
            assert verify(server, plan, load.acked, load.next_number) == Verdict()
    return found


def test_outages_lose_no_finding(tmp_path: Path):
    """Refused, reset, asked to wait, 70 % UNAVAILABLE, hung; then all of it arrives, and ingest never noticed."""
    found = through_outages(tmp_path, phase_s=1.0, rate=600, processes=1, retry_wait_max_s=0.5)

    assert found["findings"] >= 10


@pytest.mark.deep
@pytest.mark.timeout(1800)  # thousands of briefs are asked for in the end, and explained then
def test_five_minutes_of_outage_are_drained_in_one(tmp_path: Path):
    found = through_outages(tmp_path, phase_s=75.0, rate=2_000, processes=2, retry_wait_max_s=15.0)

    assert found["drained_s"] <= 60


@pytest.mark.parametrize(
    "reply",
    [Reply.permanent(), Reply.partial(1), Reply(body=b"x" * ANSWER_BYTES)],
    ids=["permanent", "partial_success", "huge_answer"],
)
def test_what_is_refused_for_good_is_a_dead_letter(refusing: tuple[Server, GrpcSink, Plan], reply: Reply):
    """Counted, kept, not sent again; the exporter goes on with the next."""
    server, sink, plan = refusing
    before = server.metrics()
    number = int(before["analyzer_analysed_traces"]) * plan._every
    payload, _ = plan.request([number])
    sink.always(reply)
    server.send(payload)

    def dead() -> bool:
        now = server.metrics()
        return now["exporter_dead_letter_items"] - before["exporter_dead_letter_items"] == 2

    server.until(dead, "two dead letters")
    sink.always(None)
    metrics = conserve(server)
    assert metrics["exporter_sent_messages"] == before["exporter_sent_messages"]
    assert verify(server, plan, [number]) == Verdict()


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    with GrpcSink() as sink, serving(tmp_path_factory.mktemp("refusing"), exporter=sink.endpoint) as server:
        yield server, sink, Plan(61, 1)
        assert server.stop() == 0, server.said()
