"""Who is asked: a name resolved again and again, who left it is missed for a while, nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from collector.query.peer_addresses import PeerAddresses, resolve
from collector.query.peer_words import Reply
from tests.support.fakes.clock import ManualClock


class Name:
    """A name service that says what the test wants."""

    def __init__(self, *hosts: str) -> None:
        self.hosts: Sequence[str] = hosts
        self.failure: OSError | None = None
        self.asked = 0
        self.silent = False

    async def __call__(self, name: str) -> Sequence[str]:
        self.asked += 1
        if self.silent:
            await asyncio.Event().wait()
        if self.failure:
            raise self.failure
        return self.hosts


class Peers:
    """Addresses over a name, with a clock that the test moves."""

    def __init__(self, *hosts: str, endpoints: Sequence[str] = (), peers_max: int = 16) -> None:
        self.clock, self.name = ManualClock(), Name(*hosts)
        self.addresses = PeerAddresses(
            self.clock, "firstfault-headless", 8080, endpoints, peers_max=peers_max, refresh_s=5, resolve=self.name
        )

    def now(self, timeout_s: float = 10.0) -> tuple[list[str], list[Reply]]:
        async def ask() -> tuple[list[str], list[Reply]]:
            try:
                return await self.addresses.current(timeout_s)
            finally:
                await self.addresses.close()

        return asyncio.run(ask())


def test_every_address_of_the_name_and_every_endpoint():
    peers = Peers("10.0.0.2", "fd00::3", endpoints=["other.example:9000", "10.0.0.2:8080"])

    assert peers.now() == (["10.0.0.2:8080", "[fd00::3]:8080", "other.example:9000"], [])


def test_the_name_is_resolved_again_after_its_time():
    peers = Peers("10.0.0.2")
    peers.now()
    peers.name.hosts = ["10.0.0.2", "10.0.0.3"]

    assert peers.now()[0] == ["10.0.0.2:8080"]
    peers.clock.advance(5)
    assert peers.now()[0] == ["10.0.0.2:8080", "10.0.0.3:8080"]
    assert peers.name.asked == 2


def test_who_left_the_name_is_missed_for_a_minute():
    """It is not asked (its address may be somebody else's by now), but what it held is not unknown."""
    peers = Peers("10.0.0.2", "10.0.0.3")
    peers.now()
    peers.name.hosts = ["10.0.0.2"]
    peers.clock.advance(10)

    assert peers.now() == (
        ["10.0.0.2:8080"],
        [Reply("10.0.0.3:8080", failure="it left the name firstfault-headless 0 s ago")],
    )
    peers.clock.advance(61)
    assert peers.now() == (["10.0.0.2:8080"], [])


def test_who_comes_back_is_not_missed():
    peers = Peers("10.0.0.2", "10.0.0.3")
    for hosts in (["10.0.0.2"], ["10.0.0.2", "10.0.0.3"]):
        peers.now()
        peers.name.hosts = hosts
        peers.clock.advance(10)

    assert peers.now() == (["10.0.0.2:8080", "10.0.0.3:8080"], [])


def test_a_name_that_cannot_be_resolved_is_said_and_the_last_known_are_asked():
    peers = Peers("10.0.0.2")
    peers.now()
    peers.name.failure = OSError(2, "no such name")
    peers.clock.advance(5)

    asked, missed = peers.now()

    assert asked == ["10.0.0.2:8080"]
    assert missed == [Reply("firstfault-headless", failure="the name cannot be resolved: no such name")]
    assert peers.addresses.failed_lookups == 1


def test_a_slow_name_service_is_not_waited_for():
    peers = Peers()
    peers.name.silent = True

    assert peers.now(0.01) == ([], [Reply("firstfault-headless", failure="the name was not resolved within 0.01 s")])


def test_more_than_may_be_asked_are_named():
    peers = Peers(*(f"10.0.0.{number}" for number in range(2, 9)), peers_max=3)

    asked, missed = peers.now()

    assert asked == ["10.0.0.2:8080", "10.0.0.3:8080", "10.0.0.4:8080"]
    assert missed == [Reply("4 more", failure="not asked; query.peers.peers_max is 3")]


def test_an_own_address_is_left_out_for_a_minute():
    """And then asked again: a virtual address may lead to somebody else by now."""
    peers = Peers("10.0.0.2", "10.0.0.3")
    peers.addresses.found_me("10.0.0.2:8080")

    assert peers.now()[0] == ["10.0.0.3:8080"]
    peers.clock.advance(61)
    assert peers.now()[0] == ["10.0.0.2:8080", "10.0.0.3:8080"]


def test_the_system_resolves_names():
    assert "127.0.0.1" in asyncio.run(resolve("localhost"))
    with pytest.raises(OSError):
        asyncio.run(resolve("no-such-host.invalid"))
