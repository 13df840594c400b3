"""What a client may do with a gRPC port: connections, streams, pings, headers, handshakes.

One table for every port, so that none is forgotten (reliability.md R13, R14).
"""

from __future__ import annotations

import socket

CONNECTIONS_MAX = 1024
HEADER_BYTES_MAX = 16 * 1024
HANDSHAKE_TIMEOUT_S = 10.0
IDLE_TIMEOUT_S = 300.0  # a connection without a call; clients connect anew without a word


def port_limits(
    *,
    streams_max: int = 100,
    connections_max: int = CONNECTIONS_MAX,
    keepalive_time_s: float = 120.0,
    keepalive_timeout_s: float = 20.0,
    ping_interval_min_s: float = 10.0,
    handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
) -> list[tuple[str, int]]:
    """Return channel arguments.

    Parameters
    ----------
    streams_max : calls at once on one connection
    connections_max : further ones are closed at once
    keepalive_time_s, keepalive_timeout_s : a connection that rests is asked whether it lives, and has this long to say
    ping_interval_min_s : clients that ping more often are cut off (too_many_pings)
    handshake_timeout_s : for TLS, and for the first frame of HTTP/2
    """
    return [
        ("grpc.max_metadata_size", HEADER_BYTES_MAX),
        ("grpc.max_concurrent_streams", streams_max),
        ("grpc.max_allowed_incoming_connections", connections_max),
        ("grpc.max_connection_idle_ms", _ms(IDLE_TIMEOUT_S)),
        ("grpc.keepalive_time_ms", _ms(keepalive_time_s)),
        ("grpc.keepalive_timeout_ms", _ms(keepalive_timeout_s)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _ms(ping_interval_min_s)),
        ("grpc.server_handshake_timeout_ms", _ms(handshake_timeout_s)),
    ]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def why_not_bound(address: str) -> str:
    """Say why a port cannot be had: gRPC's own words are in its log, which is off (collector/__init__)."""
    host, _, port = address.rpartition(":")
    try:
        (family, kind, _, _, where), *_ = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        with socket.socket(family, kind) as tried:
            tried.bind(where)
    except OSError as error:
        return error.strerror or str(error)
    return "gRPC refuses it; GRPC_VERBOSITY=INFO in the environment has it say why"
