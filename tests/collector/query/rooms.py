"""A query room over fakes, and who asks it without a socket."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from fastapi import FastAPI

from analyzer.findings import Answer
from analyzer.service_graph import Graph, trace_graph
from collector.contracts import Encoding, Found, Signal
from collector.errors import BadRequestError
from collector.query.desk import QuerySettings
from collector.query.rest import create_app
from collector.reporting import page_of_group, page_of_incident, page_of_trace
from tests.collector.query.answers import TRACE, small
from tests.support.drawing import Drawing, batch, draw
from tests.support.fakes.clock import ManualClock
from tests.support.fakes.store import FakeChangeLog, FakeNoteLog, FakeOpenTraces, FakeRunbookLog, FakeStore
from tests.support.measured import measure

SETTINGS = QuerySettings(poll_s=0.001, body_bytes_max=4_096, page_bytes_max=50_000)
PATH = f"/api/v1/traces/{TRACE.hex()}/root-cause"
CHECKOUT = draw(
    """
    gateway   GET /checkout            0..100  ERROR
      gateway   CLIENT payment.Charge    45..95  ERROR  peer.service=payment
        payment   Charge                   50..90  ERROR  !CardError: "declined by bank"
    """,
    trace_id=TRACE,
)


class Client:
    """Asks an application without a socket; one event loop a question."""

    def __init__(self, app: FastAPI) -> None:
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False)

    def request(self, method: str, path: str, **words: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://firstfault") as client:
                return await client.request(method, path, **words)

        return asyncio.run(ask())

    def get(self, path: str, **words: Any) -> httpx.Response:
        return self.request("GET", path, **words)

    def post(self, path: str, **words: Any) -> httpx.Response:
        return self.request("POST", path, **words)

    def put(self, path: str, **words: Any) -> httpx.Response:
        return self.request("PUT", path, **words)

    def delete(self, path: str, **words: Any) -> httpx.Response:
        return self.request("DELETE", path, **words)


class Room:
    """A query room over fakes."""

    def __init__(self, settings: QuerySettings = SETTINGS) -> None:
        self.store, self.open_traces = FakeStore(), FakeOpenTraces()
        self.analysed: list[tuple[bytes, Signal, Encoding]] = []
        self.drawing = CHECKOUT
        self.app = create_app(
            self.store,
            self.open_traces,
            settings,
            self.analyze,
            draw_trace=self.draw_trace,
            report_trace=lambda *words: page_of_trace(*words[:3]).write(words[3]),
            report_group=lambda found, format: page_of_group(found, lambda _: None).write(format),
            report_incident=lambda found, format: page_of_incident(found, lambda _: None).write(format),
            stats=lambda: {"query_requests|rest|ok": 1.0},
            clock=ManualClock(),
            changes=FakeChangeLog(),
            runbooks=FakeRunbookLog(),
            notes=FakeNoteLog(),
        )
        self.client = Client(self.app)

    def analyze(self, payload: bytes, signal: Signal, encoding: Encoding) -> list[Answer]:
        self.analysed.append((payload, signal, encoding))
        if payload == b"broken":
            raise BadRequestError("byte 0 is not a field of ExportTraceServiceRequest; send OTLP protobuf")
        return [small()]

    def draw_trace(self, traces: bytes, logs: bytes | None, answer: Answer | None) -> Graph:
        assert traces == self.drawing.requests()[0]
        return trace_graph(measure(batch(self.drawing)), 0, answer)

    def keep(self, answer: Answer, drawing: Drawing | None = None) -> None:
        traces = drawing.requests()[0] if drawing else None
        self.store.found[bytes.fromhex(answer.trace_id)] = Found("stored", answer, traces)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def problem(response: httpx.Response, status: int, word: str) -> dict[str, Any]:
    """Every error has the same shape and says what was found, expected and to do."""
    body = response.json()
    assert (response.status_code, body["status"], body["type"]) == (status, status, f"urn:firstfault:problem:{word}")
    assert response.headers["content-type"] == "application/problem+json"
    assert all(body[name] for name in ("title", "detail", "instance", "do"))
    assert body["correlation_id"] == response.headers["x-correlation-id"]
    return body
