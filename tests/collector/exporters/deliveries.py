"""A delivery between a store and a sink, stepped by hand or running; and what came out of it."""

from __future__ import annotations

from collections import Counter

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from analyzer.finding_ids import finding_id
from collector.contracts import Signal
from collector.exporters.breaker import CircuitBreaker
from collector.exporters.delivery import Delivery, Tuning
from collector.exporters.findings import ExportSettings, finding_exports
from collector.exporters.otlp import connect
from collector.exporters.transport import OtlpSettings
from collector.store.sqlite import SqliteStore
from tests.support.answers import checkout, stored
from tests.support.fakes.clock import EPOCH_NS, ManualClock
from tests.support.fakes.otlp_sink import GrpcSink, HttpSink, Sink

TUNING = Tuning(quick_pause_s=0.0, poll_s=0.01, store_pause_s=0.01)


class Bench:
    """An exporter on the bench: stepped by hand, or running."""

    def __init__(
        self, store: SqliteStore, sink: GrpcSink | HttpSink, clock: ManualClock, timeout_s: float = 10.0
    ) -> None:
        protocol = "grpc" if isinstance(sink, GrpcSink) else "http"
        self.transport = connect(OtlpSettings(sink.endpoint, protocol, timeout_s=timeout_s))  # type: ignore[arg-type]
        self.breaker = CircuitBreaker(clock)
        self.exporter = Delivery(store, self.transport, clock, breaker=self.breaker, tuning=TUNING)

    def steps(self) -> None:
        """Step while there is something to do now."""
        while self.exporter.step() == 0.0:
            pass

    def counters(self) -> dict[str, int | str]:
        return self.exporter.counters()


def put(store: SqliteStore, first: int, count: int = 1) -> None:
    """Findings with what is told of them."""
    answers = [checkout(number) for number in range(first, first + count)]
    store.put(
        [
            stored(number, answer=answer, exports=tuple(finding_exports(answer, ExportSettings(), EPOCH_NS)))
            for number, answer in enumerate(answers, first)
        ]
    )


def findings(sink: Sink) -> Counter[str]:
    """How often each root-cause finding was taken, by its id in the log events."""
    found: Counter[str] = Counter()
    for request in sink.taken:
        if request.signal == Signal.LOGS:
            for resource_logs in ExportLogsServiceRequest.FromString(request.payload).resource_logs:
                first = resource_logs.scope_logs[0].log_records[0]
                found[next(p.value.string_value for p in first.attributes if p.key == "firstfault.finding.id")] += 1
    return found


def expected(first: int, count: int) -> Counter[str]:
    return Counter(
        finding_id("", checkout(number).trace_id, "error.origin.local", "0000000000000001")
        for number in range(first, first + count)
    )
