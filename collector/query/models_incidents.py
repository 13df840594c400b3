"""Bodies of the REST answers about incidents, and the examples that OpenAPI shows."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from analyzer.incident_words import Incident
from collector.query.models import TRACE_ID

INCIDENT_ID = "9c1f0f6c5a7e4b2d8f3a6b5c4d3e2f10"
INCIDENT_EXAMPLE: dict[str, Any] = {
    "schema_version": "1",
    "incident_id": INCIDENT_ID,
    "status": "open",
    "verdict": "cause",
    "summary": "payment fails by itself. Of 120 requests to gateway POST /checkout 60 failed.",
    "onset_ns": 1760000000000000000,
    "detected_ns": 1760000020000000000,
    "updated_ns": 1760000030000000000,
    "suspects": [
        {
            "rank": 1,
            "entity": {"kind": "service", "name": "payment", "service": "payment"},
            "probability": 0.93,
            "score": 4.5,
            "rule": "incident.failing",
            "sentence": "payment fails by itself.",
            "evidence": [{"claim": "60 of 62 failures began here", "numbers": {"failures": 60}}],
        }
    ],
    "candidate_set": ["payment"],
    "roots": ["payment"],
    "affected": [
        {"service": "payment", "symptoms": ["errors"], "role": "cause", "failed_share": 1.0},
        {"service": "checkout", "symptoms": ["errors"], "role": "victim", "failed_share": 0.5},
    ],
    "blast_radius": {
        "services": 2,
        "entry_operations": ["gateway POST /checkout"],
        "requests": 120,
        "failed_requests": 60,
        "slow_requests": 0,
    },
    "timeline": [
        {"at_ns": 1760000000000000000, "what": "errors began", "service": "checkout"},
        {"at_ns": 1760000020000000000, "what": "the incident was detected"},
    ],
    "example_trace_ids": [TRACE_ID],
    "coverage": 1.0,
    "severity": {"value": "high", "reason": "60 of 120 requests failed"},
    "type": {"value": "runtime", "reason": "calls fail where it began; its groups of errors say more"},
    "observability": {"value": "deterministic", "reason": "100 % of the cause's calls fail"},
    "revision": 2,
    "engine_version": "0.1.0",
}
WATCH_EXAMPLE = (
    'event: incident\nid: 17\ndata: {"incident_id": "9c1f0f6c5a7e4b2d8f3a6b5c4d3e2f10", "status": "open"}\n\n'
)


class IncidentList(BaseModel):
    """Incidents, newest onset first."""

    incidents: list[Incident]
