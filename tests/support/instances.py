"""Instances of firstfault that are peers of one another, on loopback: real doors over fake shelves.

with instances("a", "b", "c") as (a, b, c):
    b.keep(trace, spans=trace.spans[:2])
    assert a.root_cause()["answered_by"] == "b"
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import grpc
import httpx

from analyzer.findings import Answer
from collector.contracts import Found
from collector.offline import Explainer, draw_bytes
from collector.pb.firstfault.v1 import root_cause_pb2 as pb
from collector.pb.firstfault.v1.root_cause_pb2_grpc import RootCauseServiceStub
from collector.query.desk import Desk, QuerySettings
from collector.query.grpc import GrpcServer
from collector.query.peer_addresses import PeerAddresses
from collector.query.peer_calls import PeerCalls
from collector.query.peer_words import Identity
from collector.query.rest import RestServer, app_of
from collector.reporting import page_of_trace
from collector.trace_names import name_of, text_of
from collector.wire.stamp import stamp_tenant
from tests.support.drawing import Drawing, DrawnSpan
from tests.support.fakes.clock import ManualClock
from tests.support.fakes.store import FakeOpenTraces, FakeStore
from tests.support.running import free_port


@dataclass
class Instance:
    """One of them, and what the test may do to it."""

    name: str
    store: FakeStore
    open_traces: FakeOpenTraces
    calls: PeerCalls
    port: int
    grpc_port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def keep(
        self, trace: Drawing, spans: Sequence[DrawnSpan] | None = None, revision: int = 1, tenant: str = ""
    ) -> Answer:
        """Put some spans of a trace on the shelf, with the answer that they give by themselves."""
        part = replace(trace, spans=tuple(trace.spans if spans is None else spans))
        traces, logs = part.requests()
        if tenant:
            traces, logs = stamp_tenant(traces, tenant), stamp_tenant(logs, tenant)
        (answer,) = explain(traces, logs)
        answer = answer.model_copy(update={"revision": revision})
        self.store.found[name_of(trace.trace_id, tenant)] = Found("stored", answer, traces, logs or None)
        return answer

    def get(self, name: bytes, what: str = "root-cause", **headers: str) -> httpx.Response:
        url = f"http://{self.address}/api/v1/traces/{text_of(name)}/{what}"
        return httpx.get(url, headers={name.replace("_", "-"): text for name, text in headers.items()}, timeout=60)

    def root_cause(self, name: bytes) -> dict[str, Any]:
        response = self.get(name)
        assert response.status_code == 200, response.text
        found: dict[str, Any] = response.json()
        return found

    def call(self, name: bytes, **metadata: str) -> pb.GetResponse:
        """Get over gRPC."""
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            sent = [(key.replace("_", "-"), text) for key, text in metadata.items()]
            return RootCauseServiceStub(channel).Get(pb.GetRequest(trace_id=text_of(name)), timeout=60, metadata=sent)

    def counts(self, name: str) -> dict[str, float]:
        """Samples of a counter by its label."""
        return {key.partition("|")[2]: n for key, n in self.calls.snapshot().items() if key.startswith(f"{name}|")}


def explain(traces: bytes, logs: bytes | None = None) -> list[Answer]:
    """What a fresh analyzer says."""
    from collector.contracts import Signal

    payloads = [(traces, Signal.TRACES)] + ([(logs, Signal.LOGS)] if logs else [])
    return Explainer(lambda: None, ManualClock())(payloads)


@contextmanager
def instances(
    *names: str,
    others: Sequence[str] = (),
    settings: QuerySettings | None = None,
    timeout_s: float = 5.0,
    answer_timeout_s: float = 20.0,
    clock: ManualClock | None = None,
) -> Iterator[tuple[Instance, ...]]:
    """Start one of each name, all of them (themselves included, as a headless service has it) and `others` as peers.

    Times are long: nothing here may depend on how fast the machine is.
    """
    clock = clock or ManualClock()
    ports = {name: free_port() for name in names}
    endpoints = [*(f"127.0.0.1:{port}" for port in ports.values()), *others]
    with ExitStack() as running:
        made = []
        for name, port in ports.items():
            store, open_traces = FakeStore(), FakeOpenTraces()
            calls = PeerCalls(
                PeerAddresses(clock, endpoints=endpoints),
                Identity(name),
                timeout_s=timeout_s,
                answer_timeout_s=answer_timeout_s,
            )
            desk = Desk(
                store,
                open_traces,
                clock,
                settings or QuerySettings(poll_s=0.001, peers_poll_s=0.01),
                draw_trace=draw_bytes,
                report_trace=lambda *words: page_of_trace(*words[:3]).write(words[3]),
                identity=calls.identity,
                peers=calls,
                explain=Explainer(lambda: None, clock),
            )
            calls.start()
            running.callback(calls.stop)
            rest = RestServer(app_of(desk), "127.0.0.1", port)
            rest.start()
            running.callback(rest.stop, 1.0)
            door = GrpcServer(desk, "127.0.0.1", 0)
            grpc_port = door.start()
            running.callback(door.stop, 1.0)
            made.append(Instance(name, store, open_traces, calls, port, grpc_port))
        yield tuple(made)
