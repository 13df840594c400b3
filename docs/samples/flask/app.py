"""A correlation id for every request in Flask: read, made when absent, echoed, passed on, written into every log line.

Run it: `flask --app app run --port 5000`. Needs Flask 2.3 or later and nothing else.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sys
import urllib.request
import uuid
from datetime import UTC, datetime
from hashlib import sha256

from flask import Flask, Response, g, has_request_context, request

SERVICE = os.environ.get("SERVICE", "payment-service")
ENVIRONMENT = os.environ.get("ENVIRONMENT", "dev")
LEVELS = {"WARNING": "WARN", "CRITICAL": "ERROR"}
USABLE = re.compile(r"[\x21-\x7e]{1,128}")
TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


def correlation_id() -> str:
    """The id of the request that is being answered; empty outside of one (a thread at start, a job)."""
    return g.get("correlation_id", "") if has_request_context() else ""


class SchemaFormatter(logging.Formatter):
    """One line of JSON that keeps the log schema (docs/logs.md). `extra={"request": {...}, "context": {...}}` adds."""

    def format(self, record: logging.LogRecord) -> str:
        level = LEVELS.get(record.levelname, record.levelname)
        parent = request.headers.get("traceparent", "") if has_request_context() else ""
        trace = TRACEPARENT.fullmatch(parent)
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z",
            "level": level,
            "message": record.getMessage(),
            "correlation_id": correlation_id(),
            "trace_id": trace[1] if trace else "",
            "span_id": trace[2] if trace else "",
            "service": SERVICE,
            "environment": ENVIRONMENT,
            "host": socket.gethostname(),
        }
        if level == "ERROR" or record.exc_info:
            kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else "Error"
            # The template, not the message: what is filled in differs from line to line.
            fingerprint = sha256(f"{record.name}\0{record.msg}\0{kind}".encode()).hexdigest()[:16]
            line["error"] = {"type": kind, "message": record.getMessage(), "fingerprint": fingerprint}
            if record.exc_info:
                line["error"]["stack_trace"] = self.formatException(record.exc_info)
        for name in ("request", "user", "context"):
            if hasattr(record, name):
                line[name] = getattr(record, name)
        return json.dumps(line, default=str)


handler = logging.StreamHandler(sys.stdout)
handler.setFormatter(SchemaFormatter())
logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
log = logging.getLogger(SERVICE)
app = Flask(__name__)


@app.before_request
def read_correlation_id() -> None:
    sent = request.headers.get("X-Correlation-ID", "")
    g.correlation_id = sent if USABLE.fullmatch(sent) else str(uuid.uuid4())


@app.after_request
def echo_correlation_id(response: Response) -> Response:
    response.headers["X-Correlation-ID"] = correlation_id()
    log.info(
        "request answered",
        extra={"request": {"method": request.method, "path": request.path, "status_code": response.status_code}},
    )
    return response


def call(url: str) -> bytes:
    """Call another service: the id goes with it, and who calls."""
    headers = {"X-Correlation-ID": correlation_id(), "X-Source-Service": SERVICE}
    onward = urllib.request.Request(url, headers=headers)  # noqa: S310 - the address is our own setting
    with urllib.request.urlopen(onward, timeout=5) as answer:  # noqa: S310
        return answer.read()


@app.route("/")
def charge() -> dict[str, str]:
    log.info("charging", extra={"context": {"currency": "USD"}})
    return {"seen": correlation_id(), "from": request.headers.get("X-Source-Service", "")}


@app.route("/relay")
def relay() -> bytes:
    return call(os.environ["NEXT_URL"])


@app.route("/broken")
def broken() -> tuple[dict[str, str], int]:
    try:
        raise LookupError("no such card")
    except LookupError:
        log.exception("charge failed")
    return {"error": "no such card"}, 500
