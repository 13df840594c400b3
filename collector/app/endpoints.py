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
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower().rstrip(".") == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
