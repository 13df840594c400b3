"""Queries that find the evidence again: Elasticsearch, Loki, Tempo, Datadog.

In: a service, a time window, an id. Out: query bodies as the other system takes them. Values are data in them, never
syntax. Time comes in as Unix nanoseconds.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from analyzer.errors.iso_time import iso_of
from analyzer.reports.watched import datadog_tag, quoted

Query: TypeAlias = dict[str, Any]
HITS_MAX = 1_000
FINGERPRINTS_MAX = 10
_ERROR: Query = {"term": {"level": "ERROR"}}
_BY_TIME = [{"timestamp": "asc"}]


def elastic_correlation(correlation_id: str) -> Query:
    """All errors of one chain of requests, in order of time."""
    found = [{"match": {"correlation_id": correlation_id}}, _ERROR]
    return {"query": {"bool": {"must": found}}, "sort": _BY_TIME}


def elastic_error_rate(last: str = "1h", interval: str = "1m", service: str = "") -> Query:
    """Errors per interval, to see a spike."""
    must: list[Query] = [_ERROR, {"range": {"timestamp": {"gte": f"now-{last}"}}}]
    if service:
        must.insert(1, {"term": {"service": service}})
    per = {"errors_per_minute": {"date_histogram": {"field": "timestamp", "fixed_interval": interval}}}
    return {"query": {"bool": {"must": must}}, "aggs": per}


def elastic_fingerprints(size: int = FINGERPRINTS_MAX, service: str = "") -> Query:
    """The most common kinds of error, and how many users each hits."""
    users = {"affected_users": {"cardinality": {"field": "user.id"}}}
    kinds = {"error_types": {"terms": {"field": "error.fingerprint", "size": size}, "aggs": users}}
    query: Query = {"bool": {"must": [_ERROR, {"term": {"service": service}}]}} if service else _ERROR
    return {"query": query, "aggs": kinds}


def elastic_window(service: str, from_ns: int, to_ns: int, size: int = HITS_MAX) -> Query:
    """All errors of a service in a window, in order of time."""
    window = {"gte": iso_of(from_ns, 0), "lte": iso_of(to_ns, 0)}
    must = [_ERROR, {"term": {"service": service}}, {"range": {"timestamp": window}}]
    return {"query": {"bool": {"must": must}}, "sort": _BY_TIME, "size": size}


def loki_errors(service: str, *, correlation_id: str = "", trace_id: str = "", label: str = "service_name") -> str:
    """LogQL: error records of a service (JSON lines of our schema), of one request when it is named."""
    parts = [f"{{{label}={quoted(service)}}}", "| json", '| level="ERROR"']
    for name, value in (("correlation_id", correlation_id), ("trace_id", trace_id)):
        if value:
            parts.append(f"| {name}={quoted(value)}")
    return " ".join(parts)


def loki_error_rate(service: str, window_min: int = 5, label: str = "service_name") -> str:
    """LogQL: errors per second, by kind."""
    return f"sum by (error_fingerprint) (rate({loki_errors(service, label=label)} [{window_min}m]))"


def loki_new_kinds(service: str, window_min: int, known_days: int, label: str = "service_name") -> str:
    """LogQL: kinds of error in the window that were not there in the days before it."""
    errors = f'{loki_errors(service, label=label)} | error_fingerprint!=""'
    now = f"sum by (error_fingerprint) (count_over_time({errors} [{window_min}m]))"
    before = f"sum by (error_fingerprint) (count_over_time({errors} [{known_days}d] offset {window_min}m))"
    return f"{now} unless {before}"


def traceql_errors(service: str, operation: str = "", slower_than_ms: float = 0.0) -> str:
    """TraceQL: failing spans of a service, or slow ones when a bound is given."""
    wanted = [f"resource.service.name = {quoted(service)}"]
    if operation:
        wanted.append(f"name = {quoted(operation)}")
    wanted.append(f"duration > {slower_than_ms:g}ms" if slower_than_ms > 0 else "status = error")
    return "{ " + " && ".join(wanted) + " }"


def traceql_correlation(correlation_id: str) -> str:
    """TraceQL: every span of a chain of requests."""
    return f"{{ span.correlation_id = {quoted(correlation_id)} }}"


def datadog_errors_by_version(service: str, integration: str = "express") -> str:
    """Datadog: errors of a service by version, to lay deployments over."""
    return f"sum:trace.{datadog_tag(integration)}.request.errors{{service:{datadog_tag(service)}}} by {{version}}"


def datadog_log_errors(service: str, correlation_id: str = "") -> str:
    """Datadog log search: errors of a service, of one request when it is named."""
    words = ["status:error", f"service:{datadog_tag(service)}"]
    if correlation_id:
        escaped = correlation_id.replace("\\", "\\\\").replace('"', '\\"')
        words.append(f'@correlation_id:"{escaped}"')
    return " ".join(words)
