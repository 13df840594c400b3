"""Envelopes to Sentry over HTTP: the OTLP exporter's connection, with another path and another kind of answer."""

from __future__ import annotations

from pathlib import Path

from collector.contracts import Clock, Signal
from collector.exporters.otlp_http import HttpTransport, Spoken
from collector.exporters.sentry_dsn import Dsn
from collector.exporters.transport import OtlpSettings, Outcome, Verdict

ENVELOPE = "application/x-sentry-envelope"


def sentry_transport(dsn: Dsn, ca_file: Path | None, timeout_s: float, clock: Clock) -> HttpTransport:
    """Make the transport; nothing is sent yet. A certificate is always verified."""
    settings = OtlpSettings(
        endpoint=dsn.endpoint,
        protocol="http",
        insecure=not dsn.secure,
        ca_file=ca_file,
        headers=dsn.headers,
        timeout_s=timeout_s,
    )
    return HttpTransport(settings, clock, Spoken({Signal.LOGS: dsn.path}, ENVELOPE, _success))


def _success(signal: Signal, content_type: str, answer: bytes) -> Outcome:
    """Sentry answers with the id of the event, or with nothing; anything else is no Sentry: a proxy, a wrong port."""
    if answer and content_type != "application/json":
        return Outcome(Verdict.RETRY, "the answer is not Sentry's; is the DSN right?")
    return Outcome(Verdict.ACCEPTED)
