"""An answer with every field filled, and small ones."""

from __future__ import annotations

from typing import Any

from analyzer.findings import (
    Answer,
    AskedPeer,
    CausalStep,
    Completeness,
    Entity,
    Evidence,
    Excess,
    Judgement,
    Latency,
    PathSegment,
    Refuted,
    RootCause,
    SpanRef,
    SpanRole,
    TraceGroup,
    Warning_,
)
from collector.contracts import FindingRow

TRACE = bytes.fromhex("4bf92f3577b34da6a3ce929d0e0e4736")
OTHER = bytes.fromhex("11111111111111111111111111111111")

HOSTILE_TEXTS = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</title><svg onload=alert(1)>",
    "javascript:alert(1)",
    "a\u2028b\u2029c",
    "\u202egpj.exe",
    "nul\x00 bell\x07 esc\x1b[31m",
    "\"'`${x}{{y}}",
    "\U0001f4a5 \u00e9\u4e2d",
)


def small(trace_id: bytes = TRACE, **fields: Any) -> Answer:
    return Answer(**{"trace_id": trace_id.hex(), "status": "finding", "verdict": "error", "revision": 1} | fields)


def full(text: str = "words") -> Answer:
    """Every field has a value that is not its default."""
    span = SpanRef(
        span_id="00f067aa0ba902b7",
        service=text,
        operation=text,
        kind="SERVER",
        start_ns=-5,
        duration_ns=7,
        trace_flags=1,
    )
    entity = Entity(
        kind="edge",
        name=text,
        service="s",
        operation="o",
        instance="i",
        version="v",
        host="h",
        caller="a",
        callee="b",
        peer="p",
    )
    evidence = Evidence(claim=text, span_ids=["01" * 8], log_ids=["02" * 8], numbers={"share": 0.25, text: -1.5})
    cause = RootCause(
        rank=1,
        entity=entity,
        origin_spans=[span],
        probability=0.75,
        rule="error.origin.local",
        sentence=text,
        error_type=text,
        error_message=text,
        evidence=[evidence, Evidence(claim="bare")],
        refuted=[Refuted(entity=entity.model_copy(update={"kind": "unknown"}), reason=text, span_ids=["03" * 8])],
    )
    excess = Excess(
        span=span,
        excess_ns=2**40,
        observed_ns=3,
        expected_ns=4,
        p_value=0.001,
        kind="fan_out",
        baseline_count=5,
        context="root",
    )
    return Answer(
        schema_version="1",
        trace_id=TRACE.hex(),
        status="partial",
        status_reason=text,
        verdict="mixed",
        summary=text,
        user_visible=True,
        severity=Judgement(value="high", reason=text),
        type=Judgement(value="code", reason=text),
        observability=Judgement(value="loud", reason=text),
        root_service=text,
        root_operation=text,
        start_ns=1_760_000_000_000_000_001,
        end_ns=1_760_000_000_000_000_002,
        root_causes=[cause, cause.model_copy(update={"rank": 2})],
        causal_chain=[CausalStep(span=span, effect="timed_out", sentence=text)],
        roles=[
            SpanRole(span_id="00f067aa0ba902b7", service="s", operation="o", role="unseen_dependency", error_class="T")
        ],
        latency=Latency(
            duration_ns=1,
            expected_ns=0,
            excess_ns=2,
            unexplained_ns=-3,
            critical_path=[PathSegment(span=span, self_ns=9)],
            excess=[excess],
        ),
        completeness=Completeness(
            complete=False,
            span_count=3,
            service_count=2,
            root_seen=False,
            missing_parents=1,
            late_spans=4,
            dropped_spans=5,
            sampled=True,
            release_reason="idle",
            warnings=[Warning_(code="CYCLE", message=text, count=2)],
        ),
        next_probe="",
        finding_ids=["aa", "bb"],
        revision=3,
        engine_version="9.9.9",
        links={"graph": text},
        group=TraceGroup(id="f1", fine="f1", coarse="c1", tier=text, version="v1"),
        tenant="shop",
        asked_by="a synthetic check (Pingdom)",
        answered_by=text,
        merged_from=["a", text],
        asked_peers=[
            AskedPeer(
                peer="10.0.0.2:8080", name=text, state="failed", reason=text, status="finding", revision=2, span_count=9
            )
        ],
    )


def row(number: int, **fields: Any) -> FindingRow:
    values: dict[str, Any] = {
        "trace_id": f"{number:032x}",
        "revision": 1,
        "start_ns": 1_760_000_000_000_000_000 + number,
        "end_ns": 1_760_000_000_100_000_000 + number,
        "root_service": "gateway",
        "root_operation": "GET /checkout",
        "verdict": "error",
        "entity_kind": "operation",
        "entity_name": "Charge",
        "service": "payment",
        "rule": "error.origin.local",
        "probability": 0.9,
        "summary": f"finding {number}",
    }
    return FindingRow(**values | fields)
