"""Errors that are only logged: found among records without a trace, within a budget, counted once."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from analyzer.errors.fingerprint import fingerprint_of
from analyzer.errors.taxonomy import Context, severity_of
from analyzer.reports.group_report import report_of_group
from analyzer.reports.markdown import to_markdown
from analyzer.spans import OWN_SCOPE_NAME
from collector import logged_errors
from collector.contracts import Signal
from collector.group_text import group_line
from collector.logged_errors import LoggedErrors
from tests.collector.query.answers import HOSTILE_TEXTS
from tests.support.counting import Counting
from tests.support.fakes.clock import EPOCH_NS

SECOND_NS = 1_000_000_000
STACK = """Traceback (most recent call last):
  File "/srv/app/mailer.py", line 45, in send
    raise ValueError("no address")
ValueError: no address"""


def request(
    *times_ns: int,
    service: str = "mailer",
    trace_id: bytes = b"",
    scope: str = "app",
    severity: int = 17,
    **attributes: str,
) -> bytes:
    """A record at each time."""
    whole = ExportLogsServiceRequest()
    of_resource = whole.resource_logs.add()
    for key, value in (("service.name", service), ("service.version", "1.4.0")):
        pair = of_resource.resource.attributes.add()
        pair.key, pair.value.string_value = key, value
    of_scope = of_resource.scope_logs.add()
    of_scope.scope.name = scope
    named = attributes or {
        "exception.type": "ValueError",
        "exception.message": "no address",
        "exception.stacktrace": STACK,
    }
    for time_ns in times_ns or (EPOCH_NS,):
        record = of_scope.log_records.add()
        record.time_unix_nano, record.trace_id, record.severity_number = time_ns, trace_id, severity
        record.body.string_value = "cannot send"
        for key, value in named.items():
            pair = record.attributes.add()
            pair.key, pair.value.string_value = key.replace("__", "."), value
    return whole.SerializeToString()


def read(payload: bytes) -> list[tuple[str, str]]:
    return [(one.fact.service, one.fact.type) for one in LoggedErrors(fingerprint_of).read(payload, SECOND_NS)]


def test_a_record_with_an_exception_and_without_a_trace_is_an_error():
    (found,) = LoggedErrors(fingerprint_of).read(request(), SECOND_NS)

    assert (found.fact.service, found.fact.version, found.fact.sources) == ("mailer", "1.4.0", ("log",))
    assert found.fact.stack is not None
    assert found.group.tier == "stack"


@pytest.mark.parametrize(
    "payload",
    [
        request(trace_id=b"\x01" * 16),  # its trace tells it
        request(note="nothing"),
        request(scope=OWN_SCOPE_NAME),  # what we told ourselves
        b"",
        b"exception.\xff",
    ],
    ids=["in a trace", "no exception", "our own", "empty", "broken"],
)
def test_what_is_none_is_left_alone(payload: bytes):
    assert read(payload) == []


def test_a_trace_id_of_zeros_is_none():
    assert read(request(trace_id=bytes(16))) == [("mailer", "ValueError")]


def test_only_so_many_are_read_in_a_second(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logged_errors, "RECORDS_PER_S", 3)
    errors = LoggedErrors(fingerprint_of)

    first = errors.read(request(*range(1, 6)), SECOND_NS)
    second = errors.read(request(*range(1, 6)), 2 * SECOND_NS)

    assert (len(first), len(second), errors.unread_records) == (3, 3, 4)


def test_only_so_many_bytes_are_opened_in_a_second(monkeypatch: pytest.MonkeyPatch):
    """One that is larger than a second's share is opened; then nothing is until that is paid for."""
    payload = request()
    monkeypatch.setattr(logged_errors, "BYTES_PER_S", len(payload) // 2)
    errors = LoggedErrors(fingerprint_of)

    found = [len(errors.read(payload, second * SECOND_NS)) for second in (1, 1, 2, 3, 4)]

    assert found == [1, 0, 0, 1, 0]
    assert errors.unopened_requests == 3


# -- in the groups -------------------------------------------------------------------------


def heard(*payloads: bytes) -> Counting:
    house = Counting()
    for payload in payloads:
        house.queue.items.append((payload, Signal.LOGS))
    house.after(2)
    house.after(2)
    return house


def test_they_open_a_group_that_says_so():
    times = [EPOCH_NS - number * SECOND_NS for number in range(3)]
    house = heard(request(*times))

    (group,) = house.groups
    assert (group.type, group.service, group.count, group.logged_count) == ("ValueError", "mailer", 3, 3)
    assert (group.example_trace_ids, group.operations, group.users) == ([], [], 0)
    assert group.location == "/srv/app/mailer.py:45"
    assert [seen.name for seen in group.versions] == ["1.4.0"]
    assert "logged only" in group_line(group).plain
    assert "3 of 3 were only logged, outside of any trace" in to_markdown(report_of_group(group))
    assert house.room.snapshot()["groups_logged_errors"] == 3


def test_a_request_that_is_sent_again_counts_once():
    house = heard(request(), request())

    assert [group.count for group in house.groups] == [1]


def test_their_severity_does_not_pretend_that_nobody_met_them():
    """Without a trace there is no failing request: that is not the same as one that was worked around."""
    house = heard(request(*(EPOCH_NS - number for number in range(30))))

    found = severity_of(house.groups[0], Context(), "runtime")

    assert (found.value, found.reason) == ("medium", "only logged, 30 times: no trace says who met it")


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_records_stay_words(text: str):
    house = heard(request(service=text, exception__type=text, exception__message=text))

    (group,) = house.groups
    assert house.room.failed == {}
    assert "\x1b" not in group_line(group).plain
    assert "\u202e" not in group_line(group).plain
