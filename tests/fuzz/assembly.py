"""Spans on their way: decoded, assembled, released, analysed, explained.

The bytes are a script: send a few spans of a few traces, let time pass, take what is due, let go of it, look. Ids, parents
and times come from small pools, so that circles, duplicates and re-openings come about. Oracle: every span is accounted for,
no trace is mixed, every answer is whole and has finite numbers.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from analyzer.engine import Analyzer
from collector.assembly import Assembler, AssemblyConfig
from collector.contracts import Released, Signal
from collector.errors import OverloadedError
from collector.offline import new_analyzer
from collector.wire.decode import Decoder
from collector.wire.detail import read_detail
from collector.wire.encode import encode_logs, encode_traces
from tests.collector.assembly.support import in_words
from tests.collector.wire.facts import small_vocabulary
from tests.fuzz.target import Target

START_NS = 1_780_000_000_000_000_000
MS = 1_000_000
TIMES = (0, 1, 2**63 - 1, 2**63, 2**64 - 1, START_NS - 86_400_000 * MS)
WAITS_MS = (0, 1, 50, 250, 1_000, 2_500, 6_000, 70_000, 700_000, -5_000)
NAMES = ("GET /", "send orders", "SELECT", "", "GET /")
SERVICES = ("web", "cart", "bank", "")
KINDS = (1, 2, 3, 4, 5, 3, 2, 77)
ATTRIBUTES: tuple[tuple[str, str | int], ...] = (
    ("http.response.status_code", 503), ("http.response.status_code", 404), ("rpc.grpc.status_code", 4),
    ("error.type", "TimeoutError"), ("peer.service", "bank"), ("server.address", "10.0.0.1"), ("db.system.name", "redis"),
    ("messaging.system", "kafka"), ("http.request.resend_count", 2), ("db.query.text", "SELECT 1"), ("host.name", "h"),
)  # fmt: skip
EXCEPTIONS = ("TimeoutError", "Boom", "java.lang.NullPointerException", "")
STACK = "a.Outer: 0\n\tat a.B.c(D.java:1)\nCaused by: a.E\n\t... 1 more\n"
ACTIONS_MAX = 48
CONFIG = AssemblyConfig(
    arena_bytes=256 << 10, segment_bytes=16 << 10, open_traces_max=64, closed_traces_max=16, trace_spans_max=24,
    trace_bytes_max=16 << 10, late_window_ms=60_000, late_keep_ms=3_000, release_spans_max=32, root_observations_min=2,
)  # fmt: skip


class Script:
    """Bytes as choices; when they are used up every choice is the first."""

    def __init__(self, data: bytes) -> None:
        self._bytes: Iterator[int] = iter(data)
        self.left = len(data)

    def below(self, count: int) -> int:
        self.left -= 1
        return next(self._bytes, 0) % count

    def one_of(self, items: Sequence[Any]) -> Any:
        return items[self.below(len(items))]


class Play:
    """One assembler and one analyzer under a script."""

    def __init__(self, data: bytes) -> None:
        self.script = Script(data)
        self.decoder = Decoder(small_vocabulary())
        self.assembler = Assembler(CONFIG, self.decoder, self.decoder.vocabulary, read_detail, seed=1)
        self.analyzer: Analyzer = new_analyzer()
        self.now_ms = 10_000
        self.out: list[Released] = []

    def run(self) -> None:
        actions = (self.send, self.send, self.send, self.send_logs, self.wait, self.take, self.let_go, self.look)
        for _ in range(ACTIONS_MAX):
            if self.script.left <= 0:
                break
            actions[self.script.below(len(actions))]()
            assert self.assembler.counts().balanced
        while (released := self.assembler.flush(8)) is not None:
            self.judge(released)
            self.assembler.done(released)
        for released in self.out:
            self.assembler.done(released)
        counts = self.assembler.counts()
        assert counts.balanced
        assert counts.open_spans == 0

    def send(self) -> None:
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        if name := self.script.one_of(SERVICES):
            group.resource.attributes.add(key="service.name").value.string_value = name
        spans = group.scope_spans.add().spans
        for _ in range(1 + self.script.below(6)):
            self.span(spans.add())
        self.ingest(request.SerializeToString(), Signal.TRACES)

    def span(self, span: Span) -> None:
        pick = self.script
        span.trace_id, span.span_id = self.trace_id(), bytes(7) + bytes([1 + pick.below(9)])
        parent = pick.below(12)
        span.parent_span_id = b"" if parent == 0 else b"\1" if parent == 11 else bytes(7) + bytes([parent])
        start, length, odd = pick.below(256), pick.below(256), pick.below(256)
        span.start_time_unix_nano = START_NS + start * MS
        span.end_time_unix_nano = START_NS + (start + length - (odd == 1) * 200) * MS
        if odd & 7 == 7:
            span.start_time_unix_nano = pick.one_of(TIMES)
        if odd & 56 == 56:
            span.end_time_unix_nano = pick.one_of(TIMES)
        span.name, span.kind = pick.one_of(NAMES), pick.one_of(KINDS)
        span.status.code = pick.one_of((0, 0, 1, 2, 2, 9))
        for _ in range(pick.below(3)):
            key, value = pick.one_of(ATTRIBUTES)
            slot = span.attributes.add(key=key).value
            if isinstance(value, int):
                slot.int_value = value
            else:
                slot.string_value = value
        if pick.below(4) == 3:
            event = span.events.add(name="exception", time_unix_nano=span.end_time_unix_nano)
            event.attributes.add(key="exception.type").value.string_value = pick.one_of(EXCEPTIONS)
            event.attributes.add(key="exception.stacktrace").value.string_value = STACK
        span.trace_state = "ot=th:8" if odd == 3 else ""

    def trace_id(self) -> bytes:
        return bytes(15) + bytes([1 + self.script.one_of((0, 0, 0, 1, 2, self.script.below(200)))])

    def send_logs(self) -> None:
        request = ExportLogsServiceRequest()
        records = request.resource_logs.add().scope_logs.add().log_records
        for _ in range(1 + self.script.below(2)):
            record = records.add(trace_id=self.trace_id(), span_id=bytes(7) + bytes([self.script.below(10)]))
            record.severity_number, record.body.string_value = self.script.below(25), "it went wrong"
        self.ingest(request.SerializeToString(), Signal.LOGS)

    def ingest(self, payload: bytes, signal: Signal) -> None:
        with suppress(OverloadedError):
            self.assembler.ingest(payload, signal, self.now_ms)

    def wait(self) -> None:
        self.now_ms = max(0, self.now_ms + self.script.one_of(WAITS_MS))

    def take(self) -> None:
        released = self.assembler.due(self.now_ms, 1 + self.script.below(8))
        if released is not None:
            self.judge(released)
            self.out.append(released)

    def let_go(self) -> None:
        if self.out:
            self.assembler.done(self.out.pop(self.script.below(len(self.out))))

    def look(self) -> None:
        self.assembler.peek(self.trace_id(), self.now_ms)

    def judge(self, released: Released) -> None:
        """Analyse and explain all of it, as the engine does."""
        traces = released.traces
        in_words(traces)
        verdicts = self.analyzer.analyse(traces)
        for index in range(traces.trace_count):
            answer = self.analyzer.explain(verdicts, index)
            assert answer.completeness is not None
            assert answer.completeness.span_count <= int(traces.trace_ptr[index + 1] - traces.trace_ptr[index])
            assert _finite(answer.model_dump())
            assert answer.summary.isprintable()
            ExportTraceServiceRequest.FromString(encode_traces(traces, index))
            ExportLogsServiceRequest.FromString(encode_logs(traces, index))
        self.analyzer.learn(verdicts, START_NS)


def _finite(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_finite(item) for item in value.values())
    if isinstance(value, list | tuple):
        return all(_finite(item) for item in value)
    return not isinstance(value, float) or math.isfinite(value)


def check(data: bytes) -> None:
    Play(data).run()


def seeds() -> list[bytes]:
    return [random.Random(seed).randbytes(40 * (1 + seed % 8)) for seed in range(24)]


def change(data: bytes, others: Sequence[bytes], rng: random.Random) -> bytes:
    """Cut and join scripts, change a few choices."""
    other = rng.choice(list(others) or [data])
    work = bytearray(data[: rng.randint(0, len(data))] + other[rng.randint(0, len(other)) :])
    for _ in range(rng.choice((0, 1, 3))):
        if work:
            work[rng.randrange(len(work))] = rng.randrange(256)
    return bytes(work[:1500])


TARGET = Target("assembly", check, seeds, change)
