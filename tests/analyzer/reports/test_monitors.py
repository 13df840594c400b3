"""Monitors as code: read by the real rule checker, fired by the real rule engine, and free of the known traps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from analyzer.reports.monitors import expressions, grafana_alerts, prometheus_rule
from analyzer.reports.monitors_datadog import datadog_monitors, traps_of
from analyzer.reports.watched import Watched
from tests.support import brief_monitors
from tests.support.promtool import needs_promtool, promtool

# What the three monitors of tests/support/brief_monitors.py mean.
PAYMENT = Watched(
    service="payment-service",
    error_share_max=0.05,
    latency_p95_max_ms=2_000.0,
    causes=("Payment gateway issues", "Database connectivity problems", "Invalid payment data"),
    runbook_url="https://wiki.company.com/runbooks/payment-errors",
    dashboard_url="https://app.datadoghq.com/dashboard/payment-service",
    notify=("@slack-payments-oncall", "@pagerduty-payments"),
)
HOSTILE = Watched(
    service='a"} or vector(1) #{{ $labels }}\n@pagerduty-all',
    operation="{{template}} \\",
    environment="prod\x00",
    causes=("{{ .Secret }} @everyone",),
)


@needs_promtool
@pytest.mark.parametrize(
    "watched", [PAYMENT, HOSTILE, Watched("s", operation="GET /", environment="dev", severity="low")]
)
def test_prometheus_takes_the_rules(watched: Watched, tmp_path: Path):
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump(prometheus_rule(watched)["spec"]))

    done = promtool("check", "rules", "--lint=all", "--lint-fatal", str(rules))

    assert (done.returncode, "4 rules found" in done.stdout) == (0, True), done.stdout + done.stderr


def fired(tmp_path: Path, series: dict[str, str], at: str, alert: str, buckets: dict[str, str] | None = None) -> bool:
    """Whether an alert fires at a time, as Prometheus itself evaluates it, over series in its own notation."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(prometheus_rule(PAYMENT)["spec"]))
    labels = 'service_name="payment-service", span_kind="SPAN_KIND_SERVER"'
    names = {"ok": 'status_code="STATUS_CODE_UNSET"', "failed": 'status_code="STATUS_CODE_ERROR"'}
    written = [
        {"series": f"traces_span_metrics_calls_total{{{labels}, {names[name]}}}", "values": values}
        for name, values in series.items()
    ] + [
        {"series": f'traces_span_metrics_duration_milliseconds_bucket{{{labels}, le="{le}"}}', "values": values}
        for le, values in (buckets or {}).items()
    ]
    # promtool fails when an alert fires that is not expected: with none expected, its answer is ours.
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": written,
                "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": []}],
            }
        ],
    }
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(test))
    done = promtool("test", "rules", str(tmp_path / "test.yaml"))
    assert "alertname: " in done.stderr + done.stdout or done.returncode == 0, done.stdout + done.stderr
    return done.returncode != 0


@needs_promtool
def test_a_tenth_that_fails_is_told_and_after_ten_minutes_louder(tmp_path: Path):
    series = {"ok": "0+90x30", "failed": "0+10x30"}

    assert fired(tmp_path, series, "6m", "HighErrorShare")
    assert not fired(tmp_path, series, "6m", "HighErrorShareGoesOn")
    assert fired(tmp_path, series, "16m", "HighErrorShareGoesOn")


@needs_promtool
def test_one_failure_of_two_requests_is_no_share(tmp_path: Path):
    """50 %, and nothing to wake anybody for."""
    assert not fired(tmp_path, {"ok": "0 1 1 1 1 1 1", "failed": "0 1 1 1 1 1 1"}, "5m", "HighErrorShare")


@needs_promtool
def test_without_requests_no_share_is_told_but_the_silence(tmp_path: Path):
    series = {"ok": "0+90x10 900x40", "failed": "0+1x10 10x40"}

    assert not fired(tmp_path, series, "40m", "HighErrorShare")
    assert fired(tmp_path, series, "40m", "NoRequests")
    assert not fired(tmp_path, series, "9m", "NoRequests")
    assert fired(tmp_path, {}, "15m", "NoRequests")  # gone altogether


@needs_promtool
def test_a_slow_twentieth_is_told(tmp_path: Path):
    slow = {"1000": "0+50x30", "5000": "0+100x30", "+Inf": "0+100x30"}
    quick = {"1000": "0+99x30", "5000": "0+100x30", "+Inf": "0+100x30"}

    assert fired(tmp_path, {"ok": "0+100x30"}, "15m", "SlowP95", slow)
    assert not fired(tmp_path, {"ok": "0+100x30"}, "15m", "SlowP95", quick)


def test_the_rule_is_an_object_of_the_operator():
    found = prometheus_rule(PAYMENT)

    assert (found["apiVersion"], found["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert found["metadata"]["name"].replace("-", "").isalnum()
    assert len(found["metadata"]["name"]) <= 63
    rules = found["spec"]["groups"][0]["rules"]
    assert {rule["annotations"]["runbook_url"] for rule in rules} == {PAYMENT.runbook_url}
    assert all("Payment gateway issues" in rule["annotations"]["description"] for rule in rules)


def test_grafana_gets_rules_it_can_provision():
    found = grafana_alerts(PAYMENT, loki_uid="loki")
    rules = found["groups"][0]["rules"]

    assert [rule["uid"].rpartition("-")[2] for rule in rules] == ["failing", "slow", "silent", "new"]
    assert len({rule["uid"] for rule in rules}) == 4
    for rule in rules:
        assert len(rule["uid"]) <= 40
        assert {query["refId"] for query in rule["data"]} == {"A", "B", "C"}
        assert rule["condition"] == "C"
    assert rules[0]["data"][0]["model"]["expr"] == expressions(PAYMENT).failing
    assert rules[3]["data"][0]["datasourceUid"] == "loki"
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("monitor", "words"),
    [
        (brief_monitors.HIGH_ERROR_RATE, ["type is 'metric'", "undefined when there are no hits", "never sent"]),
        (brief_monitors.NEW_ERROR_TYPE, ["type is 'log'", "fires for any error"]),
        (brief_monitors.P95_HIGH, ["type is 'metric'", "in seconds"]),
    ],
)
def test_what_is_wrong_with_monitors_that_people_bring(monitor: dict[str, Any], words: list[str]):
    found = traps_of(monitor)

    assert len(found) == len(words)
    assert all(word in trap for word, trap in zip(words, found, strict=True))


def test_silence_that_nobody_hears_of_is_a_trap():
    quiet = brief_monitors.HIGH_ERROR_RATE | {"type": "query alert", "options": {}}

    assert "nobody hears of it when no data comes: notify_no_data is not set" in traps_of(quiet)


def test_ours_mean_the_same_without_the_traps():
    rate, new, latency = datadog_monitors(PAYMENT)

    assert [traps_of(monitor) for monitor in (rate, new, latency)] == [[], [], []]
    assert rate["query"].endswith("> 0.05")
    assert rate["options"]["no_data_timeframe"] == 10
    assert rate["options"]["escalation_message"] == brief_monitors.HIGH_ERROR_RATE["options"]["escalation_message"]
    assert rate["message"].endswith("@slack-payments-oncall @pagerduty-payments")
    assert "Runbook: https://wiki.company.com/runbooks/payment-errors" in rate["message"]
    assert '.new().rollup("count").by("@issue.id").last("5m") > 0' in new["query"]
    assert latency["query"] == "avg(last_10m):p95:trace.express.request{service:payment-service} > 2"


def test_hostile_names_page_nobody_and_open_nothing():
    for monitor in datadog_monitors(HOSTILE):
        assert "@pagerduty" not in monitor["message"] + monitor["name"]
        assert "@everyone" not in monitor["message"]
        assert "{{ $labels" not in monitor["message"] + monitor["name"]
        assert monitor["query"].count("{") == monitor["query"].count("}")
    for group in (prometheus_rule(HOSTILE)["spec"], grafana_alerts(HOSTILE, loki_uid="l")):
        for rule in group["groups"][0]["rules"]:
            text = json.dumps(rule["annotations"])
            assert "{{ .Secret" not in text.replace('{{ \\"{{\\" }}', "")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"service": ""}, "service is empty"),
        ({"error_share_max": 5.0}, "error_share_max is 5.0"),
        ({"latency_p95_max_ms": 0.0}, "latency_p95_max_ms is 0.0"),
        ({"requests_min": 0}, "requests_min is 0"),
        ({"runbook_url": "javascript:alert(1)"}, "runbook_url is"),
        ({"dashboard_url": "https://a b"}, "dashboard_url is"),
    ],
)
def test_what_cannot_be_watched_is_refused(fields: dict[str, Any], words: str):
    with pytest.raises(ValueError, match=words):
        Watched(**{"service": "payment"} | fields)


def test_like_names_have_their_own_slugs():
    assert Watched("pay/a").slug != Watched("pay a").slug
