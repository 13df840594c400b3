"""Rules and dashboard: every metric and label they name is one of ours; Prometheus itself reads and fires the rules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector.metric_table import METRICS
from tests.support.chart import CHART, NAME, of_kind, rendered
from tests.support.promtool import needs_promtool, promtool

ALERTS_TEXT = (CHART / "files" / "alerts.yaml").read_text()
ALERTS: list[dict[str, Any]] = yaml.safe_load(ALERTS_TEXT)["rules"]
DASHBOARD: dict[str, Any] = json.loads((CHART / "files" / "dashboard.json").read_text())
INSTANCES = f'namespace="observability",service="{NAME}-headless"'
METRIC = re.compile(r"firstfault_([a-z_]+)")
GROUPED = re.compile(r"by \(([^)]*)\)")
SHOWN = re.compile(r"\{\{ ?(?:\$labels\.)?([a-z_]+) ?\}\}")
OF_PROMETHEUS = {"pod", "namespace", "service", "le"}
ENDING = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}


def rules() -> list[dict[str, Any]]:
    """As the chart renders them."""
    (found,) = of_kind(rendered("autoscaling"), "PrometheusRule")
    (group,) = found["spec"]["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """(expression, text around it that shows labels)."""
    for rule in ALERTS:
        yield rule["expr"], " ".join(rule["annotations"].values())
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]
    for variable in DASHBOARD["templating"]["list"]:
        yield variable["query"], ""


def metric_of(shown: str) -> str | None:
    """The row of the table that is shown under this name."""
    for name, metric in METRICS.items():
        if shown in [name + ending for ending in ENDING[metric.kind]]:
            return name
    return None


@pytest.mark.parametrize(("expression", "words"), list(expressions()))
def test_metrics_and_labels_exist(expression: str, words: str):
    """With the endings Prometheus sees; a label is one of the metric's, or one that Prometheus adds."""
    names = METRIC.findall(expression)
    if not names:
        assert expression == "prometheus"
        return
    assert [name for name in names if metric_of(name) is None] == []
    known = OF_PROMETHEUS | {label for name in names for label in METRICS[metric_of(name) or ""].labels}
    grouped = {label.strip() for group in GROUPED.findall(expression) for label in group.split(",")}
    assert grouped <= known
    assert set(SHOWN.findall(words)) <= grouped


def test_the_way_from_wire_to_answer_is_on_the_dashboard():
    """What the conservation equations count can be seen."""
    shown = {
        metric_of(name) for panel in panels() for target in panel["targets"] for name in METRIC.findall(target["expr"])
    }

    assert shown >= {
        *(f"receiver_{what}_spans" for what in ("accepted", "refused", "rejected", "failed")),
        *(f"assembly_{what}_spans" for what in ("dropped", "deduped", "late")),
        "assembly_open_traces",
        "incidents_open",
        "exporter_queue_size",
        "process_resident_bytes",
    }


def test_panels_do_not_overlap():
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_grafana_finds_the_dashboard():
    (found,) = [one for one in of_kind(rendered("autoscaling"), "ConfigMap") if "firstfault.json" in one["data"]]

    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert found["metadata"]["annotations"] == {"grafana_folder": "Observability"}
    assert json.loads(found["data"]["firstfault.json"]) == DASHBOARD


def test_alerts_say_what_to_do():
    """A name of ours, a severity, the team's label, what it is and what to do."""
    for rule in rules():
        assert rule["alert"].startswith("Firstfault")
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["labels"]["team"] == "platform"
        assert "incident" not in rule["labels"]
        assert len(rule["annotations"]["description"]) > 40
    assert len(rules()) == len(ALERTS)


def test_alerts_about_others_can_be_left_out():
    values = {
        "prometheusRule": {"enabled": True, "incidents": False, "extraRules": [{"alert": "Mine", "expr": "vector(1)"}]}
    }
    (found,) = of_kind(rendered(values), "PrometheusRule")

    names = [rule["alert"] for rule in found["spec"]["groups"][0]["rules"]]
    assert "FirstfaultIncidentOpen" not in names
    assert names[-1] == "Mine"


def test_bounds_are_the_configured_ones():
    values = {"prometheusRule": {"enabled": True}, "config": {"assembly": {"open_traces_max": 123456}}}
    (found,) = of_kind(rendered(values), "PrometheusRule")

    (bound,) = [
        rule for rule in found["spec"]["groups"][0]["rules"] if rule["alert"] == "FirstfaultOpenTracesNearBound"
    ]
    assert "0.9 * 123456" in bound["expr"]


def rules_file(folder: Path) -> Path:
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "firstfault", "rules": rules()}]}))
    return path


@needs_promtool
def test_prometheus_takes_the_rules(tmp_path: Path):
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", str(rules_file(tmp_path)))

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout


def fired(folder: Path, alert: str, at: str, series: dict[str, str]) -> bool:
    """Whether an alert fires at a time, as Prometheus evaluates it; a series is NAME or NAME{LABELS}."""
    written = []
    for name, values in series.items():
        metric, _, labels = name.partition("{")
        more = "," + labels.removesuffix("}") if labels else ""
        written.append({"series": f'firstfault_{metric}{{pod="p-0",{INSTANCES}{more}}}', "values": values})
    test = {
        "rule_files": [str(rules_file(folder))],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": written,
                # promtool fails when an alert fires that is not expected: with none expected, its answer is ours.
                "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": []}],
            }
        ],
    }
    (folder / "test.yaml").write_text(yaml.safe_dump(test))
    done = promtool("test", "rules", str(folder / "test.yaml"))
    assert "alertname: " in done.stderr + done.stdout or done.returncode == 0, done.stdout + done.stderr
    return done.returncode != 0


# Alert, series that must raise it and when, series that must not.
ACCEPTED = 'receiver_accepted_spans_total{receiver="otlp",transport="grpc"}'
FAILED = 'receiver_failed_spans_total{receiver="otlp",transport="grpc",reason="bug"}'
CASES: list[tuple[str, str, dict[str, str], dict[str, str]]] = [
    ("FirstfaultAbsent", "6m", {}, {"process_uptime_seconds": "1+60x20"}),
    (
        "FirstfaultRefusesSpans",
        "20m",
        {'receiver_refused_spans_total{receiver="otlp",transport="grpc",reason="ring full"}': "0+10x30"},
        {'receiver_refused_spans_total{receiver="otlp",transport="grpc",reason="ring full"}': "0 10 20 20x30"},
    ),
    # A series that is there only since it has something to count.
    ("FirstfaultFailsOnSpans", "6m", {FAILED: "_ _ _ _ 1 1 1 1 1"}, {FAILED: "_x4"}),
    ("FirstfaultFailsOnSpans", "40m", {FAILED: "1x30 2x30"}, {FAILED: "1x60"}),
    (
        "FirstfaultDropsSpans",
        "20m",
        {'assembly_dropped_spans_total{reason="trace_too_large"}': "0+1x30"},
        {'assembly_dropped_spans_total{reason="trace_too_large"}': "5x30"},
    ),
    ("FirstfaultOpenTracesNearBound", "8m", {"assembly_open_traces": "950000x20"}, {"assembly_open_traces": "9000x20"}),
    (
        "FirstfaultRingNearFull",
        "8m",
        {"ring_used_bytes": "90x20", "ring_capacity_bytes": "100x20"},
        {"ring_used_bytes": "9x20", "ring_capacity_bytes": "100x20"},
    ),
    (
        "FirstfaultTracesUntold",
        "40m",
        {"analyzer_untold_traces_total": "0+1x60"},
        {"analyzer_untold_traces_total": "7x60"},
    ),
    (
        "FirstfaultAnalysisFails",
        "10m",
        {"analyzer_failed_traces_total": "0x5 1x20"},
        {"analyzer_failed_traces_total": "1x20"},
    ),
    ("FirstfaultStoreFails", "10m", {"store_failed_writes_total": "0x5 1x20"}, {"store_failed_writes_total": "0x20"}),
    (
        "FirstfaultFindingsNotDelivered",
        "15m",
        {'exporter_breaker_open{exporter="otlp"}': "1x30"},
        {'exporter_breaker_open{exporter="otlp"}': "0 1 1 0x30"},
    ),
    (
        "FirstfaultFindingsRefused",
        "15m",
        {'exporter_dead_letter_items_total{exporter="otlp"}': "0x5 3x30"},
        {'exporter_dead_letter_items_total{exporter="otlp"}': "3x30"},
    ),
    (
        "FirstfaultProcessRestarts",
        "25m",
        {'process_restarts_total{process="engine"}': "1 1 2 3 4 5x30"},
        {'process_restarts_total{process="engine"}': "1x30"},
    ),
    ("FirstfaultHearsNothing", "80m", {ACCEPTED: "0+100x20 2000x90"}, {ACCEPTED: "0+100x120"}),
    ("FirstfaultIncidentOpen", "8m", {"incidents_open": "0x3 1x20"}, {"incidents_open": "0x20"}),
]


@needs_promtool
@pytest.mark.parametrize(("alert", "at", "raises", "calm"), CASES, ids=[f"{case[0]}-{case[1]}" for case in CASES])
def test_an_alert_fires_when_it_should_and_only_then(
    tmp_path: Path, alert: str, at: str, raises: dict[str, str], calm: dict[str, str]
):
    assert fired(tmp_path, alert, at, raises)
    assert not fired(tmp_path, alert, at, calm)


def test_every_alert_is_tried():
    assert {case[0] for case in CASES} == {rule["alert"] for rule in ALERTS}
