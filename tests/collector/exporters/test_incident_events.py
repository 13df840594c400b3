"""An incident is written back once each turn: a log event that sorts near what it speaks of, never a span."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from analyzer.incident_words import Incident
from collector.contracts import Signal
from collector.exporters.findings import ExportSettings
from collector.exporters.incidents import incident_exports
from tests.collector.exporters.test_findings import said
from tests.collector.query.answers import HOSTILE_TEXTS
from tests.support.answers import incident, trace_id
from tests.support.fakes.clock import EPOCH_NS, SECOND_NS

TOLD_NS = EPOCH_NS + 7 * SECOND_NS
SETTINGS = ExportSettings()


def record(one: Incident, note: str, settings: ExportSettings = SETTINGS) -> LogRecord:
    (item,) = incident_exports(one, note, settings, TOLD_NS)
    (resource_logs,) = ExportLogsServiceRequest.FromString(item.payload).resource_logs
    assert item.signal is Signal.LOGS
    assert resource_logs.scope_logs[0].scope.name == "firstfault"  # our own receivers drop it
    return resource_logs.scope_logs[0].log_records[0]


@pytest.mark.parametrize(
    ("note", "status", "severity", "at_ns"),
    [
        ("opened", "open", "ERROR", EPOCH_NS),
        ("cause_changed", "open", "WARN", EPOCH_NS + 30 * SECOND_NS),
        ("merged", "closed", "INFO", EPOCH_NS + 30 * SECOND_NS),
        ("closed", "closed", "INFO", EPOCH_NS + 600 * SECOND_NS),
    ],
)
def test_each_turn_has_its_event(note: str, status: str, severity: str, at_ns: int):
    """Opening stands at the onset, closing at the end, everything else when it was said."""
    found = record(incident(1, status=status), note)

    assert (found.event_name, found.severity_text) == (f"firstfault.incident.{note}", severity)
    assert (found.time_unix_nano, found.observed_time_unix_nano) == (at_ns, TOLD_NS)
    assert found.body.string_value == "payment fails by itself."
    assert (found.trace_id, found.span_id) == (b"", b"")


def test_it_says_who_and_whom_and_how_many():
    words = said(record(incident(1), "opened"))

    assert {key.removeprefix("firstfault.incident."): value for key, value in words.items()} == {
        "id": incident(1).incident_id,
        "status": "open",
        "verdict": "cause",
        "revision": 1,
        "cause.kind": "service",
        "cause.name": "payment",
        "cause.service": "payment",
        "cause.rule": "incident.failing",
        "cause.probability": 0.9,
        "roots": ["payment"],
        "candidate_set": ["payment"],
        "affected.services": ["payment", "checkout"],
        "entry_operations": ["gateway POST /checkout"],
        "requests": 120,
        "failed_requests": 60,
        "slow_requests": 3,
        "example_trace_ids": [trace_id(1).hex()],
        "firstfault.engine.version": "0.1.0",
    }


def test_nobody_is_named_without_evidence():
    unsure = incident(1).model_copy(update={"verdict": "insufficient_evidence", "next_probe": "ask payment"})

    words = said(record(unsure, "opened"))

    assert not any(key.startswith("firstfault.incident.cause.") for key in words)
    assert words["firstfault.incident.next_probe"] == "ask payment"


def test_an_update_is_not_of_note():
    assert incident_exports(incident(1), "updated", SETTINGS, TOLD_NS) == []
    assert incident_exports(incident(1), "opened", ExportSettings(log_events=False), TOLD_NS) == []


def test_every_try_sends_the_same_bytes_and_every_revision_its_own():
    first, again = (incident_exports(incident(1), "opened", SETTINGS, TOLD_NS) for _ in range(2))
    later = incident_exports(incident(1, revision=2), "closed", SETTINGS, TOLD_NS)

    assert first == again
    assert first[0].key != later[0].key


@pytest.mark.parametrize("text", [*HOSTILE_TEXTS, "\ud800", "x" * 100_000])
def test_hostile_text_is_cut_and_kept_as_text(text: str):
    found = record(incident(1, service=text, summary=text), "opened")

    assert len(found.body.string_value) <= 1024
    assert all(len(value) <= 256 for value in said(found).values() if isinstance(value, str))


def test_another_prefix_and_the_name_as_an_attribute():
    found = record(incident(1), "opened", ExportSettings(prefix="ff.", event_name_attribute=True))

    assert (found.event_name, said(found)["event.name"]) == ("ff.incident.opened", "ff.incident.opened")
    assert said(found)["ff.incident.id"] == incident(1).incident_id
