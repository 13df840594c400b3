"""The three monitors that users brought as an example of what they have, as they stand."""

from __future__ import annotations

from typing import Any

HIGH_ERROR_RATE: dict[str, Any] = {
    "name": "High Error Rate - Payment Service",
    "type": "metric",
    "query": "avg(last_5m):sum:trace.express.request.errors{service:payment-service}"
    " / sum:trace.express.request.hits{service:payment-service} > 0.05",
    "message": "Payment service error rate is {{value}}% (threshold: 5%)",
    "tags": ["service:payment-service", "severity:high"],
    "options": {
        "notify_no_data": True,
        "no_data_timeframe": 10,
        "escalation_message": "Error rate still elevated after 10 minutes",
    },
}
NEW_ERROR_TYPE: dict[str, Any] = {
    "name": "New Error Type Detected",
    "type": "log",
    "query": 'logs("level:ERROR service:payment-service").rollup("count").by("error.fingerprint").last("5m") > 0',
    "message": "New error type detected in payment service: {{error.fingerprint}}",
    "options": {"enable_logs_sample": True},
}
P95_HIGH: dict[str, Any] = {
    "name": "Payment Service - P95 Latency High",
    "type": "metric",
    "query": "avg(last_10m):p95:trace.express.request.duration{service:payment-service} > 2000",
    "message": "Payment service P95 latency is {{value}}ms (threshold: 2000ms)",
}
