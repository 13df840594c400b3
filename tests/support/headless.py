"""A name with many addresses, as a Kubernetes headless service has, without a name server.

A program runs with a hosts file of its own over /etc/hosts (a private mount, seen by nobody else); whoever holds the
file changes the addresses while the program runs. On loopback 127.0.0.1, 127.0.0.2, ... are all this machine.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

_MOUNTED = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'


@dataclass(frozen=True)
class Headless:
    """One name, and the file that says what it means."""

    name: str
    hosts: Path

    def resolves_to(self, addresses: Iterable[str]) -> None:
        lines = ["127.0.0.1 localhost", *(f"{address} {self.name}" for address in addresses)]
        self.hosts.write_text("\n".join(lines) + "\n")  # in place: the mount is of this very file

    def wrapper(self) -> Sequence[str]:
        """Words before a command, so that it sees the name. In CI that must be possible; elsewhere the reason is told."""
        rights = [] if os.geteuid() == 0 else ["--map-root-user"]
        words = ["unshare", "--mount", *rights, "sh", "-c", _MOUNTED, "sh", str(self.hosts)]
        if shutil.which("unshare") and os.spawnvp(os.P_WAIT, "unshare", [*words, "true"]) == 0:
            return words
        reason = "a hosts file of one's own needs unshare, and the right to mount"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


def common_port(addresses: Sequence[str]) -> int:
    """A port that is free at every address, below those that the system gives to clients."""
    for _ in range(1000):
        port = random.randrange(20_000, 32_000)
        probes = [socket.socket() for _ in addresses]
        try:
            for probe, address in zip(probes, addresses, strict=True):
                probe.bind((address, port))
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
        return port
    raise AssertionError("no common free port")
