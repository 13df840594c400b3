"""Reading "host:port"."""

from __future__ import annotations


def host_port(endpoint: str) -> tuple[str, int]:
    """Split "host:port"; the configuration has checked it."""
    host, _, port = endpoint.rpartition(":")
    return host, int(port)


def is_loopback(endpoint: str) -> bool:
    host = host_port(endpoint)[0].strip("[]")
    return host in ("localhost", "::1") or host.startswith("127.")
