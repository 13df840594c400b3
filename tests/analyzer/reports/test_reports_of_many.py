"""Reports of many traces, an incident or a group: with an example trace, and without."""

from __future__ import annotations

from analyzer.reports.five_whys import Changed
from analyzer.reports.group_report import report_of_group
from analyzer.reports.incident_report import report_of_incident
from tests.support.answers import error_group, incident
from tests.support.fakes.clock import EPOCH_NS
from tests.support.reported import DELIVERABLES, Reporter
from tests.support.shop import FAULTS


def test_an_incident_has_all_deliverables_without_an_example():
    report = report_of_incident(incident(status="closed"))

    assert all(getattr(report, name) for name in DELIVERABLES)
    assert report.summary.severity == "high"
    assert report.review.time_to_detect_ns == 20_000_000_000
    assert report.review.time_to_recover_ns == 600_000_000_000
    assert report.missing


def test_an_incident_takes_pattern_and_fixture_from_its_example(reporter: Reporter):
    _, example = reporter.report(FAULTS[0].drawing())

    report = report_of_incident(
        incident(), example, changes=[Changed(EPOCH_NS - 60_000_000_000, "v2 of payment", "payment")]
    )

    assert report.testing.fixture == example.testing.fixture
    assert report.root_cause.patterns == example.root_cause.patterns
    assert any("v2 of payment" in why.because and why.level == "inferred" for why in report.five_whys.whys)
    assert report.timeline.moments[0].what == "change: v2 of payment"


def test_the_messages_of_an_incident_are_the_templates():
    """Golden: every field of the two templates, filled or marked."""
    messages = report_of_incident(incident(status="closed")).messages

    assert messages.initial == (
        "\U0001f6a8 INCIDENT: service payment broke the system\n"
        "\n"
        "Severity: High\n"
        "Status: Investigating\n"
        "Started: 2025-10-09 08:53:20 UTC\n"
        "Incident Commander: (not known: assign one)\n"
        "\n"
        "Symptoms:\n"
        "- Error rate: 50.0% (normal: (not known: the usual rate was not given))\n"
        "- payment fails by itself.\n"
        "- 60 failed and 3 slow of 120\n"
        "- Affected users: (not known: spans carry no count of users)\n"
        "- Error: (not known: no error message was recorded)\n"
        "\n"
        "Actions Taken:\n"
        f"- firstfault ranks the suspects of incident {1:032x}\n"
        "\n"
        "Updates: Will provide update every 15 minutes\n"
        "Status Page: (not known: no status page is configured)\n"
    )
    assert messages.mitigation == (
        "\u2705 INCIDENT UPDATE: Mitigation Applied\n"
        "\n"
        "Severity: High \u2192 (not known: judge it again)\n"
        "Status: Mitigated\n"
        "Duration: 10 min\n"
        "\n"
        "Root Cause: payment fails by itself.\n"
        "\n"
        "Mitigation: (not known: write what was done)\n"
        "\n"
        "Current Status:\n"
        "- Error rate: alarms have been gone since the end of the incident\n"
        "- All systems operational: (not known: check)\n"
        "- Backlog: (not known: check the queues)\n"
        "\n"
        "Next Steps:\n"
        "- Monitor for 30 minutes\n"
        "- Schedule the review within 48 hours\n"
    )


def test_the_channel_of_an_incident_has_day_and_culprit():
    assert report_of_incident(incident()).messages.channel == "#incident-2025-10-09-payment"


def test_a_group_is_its_example_with_counts(reporter: Reporter):
    group = error_group(1)
    _, example = reporter.report(FAULTS[0].drawing())

    report = report_of_group(group, example)

    assert (report.subject, report.subject_id, report.revision) == ("group", group.group_id, group.revision)
    assert report.summary.scope[0].text.startswith("seen in 12 traces")
    assert "services: payment" in report.summary.scope[1].text
    assert report.summary.when.startswith("first 2025-10-09 08:53:20 UTC, last 2025-10-09")
    assert report.testing.fixture == example.testing.fixture


def test_a_group_without_an_example_is_advised_by_type_and_message():
    group = error_group(1, message="duplicate key value violates unique constraint")

    report = report_of_group(group)

    assert all(getattr(report, name) for name in DELIVERABLES)
    assert report.immediate_fix[0].pattern == "database.duplicate_key"
    assert report.testing.fixture is None
