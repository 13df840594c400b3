"""A group of errors is written back once each turn that is news: a log event that stands where the news began."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from analyzer.errors.group_news import Turn, What
from analyzer.errors.group_words import ErrorGroup, Spike
from analyzer.version import __version__
from collector.contracts import Signal
from collector.exporters.findings import ExportSettings
from collector.exporters.groups import group_exports
from tests.collector.exporters.test_findings import said
from tests.collector.query.answers import HOSTILE_TEXTS
from tests.support.answers import error_group, trace_id
from tests.support.fakes.clock import EPOCH_NS, SECOND_NS

TOLD_NS = EPOCH_NS + 7 * SECOND_NS
SPIKE = Spike(
    now=40, usual=4.0, ratio=10.0, p=1e-12, since_ns=EPOCH_NS, window_s=300, sentence="CardError in payment: 40 events"
)
GROUP = error_group(1).model_copy(update={"spike": SPIKE, "novel_reason": "400 errors of 2 kinds were known"})
SETTINGS = ExportSettings()


def record(group: ErrorGroup, what: What, settings: ExportSettings = SETTINGS) -> LogRecord:
    (item,) = group_exports(group, Turn(group.group_id, what, EPOCH_NS), settings, TOLD_NS)
    (resource_logs,) = ExportLogsServiceRequest.FromString(item.payload).resource_logs
    assert item.signal is Signal.LOGS
    assert resource_logs.scope_logs[0].scope.name == "firstfault"  # our own receivers drop it
    return resource_logs.scope_logs[0].log_records[0]


@pytest.mark.parametrize(
    ("what", "severity", "sentence"),
    [
        ("spike", "WARN", "CardError in payment: 40 events"),
        ("new", "WARN", "CardError in payment: 400 errors of 2 kinds were known"),
        ("regressed", "ERROR", "CardError in payment: seen for the first time"),
    ],
)
def test_each_turn_has_its_event(what: What, severity: str, sentence: str):
    found = record(GROUP, what)

    assert (found.event_name, found.severity_text) == (f"firstfault.group.{what}", severity)
    assert (found.time_unix_nano, found.observed_time_unix_nano) == (EPOCH_NS, TOLD_NS)
    assert found.body.string_value == sentence
    assert (found.trace_id, found.span_id) == (b"", b"")


def test_it_says_what_and_how_much():
    words = said(record(GROUP, "spike"))

    assert {key.removeprefix("firstfault.group."): value for key, value in words.items()} == {
        "id": GROUP.group_id,
        "type": "CardError",
        "message": "card 4711 declined",
        "service": "payment",
        "operation": "POST /charge",
        "status": "ongoing",
        "count": 12,
        "users": 7,
        "versions": ["1.4.0"],
        "spike.now": 40,
        "spike.usual": 4.0,
        "spike.ratio": 10.0,
        "spike.p": 1e-12,
        "example_trace_ids": [trace_id(1).hex()],
        "firstfault.engine.version": __version__,
    }


def test_a_replay_is_the_same_message_and_another_turn_is_not():
    """The key is of group, what is new, and since when: however often, and whenever, it is told."""
    turn = Turn(GROUP.group_id, "spike", EPOCH_NS)

    assert group_exports(GROUP, turn, SETTINGS, TOLD_NS) == group_exports(GROUP, turn, SETTINGS, TOLD_NS)
    keys = [
        group_exports(GROUP, one, SETTINGS, told_ns)[0].key
        for one, told_ns in (
            (turn, TOLD_NS),
            (turn, TOLD_NS + 1),
            (turn._replace(at_ns=EPOCH_NS + 1), TOLD_NS),
            (turn._replace(what="new"), TOLD_NS),
        )
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_log_events_can_be_off():
    assert group_exports(GROUP, Turn(GROUP.group_id, "new", 0), ExportSettings(log_events=False), TOLD_NS) == []


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_hostile_text_is_written_and_breaks_nothing(text: str):
    group = error_group(1, message=text, services=(text,)).model_copy(update={"type": text, "novel_reason": text})

    found = record(group, "new")

    assert found.body.string_value.isprintable()
