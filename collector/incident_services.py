"""By which services an incident is found: one rule for the shelf and for whoever watches."""

from __future__ import annotations

from analyzer.incident_words import Incident

SERVICES_MAX = 256


def services_of(incident: Incident) -> list[str]:
    """Services an incident is found by: those with symptoms, and those that are suspected."""
    named = [one.service for one in incident.affected]
    for suspect in incident.suspects:
        entity = suspect.entity
        named += [entity.service or entity.name, entity.caller, entity.callee]
    return [name for name in dict.fromkeys(named) if name][:SERVICES_MAX]
