"""Answers written by hand, for rooms that carry them without making them."""

from __future__ import annotations

from analyzer.errors.group_words import Bucket, ErrorGroup, Part, SeenAs
from analyzer.findings import Answer, CausalStep, Completeness, Entity, Excess, Latency, RootCause, SpanRef, SpanRole
from analyzer.incident_words import Affected, BlastRadius, Incident, Suspect, TimelineEntry
from collector.contracts import OutboxItem, Signal, StoredTrace
from tests.support.fakes.clock import EPOCH_NS

MS = 1_000_000


def trace_id(number: int) -> bytes:
    """The id of the numbered trace; its first bytes differ, as those of random ids do."""
    return (number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "big") + (number + 1).to_bytes(8, "big")


def span(number: int, service: str, operation: str, start_ms: float = 0, end_ms: float = 10) -> SpanRef:
    return SpanRef(
        span_id=f"{number:016x}",
        service=service,
        operation=operation,
        kind="SERVER",
        start_ns=EPOCH_NS + round(start_ms * MS),
        duration_ns=round((end_ms - start_ms) * MS),
    )


def checkout(
    number: int = 1,
    *,
    service: str = "bank",
    rule: str = "error.origin.local",
    revision: int = 1,
    start_ns: int = EPOCH_NS,
    summary: str = "",
) -> Answer:
    """A shop's checkout: the bank failed by itself; payment and gateway only passed it on."""
    bank = span(1, service, "Authorize", 50, 90)
    payment, gateway = span(2, "payment", "Charge", 45, 95), span(3, "gateway", "GET /checkout", 0, 100)
    return Answer(
        trace_id=trace_id(number).hex(),
        status="finding",
        verdict="error",
        summary=summary or f"{service} Authorize failed with CardError.",
        user_visible=True,
        root_service="gateway",
        root_operation="GET /checkout",
        start_ns=start_ns,
        end_ns=start_ns + 100 * MS,
        root_causes=[
            RootCause(
                rank=1,
                entity=Entity(kind="operation", name=f"{service} Authorize", service=service, operation="Authorize"),
                origin_spans=[bank],
                probability=0.9,
                rule=rule,
                sentence=f"{service} Authorize failed with CardError.",
                error_type="CardError",
                error_message="declined by bank",
            )
        ],
        causal_chain=[
            CausalStep(span=bank, effect="began", sentence="It failed."),
            CausalStep(span=payment, effect="propagated", sentence="It passed the error on."),
            CausalStep(span=gateway, effect="propagated", sentence="It passed the error on."),
        ],
        roles=[
            SpanRole(span_id=bank.span_id, service=service, operation="Authorize", role="origin"),
            SpanRole(span_id=payment.span_id, service="payment", operation="Charge", role="propagated"),
            SpanRole(span_id=gateway.span_id, service="gateway", operation="GET /checkout", role="propagated"),
        ],
        completeness=Completeness(complete=True, span_count=4, service_count=3),
        revision=revision,
        engine_version="0.1.0",
    )


def slow(number: int = 2) -> Answer:
    """The stock room took 400 ms where it usually takes 20."""
    stock, shop = span(1, "stock", "Reserve", 20, 420), span(2, "shop", "GET /cart", 0, 450)
    return Answer(
        trace_id=trace_id(number).hex(),
        status="finding",
        verdict="latency",
        summary="stock Reserve took 380 ms longer than usual.",
        root_service="shop",
        root_operation="GET /cart",
        start_ns=EPOCH_NS,
        end_ns=EPOCH_NS + 450 * MS,
        root_causes=[
            RootCause(
                rank=1,
                entity=Entity(kind="service", name="stock", service="stock", operation="Reserve"),
                origin_spans=[stock],
                probability=0.7,
                rule="latency.excess",
                sentence="stock Reserve took 380 ms longer than usual.",
            )
        ],
        causal_chain=[
            CausalStep(span=stock, effect="slowed", sentence="It was slow."),
            CausalStep(span=shop, effect="slowed", sentence="It waited."),
        ],
        latency=Latency(
            duration_ns=450 * MS,
            expected_ns=70 * MS,
            excess_ns=380 * MS,
            excess=[
                Excess(
                    span=stock,
                    excess_ns=380 * MS,
                    observed_ns=400 * MS,
                    expected_ns=20 * MS,
                    p_value=0.001,
                    baseline_count=500,
                )
            ],
        ),
        completeness=Completeness(complete=True, span_count=2, service_count=2),
        revision=1,
        engine_version="0.1.0",
    )


def incident(
    number: int = 1,
    *,
    service: str = "payment",
    status: str = "open",
    revision: int = 1,
    onset_ns: int = EPOCH_NS,
    updated_ns: int | None = None,
    summary: str = "",
) -> Incident:
    """Payment has no connection left; checkout and gateway suffer."""
    return Incident(
        incident_id=f"{number:032x}",
        status=status,
        verdict="cause",
        summary=summary or f"{service} fails by itself.",
        onset_ns=onset_ns,
        detected_ns=onset_ns + 20_000 * MS,
        ended_ns=onset_ns + 600_000 * MS if status == "closed" else None,
        updated_ns=updated_ns if updated_ns is not None else onset_ns + 30_000 * MS,
        suspects=[
            Suspect(
                rank=1,
                entity=Entity(kind="service", name=service, service=service),
                probability=0.9,
                score=4.5,
                rule="incident.failing",
                sentence=f"{service} fails by itself.",
            )
        ],
        candidate_set=[service],
        roots=[service],
        affected=[
            Affected(service=service, symptoms=["errors"], role="cause", failed_share=1.0),
            Affected(service="checkout", symptoms=["errors", "latency"], role="victim", failed_share=0.5),
        ],
        blast_radius=BlastRadius(
            services=2,
            entry_operations=["gateway POST /checkout"],
            requests=120,
            failed_requests=60,
            slow_requests=3,
        ),
        timeline=[
            TimelineEntry(at_ns=onset_ns, what="errors began", service="checkout"),
            TimelineEntry(at_ns=onset_ns + 20_000 * MS, what="the incident was detected"),
        ],
        example_trace_ids=[trace_id(1).hex()],
        revision=revision,
        engine_version="0.1.0",
    )


def error_group(
    number: int = 1,
    *,
    status: str = "ongoing",
    services: tuple[str, ...] = ("payment", "gateway"),
    count: int = 12,
    users: int = 7,
    revision: int = 1,
    decided: bool = False,
    first_ns: int = EPOCH_NS,
    last_ns: int = EPOCH_NS + 3_600_000 * MS,
    message: str = "card 4711 declined",
) -> ErrorGroup:
    """Payment raises CardError in Charge.authorize."""
    return ErrorGroup(
        group_id=f"{number:016x}",
        version="v1",
        fine=f"{number:016x}",
        coarse="c0ffee0000000000",
        tier="stack",
        parts=[Part(name="type", value="CardError"), Part(name="frame", value="acme.Charge:authorize")],
        type="CardError",
        message=message,
        location="Charge.java:45",
        service=services[0],
        operation="POST /charge",
        status=status,
        status_reason="seen for the first time",
        status_ns=first_ns,
        decided=decided,
        first_seen_ns=first_ns,
        last_seen_ns=last_ns,
        count=count,
        users=users,
        services=[SeenAs(name=one, count=count, first_seen_ns=first_ns, last_seen_ns=last_ns) for one in services],
        versions=[SeenAs(name="1.4.0", count=count, first_seen_ns=first_ns, last_seen_ns=last_ns)],
        example_trace_ids=[trace_id(1).hex()],
        hours=[Bucket(start=last_ns // (3_600_000 * MS), count=count)],
        revision=revision,
    )


def message(number: int, destination: str = "otlp", payload: bytes = b"message") -> OutboxItem:
    return OutboxItem(key=b"key-%d" % number, destination=destination, signal=Signal.LOGS, payload=payload)


def stored(
    number: int = 1, *, exports: tuple[OutboxItem, ...] = (), answer: Answer | None = None, otlp: bytes | None = None
) -> StoredTrace:
    return StoredTrace(
        name=trace_id(number),
        answer=answer or checkout(number),
        trace_otlp=otlp if otlp is not None else b"spans of trace %d" % number,
        exports=exports,
    )
