"""The way to an OTLP destination, as the settings ask for it."""

from __future__ import annotations

from collector.clock import SystemClock
from collector.contracts import Clock
from collector.exporters.otlp_grpc import GrpcTransport
from collector.exporters.otlp_http import HttpTransport
from collector.exporters.transport import OtlpSettings, Transport


def connect(settings: OtlpSettings, clock: Clock | None = None) -> Transport:
    """Make the transport that the settings ask for; nothing is sent yet."""
    clock = clock or SystemClock()
    return GrpcTransport(settings, clock) if settings.protocol == "grpc" else HttpTransport(settings, clock)
