"""REST and gRPC answers, from a read-only store."""

from __future__ import annotations

from collections.abc import Callable

from analyzer.findings import Answer
from collector.app import warming
from collector.app.endpoints import host_port, is_loopback
from collector.clock import SystemClock
from collector.config import Config
from collector.contracts import Encoding, OpenTraces, Signal
from collector.offline import analyze_bytes, draw_bytes
from collector.pipeline import STATE_NAME
from collector.query.desk import Desk, QuerySettings
from collector.query.grpc import GrpcServer
from collector.query.rest import RestServer, create_app
from collector.store.sqlite import SqliteStore
from collector.telemetry import Snapshot, merge
from collector.wire.otlp_json import translate_json
from collector.wire.request_limits import RequestLimits


class QueryRoom:
    """REST and gRPC answers, from its own read-only store."""

    def __init__(self, config: Config, open_traces: OpenTraces, stats: Callable[[], Snapshot]) -> None:
        self._store = SqliteStore.open(config.storage.path, read_only=True)
        desk = Desk(
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
        self._grpc = GrpcServer(desk, host, port, reflect=is_loopback(config.query.grpc_endpoint))
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
