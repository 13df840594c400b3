"""Queries and commands filled with names and ids of the input. Names are hostile: each language quotes them its way."""

from __future__ import annotations

import json
import shlex

from analyzer.words import shown

_SEARCH = "curl -s 'localhost:9200/logs-*/_search' -H 'content-type: application/json' -d "


def prom_label(text: str) -> str:
    """Text inside the quotes of a PromQL label matcher."""
    return shown(text).replace("\\", "\\\\").replace('"', '\\"')


def trace_ql(service: str) -> str:
    """TraceQL: failing spans of a service."""
    return f"{{ resource.service.name = {json.dumps(shown(service))} && status = error }}"


def elastic_trace(trace_id: str) -> str:
    """Elasticsearch: logs of one trace, in order of time."""
    query = {"query": {"term": {"trace_id": trace_id}}, "sort": [{"timestamp": "asc"}], "size": 1000}
    return _SEARCH + shlex.quote(json.dumps(query))


def elastic_correlation(correlation_id: str) -> str:
    """Elasticsearch: errors with one correlation id, in order of time."""
    must = [{"match": {"correlation_id": shown(correlation_id)}}, {"term": {"level": "ERROR"}}]
    return _SEARCH + shlex.quote(json.dumps({"query": {"bool": {"must": must}}, "sort": [{"timestamp": "asc"}]}))


def elastic_window(service: str, start: str, end: str) -> str:
    """Elasticsearch: errors of a service between two times (ISO 8601, UTC)."""
    must = [
        {"term": {"level": "ERROR"}},
        {"term": {"service": shown(service)}},
        {"range": {"timestamp": {"gte": start, "lte": end}}},
    ]
    query = {"query": {"bool": {"must": must}}, "sort": [{"timestamp": "asc"}], "size": 1000}
    return _SEARCH + shlex.quote(json.dumps(query))


def log_ql(service: str, trace_id: str) -> str:
    """LogQL: log lines of a service that name the trace."""
    return f"{{service_name={json.dumps(shown(service))}}} |= {json.dumps(trace_id)}"


def error_share(service: str) -> str:
    """PromQL: share of failing calls of a service, as the spanmetrics connector counts them."""
    calls = f'traces_span_metrics_calls_total{{service_name="{prom_label(service)}"'
    return f'sum(rate({calls},status_code="STATUS_CODE_ERROR"}}[5m])) / sum(rate({calls}}}[5m]))'


def firstfault(*words: str) -> str:
    """A command line of ours."""
    return shlex.join(["firstfault", *words])
