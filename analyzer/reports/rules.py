"""The monitors of a report as a PrometheusRule: alerts that anybody can load.

In: `Report`. Out: plain values, as YAML or JSON would hold them. Only monitors with an expression become alerts; the
others are said in words. Names in expressions were quoted when they were made.
"""

from __future__ import annotations

import re
from typing import Any

from analyzer.reports.model import Report


def prometheus_rule(report: Report) -> dict[str, Any]:
    """Return a PrometheusRule (monitoring.coreos.com/v1) for this failure."""
    alerts = [
        {
            "alert": "".join(word.capitalize() for word in re.findall(r"[A-Za-z0-9]+", monitor.name)),
            "expr": monitor.expression,
            "for": f"{monitor.for_s}s",
            "labels": {"severity": report.summary.severity or "medium", "runbook_id": report.runbook.runbook_id},
            "annotations": {"summary": f"{report.title}: {monitor.why}"},
        }
        for monitor in report.monitoring
        if monitor.expression
    ]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": f"firstfault-{report.runbook.runbook_id}"},
        "spec": {"groups": [{"name": f"firstfault-{report.runbook.runbook_id}", "rules": alerts}]},
    }
