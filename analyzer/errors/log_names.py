"""Which names stand for a field of our log schema in the logs of others. Data only.

The first name that is there wins. Names are looked up as they stand, nested or dotted, and below the places where
OpenTelemetry and others keep attributes (`PREFIXES`). Sources: Elastic Common Schema 8, the OpenTelemetry logs data
model and semantic conventions (old and new), Datadog's standard attributes, and the defaults of common libraries
(python-json-logger, structlog, pino, bunyan, winston, zap, logrus, serilog, logback).
"""

from __future__ import annotations

NAMES: dict[str, tuple[str, ...]] = {
    "timestamp": ("timestamp", "@timestamp", "time", "ts", "Timestamp", "@t", "timeUnixNano", "time_unix_nano",
                  "observedTimeUnixNano", "observed_timestamp", "datetime", "date", "asctime"),
    "level": ("level", "log.level", "severity_text", "severityText", "SeverityText", "severity", "levelname", "@l",
              "status", "severity_number", "severityNumber", "SeverityNumber"),
    "message": ("message", "msg", "body", "Body", "event", "@m", "@mt", "log"),
    "correlation_id": ("correlation_id", "correlationId", "correlation.id", "x-correlation-id", "CorrelationId",
                       "request_id", "requestId", "request.id", "http.request.id", "x-request-id", "reqId", "req_id"),
    "trace_id": ("trace_id", "trace.id", "traceId", "TraceId", "otelTraceID", "context.trace_id", "dd.trace_id"),
    "span_id": ("span_id", "span.id", "spanId", "SpanId", "otelSpanID", "context.span_id", "dd.span_id"),
    "service": ("service", "service.name", "service_name", "otelServiceName", "dd.service", "app", "application"),
    "environment": ("environment", "deployment.environment.name", "deployment.environment", "service.environment",
                    "env", "dd.env"),
    "host": ("host", "host.name", "host.hostname", "hostname", "k8s.pod.name", "kubernetes.pod.name"),
    "version": ("version", "service.version", "dd.version", "app_version"),
    "error.type": ("error.type", "exception.type", "error.kind", "error.name", "err.type", "err.name", "exc_type"),
    "error.message": ("error.message", "exception.message", "err.message", "exc_message", "error", "err"),
    "error.stack_trace": ("error.stack_trace", "error.stack", "exception.stacktrace", "err.stack", "stack_trace",
                          "stacktrace", "stack", "exc_info", "exception", "@x"),
    "error.fingerprint": ("error.fingerprint", "fingerprint"),
    "user.id": ("user.id", "enduser.id", "usr.id", "user_id", "userId", "user"),
    "user.ip": ("user.ip", "client.ip", "client.address", "source.ip", "network.client.ip", "http.client_ip",
                "remote_addr"),
    "user.session_id": ("user.session_id", "session.id", "session_id", "sessionId"),
    "request.method": ("request.method", "http.request.method", "http.method", "req.method", "method"),
    "request.path": ("request.path", "url.path", "http.target", "http.route", "http.url_details.path", "req.url",
                     "path"),
    "request.duration_ms": ("request.duration_ms", "duration_ms", "responseTime", "event.duration", "duration"),
    "request.status_code": ("request.status_code", "http.response.status_code", "http.status_code", "res.statusCode",
                            "status_code", "status"),
}  # fmt: skip
PREFIXES = (
    "attributes.", "Attributes.", "resource.attributes.", "resource.", "Resource.", "labels.", "fields.", "extra.",
    "instrumentation.", "log.attributes.", "mdc.", "contextMap.", "custom.",
)  # fmt: skip
# In nanoseconds where they are written: Elastic's event.duration and Datadog's duration.
DURATIONS_NS = ("event.duration", "duration")

LEVEL_WORDS = {
    "ERROR": "ERROR", "ERR": "ERROR", "FATAL": "ERROR", "CRITICAL": "ERROR", "CRIT": "ERROR", "EMERGENCY": "ERROR",
    "EMERG": "ERROR", "ALERT": "ERROR", "PANIC": "ERROR", "DPANIC": "ERROR", "SEVERE": "ERROR",
    "WARN": "WARN", "WARNING": "WARN",
    "INFO": "INFO", "INFORMATION": "INFO", "INFORMATIONAL": "INFO", "NOTICE": "INFO", "OK": "INFO", "LOG": "INFO",
    "DEBUG": "DEBUG", "FINE": "DEBUG",
    "TRACE": "TRACE", "VERBOSE": "TRACE", "SILLY": "TRACE", "FINER": "TRACE", "FINEST": "TRACE",
}  # fmt: skip
ENVIRONMENT_WORDS = {
    "prod": "production", "prd": "production", "live": "production", "production": "production",
    "stage": "staging", "stg": "staging", "staging": "staging", "preprod": "staging", "uat": "staging",
    "dev": "dev", "development": "dev", "local": "dev", "test": "dev",
}  # fmt: skip
