"""The only file that knows all rooms: builds them from the configuration, starts back to front, stops front to back.

    EngineRoom     store, outbox exporter, analyzer, assembler, the engine's thread
    ReceiverRoom   gate and doors
    QueryRoom      REST and gRPC answers

One process may hold all three (`--processes 1`), or one each (`collector.process`).
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from analyzer.engine import Analyzer
from analyzer.findings import Answer
from analyzer.strings import new_vocabulary
from collector import warming
from collector.admission import Gate
from collector.assembly.buffer import Assembler
from collector.assembly.release import AssemblyConfig
from collector.clock import SystemClock
from collector.config import Assembly, Config, OtlpExporterConfig
from collector.contracts import Encoding, Handover, OpenTraces, OutboxItem, Signal
from collector.exporters.findings import ExportSettings, finding_exports
from collector.exporters.otlp import OtlpExporter, connect
from collector.exporters.transport import OtlpSettings
from collector.offline import analyze_bytes, draw_bytes
from collector.pipeline import STATE_NAME, Desk, Pipeline
from collector.query.desk import Desk as QueryDesk
from collector.query.desk import QuerySettings
from collector.query.grpc import GrpcServer
from collector.query.rest import RestServer, create_app
from collector.receivers.cors import CorsSettings
from collector.receivers.otlp_grpc import GrpcReceiver, GrpcSettings
from collector.receivers.otlp_http import HttpReceiver, HttpSettings
from collector.samples import assembly_samples, exporter_samples, pipeline_samples, shelf_samples
from collector.shelf import ShelfWriter
from collector.store.sqlite import SqliteStore
from collector.telemetry import Snapshot, merge
from collector.wire.decode import Decoder
from collector.wire.detail import read_detail
from collector.wire.encode import encode_logs, encode_traces
from collector.wire.limits import prescan
from collector.wire.otlp_json import translate_json
from collector.wire.request_limits import RequestLimits

logger = logging.getLogger(__name__)

DESTINATION = "otlp"


class DirectSource:
    """`Handover` and `Source` in one process: a bounded queue between receiver threads and the engine's."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[tuple[bytes, Signal]] = queue.SimpleQueue()
        self._ready = threading.Event()
        self._head: tuple[bytes, Signal] | None = None

    def offer(self, payload: bytes, signal: Signal) -> bool:
        with self._lock:
            if self._bytes and self._bytes + len(payload) > self._bytes_max:
                return False
            self._bytes += len(payload)
        self._queue.put((payload, signal))
        self._ready.set()
        return True

    def wait(self, timeout_s: float) -> None:
        if self._head is None and self._queue.empty():
            self._ready.wait(timeout_s)
        self._ready.clear()

    def take(self) -> tuple[bytes, Signal] | None:
        if self._head is None:
            try:
                self._head = self._queue.get_nowait()
            except queue.Empty:
                return None
        return self._head

    def release(self) -> None:
        assert self._head is not None
        with self._lock:
            self._bytes -= len(self._head[0])
        self._head = None

    def snapshot(self) -> Snapshot:
        return {"ring_used_bytes": self._bytes, "ring_capacity_bytes": self._bytes_max}


class EngineRoom:
    """Everything behind the source. `start` and `stop` by the owner; `ask` from any thread."""

    def __init__(self, config: Config, source: DirectSource | object) -> None:
        clock = SystemClock()
        self._config = config
        self._store = SqliteStore.open(
            config.storage.path,
            clock=clock,
            retention_hours=config.storage.retention_hours,
            bytes_max=config.storage.bytes_max,
        )
        self._exporter = _exporter(config.exporters.otlp, self._store, clock)
        wake = self._exporter.wake if self._exporter is not None else _nothing
        self._shelf = ShelfWriter(self._store, clock, wake)
        self._analyzer = Analyzer(config.analysis)
        vocabulary = new_vocabulary()
        self._assembler = Assembler(assembly_config(config.assembly), Decoder(vocabulary), vocabulary, read_detail)
        self._pipeline = Pipeline(
            Desk(
                source=source,  # type: ignore[arg-type]
                assembler=self._assembler,
                analyzer=self._analyzer,
                shelf=self._shelf,
                clock=clock,
                encode_traces=encode_traces,
                encode_logs=encode_logs,
                exports=_exports(config.exporters.otlp),
                clean_traces_per_second=config.storage.clean_traces_per_second,
            )
        )
        self._ready = False

    def start(self) -> None:
        warming.warm()
        state = self._store.load_state(STATE_NAME)
        try:
            self._analyzer.load(state or b"")
        except ValueError as error:
            logger.warning("what was learned before cannot be used and is left alone: %s", error)
        self._shelf.start()
        if self._exporter is not None:
            self._exporter.start()
        self._pipeline.start()
        self._ready = True

    def stop(self, timeout_s: float) -> bool:
        """Decide what is open, write it, send what can be sent in time."""
        self._ready = False
        clean = self._pipeline.stop(timeout_s * 0.6)
        clean = self._shelf.stop(timeout_s * 0.2) and clean
        if self._exporter is not None:
            self._exporter.stop(timeout_s * 0.2)
        self._store.close()
        return clean

    @property
    def open_traces(self) -> OpenTraces:
        return self._pipeline

    def not_ready(self) -> str:
        return "" if self._ready else "starting or stopping"

    def stuck(self) -> str:
        return "" if self._pipeline.alive or not self._ready else "the engine's thread has ended"

    def snapshot(self) -> Snapshot:
        parts = [
            assembly_samples(self._assembler.counts()),
            pipeline_samples(self._pipeline.counts),
            shelf_samples(self._shelf, self._store.counters()),
        ]
        if self._exporter is not None:
            parts.append(exporter_samples(DESTINATION, self._exporter.counters()))
        return merge(parts)


class ReceiverRoom:
    """Gate and doors of one process."""

    def __init__(self, config: Config, handover: Handover, *, shared_port: bool) -> None:
        budget = config.receivers.otlp.budget
        grpc, http = config.receivers.otlp.protocols.grpc, config.receivers.otlp.protocols.http
        self._gate = Gate(
            handover,
            prescan=prescan,
            translate_json=translate_json,
            limits=RequestLimits(
                bytes_max=max(grpc.message_bytes_max, http.message_bytes_max),
                spans_max=budget.spans_max,
                messages_max=budget.messages_max,
                resources_max=budget.resources_max,
                depth_max=budget.depth_max,
            ),
        )
        self._grpc: GrpcReceiver | None = None
        self._http: HttpReceiver | None = None
        if grpc.enabled:
            settings = GrpcSettings(
                message_bytes_max=grpc.message_bytes_max,
                workers=grpc.workers,
                concurrent_streams_max=grpc.concurrent_streams_max,
                reuse_port=shared_port,
                reflection=_is_loopback(grpc.endpoint) if grpc.reflection is None else grpc.reflection,
            )
            self._grpc = GrpcReceiver(self._gate, grpc.endpoint, settings)
        if http.enabled:
            host, port = host_port(http.endpoint)
            cors = CorsSettings(
                allowed_origins=tuple(http.cors.allowed_origins),
                allowed_headers=tuple(http.cors.allowed_headers),
                max_age_s=http.cors.max_age_s,
            )
            self._http = HttpReceiver(
                self._gate,
                host,
                port,
                HttpSettings(
                    message_bytes_max=http.message_bytes_max,
                    body_timeout_s=http.body_timeout_s,
                    cors=cors,
                    reuse_port=shared_port,
                ),
            )
        self.ports: dict[str, int] = {}

    def start(self) -> None:
        warming.warm_receiver()
        if self._grpc is not None:
            self.ports["otlp_grpc"] = self._grpc.start()
        if self._http is not None:
            self.ports["otlp_http"] = self._http.start()
        self._gate.open()
        if self._grpc is not None:
            self._grpc.set_serving(True)

    def stop(self, timeout_s: float) -> None:
        """Say so, refuse what comes, let running calls end."""
        if self._grpc is not None:
            self._grpc.set_serving(False)
        self._gate.drain()
        stops = [door.stop for door in (self._grpc, self._http) if door is not None]
        threads = [threading.Thread(target=stop, args=(timeout_s,), daemon=True) for stop in stops]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout_s + 1.0)

    def not_ready(self) -> str:
        return "" if self._gate.is_open else "starting or draining"

    def snapshot(self) -> Snapshot:
        doors = [door.snapshot() for door in (self._grpc, self._http) if door is not None]
        return merge([self._gate.snapshot(), *doors])


class QueryRoom:
    """REST and gRPC answers, from its own read-only store."""

    def __init__(self, config: Config, open_traces: OpenTraces, stats: Callable[[], Snapshot]) -> None:
        self._store = SqliteStore.open(config.storage.path, read_only=True)
        desk = QueryDesk(
            store=self._store,
            open_traces=open_traces,
            clock=SystemClock(),
            settings=QuerySettings(wait_max_s=config.query.wait_max_s),
            analyze=self._analyze,
            draw_trace=draw_bytes,
            stats=stats,
        )
        app = create_app(
            desk.store,
            desk.open_traces,
            desk.settings,
            desk.analyze,
            draw_trace=desk.draw_trace,
            stats=desk.stats,
            clock=desk.clock,
        )
        self._rest = RestServer(app, *host_port(config.query.endpoint))
        host, port = host_port(config.query.grpc_endpoint)
        self._grpc = GrpcServer(desk, host, port, reflect=_is_loopback(config.query.grpc_endpoint))
        self.ports: dict[str, int] = {}
        self._ready = False

    def _analyze(self, payload: bytes, signal: Signal, encoding: Encoding) -> list[Answer]:
        if encoding is Encoding.JSON:
            payload = translate_json(payload, signal, RequestLimits())
        return analyze_bytes(self._store.load_state(STATE_NAME), [(payload, signal)])

    def start(self) -> None:
        warming.warm()
        self.ports["rest"] = self._rest.start()
        self.ports["grpc"] = self._grpc.start()
        self._ready = True

    def stop(self, timeout_s: float) -> None:
        self._ready = False
        self._rest.stop(timeout_s / 2)
        self._grpc.stop(timeout_s / 2)
        self._store.close()

    def not_ready(self) -> str:
        return "" if self._ready else "starting or stopping"

    def snapshot(self) -> Snapshot:
        return merge([self._rest.snapshot(), self._grpc.snapshot()])


def host_port(endpoint: str) -> tuple[str, int]:
    """Split "host:port"; the configuration has checked it."""
    host, _, port = endpoint.rpartition(":")
    return host, int(port)


def _is_loopback(endpoint: str) -> bool:
    host = host_port(endpoint)[0].strip("[]")
    return host in ("localhost", "::1") or host.startswith("127.")


def assembly_config(section: Assembly) -> AssemblyConfig:
    """Turn the section of the configuration into what assembly takes: milliseconds, shares of the memory."""
    return AssemblyConfig(
        idle_ms=_ms(section.idle_s),
        root_idle_ms=_ms(section.root_idle_s),
        root_idle_min_ms=_ms(section.root_idle_min_s),
        root_idle_max_ms=_ms(section.root_idle_max_s),
        age_max_ms=_ms(section.age_max_s),
        trace_spans_max=section.trace_spans_max,
        trace_bytes_max=section.trace_bytes_max,
        open_traces_max=section.open_traces_max,
        arena_bytes=section.memory_bytes_max,
        late_window_ms=max(1, _ms(section.late_window_s)),
    )


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _exporter(section: OtlpExporterConfig | None, store: SqliteStore, clock: SystemClock) -> OtlpExporter | None:
    if section is None:
        return None
    settings = OtlpSettings(
        endpoint=section.endpoint,
        protocol=section.protocol,
        insecure=section.insecure,
        headers={key: value.get_secret_value() for key, value in section.headers.items()},
        compression=section.compression,
        timeout_s=section.timeout_s,
    )
    return OtlpExporter(store, connect(settings), clock, destination=DESTINATION)


def _exports(section: OtlpExporterConfig | None) -> Callable[..., list[OutboxItem]]:
    if section is None:
        return lambda answer, now_ns: []
    settings = ExportSettings(
        destination=DESTINATION,
        prefix=section.attribute_prefix,
        annotation_spans=section.annotation_spans,
        log_events=section.log_events,
    )
    return lambda answer, now_ns: finding_exports(answer, settings, now_ns)


def _nothing() -> None:
    """No exporter to wake."""
