"""The plain way to do the same work: protobuf objects, a Python object per span, a networkx graph per trace.

What a capable engineer writes first. It receives over the same grpcio, assembles traces in dicts, and
analyses each with a `DiGraph`: parents, what failed, own time, critical path, the deepest error, sums per
operation and per edge, a running log-normal score. Every benchmark runs it beside the product, on the same
data, in the same run. Also `python -m tests.benchmarks.reference PORT`: the reference as a server.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import defaultdict
from concurrent import futures
from dataclasses import dataclass, field
from typing import Any

import grpc
import networkx as nx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

QUIET_S = 1.0


@dataclass
class Span:
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    name: str
    service: str
    kind: int
    start_ns: int
    end_ns: int
    status: int
    attributes: dict[str, Any]
    exceptions: list[dict[str, Any]] = field(default_factory=list)


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None


def parse(payload: bytes) -> list[Span]:
    """Every span of a request as an object."""
    spans = []
    request = ExportTraceServiceRequest.FromString(payload)
    for resource_spans in request.resource_spans:
        resource = {pair.key: _value(pair.value) for pair in resource_spans.resource.attributes}
        service = str(resource.get("service.name", ""))
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                spans.append(
                    Span(
                        span.trace_id,
                        span.span_id,
                        span.parent_span_id,
                        span.name,
                        service,
                        span.kind,
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                        span.status.code,
                        {pair.key: _value(pair.value) for pair in span.attributes},
                        [
                            {pair.key: _value(pair.value) for pair in event.attributes}
                            for event in span.events
                            if event.name == "exception"
                        ],
                    )
                )
    return spans


def failed(span: Span) -> bool:
    http = span.attributes.get("http.response.status_code") or 0
    return (
        span.status == 2
        or (span.status != 1 and span.kind == 2 and http >= 500)
        or (span.status != 1 and span.kind == 3 and http >= 400)
    )


@dataclass
class Verdict:
    """What is compared with the product: it must be the same."""

    span_count: int
    failed_count: int
    own_ns: dict[bytes, int]
    critical_ns: dict[bytes, int]
    deepest_error: bytes | None
    score: float


class Analysis:
    """One DiGraph a trace; sums kept in dicts. `scores`: also the running log-normal score of every operation."""

    def __init__(self, scores: bool = True) -> None:
        self.scores = scores
        self.operations: dict[tuple[str, str, int], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        self.durations: dict[tuple[str, str, int], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        self.edges: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])

    def analyse(self, spans: list[Span]) -> Verdict:
        graph: nx.DiGraph[bytes] = nx.DiGraph()
        for span in spans:
            graph.add_node(span.span_id, span=span)
        for span in spans:
            if span.parent_id and span.parent_id in graph:
                graph.add_edge(span.parent_id, span.span_id)
        roots = [node for node, degree in graph.in_degree() if degree == 0]
        own, critical = {}, {span.span_id: 0 for span in spans}
        errors, deepest, depth_of = 0, None, {}
        score = 0.0
        for root in roots:
            for parent, node in [(None, root), *nx.dfs_edges(graph, root)]:
                depth_of[node] = 0 if parent is None else depth_of[parent] + 1
                span = graph.nodes[node]["span"]
                children = sorted(
                    (graph.nodes[child]["span"] for child in graph.successors(node)),
                    key=lambda child: (child.start_ns, child.end_ns, child.span_id),
                )
                own[node] = _own(span, children)
                if failed(span):
                    errors += 1
                    if deepest is None or depth_of[node] > depth_of[deepest]:
                        deepest = node
                self._count(span)
                if self.scores:
                    score = max(score, self._learn(span))
                for child in children:
                    if child.service != span.service:
                        edge = self.edges[span.service, child.service]
                        edge[0] += 1
                        edge[1] += failed(child)
                        edge[2] += child.end_ns - child.start_ns
            self._critical(graph, root, critical)
        return Verdict(len(spans), errors, own, critical, deepest, score)

    def _count(self, span: Span) -> None:
        took = span.end_ns - span.start_ns
        sums = self.operations[span.service, span.name, span.kind]
        sums[0] += 1
        sums[1] += failed(span)
        sums[2] += took
        sums[3] = max(sums[3], took)

    def _learn(self, span: Span) -> float:
        stats = self.durations[span.service, span.name, span.kind]
        value = math.log(max(1, span.end_ns - span.start_ns))
        count, mean, squares = stats
        spread = math.sqrt(squares / count) if count > 1 else 0.0
        score = (value - mean) / spread if spread > 0 else 0.0
        count += 1
        delta = value - mean
        mean += delta / count
        stats[:] = [count, mean, squares + delta * (value - mean)]
        return score

    def _critical(self, graph: nx.DiGraph[bytes], root: bytes, critical: dict[bytes, int]) -> None:
        span = graph.nodes[root]["span"]
        todo = [(root, span.start_ns, span.end_ns)]
        while todo:
            node, low, high = todo.pop()
            now = high
            kids = sorted(
                (graph.nodes[child]["span"] for child in graph.successors(node)),
                key=lambda child: (-child.end_ns, child.start_ns),
            )
            critical[node] += high - low
            for child in kids:
                if child.start_ns >= now or child.end_ns <= max(low, child.start_ns) or child.start_ns >= high:
                    continue
                if child.end_ns > now and now < high:
                    continue
                end, begin = min(child.end_ns, now), max(child.start_ns, low)
                critical[node] -= end - begin
                todo.append((child.span_id, begin, end))
                now = begin
                if now <= low:
                    break


def _own(span: Span, children: list[Span]) -> int:
    until, covered = span.start_ns, 0
    for child in children:
        begin, end = max(child.start_ns, until), min(child.end_ns, span.end_ns)
        if end > begin:
            covered += end - begin
            until = end
    return span.end_ns - span.start_ns - covered


class Server(TraceServiceServicer):
    """Assembles by trace id, analyses a trace after a second of quiet."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.traces: dict[bytes, list[Span]] = {}
        self.last: dict[bytes, float] = {}
        self.analysed_spans = 0
        self.analysis = Analysis()

    def Export(self, request: bytes, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        now = time.monotonic()
        spans = parse(request)
        with self.lock:
            for span in spans:
                self.traces.setdefault(span.trace_id, []).append(span)
                self.last[span.trace_id] = now
        return ExportTraceServiceResponse()

    def sweep(self) -> None:
        while True:
            time.sleep(0.1)
            now = time.monotonic()
            with self.lock:
                due = [trace_id for trace_id, last in self.last.items() if now - last >= QUIET_S]
                taken = [self.traces.pop(trace_id) for trace_id in due]
                for trace_id in due:
                    del self.last[trace_id]
            for spans in taken:
                self.analysis.analyse(spans)
                self.analysed_spans += len(spans)


def main(port: int) -> None:
    """Serve until killed; prints the number of analysed spans when a line comes in."""
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", 64 * 2**20)])
    servicer = Server()
    handler = grpc.unary_unary_rpc_method_handler(
        servicer.Export, response_serializer=ExportTraceServiceResponse.SerializeToString
    )
    add_TraceServiceServicer_to_server(servicer, server)
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_registered_method_handlers(service, {"Export": handler})
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    threading.Thread(target=servicer.sweep, daemon=True).start()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(servicer.analysed_spans, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
