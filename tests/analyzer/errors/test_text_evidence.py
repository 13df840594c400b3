"""A message, a stack trace, a log: what is told of each, and what is missing."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from analyzer.errors.model import Frame, StackTrace, Thrown
from analyzer.errors.text_evidence import kind_of_text, read_text, type_and_message
from tests.analyzer.errors.test_log_schema import EXAMPLE

NPE = """NullPointerException
  at java.util.HashMap.hash(HashMap.java:339)
  at java.util.HashMap.get(HashMap.java:556)
  at com.myapp.service.UserService.findUser(UserService.java:45)
"""
PYTHON = """Traceback (most recent call last):
  File "app.py", line 3, in <module>
    charge()
ValueError: card number is empty
"""


def parsed(text: str) -> StackTrace:
    """What a parser makes of `NPE`."""
    frames = (
        Frame("hash", "java.util.HashMap", "HashMap.java", 339, in_app=False),
        Frame("findUser", "com.myapp.service.UserService", "UserService.java", 45, in_app=True),
    )
    return StackTrace("java", (Thrown("NullPointerException", "", frames),))


def log_of(*records: dict[str, Any]) -> str:
    return "\n".join(json.dumps(record) for record in records)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("TimeoutException: Operation timed out after 30000ms", "message"),
        ("", "message"),
        ("{ not json", "message"),
        ('{"a": 1}\n{"b": 2}', "message"),
        ('{"resourceSpans": []}', "message"),
        (NPE, "stack"),
        (PYTHON, "stack"),
        ("goroutine 1 [running]:\nmain.main()\n\t/app/main.go:5", "stack"),
        ("TypeError: x is undefined\n    at pay (/app/pay.js:3:7)", "stack"),
        ("thread 'main' panicked at src/main.rs:2:5:\nboom", "stack"),
        (log_of(EXAMPLE), "log"),
        ("starting...\n" + log_of(EXAMPLE, EXAMPLE, EXAMPLE), "log"),
        ('{"msg": "hello"}', "log"),
    ],
)
def test_what_it_is_shows_in_the_text(text: str, kind: str):
    assert kind_of_text(text) == kind


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TimeoutException: timed out", ("TimeoutException", "timed out")),
        ("NullPointerException", ("NullPointerException", "")),
        ("java.lang.IllegalStateException: no", ("java.lang.IllegalStateException", "no")),
        ('Exception in thread "main" java.lang.Error: no', ("java.lang.Error", "no")),
        (PYTHON, ("ValueError", "card number is empty")),
        ("connection refused", ("", "connection refused")),
        ("Error rate is high: 5 %", ("", "Error rate is high: 5 %")),
        ("", ("", "")),
    ],
)
def test_type_and_message_are_told_apart(text: str, expected: tuple[str, str]):
    assert type_and_message(text) == expected


def test_a_message_names_a_family_and_what_is_missing():
    found = read_text("TimeoutException: Operation timed out after 30000ms")

    assert (found.kind, found.error_type, found.error_class) == ("message", "TimeoutException", "timeout")
    assert found.evidence.present == ["message"]
    assert [one.kind for one in found.evidence.missing] == ["stack", "log", "trace"]


def test_a_refusal_for_a_business_reason_is_no_failure():
    assert "no system failed" in read_text("PaymentError: insufficient funds").summary


def test_a_stack_trace_names_the_line():
    found = read_text(NPE, parsed)

    assert found.location == "UserService.java:45 (com.myapp.service.UserService.findUser)"
    assert found.call_chain[0].startswith("HashMap.java:339")
    assert "Look at UserService.java:45" in found.summary
    assert [one.kind for one in found.evidence.missing] == ["message", "log", "trace"]


def test_without_a_parser_the_type_is_told_and_that_frames_were_not_read():
    found = read_text(NPE)

    assert (found.kind, found.error_type, found.location) == ("stack", "NullPointerException", "")
    assert "could not be read" in found.summary


def test_a_log_tells_how_often_whom_and_since_when():
    records = [EXAMPLE | {"user": {"id": f"u{n}"}, "timestamp": f"2025-10-11T14:{n:02d}:00Z"} for n in range(30)]
    other = EXAMPLE | {"error": {"type": "DbError", "message": "pool exhausted", "fingerprint": "db"}, "request": {}}
    found = read_text(log_of(*records, other, EXAMPLE | {"level": "INFO", "error": {}}), parsed)

    first, second = found.errors
    assert (first.fingerprint, first.count, first.business) == ("payment-insufficient-funds", 30, True)
    assert first.users == pytest.approx(30, abs=1)
    assert first.last_ns - first.first_ns == 29 * 60 * 1_000_000_000
    assert (second.fingerprint, second.business) == ("db", False)
    assert found.summary.startswith("31 errors of 2 kinds in 32 records; most often PaymentProcessingException")
    assert found.evidence.present == ["message", "log", "stack"]
    assert [one.kind for one in found.evidence.missing] == ["trace"]
    assert found.log is not None
    assert found.log.levels == {"ERROR": 31, "INFO": 1}
    assert found.location.startswith("UserService.java:45")


def test_errors_without_a_fingerprint_are_kept_apart_by_what_does_not_vary():
    lines = [{"level": "error", "msg": f"user {n} has no card '{n}x'"} for n in range(20)]
    lines += [{"level": "error", "msg": f"disk {n} is full"} for n in range(5)]

    assert [kind.count for kind in read_text(log_of(*lines)).errors] == [20, 5]


def test_all_kinds_are_counted_and_the_most_frequent_told():
    letters = "abcdefghijklmnop"
    found = read_text(log_of(*({"level": "error", "msg": f"{letter} broke"} for letter in letters for _ in range(2))))

    assert (len(found.errors), found.summary.partition(";")[0]) == (10, "32 errors of 16 kinds in 32 records")


def test_errors_by_the_clock_are_told():
    at = 1_759_622_400
    lines = [{"level": "error", "msg": "import failed", "ts": at + n * 3600 + 17 * 60} for n in range(24)]

    (kind,) = read_text(log_of(*lines)).errors

    assert kind.period.startswith("They come every hour, about 17 minutes past")


def test_lines_that_are_no_records_are_counted():
    found = read_text("\n".join(["server started", *[json.dumps(EXAMPLE)] * 3, "{broken", "[" * 5_000]), kind="log")

    assert found.log is not None
    assert (found.log.records, found.log.unreadable) == (3, 3)


def test_a_log_without_errors_says_so():
    found = read_text(log_of({"level": "info", "msg": "fine"}))

    assert (found.summary, found.errors) == ("1 record, none of them an error.", [])


def test_hostile_text_is_harmless_and_never_raises():
    dice = random.Random(9)
    pieces = [
        "\x1b[2J",
        "{",
        '{"level":"error","msg":"\x07"}',
        "at a(b:1)",
        "\x00",
        "Traceback (most recent call last):",
    ]
    pieces += ["\n", " ", "Error: ", "\ud800", "9" * 400, '{"ts":1e999}', "Caused by: x"]
    for _ in range(500):
        text = "".join(dice.choice(pieces) for _ in range(dice.randrange(30)))
        assert read_text(text).summary.isprintable()
