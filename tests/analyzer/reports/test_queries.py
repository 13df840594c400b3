"""Queries of other systems: the shapes that were asked for, and values that stay values."""

from __future__ import annotations

import json

import pytest

from analyzer.reports import queries

HOSTILE = 'a"} | line_format "{{.secret}}" {x="\\'
FROM_NS, TO_NS = 1_760_191_200_000_000_000, 1_760_193_000_000_000_000


def test_errors_of_one_correlation_id():
    assert queries.elastic_correlation("req-7f3b2a1c-4d5e-6f7g") == {
        "query": {
            "bool": {"must": [{"match": {"correlation_id": "req-7f3b2a1c-4d5e-6f7g"}}, {"term": {"level": "ERROR"}}]}
        },
        "sort": [{"timestamp": "asc"}],
    }


def test_the_error_rate_of_the_last_hour():
    assert queries.elastic_error_rate() == {
        "query": {"bool": {"must": [{"term": {"level": "ERROR"}}, {"range": {"timestamp": {"gte": "now-1h"}}}]}},
        "aggs": {"errors_per_minute": {"date_histogram": {"field": "timestamp", "fixed_interval": "1m"}}},
    }


def test_the_most_common_kinds_and_their_users():
    assert queries.elastic_fingerprints() == {
        "query": {"term": {"level": "ERROR"}},
        "aggs": {
            "error_types": {
                "terms": {"field": "error.fingerprint", "size": 10},
                "aggs": {"affected_users": {"cardinality": {"field": "user.id"}}},
            }
        },
    }


def test_the_errors_of_a_window():
    assert queries.elastic_window("payment-service", FROM_NS, TO_NS) == {
        "query": {
            "bool": {
                "must": [
                    {"term": {"level": "ERROR"}},
                    {"term": {"service": "payment-service"}},
                    {"range": {"timestamp": {"gte": "2025-10-11T14:00:00Z", "lte": "2025-10-11T14:30:00Z"}}},
                ]
            }
        },
        "sort": [{"timestamp": "asc"}],
        "size": 1000,
    }


def test_errors_by_version():
    assert (
        queries.datadog_errors_by_version("payment-service")
        == "sum:trace.express.request.errors{service:payment-service} by {version}"
    )


def test_one_service_narrows_the_queries():
    assert {"term": {"service": "pay"}} in queries.elastic_error_rate(service="pay")["query"]["bool"]["must"]
    assert {"term": {"service": "pay"}} in queries.elastic_fingerprints(service="pay")["query"]["bool"]["must"]


def test_log_and_trace_queries_in_their_languages():
    assert queries.loki_errors("pay", correlation_id="req-1") == (
        '{service_name="pay"} | json | level="ERROR" | correlation_id="req-1"'
    )
    assert queries.loki_error_rate("pay").endswith("[5m]))")
    assert queries.traceql_errors("pay", "POST /charge") == (
        '{ resource.service.name = "pay" && name = "POST /charge" && status = error }'
    )
    assert (
        queries.traceql_errors("pay", slower_than_ms=2000) == '{ resource.service.name = "pay" && duration > 2000ms }'
    )
    assert queries.traceql_correlation("req-1") == '{ span.correlation_id = "req-1" }'
    assert (
        queries.datadog_log_errors("Pay Service", 'a"b') == 'status:error service:pay_service @correlation_id:"a\\"b"'
    )


def test_new_kinds_are_those_that_were_not_there_before():
    found = queries.loki_new_kinds("pay", 5, 14)

    assert found.count("count_over_time") == 2
    assert "[5m])) unless sum by" in found
    assert found.endswith("[14d] offset 5m))")


@pytest.mark.parametrize(
    "query",
    [queries.loki_errors(HOSTILE), queries.traceql_errors(HOSTILE, HOSTILE), queries.traceql_correlation(HOSTILE)],
)
def test_a_hostile_name_stays_one_string(query: str):
    """Read as strings and what is between them: the name is one whole string each time."""
    decoder = json.JSONDecoder()
    rest, strings = query, []
    while '"' in rest:
        text, end = decoder.raw_decode(rest[rest.index('"') :])
        strings.append(text)
        rest = rest[rest.index('"') + end :]

    assert HOSTILE in strings
    assert set(strings) <= {HOSTILE, "ERROR"}


def test_a_hostile_name_does_not_end_datadogs_braces():
    assert queries.datadog_errors_by_version(HOSTILE).count("}") == 2
