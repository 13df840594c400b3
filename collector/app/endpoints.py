"""Reading "host:port"."""

from __future__ import annotations

import ipaddress


def host_port(endpoint: str) -> tuple[str, int]:
    """Split "host:port"; the configuration has checked it."""
    host, _, port = endpoint.rpartition(":")
    return host, int(port)


def is_loopback(endpoint: str) -> bool:
    """Only this machine reaches it. A name that merely looks like such an address is not believed."""
    host = host_port(endpoint)[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
