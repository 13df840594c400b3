"""Monitors as code for one failure: rules of Prometheus, and alerts of Grafana over the same expressions.

In: `Watched`. Out: a `PrometheusRule` and a Grafana provisioning file as plain dictionaries. A share of no requests is
no share: every ratio asks for enough traffic, and silence has a rule of its own. What goes on is told again, louder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analyzer.reports.queries import loki_new_kinds
from analyzer.reports.watched import Watched, in_template, quoted

INTERVAL_S = 60
SLOWER = 2.0  # times the P95 of an hour before
_ROUTE = {"critical": "page", "high": "page", "medium": "ticket", "low": "ticket"}


@dataclass(frozen=True, slots=True)
class SpanMetrics:
    """Names of the metrics that are made of spans; the defaults are those of the Collector's spanmetrics connector."""

    calls: str = "traces_span_metrics_calls_total"
    duration_bucket: str = "traces_span_metrics_duration_milliseconds_bucket"
    service_label: str = "service_name"
    operation_label: str = "span_name"
    environment_label: str = "deployment_environment_name"
    selector: str = 'span_kind=~"SPAN_KIND_SERVER|SPAN_KIND_CONSUMER"'
    failed: str = 'status_code="STATUS_CODE_ERROR"'
    bucket_unit_ms: float = 1.0  # 1000 where the buckets are in seconds


@dataclass(frozen=True, slots=True)
class Expressions:
    """PromQL of what is watched.

    `failing`, `slow`, `slower` and `silent` are empty (no series) while all is well. `slower` needs no bound: it
    compares with an hour before.
    """

    error_share: str
    failing: str
    latency: str
    slow: str
    slower: str
    silent: str


def expressions(watched: Watched, metrics: SpanMetrics | None = None) -> Expressions:
    """Write the expressions that the rules are made of."""
    metrics = metrics or SpanMetrics()
    labels = [f"{metrics.service_label}={quoted(watched.service)}", metrics.selector]
    if watched.operation:
        labels.append(f"{metrics.operation_label}={quoted(watched.operation)}")
    if watched.environment:
        labels.append(f"{metrics.environment_label}={quoted(watched.environment)}")
    mine = ", ".join(label for label in labels if label)
    calls = f"{metrics.calls}{{{mine}}}"
    failed = f"{metrics.calls}{{{mine}, {metrics.failed}}}"
    window, long = f"[{watched.window_min}m]", f"[{watched.latency_window_min}m]"
    enough = f"sum(increase({calls}{window})) >= {watched.requests_min}"
    enough_long = f"sum(increase({calls}{long})) >= {watched.requests_min}"
    share = f"sum(rate({failed}{window})) / sum(rate({calls}{window}))"
    buckets = f"{metrics.duration_bucket}{{{mine}}}{long}"
    p95 = f"histogram_quantile(0.95, sum by (le) (rate({buckets})))"
    before = f"histogram_quantile(0.95, sum by (le) (rate({buckets} offset 1h)))"
    bound = watched.latency_p95_max_ms / metrics.bucket_unit_ms
    quiet = f"sum(increase({calls}[{watched.no_data_min}m]))"
    return Expressions(
        error_share=share,
        failing=f"({share}) > {watched.error_share_max:g} and {enough}",
        latency=p95,
        slow=f"{p95} > {bound:g} and {enough_long}",
        slower=f"{p95} > {SLOWER:g} * {before} and {enough_long}",
        # Both ways to be silent: series that stand still, and series that are gone.
        silent=f"{quiet} == 0 or absent({calls})",
    )


def prometheus_rule(watched: Watched, metrics: SpanMetrics | None = None) -> dict[str, Any]:
    """Write a `PrometheusRule` (monitoring.coreos.com/v1); its `spec` is a rule file of Prometheus itself.

    Returns
    -------
    dict
        Rules: error share, the same after `escalate_after_min` (severity critical), P95, silence.
    """
    found = expressions(watched, metrics)
    share = f"{watched.error_share_max:.3g}"
    name = in_template(watched.title)
    rules = [
        _rule(
            "HighErrorShare",
            found.failing,
            watched,
            f"{name}: {{{{ $value | humanizePercentage }}}} of the requests fail",
            f"More than {float(share):.1%} fail over {watched.window_min} minutes.",
        ),
        _rule(
            "HighErrorShareGoesOn",
            found.failing,
            watched,
            f"{name}: still {{{{ $value | humanizePercentage }}}} fail after {watched.escalate_after_min} minutes",
            "It did not go away by itself.",
            holds_min=watched.escalate_after_min,
            severity="critical",
        ),
        _rule(
            "SlowP95",
            found.slow,
            watched,
            f"{name}: the slowest twentieth takes {{{{ $value | humanize }}}} or longer",
            f"P95 over {watched.latency_window_min} minutes is above {watched.latency_p95_max_ms:g} ms.",
        ),
        _rule(
            "NoRequests",
            found.silent,
            watched,
            f"{name}: no request for {watched.no_data_min} minutes",
            "Nothing is asked of it, or its telemetry does not arrive. Nobody can tell whether it fails.",
            holds_min=watched.no_data_min,
        ),
    ]
    group = {"name": f"firstfault-{watched.slug}", "interval": f"{INTERVAL_S}s", "rules": rules}
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": f"firstfault-{watched.slug}", "labels": {"app.kubernetes.io/created-by": "firstfault"}},
        "spec": {"groups": [group]},
    }


def _rule(
    alert: str,
    expression: str,
    watched: Watched,
    summary: str,
    description: str,
    *,
    holds_min: int = 0,
    severity: str = "",
) -> dict[str, Any]:
    severity = severity or watched.severity
    labels = {"severity": severity, "service": in_template(watched.service), "route": _ROUTE[severity]}
    if watched.environment:
        labels["environment"] = in_template(watched.environment)
    annotations = {"summary": summary, "description": _described(watched, description)}
    for name, url in (("runbook_url", watched.runbook_url), ("dashboard_url", watched.dashboard_url)):
        if url:
            annotations[name] = url.replace("{{", "%7B%7B")
    return {
        "alert": alert,
        "expr": expression,
        **({"for": f"{holds_min}m"} if holds_min else {}),
        "labels": labels,
        "annotations": annotations,
    }


def _described(watched: Watched, words: str) -> str:
    lines = [words]
    if watched.causes:
        lines += ["This may mean:", *(f"- {in_template(cause)}" for cause in watched.causes)]
    return "\n".join(lines)


def grafana_alerts(
    watched: Watched,
    *,
    prometheus_uid: str = "prometheus",
    loki_uid: str = "",
    folder: str = "firstfault",
    metrics: SpanMetrics | None = None,
) -> dict[str, Any]:
    """Write a file of alert rules for Grafana's provisioning (apiVersion 1); JSON is YAML to it.

    Parameters
    ----------
    loki_uid : str
        With it a rule for new kinds of error is added; without logs nobody can tell them.
    """
    found = expressions(watched, metrics)
    name = in_template(watched.title)
    rules = [
        _grafana_rule(watched, "failing", f"{name}: requests fail", prometheus_uid, found.failing),
        _grafana_rule(watched, "slow", f"{name}: P95 is high", prometheus_uid, found.slow),
        _grafana_rule(
            watched, "silent", f"{name}: no requests", prometheus_uid, found.silent, holds_min=watched.no_data_min
        ),
    ]
    if loki_uid:
        new = loki_new_kinds(watched.service, watched.window_min, watched.known_days)
        title = f"{name}: an error that was never seen"
        rules.append(_grafana_rule(watched, "new", title, loki_uid, new))
    group = {
        "orgId": 1,
        "name": f"firstfault-{watched.slug}",
        "folder": folder,
        "interval": f"{INTERVAL_S}s",
        "rules": rules,
    }
    return {"apiVersion": 1, "groups": [group]}


def _grafana_rule(
    watched: Watched, kind: str, title: str, datasource: str, expression: str, *, holds_min: int = 0
) -> dict[str, Any]:
    """One rule: the expression, its last value, a threshold that any value passes: while all is well there is none."""
    loki = kind == "new"
    query = {
        "refId": "A",
        "relativeTimeRange": {"from": max(600, 120 * watched.latency_window_min), "to": 0},
        "datasourceUid": datasource,
        "model": {"refId": "A", "expr": expression, "instant": True}
        | ({"queryType": "instant"} if loki else {"range": False}),
    }
    reduced = {"refId": "B", "type": "reduce", "expression": "A", "reducer": "last"}
    evaluator = {"type": "gt", "params": [-1]}
    threshold = {"refId": "C", "type": "threshold", "expression": "B", "conditions": [{"evaluator": evaluator}]}
    annotations = {"summary": title, "description": _described(watched, "Found by firstfault.")}
    if watched.runbook_url:
        annotations["runbook_url"] = watched.runbook_url.replace("{{", "%7B%7B")
    return {
        "uid": f"{watched.slug[-30:]}-{kind}"[-40:],
        "title": title,
        "condition": "C",
        "data": [query, _expression(reduced), _expression(threshold)],
        "noDataState": "OK",
        "execErrState": "Error",
        "for": f"{holds_min}m",
        "labels": {"severity": watched.severity, "service": in_template(watched.service)},
        "annotations": annotations,
    }


def _expression(model: dict[str, Any]) -> dict[str, Any]:
    place = {"datasourceUid": "__expr__", "relativeTimeRange": {"from": 0, "to": 0}}
    return place | {"refId": model["refId"], "model": model}
