"""Queries and commands as a runbook prints them, filled with names and ids of the input.

Names are hostile: each language quotes them its way. What is asked of another system stands in `queries`.
"""

from __future__ import annotations

import json
import shlex

from analyzer.reports import queries
from analyzer.reports.monitors import expressions
from analyzer.reports.watched import Watched, quoted
from analyzer.words import shown

_SEARCH = "curl -s 'localhost:9200/logs-*/_search' -H 'content-type: application/json' -d "


def trace_ql(service: str) -> str:
    """TraceQL: failing spans of a service."""
    return queries.traceql_errors(shown(service))


def elastic_trace(trace_id: str) -> str:
    """Elasticsearch: logs of one trace, in order of time."""
    return _search(
        {"query": {"term": {"trace_id": trace_id}}, "sort": [{"timestamp": "asc"}], "size": queries.HITS_MAX}
    )


def elastic_correlation(correlation_id: str) -> str:
    """Elasticsearch: errors with one correlation id, in order of time."""
    return _search(queries.elastic_correlation(shown(correlation_id)))


def elastic_window(service: str, from_ns: int, to_ns: int) -> str:
    """Elasticsearch: errors of a service between two times."""
    return _search(queries.elastic_window(shown(service), from_ns, to_ns))


def log_ql(service: str, trace_id: str) -> str:
    """LogQL: log lines of a service that name the trace."""
    return f"{{service_name={quoted(shown(service))}}} |= {quoted(trace_id)}"


def error_share(service: str) -> str:
    """PromQL: share of failing calls of a service, as the spanmetrics connector counts them."""
    return expressions(Watched(shown(service))).error_share


def firstfault(*words: str) -> str:
    """A command line of ours."""
    return shlex.join(["firstfault", *words])


def _search(query: queries.Query) -> str:
    return _SEARCH + shlex.quote(json.dumps(query))
