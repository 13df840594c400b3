"""The log schema: the example that it was asked for by, what breaks it, and who keeps it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from analyzer.errors.log_schema import LOG_SCHEMA, SERVICES_MAX, Conformance, faults_of

# The record that the schema was asked for by: its correlation id is not hex, its 402 a business refusal.
EXAMPLE: dict[str, Any] = {
    "timestamp": "2025-10-11T14:23:45.123Z",
    "level": "ERROR",
    "correlation_id": "req-7f3b2a1c-4d5e-6f7g-8h9i-0j1k2l3m4n5o",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "span_id": "00f067aa0ba902b7",
    "service": "payment-service",
    "environment": "production",
    "host": "pod-payment-7d4f8b9c-xk2l9",
    "version": "v2.3.1",
    "error": {
        "type": "PaymentProcessingException",
        "message": "Failed to charge card: Insufficient funds",
        "stack_trace": "...",
        "fingerprint": "payment-insufficient-funds",
    },
    "user": {"id": "user-12345", "ip": "203.0.113.42", "session_id": "sess-abc123"},
    "request": {"method": "POST", "path": "/api/v1/payments/charge", "duration_ms": 2547, "status_code": 402},
    "context": {"payment_method": "credit_card", "amount": 149.99, "currency": "USD", "merchant_id": "merchant-789"},
}


def broken(path: str, value: object) -> dict[str, Any]:
    """The example with one field set; `...` takes it away."""
    record = copy.deepcopy(EXAMPLE)
    *parents, leaf = path.split(".")
    place = record
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[leaf]
    else:
        place[leaf] = value
    return record


def test_the_example_keeps_the_schema():
    assert faults_of(EXAMPLE) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timestamp", ...),
        ("timestamp", "2025-10-11T14:23:45+02:00"),
        ("timestamp", "2025-10-11 14:23:45Z"),
        ("timestamp", 1760192625),
        ("level", "error"),
        ("level", "FATAL"),
        ("correlation_id", ...),
        ("correlation_id", "two words"),
        ("correlation_id", "x" * 129),
        ("trace_id", ...),
        ("trace_id", "4BF92F3577B34DA6A3CE929D0E0E4736"),
        ("span_id", "00f0"),
        ("service", ""),
        ("service", {"name": "payment"}),
        ("environment", "prod"),
        ("error", ...),
        ("error", "it broke"),
        ("error.fingerprint", ...),
        ("error.fingerprint", ""),
        ("error.type", 7),
        ("user.ip", None),
        ("request.duration_ms", "2547"),
        ("request.duration_ms", -1),
        ("request.duration_ms", True),
        ("request.status_code", 42),
        ("request.status_code", 402.5),
        ("context", []),
        ("context", {str(n): n for n in range(129)}),
    ],
)
def test_what_breaks_the_schema_is_named(field: str, value: object):
    (fault,) = faults_of(broken(field, value))

    assert fault.field == field
    assert fault.expected


@pytest.mark.parametrize("record", [None, [], "text", 7])
def test_what_is_no_record_is_said(record: object):
    (fault,) = faults_of(record)

    assert (fault.field, fault.expected) == ("record", "object")


def test_only_errors_need_an_error():
    record = broken("error", ...) | {"level": "INFO"}

    assert faults_of(record) == []


def test_outside_of_a_request_the_ids_are_empty_not_missing():
    assert faults_of(EXAMPLE | {"trace_id": "", "span_id": "", "correlation_id": ""}) == []


def test_more_than_the_schema_asks_for_is_allowed():
    assert faults_of(EXAMPLE | {"message": "charge failed", "thread": "main"}) == []


def test_the_schema_uses_only_words_that_are_checked():
    """A keyword that the check does not know would promise what nobody keeps."""
    known = {"type", "required", "properties", "pattern", "enum", "minimum", "maximum", "minLength", "maxLength"}
    known |= {"maxProperties", "description", "title", "$schema", "$id", "if", "then", "const"}

    def words(schema: dict[str, Any]) -> set[str]:
        found = set(schema)
        for one in schema.get("properties", {}).values():
            found |= words(one)
        for name in {"if", "then"} & set(schema):
            found |= words(schema[name])
        return found

    assert words(LOG_SCHEMA) <= known


def test_the_report_says_who_keeps_it_and_what_is_missing():
    report = Conformance()
    for _ in range(3):
        report.add(EXAMPLE)
    report.add(broken("correlation_id", ...))
    report.add(broken("level", "err") | {"service": "ledger", "trace_id": ""})
    report.add("no object")

    payment, ledger = report.services["payment-service"], report.services["ledger"]
    assert (payment.records, payment.conformant, payment.share) == (4, 3, 0.75)
    assert dict(payment.faults) == {"correlation_id": 1}
    assert (ledger.share, ledger.example["level"].found, ledger.empty["trace_id"]) == (0.0, "err", 1)
    assert report.services["(no service)"].records == 1


def test_a_flood_of_services_is_bounded():
    report = Conformance()
    for number in range(SERVICES_MAX + 10):
        report.add(EXAMPLE | {"service": f"s{number}"})

    assert len(report.services) == SERVICES_MAX + 1
    assert report.services["(other services)"].records == 10
