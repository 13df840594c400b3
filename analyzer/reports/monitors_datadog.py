"""Monitors of Datadog as code, and what is wrong with monitors that people bring.

In: `Watched`, or a monitor as a dictionary. Out: monitors as its API takes them (POST /api/v1/monitor), or traps in
words: a ratio of nothing, "new" that means "any", seconds taken for milliseconds, silence that nobody hears of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from analyzer.reports.watched import Watched, datadog_tag, in_datadog

TYPES = (
    "metric alert",
    "query alert",
    "log alert",
    "error-tracking alert",
    "composite",
    "service check",
    "event-v2 alert",
    "trace-analytics alert",
)
_PRIORITY = {"critical": 1, "high": 2, "medium": 3, "low": 4}


def datadog_monitors(watched: Watched, integration: str = "express") -> list[dict[str, Any]]:
    """Write three monitors: error share, new kinds of error, P95.

    Parameters
    ----------
    integration : str
        The middle of Datadog's trace metrics: trace.<integration>.request.hits.
    """
    metric = f"trace.{datadog_tag(integration)}.request"
    scope = f"service:{datadog_tag(watched.service)}"
    if watched.operation:
        scope += f",resource_name:{datadog_tag(watched.operation)}"
    if watched.environment:
        scope += f",env:{datadog_tag(watched.environment)}"
    return [_error_share(watched, metric, scope), _new_kinds(watched), _latency(watched, metric, scope)]


def _error_share(watched: Watched, metric: str, scope: str) -> dict[str, Any]:
    whole = f".as_count().rollup(sum, {watched.window_min * 60})"
    errors = f"default_zero(sum:{metric}.errors{{{scope}}}{whole})"
    # No fewer hits than make a share: the ratio of little traffic stays small. Without hits there is no data, and
    # notify_no_data says so; default_zero would hide that.
    hits = f"clamp_min(sum:{metric}.hits{{{scope}}}{whole}, {watched.requests_min})"
    query = f"max(last_{watched.window_min}m):{errors} / {hits} > {watched.error_share_max:g}"
    words = (
        f"{{{{value}}}} of the requests to {in_datadog(watched.title)} fail (threshold: {watched.error_share_max:g})"
    )
    return _monitor(
        watched,
        f"High error rate - {in_datadog(watched.title)}",
        "query alert",
        query,
        words,
        {
            "thresholds": {"critical": watched.error_share_max},
            "notify_no_data": True,
            "no_data_timeframe": max(watched.no_data_min, 2 * watched.window_min),
            "renotify_interval": watched.escalate_after_min,
            "escalation_message": f"Error rate still elevated after {watched.escalate_after_min} minutes",
        },
    )


def _new_kinds(watched: Watched) -> dict[str, Any]:
    """Datadog's own state of an issue: `.new()` is first seen; a count of error logs would fire for every old one."""
    wanted = f"service:{datadog_tag(watched.service)}"
    if watched.environment:
        wanted += f" env:{datadog_tag(watched.environment)}"
    found = f'error-tracking("{wanted}").source("all").new()'
    query = f'{found}.rollup("count").by("@issue.id").last("{watched.window_min}m") > 0'
    name = in_datadog(watched.title)
    words = f"{name} fails in a way it never did: {{{{@issue.attributes.error.type}}}}"
    options = {"thresholds": {"critical": 0}, "enable_logs_sample": True, "notify_no_data": False}
    return _monitor(watched, f"New error type - {name}", "error-tracking alert", query, words, options)


def _latency(watched: Watched, metric: str, scope: str) -> dict[str, Any]:
    seconds = watched.latency_p95_max_ms / 1_000.0  # trace metrics of Datadog are in seconds
    query = f"avg(last_{watched.latency_window_min}m):p95:{metric}{{{scope}}} > {seconds:g}"
    words = f"P95 of {in_datadog(watched.title)} is {{{{value}}}} s (threshold: {seconds:g} s)"
    options = {"thresholds": {"critical": seconds}, "notify_no_data": False, "require_full_window": False}
    return _monitor(watched, f"P95 latency high - {in_datadog(watched.title)}", "query alert", query, words, options)


def _monitor(
    watched: Watched, name: str, kind: str, query: str, words: str, options: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "query": query,
        "message": _message(watched, words),
        "tags": _tags(watched),
        "priority": _PRIORITY[watched.severity],
        "options": dict(options),
    }


def _message(watched: Watched, words: str) -> str:
    parts = [words]
    if watched.causes:
        parts.append("\n".join(["This may indicate:", *(f"- {in_datadog(cause)}" for cause in watched.causes)]))
    if watched.runbook_url:
        parts.append(f"Runbook: {watched.runbook_url}")
    if watched.dashboard_url:
        parts.append(f"Dashboard: {watched.dashboard_url}")
    if watched.notify:
        parts.append(" ".join(watched.notify))
    return "\n\n".join(parts)


def _tags(watched: Watched) -> list[str]:
    return [f"service:{datadog_tag(watched.service)}", f"severity:{watched.severity}", "created-by:firstfault"]


def traps_of(monitor: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with a monitor of Datadog, in plain words; empty when nothing is known to be.

    Parameters
    ----------
    monitor : mapping
        `name`, `type`, `query`, `message`, `options` as its API or a file of monitors has them.
    """
    query, kind = str(monitor.get("query", "")), str(monitor.get("type", ""))
    options = monitor.get("options") or {}
    words = f"{monitor.get('name', '')} {monitor.get('message', '')}".lower()
    found = []
    if kind not in TYPES:
        found.append(f"type is {kind!r}; expected one of {', '.join(TYPES)}")
    if re.search(r"\}[^:]*/\s*sum:", query) and "clamp_min" not in query:
        found.append("the ratio is undefined when there are no hits, and one failure of two requests is 50 %")
    if "errors" in query and "/" in query and not options.get("notify_no_data"):
        found.append("nobody hears of it when no data comes: notify_no_data is not set")
    if options.get("escalation_message") and not options.get("renotify_interval"):
        found.append("escalation_message is never sent: renotify_interval is not set")
    if re.search(r"\bnew\b|\bfirst\b", words) and ".new()" not in query:
        found.append('it fires for any error, not for new ones: "new" means first seen')
    bound = re.search(r":trace\.[^{]*\{[^}]*\}[^>]*>\s*([0-9.]+)\s*$", query)
    if bound and re.search(r"\bp\d\d:", query) and float(bound[1]) >= 100:
        found.append(f"durations of trace metrics are in seconds; {bound[1]} of them are hardly meant")
    return found
