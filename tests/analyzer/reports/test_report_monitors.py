"""The monitors of a report: of its culprit, with the expressions the report shows, taken by the real rule checker."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from analyzer.findings import Answer
from analyzer.reports.group_report import report_of_group
from analyzer.reports.incident_report import report_of_incident
from analyzer.reports.model import Report
from analyzer.reports.report import report_of_trace
from analyzer.reports.report_monitors import NO_SERVICE, monitors_of, watched_of
from tests.support.answers import checkout, error_group, incident
from tests.support.drawing import draw
from tests.support.promtool import needs_promtool, promtool
from tests.support.reported import Reporter
from tests.support.shop import FAULTS

FAILED = """
    gateway   GET /checkout            0..100  ERROR http.response.status_code=500
      gateway   CLIENT payment.Charge    45..95  ERROR  server.address=payment http.response.status_code=500
        payment   Charge                   50..90  ERROR  http.response.status_code=500 !KeyError: "sku"
"""


@pytest.fixture(scope="module")
def report() -> Report:
    return Reporter().report(draw(FAILED))[1]


def nobody_named() -> Report:
    return report_of_trace(Answer(trace_id="ab" * 16, status="clean", verdict="none", summary="", start_ns=1, end_ns=2))


def test_the_culprit_is_watched_not_who_passed_it_on(report: Report):
    watched = watched_of(report)

    assert watched is not None
    assert watched.service == "payment"
    assert watched.causes[0] == report.root_cause.claim.text
    assert watched.causes[-1] == f"runbook {report.runbook.runbook_id} of firstfault"


def test_the_report_shows_the_expressions_of_its_rules(report: Report):
    """One way to say it: what a person reads is what Prometheus is given."""
    rules = monitors_of(report)["prometheus_rule"]["spec"]["groups"][0]["rules"]
    by_name = {rule["alert"]: rule["expr"] for rule in rules}
    shown = {one.name: one.expression for one in report.monitoring}

    assert shown["error share of the culprit"] == by_name["HighErrorShare"]
    assert shown["no data"] == by_name["NoRequests"]


def test_monitors_are_rules_that_prometheus_reads(reporter: Reporter):
    """Balanced, quoted, named; a hostile service name ends no quotes."""
    report = reporter.report(FAULTS[0].drawing())[1]
    hostile = report_of_trace(checkout(service='a"} or vector(1) or x{b="'))

    assert [one.name for one in report.monitoring[:2]] == ["error share of the culprit", "no data"]
    found = [one.expression for one in [*report.monitoring, *hostile.monitoring] if one.expression]
    assert len(found) == 4
    for expression in found:
        outside = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expression)
        assert outside.count("{") == outside.count("}")
        assert outside.count("(") == outside.count(")")
        assert "vector" not in outside
        assert '"' not in outside.replace('""', "")


@needs_promtool
def test_prometheus_takes_the_rule_of_a_report(report: Report, tmp_path: Path):
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(monitors_of(report)["prometheus_rule"]["spec"]))

    done = promtool("check", "rules", "--lint=all", "--lint-fatal", str(rules))

    assert (done.returncode, "4 rules found" in done.stdout) == (0, True), done.stdout + done.stderr


@needs_promtool
def test_prometheus_reads_every_expression_of_a_slow_report(tmp_path: Path):
    """The P95 against an hour before stands in the report alone; it is read as well."""
    known = Reporter("gateway GET /checkout 0..20\n  payment Charge 5..15")
    _, slow = known.report(draw("gateway GET /checkout 0..900\n  payment Charge 5..895"))
    found = [{"alert": f"A{number}", "expr": one.expression} for number, one in enumerate(slow.monitoring)]
    written = [rule for rule in found if rule["expr"]]
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "slow", "rules": written}]}))

    done = promtool("check", "rules", str(rules))

    assert any("offset 1h" in rule["expr"] for rule in written)
    assert done.returncode == 0, done.stdout + done.stderr


def test_incidents_and_groups_are_watched_too():
    of_incident = watched_of(report_of_incident(incident()))
    of_group = watched_of(report_of_group(error_group(1)))

    assert of_incident is not None
    assert (of_incident.service, of_incident.severity) == ("payment", report_of_incident(incident()).summary.severity)
    assert of_group is not None
    assert of_group.service == error_group(1).service
    assert report_of_group(error_group(1)).monitoring[0].expression


def test_an_incident_shows_the_monitors_of_its_own_culprit():
    """Its example blames the bank, the incident payment: payment is watched, in words and in code."""
    example = Reporter().report(draw(FAILED.replace("payment", "bank")))[1]
    report = report_of_incident(incident(), example)
    rules = monitors_of(report)["prometheus_rule"]["spec"]["groups"][0]["rules"]
    written = [one.expression for one in report.monitoring if one.expression]

    assert example.root_cause.service == "bank"
    assert rules[0]["expr"] in written
    assert all('"payment"' in expression and "bank" not in expression for expression in written)


def test_a_report_that_names_nobody_has_no_monitors_and_says_so():
    found = monitors_of(nobody_named())

    assert (found["prometheus_rule"], found["grafana"], found["datadog"], found["queries"]) == (None, None, [], {})
    assert found["missing"] == NO_SERVICE


def test_all_of_it_is_json(report: Report):
    found = json.loads(json.dumps(monitors_of(report), allow_nan=False))

    assert found["grafana"]["apiVersion"] == 1
    assert len(found["datadog"]) == 3
    assert report.subject_id in found["queries"]["loki_errors"]
    assert found["watched"]["service"] == "payment"


def test_a_chain_of_requests_is_asked_for_by_its_correlation_id(report: Report):
    """Only where one was seen; an opaque text, quoted for each language."""
    chain = report.model_copy(update={"correlation_id": 'req-7"f'})

    asked, none = monitors_of(chain)["queries"], monitors_of(report)["queries"]

    assert asked["tempo_correlation"] == r'{ span.correlation_id = "req-7\"f" }'
    assert asked["elasticsearch_correlation"]["query"]["bool"]["must"][0] == {"match": {"correlation_id": 'req-7"f'}}
    assert r"req-7\"f" in asked["loki_correlation"]
    assert set(asked) - set(none) == {"tempo_correlation", "elasticsearch_correlation", "loki_correlation"}
