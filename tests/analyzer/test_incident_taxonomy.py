"""Severity, type and observability of an incident, each with its reason."""

from __future__ import annotations

import pytest

from analyzer.findings import Entity
from analyzer.incident_words import Affected, BlastRadius, Incident
from analyzer.incidents.taxonomy import judged
from tests.support.answers import incident


def axis(name: str, one: Incident) -> str:
    found = getattr(judged(one), name)
    assert found.reason
    return str(found.value)


def hit(requests: int, failed: int, slow: int = 0) -> Incident:
    radius = BlastRadius(
        services=1, entry_operations=["gateway GET /"], requests=requests, failed_requests=failed, slow_requests=slow
    )
    return incident(1).model_copy(update={"blast_radius": radius})


@pytest.mark.parametrize(
    ("requests", "failed", "slow", "severity"),
    [
        (1000, 990, 0, "critical"),
        (1000, 200, 0, "high"),
        (1000, 5, 0, "medium"),
        (1000, 0, 300, "medium"),
        (1000, 0, 0, "low"),
        (5, 5, 0, "medium"),
    ],
)
def test_severity_is_the_share_of_requests_from_outside(requests: int, failed: int, slow: int, severity: str):
    """Of five requests no share is told."""
    assert axis("severity", hit(requests, failed, slow)) == severity


def suspected(kind: str, finer: str = "") -> Incident:
    one = incident(1)
    entity = Entity(kind=kind, name="it")
    first = one.suspects[0].model_copy(
        update={"entity": entity, "finer": Entity(kind=finer, name="v2") if finer else None}
    )
    return one.model_copy(update={"suspects": [first]})


def shows(*symptoms: str, share: float = 0.5) -> Incident:
    cause = Affected(service="payment", symptoms=list(symptoms), role="cause", failed_share=share)
    return incident(1).model_copy(update={"affected": [cause]})


def test_type_goes_by_the_suspect_then_by_how_the_cause_shows():
    assert axis("type", suspected("service", "version")) == "configuration"
    assert axis("type", suspected("peer")) == "integration"
    assert axis("type", shows("errors", "latency")) == "runtime"
    assert axis("type", shows("latency")) == "performance"
    assert axis("type", shows("traffic_up", "errors")) == "performance"
    assert axis("type", shows("silence")) == "integration"
    assert axis("type", shows("structure")) == "logic"


def test_observability_names_the_place_the_load_or_the_share():
    assert axis("observability", suspected("service", "host")) == "environmental"
    assert axis("observability", shows("traffic_up")) == "load_dependent"
    assert axis("observability", shows("errors", share=0.97)) == "deterministic"
    assert axis("observability", shows("errors", share=0.2)) == "intermittent"
    assert axis("observability", shows("latency", share=0.0)) == "unknown"


def test_a_suspect_that_is_not_named_says_nothing():
    one = suspected("service", "version").model_copy(update={"verdict": "insufficient_evidence"})

    assert axis("observability", one) != "environmental"
    assert axis("type", one) != "configuration"
