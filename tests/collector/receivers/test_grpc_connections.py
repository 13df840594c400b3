"""gRPC connections that cost and bring nothing: over the cap, or silent."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest

from collector.receivers.otlp_grpc import GrpcSettings
from tests.support.doors import open_doors, request

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])  # and empty SETTINGS


def _connect(address: str, sent: bytes) -> socket.socket:
    host, _, port = address.rpartition(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    with suppress(OSError):
        connection.sendall(sent)
    return connection


def _is_closed(connection: socket.socket) -> bool:
    """Whether the server ends it; False when it greets and stays."""
    try:
        while piece := connection.recv(4096):
            if piece.startswith(b"\0\0") and len(piece) >= 9:  # its SETTINGS: this one is let in
                return False
    except ConnectionResetError:
        pass
    return True


def test_connections_over_the_cap_are_closed():
    """The others stay, and there is room again when one leaves."""
    with open_doors(grpc_settings=GrpcSettings(connections_max=4)) as doors:
        doors.traces.Export(request("a"), timeout=10)  # holds one
        held = [_connect(doors.grpc_address, PREFACE) for _ in range(8)]
        closed = [_is_closed(connection) for connection in held]
        doors.traces.Export(request("b"), timeout=10)
        for connection in held:
            connection.close()

        assert sorted(closed) == [False] * 3 + [True] * 5
        assert doors.handover.spans() == ["a", "b"]


@pytest.mark.parametrize("sent", [b"", PREFACE[:10], PREFACE[:24]], ids=["nothing", "half a preface", "no settings"])
def test_a_connection_that_does_not_shake_hands_is_closed(sent: bytes):
    with open_doors(grpc_settings=GrpcSettings(handshake_timeout_s=0.3)) as doors:
        with _connect(doors.grpc_address, sent) as silent, suppress(ConnectionResetError):
            while silent.recv(4096):
                pass

        doors.traces.Export(request("a"), timeout=10)
