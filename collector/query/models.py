"""Bodies of the REST answers that are not an `Answer`, and the examples that OpenAPI shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from analyzer.errors.text_words import EvidenceKinds
from collector.contracts import FindingRow

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
_SPAN = {
    "span_id": "00f067aa0ba902b7",
    "service": "payment",
    "operation": "Charge",
    "kind": "SERVER",
    "start_ns": 1760000000050000000,
    "duration_ns": 40000000,
}
ANSWER_EXAMPLE: dict[str, Any] = {
    "schema_version": "1",
    "trace_id": TRACE_ID,
    "status": "finding",
    "verdict": "error",
    "summary": "payment Charge failed by itself with CardError; gateway only passed it on.",
    "user_visible": True,
    "root_service": "gateway",
    "root_operation": "GET /checkout",
    "start_ns": 1760000000000000000,
    "end_ns": 1760000000100000000,
    "root_causes": [
        {
            "rank": 1,
            "entity": {"kind": "operation", "name": "Charge", "service": "payment", "operation": "Charge"},
            "origin_spans": [_SPAN],
            "probability": 0.94,
            "rule": "error.origin.local",
            "sentence": "Charge raised CardError and nothing below it failed.",
            "error_type": "CardError",
            "evidence": [{"claim": "no child of the span failed", "span_ids": ["00f067aa0ba902b7"]}],
        }
    ],
    "causal_chain": [{"span": _SPAN, "effect": "began", "sentence": "The error began here."}],
    "completeness": {"complete": True, "span_count": 3, "service_count": 2, "release_reason": "root_idle"},
    "revision": 1,
    "engine_version": "0.1.0",
}
OPEN_EXAMPLE = ANSWER_EXAMPLE | {"status": "in_progress", "status_reason": "the trace is still open", "revision": 0}


HELD_EXAMPLE: dict[str, Any] = {
    "name": "firstfault-1",
    "instance": "6d0c5a1e5cf54dd7a3f0f7c2b2a50f51",
    "state": "answered",
    "reason": "",
    "status": "finding",
    "revision": 1,
    "span_count": 3,
    "root_seen": True,
    "spans_kept": True,
    "answer": None,
    "spans": None,
    "logs": None,
}


class GraphNode(BaseModel):
    """A service, or a party without spans of its own."""

    id: str
    kind: str = Field(description="service, database, queue, external, client, missing, other")
    name: str
    system: str = Field("", description="mysql, kafka, ... when the attributes say it")
    observed: bool = Field(description="it sent spans; false: inferred from the other side")
    confidence: str = Field(description="observed, high, medium, low")
    reason: str = Field(description="why it is in the graph")
    call_count: int
    error_count: int
    span_count: int
    own_ns: int = Field(description="time of its spans that no child covers")
    critical_ns: int = Field(description="own time on the critical path")
    root_cause_rank: int | None = None
    probability: float | None = None
    on_causal_chain: bool = False
    versions: list[str] = []
    instances: list[str] = []
    hosts: list[str] = []
    namespaces: list[str] = []
    environments: list[str] = []
    zones: list[str] = []
    languages: list[str] = []


class GraphEdge(BaseModel):
    """Calls from one node to another, seen by one rule."""

    caller: str = Field(description="id of a node")
    callee: str = Field(description="id of a node")
    rule: str = Field(
        description="how the calls were seen: client_server, parent_child, peer_attribute, producer_consumer, link, "
        "missing_server, missing_client, entry"
    )
    count: int
    error_count: int
    duration_sum_ns: int
    duration_max_ns: int | None = None
    network_gap_count: int = Field(0, description="calls with a known gap between client and server time")
    network_gap_sum_ns: int = 0
    queue_wait_count: int = 0
    queue_wait_sum_ns: int = Field(0, description="from the end of producing to the start of consuming")
    queue_wait_max_ns: int = 0
    root_cause_rank: int | None = None
    on_causal_chain: bool = False


class ServiceGraph(BaseModel):
    """A service graph, of one trace or of a window."""

    model_config = ConfigDict(extra="allow")

    kind: str = Field(description="trace or window")
    trace_id: str = ""
    nodes: list[GraphNode]
    edges: list[GraphEdge]
    linked_traces: list[str] = Field([], description="other traces that spans link to")
    folded_node_count: int = Field(0, description="parties over the bound, summed in one node")
    details_left_out: int = Field(0, description="spans whose links were not read, over the bound")


GRAPH_EXAMPLE: dict[str, Any] = {
    "kind": "trace",
    "trace_id": TRACE_ID,
    "folded_node_count": 0,
    "linked_traces": [],
    "details_left_out": 0,
    "nodes": [
        {
            "id": "service:gateway",
            "kind": "service",
            "name": "gateway",
            "system": "",
            "observed": True,
            "confidence": "observed",
            "reason": "it sent spans",
            "call_count": 1,
            "error_count": 1,
            "span_count": 2,
            "own_ns": 60000000,
            "critical_ns": 60000000,
        },
        {
            "id": "database:cards",
            "kind": "database",
            "name": "cards",
            "system": "mysql",
            "observed": False,
            "confidence": "high",
            "reason": "client spans name it; databases send no spans",
            "call_count": 1,
            "error_count": 0,
            "span_count": 0,
            "own_ns": 0,
            "critical_ns": 0,
        },
    ],
    "edges": [
        {
            "caller": "service:gateway",
            "callee": "database:cards",
            "rule": "peer_attribute",
            "count": 1,
            "error_count": 0,
            "duration_sum_ns": 4000000,
            "duration_max_ns": 4000000,
        }
    ],
}


class SpanPage(BaseModel):
    """Spans of a trace as OTLP/JSON (`resourceSpans`, ids in hex), a page at a time."""

    trace_id: str
    revision: int
    span_count: int = Field(description="spans of the trace that are kept")
    offset: int
    next_offset: int | None = Field(None, description="offset of the next page; null: this was the last")
    roles: dict[str, str] = Field(description="span id -> role in the story, of the spans of this page")
    resourceSpans: list[dict[str, Any]]


SPANS_EXAMPLE: dict[str, Any] = {
    "trace_id": TRACE_ID,
    "revision": 1,
    "span_count": 1,
    "offset": 0,
    "next_offset": None,
    "roles": {"00f067aa0ba902b7": "origin"},
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "payment"}}]},
            "scopeSpans": [
                {"spans": [{"traceId": TRACE_ID, "spanId": "00f067aa0ba902b7", "name": "Charge", "kind": 2}]}
            ],
        }
    ],
}


class FindingList(BaseModel):
    """A page of findings, newest first."""

    findings: list[FindingRow]
    next_cursor: str | None = Field(None, description="give it back as `cursor`; null: this was the last page")


FINDINGS_EXAMPLE: dict[str, Any] = {
    "findings": [
        {
            "trace_id": TRACE_ID,
            "revision": 1,
            "start_ns": 1760000000000000000,
            "end_ns": 1760000000100000000,
            "root_service": "gateway",
            "root_operation": "GET /checkout",
            "verdict": "error",
            "entity_kind": "operation",
            "entity_name": "Charge",
            "service": "payment",
            "rule": "error.origin.local",
            "probability": 0.94,
            "summary": ANSWER_EXAMPLE["summary"],
        }
    ],
    "next_cursor": None,
}


class OperationLine(BaseModel):
    """One operation in the window."""

    operation: str
    kind: str
    count: int
    error_count: int
    rate_per_s: float
    duration_mean_ns: int
    duration_max_ns: int


class ServiceLine(BaseModel):
    """One service in the window; rate, errors and latency are of the spans that enter it."""

    service: str
    count: int = Field(description="SERVER and CONSUMER spans; all spans where there is none of these")
    error_count: int
    error_share: float
    rate_per_s: float
    duration_mean_ns: int
    duration_max_ns: int
    operations: list[OperationLine]
    operations_left_out: int = 0


class ServiceList(BaseModel):
    """Services of a window, the most called first."""

    from_ns: int
    to_ns: int
    services: list[ServiceLine]
    services_left_out: int = 0


SERVICES_EXAMPLE: dict[str, Any] = {
    "from_ns": 1760000000000000000,
    "to_ns": 1760003600000000000,
    "services": [
        {
            "service": "payment",
            "count": 7200,
            "error_count": 36,
            "error_share": 0.005,
            "rate_per_s": 2.0,
            "duration_mean_ns": 38000000,
            "duration_max_ns": 910000000,
            "operations": [
                {
                    "operation": "Charge",
                    "kind": "SERVER",
                    "count": 7200,
                    "error_count": 36,
                    "rate_per_s": 2.0,
                    "duration_mean_ns": 38000000,
                    "duration_max_ns": 910000000,
                }
            ],
            "operations_left_out": 0,
        }
    ],
    "services_left_out": 0,
}


class Analysed(BaseModel):
    """Answers for the traces of one request; nothing was stored."""

    answers: list[dict[str, Any]] = Field(description="an Answer each (see /api/v1/schema)")
    answers_left_out: int = 0
    text: dict[str, Any] | None = Field(None, description="of a text: its kind, what it says, where to look, errors")
    evidence: EvidenceKinds = Field(description="which evidence was there, and what the missing one would tell")


class Stats(BaseModel):
    """What this firstfault is and holds."""

    engine_version: str
    schema_version: str
    outbox_count: int = Field(description="messages waiting for an exporter")
    counters: dict[str, float] = Field(description="samples of /metrics: name|label|...")


STATS_EXAMPLE: dict[str, Any] = {
    "engine_version": "0.1.0",
    "schema_version": "1",
    "outbox_count": 0,
    "counters": {"query_requests|rest|ok": 12},
}


def body_of(model: type[BaseModel], example: Mapping[str, Any], text: str) -> dict[str, Any]:
    """OpenAPI entry of a body with its example."""
    return {"model": model, "description": text, "content": {"application/json": {"example": dict(example)}}}
