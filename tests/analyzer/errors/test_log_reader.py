"""Logs of others, read into our schema; and records written so that they keep it."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from analyzer.errors.iso_time import iso_of, read_time
from analyzer.errors.log_reader import KEYS_MAX, LogRecord, read_level, read_log, redact, write_log
from analyzer.errors.log_schema import faults_of
from tests.analyzer.errors.test_log_schema import EXAMPLE

AT_NS = 1_760_192_625_123_000_000
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

ECS = {
    "@timestamp": "2025-10-11T14:23:45.123Z",
    "ecs.version": "8.11.0",
    "log": {"level": "error", "logger": "pay"},
    "message": "charge failed",
    "trace": {"id": TRACE},
    "span.id": SPAN,
    "service": {"name": "payment-service", "version": "v2.3.1", "environment": "prod"},
    "host": {"hostname": "pod-1"},
    "error": {"type": "CardError", "message": "declined", "stack_trace": "CardError\n at pay"},
    "user": {"id": "u1"},
    "client": {"ip": "203.0.113.42"},
    "http": {"request": {"method": "POST", "id": "req-1"}, "response": {"status_code": 402}},
    "url": {"path": "/charge"},
    "event": {"duration": 2547000000},
}
OTEL = {
    "timeUnixNano": str(AT_NS),
    "severityNumber": 17,
    "severityText": "ERROR",
    "body": {"stringValue": "charge failed"},
    "traceId": TRACE.upper(),
    "spanId": SPAN,
    "attributes": [
        {"key": "exception.type", "value": {"stringValue": "CardError"}},
        {"key": "exception.message", "value": {"stringValue": "declined"}},
        {"key": "exception.stacktrace", "value": {"stringValue": "CardError\n at pay"}},
        {"key": "http.response.status_code", "value": {"intValue": "402"}},
        {"key": "http.request.method", "value": {"stringValue": "POST"}},
        {"key": "url.path", "value": {"stringValue": "/charge"}},
        {"key": "user.id", "value": {"stringValue": "u1"}},
        {"key": "client.address", "value": {"stringValue": "203.0.113.42"}},
        {"key": "correlation_id", "value": {"stringValue": "req-1"}},
        {"key": "duration_ms", "value": {"doubleValue": 2547}},
    ],
    "resource": {
        "attributes": [
            {"key": "service.name", "value": {"stringValue": "payment-service"}},
            {"key": "service.version", "value": {"stringValue": "v2.3.1"}},
            {"key": "deployment.environment.name", "value": {"stringValue": "production"}},
            {"key": "host.name", "value": {"stringValue": "pod-1"}},
        ]
    },
}
DATADOG = {
    "timestamp": AT_NS // 1_000_000,
    "status": "error",
    "message": "charge failed",
    "service": "payment-service",
    "hostname": "pod-1",
    "dd": {
        "trace_id": str(int(TRACE[16:], 16)),
        "span_id": str(int(SPAN, 16)),
        "env": "production",
        "version": "v2.3.1",
    },
    "error": {"kind": "CardError", "message": "declined", "stack": "CardError\n at pay"},
    "usr": {"id": "u1"},
    "network": {"client": {"ip": "203.0.113.42"}},
    "http": {"method": "POST", "status_code": "402", "url_details": {"path": "/charge"}, "request_id": "x"},
    "request_id": "req-1",
    "duration": 2547000000,
}
PLAIN = {
    "time": "2025-10-11T16:23:45.123+02:00",
    "levelname": "CRITICAL",
    "msg": "charge failed",
    "app": "payment-service",
    "env": "live",
    "hostname": "pod-1",
    "app_version": "v2.3.1",
    "trace_id": TRACE,
    "span_id": SPAN,
    "correlationId": "req-1",
    "err": {"type": "CardError", "message": "declined", "stack": "CardError\n at pay"},
    "user": "u1",
    "remote_addr": "203.0.113.42",
    "req": {"method": "POST", "url": "/charge"},
    "res": {"statusCode": 402},
    "responseTime": 2547,
}


@pytest.mark.parametrize(("record", "dialect"), [(ECS, "ecs"), (OTEL, "otel"), (DATADOG, "datadog"), (PLAIN, "plain")])
def test_the_same_record_in_four_dialects(record: dict[str, Any], dialect: str):
    found = read_log(record)

    assert found.dialect == dialect
    trace = TRACE if dialect != "datadog" else TRACE[16:].zfill(32)  # Datadog writes the lower half only
    assert replace(found, context=(), left_out=0) == LogRecord(
        time_ns=AT_NS,
        level="ERROR",
        message="charge failed",
        correlation_id="req-1",
        trace_id=trace,
        span_id=SPAN,
        service="payment-service",
        environment="production",
        host="pod-1",
        version="v2.3.1",
        error_type="CardError",
        error_message="declined",
        stack_trace="CardError\n at pay",
        user_id="u1",
        user_ip="203.0.113.42",
        method="POST",
        path="/charge",
        duration_ms=2547.0,
        status_code=402,
        dialect=dialect,
    )
    assert found.is_business
    assert faults_of(write_log(found)) == []


def test_our_own_record_comes_back_as_it_was():
    found = read_log(EXAMPLE)

    assert found.dialect == "firstfault"
    assert found.is_business
    assert dict(found.context)["merchant_id"] == "merchant-789"
    assert write_log(found) == EXAMPLE | {"error": EXAMPLE["error"]}


def test_what_has_no_place_goes_to_the_context():
    assert read_log({"level": "info", "thread": "main", "queue": {"depth": 7}}).context == (
        ("thread", "main"),
        ("queue.depth", 7),
    )


@pytest.mark.parametrize(
    ("value", "level"),
    [
        ("warning", "WARN"),
        ("Information", "INFO"),
        ("fatal", "ERROR"),
        ("ERROR2", "ERROR"),
        (9, "INFO"),
        (17, "ERROR"),
        (30, "INFO"),
        (60, "ERROR"),
        ("50", "ERROR"),
        ("", ""),
        (None, ""),
        ("loud", ""),
        (True, ""),
        (1.5, ""),
    ],
)
def test_levels_of_many_libraries(value: object, level: str):
    assert read_level(value) == level


def test_a_status_may_be_a_level_or_a_code():
    assert (read_log({"status": "warn"}).level, read_log({"status": 503}).status_code) == ("WARN", 503)
    assert read_log({"status": 503}).level == ""


def test_an_error_that_is_only_marked_has_no_message():
    assert read_log({"error": True, "level": "error"}).error_message == ""
    assert read_log({"error": "disk full"}).error_message == "disk full"


@pytest.mark.parametrize("record", [{}, {"attributes": [{}]}, {"a": {"b": {"c": {"d": {"e": {"f": {"g": {}}}}}}}}])
def test_odd_records_are_read_as_far_as_they_go(record: dict[str, Any]):
    assert faults_of(write_log(read_log(record))) == []


def test_a_record_of_a_thousand_keys_is_bounded():
    found = read_log({f"key{n}": n for n in range(2_000)})

    assert len(found.context) == 64
    assert found.left_out == 2_000 - 64


def test_a_deep_record_is_bounded():
    record: dict[str, Any] = {}
    for _ in range(500):
        record = {"a": record, "b": 1}

    assert len(read_log(record).context) <= KEYS_MAX


def test_random_records_never_raise_and_always_keep_the_schema():
    dice = random.Random(3)
    words = ["timestamp", "level", "trace_id", "error", "user", "http", "status", "attributes", "key", "value", "\x00"]
    values: list[Any] = [
        None,
        True,
        -1,
        1e400,
        math.nan,
        "",
        "x" * 5_000,
        "NaN",
        "ERROR",
        17,
        [],
        [{"key": 1}],
        {},
        10**30,
    ]

    def draw(depth: int) -> Any:
        if depth and dice.random() < 0.4:
            return {dice.choice(words): draw(depth - 1) for _ in range(dice.randrange(5))}
        return dice.choice(values)

    for _ in range(2_000):
        assert faults_of(write_log(read_log({word: draw(4) for word in dice.sample(words, 5)}))) == []


def test_nobody_is_named_after_redaction():
    record = LogRecord(user_id="u1", session_id="s1", user_ip="203.0.113.42")

    hashed = redact(record, user="hash", ip="cut")
    dropped = redact(record, user="drop", ip="drop")

    assert hashed.user_ip == "203.0.113.0"
    assert hashed.user_id not in ("", "u1")
    assert hashed.user_id == redact(record, user="hash", ip="keep").user_id
    assert (dropped.user_id, dropped.session_id, dropped.user_ip) == ("", "", "")
    assert redact(record, user="keep", ip="keep") == record
    assert redact(LogRecord(user_ip="2001:db8:1:2::7"), user="keep", ip="cut").user_ip == "2001:db8:1::"
    assert redact(LogRecord(user_ip="not an address"), user="keep", ip="cut").user_ip == ""


def test_times_are_those_of_the_calendar():
    """Against the standard library, over four centuries."""
    dice = random.Random(1)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    for _ in range(3_000):
        at = epoch + timedelta(microseconds=dice.randrange(-6 * 10**15, 7 * 10**15))
        since = at - epoch
        ns = ((since.days * 86_400 + since.seconds) * 10**6 + since.microseconds) * 1000
        assert iso_of(ns, 6) == at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        assert read_time(at.isoformat()) == (ns, True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2025-10-11T14:23:45.123Z", (AT_NS, True)),
        ("2025-10-11 14:23:45,123", (AT_NS, False)),
        ("2025-10-11T16:23:45.123+0200", (AT_NS, True)),
        (AT_NS // 10**6, (AT_NS, True)),
        (str(AT_NS), (AT_NS, True)),
        (1760192625.123, (AT_NS, True)),
        ("2025-02-30T00:00:00Z", None),
        ("2025-13-01", None),
        ("yesterday", None),
        (True, None),
        (None, None),
        (12, None),
        (-5.0, None),
        (math.inf, None),
        (10**30, None),
    ],
)
def test_times_as_logs_write_them(value: object, expected: tuple[int, bool] | None):
    assert read_time(value) == expected
