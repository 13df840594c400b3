"""One trace of realistic load: a walk through the system.

A SERVER span per call, CLIENT spans towards the next service, database and cache spans at the leaves, about
12 attributes a span with semantic-convention names. Somewhere in a walk that fails a call throws, with an exception
event and a stack trace, and the error travels up. `Fault` plants such a failure where the test wants it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.support.load_system import Service

_AGENTS = (
    "okhttp/5.1.0",
    "Go-http-client/2.0",
    "python-httpx/0.28.1",
    "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101",
)
_FAILURES = (
    ("java.net.SocketTimeoutException", "Read timed out after 2500 ms"),
    ("psycopg.OperationalError", "connection to server failed: Connection refused"),
    ("io.grpc.StatusRuntimeException", "RESOURCE_EXHAUSTED: quota used up"),
    ("ValueError", "the basket holds no position"),
    ("NullPointerException", 'Cannot read field "price" because "position" is null'),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """Calls of one service fail, with what it throws."""

    service: str
    probability: float = 1.0
    exception_type: str = "java.net.SocketTimeoutException"
    message: str = "Read timed out after 2500 ms"


class Call(NamedTuple):
    """A span and where it was written."""

    service: Service
    instance: int
    span: Span


class Walk:
    """Draws the spans of one trace."""

    def __init__(self, rng: random.Random, faults: Sequence[Fault], fails: bool) -> None:
        self.rng = rng
        self.faults = {fault.service: fault for fault in faults}
        self.fails = fails
        self.trace_id = rng.getrandbits(128).to_bytes(16, "big")
        self.calls: list[Call] = []
        self.budget = max(2, int(rng.lognormvariate(3.5, 0.6)))

    def serve(self, service: Service, parent: bytes, start_ns: int) -> tuple[int, bool]:
        """One call of a service and all below it -> (end, failed)."""
        rng = self.rng
        method, route = rng.choice(service.routes)
        instance = rng.randrange(len(service.instances))
        span = self._span(service, instance, f"{method} {route}", Span.SPAN_KIND_SERVER, parent, start_ns)
        now = start_ns + int(rng.lognormvariate(14.0, 0.6))
        failed = False
        for _ in range(rng.randint(0, 2)):
            now, broken = self._leaf(service, instance, span.span_id, now)
            failed |= broken
        callees = service.callees if rng.random() < 0.9 else []
        for callee in rng.sample(callees, min(len(callees), rng.randint(1, 3))):
            if len(self.calls) >= self.budget:
                break
            now, broken = self._call(service, instance, callee, span.span_id, now, method)
            failed |= broken and rng.random() < 0.9
        fault = self.faults.get(service.name)
        if fault and rng.random() < fault.probability:
            self._throw(span, now, fault.exception_type, fault.message, service.stack)
            failed = True
        elif self.fails and not failed and rng.random() < 0.08:
            self._throw(span, now, *rng.choice(_FAILURES), service.stack)
            failed = True
        span.end_time_unix_nano = now + int(rng.lognormvariate(13.0, 0.5))
        _put(
            span,
            ("http.request.method", method),
            ("http.route", route),
            ("url.path", route.replace("{id}", str(rng.getrandbits(28)))),
            ("url.scheme", "http"),
            ("server.address", service.name),
            ("server.port", 8080),
            ("http.response.status_code", 500 if failed else 200),
            ("network.protocol.version", "1.1"),
            ("user_agent.original", rng.choice(_AGENTS)),
            ("client.address", f"10.7.{rng.randint(0, 255)}.{rng.randint(0, 255)}"),
            ("thread.id", rng.randint(1, 250)),
            ("shop.tenant", f"tenant-{rng.randint(1, 400)}"),
        )
        if failed:
            span.status.code = Status.STATUS_CODE_ERROR
        return span.end_time_unix_nano, failed

    def _call(
        self, service: Service, instance: int, callee: Service, parent: bytes, start_ns: int, method: str
    ) -> tuple[int, bool]:
        rng = self.rng
        span = self._span(service, instance, method, Span.SPAN_KIND_CLIENT, parent, start_ns)
        network_ns = rng.randint(60_000, 500_000)
        end_ns, failed = self.serve(callee, span.span_id, start_ns + network_ns)
        span.end_time_unix_nano = end_ns + network_ns
        _put(
            span,
            ("http.request.method", method),
            ("url.full", f"http://{callee.name}:8080/v1/{callee.table}/{rng.getrandbits(30)}"),
            ("server.address", callee.name),
            ("server.port", 8080),
            ("http.response.status_code", 500 if failed else 200),
            ("network.protocol.version", "1.1"),
            ("network.peer.address", f"10.8.{rng.randint(0, 255)}.7"),
            ("network.peer.port", 8080),
            ("thread.id", rng.randint(1, 250)),
            ("thread.name", f"http-worker-{rng.randint(1, 64)}"),
            ("service.peer.name", callee.name),
        )
        if failed:
            span.status.code = Status.STATUS_CODE_ERROR
            _put(span, ("error.type", "500"))
        return span.end_time_unix_nano, failed

    def _leaf(self, service: Service, instance: int, parent: bytes, start_ns: int) -> tuple[int, bool]:
        rng = self.rng
        failed = False
        if rng.random() < 0.75:
            verb = rng.choice(("SELECT", "SELECT", "INSERT", "UPDATE"))
            span = self._span(service, instance, f"{verb} {service.table}", Span.SPAN_KIND_CLIENT, parent, start_ns)
            _put(
                span,
                ("db.system.name", "postgresql"),
                ("db.namespace", service.name),
                ("db.operation.name", verb),
                ("db.collection.name", service.table),
                ("db.query.text", f"{verb} * FROM {service.table} WHERE id = $1 AND tenant = $2 ORDER BY id LIMIT 50"),
                ("server.address", f"pg-{service.layer}.data.svc.cluster.local"),
                ("server.port", 5432),
                ("network.peer.address", f"10.9.{service.layer}.5"),
                ("network.peer.port", 5432),
                ("thread.id", rng.randint(1, 250)),
                ("db.response.returned_rows", rng.randint(0, 50)),
            )
            failed = self.fails and rng.random() < 0.05
        else:
            span = self._span(service, instance, "cache lookup", Span.SPAN_KIND_INTERNAL, parent, start_ns)
            _put(
                span,
                ("cache.key", f"{service.table}:{rng.getrandbits(44):x}"),
                ("cache.hit", rng.random() < 0.8),
                ("cache.ttl", 12.5),
                ("thread.id", rng.randint(1, 250)),
                ("thread.name", f"pool-{rng.randint(1, 9)}-thread-{rng.randint(1, 32)}"),
                ("code.function.name", f"shop.{service.table}.Cache.lookup"),
                ("code.file.path", "/app/src/cache.py"),
                ("code.line.number", rng.randint(1, 900)),
            )
        span.end_time_unix_nano = start_ns + int(rng.lognormvariate(13.5, 0.7))
        if failed:
            span.status.code = Status.STATUS_CODE_ERROR
            span.status.message = "the query failed"
            kind, message = rng.choice(_FAILURES)
            self._throw(span, span.end_time_unix_nano, kind, message, service.stack)
        return span.end_time_unix_nano, failed

    def _span(self, service: Service, instance: int, name: str, kind: int, parent: bytes, start_ns: int) -> Span:
        span = Span(
            trace_id=self.trace_id,
            span_id=(self.rng.getrandbits(64) | 1).to_bytes(8, "big"),
            parent_span_id=parent,
            name=name,
            kind=kind,  # type: ignore[arg-type]
            start_time_unix_nano=start_ns,
            flags=0x101,
        )
        self.calls.append(Call(service, instance, span))
        return span

    def _throw(self, span: Span, time_ns: int, kind: str, message: str, stack: str) -> None:
        event = span.events.add(name="exception", time_unix_nano=time_ns)
        _put(
            event,
            ("exception.type", kind),
            ("exception.message", message),
            ("exception.stacktrace", f"{kind}: {message}\n{stack}"),
            ("exception.escaped", True),
        )
        _put(span, ("error.type", kind))


def _put(holder: Span | Span.Event, *pairs: tuple[str, str | bool | int | float]) -> None:
    for key, value in pairs:
        holder.attributes.append(attribute(key, value))


def attribute(key: str, value: str | bool | int | float) -> KeyValue:
    pair = KeyValue(key=key)
    kinds = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}
    setattr(pair.value, kinds[type(value)], value)
    return pair
