"""What the configuration leaves open: ports beyond this machine that ask for nothing, or are asked in plain text.

In: the doors, as the configuration says them. Out: words of a fault, of warnings. No file is read, nothing is bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from collector.app.endpoints import is_loopback
from collector.config_doors import Tls

_WAYS_OUT = (
    "expected tls with auth or tls.client_ca_file (docs/security.md), or 127.0.0.1, or service.insecure: true where "
    "something before these ports has both (a mesh, a proxy) or keeps strangers away (a network policy)"
)


@dataclass(frozen=True)
class Door:
    """A port where telemetry or questions come in."""

    key: str  # of its endpoint
    endpoint: str
    may: str  # what whoever comes in can do
    guarded: bool  # auth is asked for
    tls: Tls | None

    @property
    def asks_for_nothing(self) -> bool:
        """Whoever reaches it from beyond this machine is let in. A certificate is a credential."""
        known = self.guarded or (self.tls is not None and self.tls.client_ca_file is not None)
        return not known and not is_loopback(self.endpoint)

    @property
    def asks_in_clear(self) -> bool:
        """Credentials come to it in plain text, from beyond this machine."""
        return self.guarded and self.tls is None and not is_loopback(self.endpoint)

    @property
    def offer(self) -> str:
        """What it lets everybody do."""
        return self.may if self.tls is not None else f"{self.may}, in plain text"


def fault_of(doors: Sequence[Door]) -> str:
    """Name every open door, and the ways out; empty when all are shut."""
    found = [
        f"{door.key} is {door.endpoint} "
        + (f"(anybody can {door.offer})" if door.asks_for_nothing else "(takes credentials in plain text)")
        for door in doors
        if door.asks_for_nothing or door.asks_in_clear
    ]
    return f"{', '.join(found)}; {_WAYS_OUT}" if found else ""


def warnings_of(doors: Sequence[Door]) -> list[tuple[str, str]]:
    """Say what everybody who reaches this machine, or listens on the way to it, can do; and what to do about it."""
    said = []
    if unasked := [f"{door.endpoint} ({door.offer})" for door in doors if door.asks_for_nothing]:
        words = f"no credential is asked for at {', '.join(unasked)}: whoever reaches these ports can"
        said.append((words, "set auth and tls (docs/security.md), or listen on 127.0.0.1"))
    if in_clear := [door.endpoint for door in doors if door.asks_in_clear]:
        words = f"credentials are sent in plain text to {', '.join(in_clear)}: whoever listens on the way can use them"
        said.append((words, "set tls (docs/security.md), unless something before these ports has it"))
    return said
