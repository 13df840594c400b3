"""Severity, type and observability of an incident, each with its reason.

In: an incident as it is told. Out: the same with three `Judgement`s. Read from exact counts of requests, symptoms, and
what kind of thing is suspected; a group of errors is judged in `analyzer.errors.taxonomy`, one trace in
`analyzer.judgement`.
"""

from __future__ import annotations

from analyzer.findings import Judgement
from analyzer.incident_words import Incident

DOWN_SHARE = 0.95  # of requests to its entry operations that fail
MAJOR_SHARE = 0.1
REQUESTS_MIN = 20  # requests before a share means anything
ALWAYS_SHARE = 0.9  # of calls of a service that fail
_PLACES = {"version": "a version", "instance": "an instance", "host": "a host", "zone": "a zone", "slice": "a part"}


def judged(incident: Incident) -> Incident:
    """Write the three axes into an incident."""
    return incident.model_copy(
        update={
            "severity": severity_of(incident),
            "type": type_of(incident),
            "observability": observability_of(incident),
        }
    )


def severity_of(incident: Incident) -> Judgement:
    """How bad it is: what share of the requests from outside it hits."""
    radius = incident.blast_radius
    if radius is None or radius.requests < REQUESTS_MIN:
        count = radius.requests if radius is not None else 0
        return Judgement(value="medium", reason=f"symptoms are there, but only {count} requests from outside to count")
    failed, hit = radius.failed_requests, radius.failed_requests + radius.slow_requests
    share = failed / radius.requests
    counts = f"{failed} of {radius.requests} requests failed"
    if share >= DOWN_SHARE:
        return Judgement(value="critical", reason=f"{counts}: the entry is down")
    if share >= MAJOR_SHARE:
        return Judgement(value="high", reason=counts)
    if failed:
        return Judgement(value="medium", reason=f"{counts}, a part of them")
    if hit:
        return Judgement(value="medium", reason=f"{radius.slow_requests} of {radius.requests} requests were slow")
    return Judgement(value="low", reason=f"none of {radius.requests} requests from outside failed or was slow")


def type_of(incident: Incident) -> Judgement:
    """What kind of problem it is, from the suspect and from how the cause itself shows."""
    symptoms = {symptom for one in incident.affected if one.role == "cause" for symptom in one.symptoms}
    symptoms = symptoms or {symptom for one in incident.affected for symptom in one.symptoms}
    first = incident.suspects[0] if incident.verdict == "cause" and incident.suspects else None
    if first is not None:
        kinds = {first.entity.kind} | ({first.finer.kind} if first.finer is not None else set())
        if kinds & {"change", "version"}:
            return Judgement(value="configuration", reason="it came with a change or keeps to a version")
        if kinds & {"peer", "edge", "queue"}:
            return Judgement(value="integration", reason="it is between services, or on the other side of a call")
    if "traffic_up" in symptoms:
        return Judgement(value="performance", reason="more traffic than usual came in")
    if "errors" in symptoms:
        return Judgement(value="runtime", reason="calls fail where it began; its groups of errors say more")
    if symptoms & {"silence", "traffic_down"}:
        return Judgement(value="integration", reason="calls are missing that are usually there")
    if "latency" in symptoms:
        return Judgement(value="performance", reason="time is lost, calls do not fail where it began")
    if "structure" in symptoms:
        return Judgement(value="logic", reason="the code takes another path without reporting an error")
    return Judgement(value="unknown", reason="no symptom tells the kind of the problem")


def observability_of(incident: Incident) -> Judgement:
    """When it happens: in one place, under load, always, or now and then."""
    first = incident.suspects[0] if incident.verdict == "cause" and incident.suspects else None
    if first is not None:
        for entity in (first.finer, first.entity):
            if entity is not None and entity.kind in _PLACES:
                reason = f"nearly all of it is in {_PLACES[entity.kind]}: {entity.name}"
                return Judgement(value="environmental", reason=reason)
    if any("traffic_up" in one.symptoms for one in incident.affected):
        return Judgement(value="load_dependent", reason="it came with more traffic than usual")
    shares = [one.failed_share for one in incident.affected if one.role == "cause"]
    worst = max(shares, default=0.0)
    if worst >= ALWAYS_SHARE:
        return Judgement(value="deterministic", reason=f"{100 * worst:.0f} % of the cause's calls fail")
    if worst > 0:
        return Judgement(value="intermittent", reason=f"{100 * worst:.0f} % of the cause's calls fail")
    return Judgement(value="unknown", reason="no calls of a cause were seen to fail")
