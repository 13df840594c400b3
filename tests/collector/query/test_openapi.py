"""The API's own description is complete, and its examples are what is sent."""

from __future__ import annotations

from typing import Any

from collector.contracts import EdgeRollup, Rollup, StoredIncident
from tests.collector.query.answers import TRACE, row, small
from tests.collector.query.rooms import CHECKOUT, Room
from tests.support.answers import error_group, incident


def test_openapi_is_complete(room: Room):
    """Every route has a summary, a description, an example, and its errors are problems."""
    schema = room.get("/api/v1/openapi.json").json()

    assert set(schema["paths"]) == {
        "/api/v1/traces/{trace_id}/root-cause",
        "/api/v1/traces/{trace_id}/graph",
        "/api/v1/traces/{trace_id}/held",
        "/api/v1/traces/{trace_id}/spans",
        "/api/v1/traces/{trace_id}/report",
        "/api/v1/incidents/{incident_id}/report",
        "/api/v1/groups/{group_id}/report",
        "/api/v1/traces/{trace_id}/runbook",
        "/api/v1/incidents/{incident_id}/runbook",
        "/api/v1/groups/{group_id}/runbook",
        "/api/v1/groups/{group_id}/notes",
        "/api/v1/groups/{group_id}/notes/{note_id}",
        "/api/v1/notes",
        "/api/v1/findings",
        "/api/v1/impact",
        "/api/v1/errors/top",
        "/api/v1/groups",
        "/api/v1/groups/{group_id}",
        "/api/v1/incidents",
        "/api/v1/incidents/watch",
        "/api/v1/incidents/{incident_id}",
        "/api/v1/services",
        "/api/v1/service-graph",
        "/api/v1/analyze",
        "/api/v1/changes",
        "/api/v1/schema",
        "/api/v1/stats",
    }
    for path in schema["paths"].values():
        for operation in path.values():
            assert all(operation[name] for name in ("summary", "description", "tags"))
            assert all(one["example"] for one in operation["responses"]["200"]["content"].values())
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert list(response["content"]) == ["application/problem+json"]
            assert "422" not in operation["responses"]
    assert references(schema) <= {f"#/components/schemas/{name}" for name in schema["components"]["schemas"]}


def references(part: Any) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*(references(inner) for inner in part.values()))
    if isinstance(part, list):
        return set().union(*(references(inner) for inner in part))
    return set()


def test_examples_of_the_openapi_fit_what_is_sent(room: Room):
    """The keys of each example are keys that the route really sends."""
    room.keep(small(), CHECKOUT)
    room.store.add(row(1))
    room.store.rollups = [Rollup(0, "a", "x", 2, 4, 0, 40, 20)]
    room.store.edge_rollups = [EdgeRollup(0, "a", "b", "service", "client_server", 5, 1, 50)]
    room.store.put_incidents([StoredIncident(incident(1))])
    room.store.put_groups([error_group(1)])
    left = {"frame": "acme.Charge:authorize", "text": "See the wiki."}
    note = room.client.post(f"/api/v1/groups/{error_group(1).group_id}/notes", json=left).json()
    paths = room.get("/api/v1/openapi.json").json()["paths"]
    for path, operations in paths.items():
        if "get" in operations and not path.endswith(("/schema", "/watch")):
            example = operations["get"]["responses"]["200"]["content"]["application/json"]["example"]
            asked = path.replace("{trace_id}", TRACE.hex()).replace("{incident_id}", incident(1).incident_id)
            asked = asked.replace("{group_id}", error_group(1).group_id).replace("{note_id}", note["note_id"])
            assert keys(example) <= keys(room.get(asked).json()), path


def keys(value: Any) -> set[str]:
    return set(value)
