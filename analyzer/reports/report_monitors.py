"""The monitors of a report as code: what its culprit is watched by, ready to be loaded elsewhere.

In: `Report`. Out: `Watched`, and one plain dictionary with a PrometheusRule, a file of Grafana alerts, monitors of
Datadog and queries that find the evidence again. A report that names no service has none, and says so.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, get_args

from analyzer.reports import queries
from analyzer.reports.model import Report
from analyzer.reports.monitors import grafana_alerts, prometheus_rule
from analyzer.reports.monitors_datadog import datadog_monitors
from analyzer.reports.watched import Severity, Watched

NO_SERVICE = "the report names no service, so there is nothing to watch"
ALTERNATIVES_MAX = 3
# Log records come a little after what they speak of.
AFTER_NS = 60_000_000_000
# A failure whose severity is not known opens a ticket; it pages nobody.
_UNKNOWN_SEVERITY: Severity = "medium"


def watched_of(report: Report) -> Watched | None:
    """What is watched from now on: the service whose spans show the cause; None when no service is named.

    Thresholds are the defaults of `Watched`: a report has seen one failure, it knows no service level objective.
    """
    service = report.root_cause.service
    if not service:
        return None
    known = report.summary.severity
    severity = next((one for one in get_args(Severity) if one == known), _UNKNOWN_SEVERITY)
    alternatives = [one.text for one in report.root_cause.alternatives[:ALTERNATIVES_MAX]]
    causes = [report.root_cause.claim.text, *alternatives, f"runbook {report.runbook.runbook_id} of firstfault"]
    return Watched(service, severity=severity, causes=tuple(causes))


def monitors_of(report: Report) -> dict[str, Any]:
    """Write the monitors of a report.

    Returns
    -------
    dict
        `watched` (service and thresholds), `prometheus_rule`, `grafana`, `datadog`, `queries`; when no service is
        named these are empty and `missing` says why.
    """
    about = {"subject": report.subject, "subject_id": report.subject_id}
    watched = watched_of(report)
    if watched is None:
        empty: dict[str, Any] = {"prometheus_rule": None, "grafana": None, "datadog": [], "queries": {}}
        return about | {"watched": None} | empty | {"missing": NO_SERVICE}
    return about | {
        "watched": asdict(watched),
        "prometheus_rule": prometheus_rule(watched),
        "grafana": grafana_alerts(watched, loki_uid="loki"),
        "datadog": datadog_monitors(watched),
        "queries": _queries(report, watched),
        "missing": "",
    }


def _queries(report: Report, watched: Watched) -> dict[str, Any]:
    """By name; a value is the body, or the text, of a query as the other system takes it."""
    service, summary = watched.service, report.summary
    end_ns = max(summary.ended_ns or 0, summary.started_ns) + AFTER_NS
    correlated: dict[str, Any] = {}
    if report.correlation_id:
        correlated = {
            "elasticsearch_correlation": queries.elastic_correlation(report.correlation_id),
            "loki_correlation": queries.loki_errors(service, correlation_id=report.correlation_id),
            "tempo_correlation": queries.traceql_correlation(report.correlation_id),
        }
    return correlated | {
        "elasticsearch_window": queries.elastic_window(service, summary.started_ns, end_ns),
        "elasticsearch_error_rate": queries.elastic_error_rate(service=service),
        "elasticsearch_fingerprints": queries.elastic_fingerprints(service=service),
        "loki_errors": queries.loki_errors(service, trace_id=report.subject_id if report.subject == "trace" else ""),
        "loki_error_rate": queries.loki_error_rate(service, watched.window_min),
        "loki_new_kinds": queries.loki_new_kinds(service, watched.window_min, watched.known_days),
        "tempo_errors": queries.traceql_errors(service),
        "tempo_slow": queries.traceql_errors(service, slower_than_ms=watched.latency_p95_max_ms),
        "datadog_errors_by_version": queries.datadog_errors_by_version(service),
        "datadog_log_errors": queries.datadog_log_errors(service),
    }
