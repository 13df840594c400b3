"""Who the peers are: a name that stands for all instances, resolved again and again, and addresses from the settings.

In: a name, endpoints. Out: host:port of those to ask, and a line for each that ought to be asked and is not. Nobody
else is ever asked. Owner: the event loop of the calls; `found_me` may come from any thread.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from collector.contracts import Clock
from collector.query.peer_words import Reply

OWN_NS = 60_000_000_000  # so long an address is taken for our own after we met ourselves there
LEFT_NS = 60_000_000_000  # so long a peer that left the name is missed: its traces did not end with it

Resolve = Callable[[str], Awaitable[Sequence[str]]]


async def resolve(name: str) -> Sequence[str]:
    """Every IPv4 and IPv6 address of a name.

    Raises
    ------
    OSError
        It cannot be resolved.
    """
    found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for _, _, _, _, address in found})


class PeerAddresses:
    """The peers of this instance, at any time at most `peers_max`."""

    def __init__(
        self,
        clock: Clock,
        dns: str = "",
        port: int = 8080,
        endpoints: Sequence[str] = (),
        *,
        peers_max: int = 16,
        refresh_s: float = 5.0,
        resolve: Resolve = resolve,
    ) -> None:
        self._clock = clock
        self._dns, self._port = dns, port
        self._endpoints = tuple(endpoints)
        self._peers_max = peers_max
        self._refresh_ns = round(refresh_s * 1e9)
        self._resolve = resolve
        self._resolving: asyncio.Task[Sequence[str]] | None = None
        self._known: list[str] = []  # of the name
        self._known_ns: int | None = None
        self._left: dict[str, int] = {}
        self._own: dict[str, int] = {}
        self.failed_lookups = 0
        self.count = 0

    def found_me(self, peer: str) -> None:
        """An address turned out to be our own."""
        self._own[peer] = self._clock.monotonic_ns()

    async def current(self, timeout_s: float) -> tuple[list[str], list[Reply]]:
        """Return whom to ask, and who cannot be asked. Takes `timeout_s` at most."""
        missed = await self._refresh(timeout_s) if self._dns else []
        now = self._clock.monotonic_ns()
        self._own = {peer: at for peer, at in self._own.items() if now - at < OWN_NS}
        peers = [peer for peer in sorted({*self._endpoints, *self._known}) if peer not in self._own]
        left_out = len(peers) - self._peers_max
        if left_out > 0:
            missed.append(Reply(f"{left_out} more", failure=f"not asked; query.peers.peers_max is {self._peers_max}"))
        self.count = min(len(peers), self._peers_max)
        return peers[: self._peers_max], missed

    async def _refresh(self, timeout_s: float) -> list[Reply]:
        """Resolve the name when it is time to; what is missed."""
        failure = ""
        if self._known_ns is None or self._clock.monotonic_ns() - self._known_ns >= self._refresh_ns:
            if self._resolving is None:
                self._resolving = asyncio.ensure_future(self._resolve(self._dns))
            await asyncio.wait({self._resolving}, timeout=timeout_s)  # a slow one goes on, for who asks next
            if not self._resolving.done():
                failure = f"the name was not resolved within {timeout_s:g} s"
            else:
                done, self._resolving = self._resolving, None
                try:
                    self._take(done.result())
                except OSError as error:
                    failure = f"the name cannot be resolved: {error.strerror or type(error).__name__}"
            self.failed_lookups += bool(failure)
        now = self._clock.monotonic_ns()
        self._left = {peer: at for peer, at in self._left.items() if now - at < LEFT_NS}
        missed = [
            Reply(peer, failure=f"it left the name {self._dns} {(now - at) / 1e9:.0f} s ago")
            for peer, at in sorted(self._left.items())
        ]
        return [Reply(self._dns, failure=failure), *missed] if failure else missed

    def _take(self, hosts: Sequence[str]) -> None:
        now = self._clock.monotonic_ns()
        fresh = [f"[{host}]:{self._port}" if ":" in host else f"{host}:{self._port}" for host in hosts]
        for peer in fresh:
            self._left.pop(peer, None)
        for peer in set(self._known) - set(fresh) - set(self._own):
            self._left[peer] = now
        # A name with thousands of addresses is no headless service of ours; what is missed is bounded as well.
        self._known, self._known_ns = fresh, now
        self._left = dict(list(self._left.items())[-self._peers_max :])

    async def close(self) -> None:
        """Give up a lookup that still runs."""
        if self._resolving is not None:
            self._resolving.cancel()
            with suppress(asyncio.CancelledError, OSError):
                await self._resolving
