"""The schema of our structured logs: names, JSON Schema, a check of one record, a conformance report per service.

In: records as parsed JSON. Out: what is missing or wrong in each, and how well every service keeps the schema. A record
may say more than the schema asks for. A correlation id is an opaque text: what callers send is seldom a UUID.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LEVELS = ("ERROR", "WARN", "INFO", "DEBUG", "TRACE")
ENVIRONMENTS = ("dev", "staging", "production")
SERVICES_MAX = 1_000  # of one report; records of more are counted together
FAULTS_MAX = 20  # told of one record
OTHERS = "(other services)"

_SHORT: dict[str, Any] = {"type": "string", "maxLength": 1024}
LOG_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:firstfault:schema:log:1",
    "title": "A structured log record",
    "type": "object",
    "required": ["timestamp", "level", "correlation_id", "trace_id", "span_id", "service", "environment"],
    "properties": {
        "timestamp": {
            "type": "string",
            "description": "ISO 8601, in UTC",
            "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z$",
        },
        "level": {"type": "string", "enum": list(LEVELS)},
        "message": {"type": "string"},
        "correlation_id": {
            "type": "string",
            "description": "of the whole chain of requests; opaque; empty outside of a request",
            "pattern": r"^[!-~]{0,128}$",
        },
        "trace_id": {
            "type": "string",
            "description": "OpenTelemetry, 32 lower-case hex digits; empty outside of a trace",
            "pattern": r"^([0-9a-f]{32})?$",
        },
        "span_id": {"type": "string", "pattern": r"^([0-9a-f]{16})?$"},
        "service": {"type": "string", "minLength": 1, "maxLength": 256},
        "environment": {"type": "string", "enum": list(ENVIRONMENTS)},
        "host": _SHORT,
        "version": _SHORT,
        "error": {
            "type": "object",
            "required": ["type", "message", "fingerprint"],
            "properties": {
                "type": _SHORT,
                "message": {"type": "string"},
                "stack_trace": {"type": "string"},
                "fingerprint": {"type": "string", "minLength": 1, "maxLength": 256},
            },
        },
        "user": {"type": "object", "properties": {"id": _SHORT, "ip": _SHORT, "session_id": _SHORT}},
        "request": {
            "type": "object",
            "properties": {
                "method": _SHORT,
                "path": {"type": "string", "maxLength": 8192},
                "duration_ms": {"type": "number", "minimum": 0},
                "status_code": {"type": "integer", "minimum": 100, "maximum": 599},
            },
        },
        "context": {"type": "object", "description": "whatever else is known", "maxProperties": 128},
    },
    "if": {"properties": {"level": {"const": "ERROR"}}, "required": ["level"]},
    "then": {"required": ["error"]},
}
_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "object": (dict,),
    "number": (int, float),
    "integer": (int,),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that a record does not keep: where, what was found, what was expected."""

    field: str
    found: str
    expected: str


def faults_of(record: object) -> list[Fault]:
    """Check one record against `LOG_SCHEMA`; empty when it keeps it, at most `FAULTS_MAX`."""
    return list(_check(record, LOG_SCHEMA, ""))[:FAULTS_MAX]


def _check(value: object, schema: Mapping[str, Any], where: str) -> list[Fault]:
    """The keywords that `LOG_SCHEMA` uses, and no others."""
    kind = schema.get("type")
    if kind and (not isinstance(value, _TYPES[kind]) or isinstance(value, bool)):
        return [Fault(where or "record", _short(value), f"{kind}")]
    found: list[Fault] = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(Fault(where, _short(value), "one of " + ", ".join(schema["enum"])))
    if isinstance(value, str):
        found += _check_text(value, schema, where)
    elif isinstance(value, dict):
        found += _check_object(value, schema, where)
    elif isinstance(value, int | float):
        low, high = schema.get("minimum"), schema.get("maximum")
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            found.append(Fault(where, _short(value), f"{low} to {high}" if high is not None else f"{low} or more"))
    return found


def _check_text(value: str, schema: Mapping[str, Any], where: str) -> list[Fault]:
    found = []
    if "pattern" in schema and not re.fullmatch(schema["pattern"].removeprefix("^").removesuffix("$"), value, re.ASCII):
        found.append(Fault(where, _short(value), schema.get("description") or f"text like {schema['pattern']}"))
    if len(value) < schema.get("minLength", 0):
        found.append(Fault(where, _short(value), f"{schema['minLength']} characters or more"))
    if len(value) > schema.get("maxLength", len(value)):
        found.append(Fault(where, f"{len(value)} characters", f"at most {schema['maxLength']}"))
    return found


def _check_object(value: Mapping[str, object], schema: Mapping[str, Any], where: str) -> list[Fault]:
    prefix = f"{where}." if where else ""
    required = list(schema.get("required", ()))
    condition = schema.get("if")
    if condition and all(
        value.get(name) == one["const"] for name, one in condition["properties"].items() if "const" in one
    ):
        required += schema["then"]["required"]
    found = [Fault(prefix + name, "nothing", "it to be there") for name in required if name not in value]
    if len(value) > schema.get("maxProperties", len(value)):
        found.append(Fault(where, f"{len(value)} keys", f"at most {schema['maxProperties']}"))
    for name, one in schema.get("properties", {}).items():
        if name in value:
            found += _check(value[name], one, prefix + name)
    return found


def _short(value: object) -> str:
    text = value if isinstance(value, str) else type(value).__name__ if isinstance(value, dict | list) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


@dataclass(slots=True)
class ServiceConformance:
    """How well one service keeps the schema.

    faults : how many records have each fault (its field and what was expected)
    example : the first fault of each field, as it was found
    empty : records that have the field, but say nothing in it (no trace, no correlation id)
    """

    records: int = 0
    conformant: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    example: dict[str, Fault] = field(default_factory=dict)
    empty: Counter[str] = field(default_factory=Counter)

    @property
    def share(self) -> float:
        return self.conformant / self.records if self.records else 1.0


@dataclass(slots=True)
class Conformance:
    """The report over many records, by service. Owner: one thread; at most `SERVICES_MAX` services have a line."""

    services: dict[str, ServiceConformance] = field(default_factory=dict)

    def add(self, record: object) -> list[Fault]:
        """Check one record, and note it under its service."""
        found = faults_of(record)
        fields = record if isinstance(record, dict) else {}
        name = fields.get("service")
        service = name if isinstance(name, str) and name else "(no service)"
        if service not in self.services and len(self.services) >= SERVICES_MAX:
            service = OTHERS
        line = self.services.setdefault(service, ServiceConformance())
        line.records += 1
        line.conformant += not found
        for fault in {fault.field: fault for fault in reversed(found)}.values():
            line.faults[fault.field] += 1
            line.example.setdefault(fault.field, fault)
        for key in ("correlation_id", "trace_id", "span_id"):
            line.empty[key] += fields.get(key) == ""
        return found
