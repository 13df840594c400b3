"""Alive, ready, and which part is not."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from collector.asgi_thread import AsgiThread
from collector.health import Health, health_app, health_server


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def client(health: Health) -> Iterator[httpx.Client]:
    server = health_server(health, "127.0.0.1", 0)
    with httpx.Client(base_url=f"http://127.0.0.1:{server.start()}") as found:
        yield found
    server.stop(1)


def test_without_conditions_all_is_well(client: httpx.Client):
    answers = [client.get(path) for path in ("/healthz", "/readyz", "/")]

    assert [(answer.status_code, answer.json()) for answer in answers] == [
        (200, {"status": "alive"}),
        (200, {"status": "ready"}),
        (200, {"status": "ready"}),
    ]


def test_readiness_names_the_parts_that_are_not_ready(health: Health, client: httpx.Client):
    """And comes back when they are; being alive is another question."""
    reasons = {"journal": "replaying", "store": ""}
    for part in reasons:
        health.ready(part, lambda part=part: reasons[part])  # type: ignore[misc]

    before, alive = client.get("/readyz"), client.get("/healthz")
    reasons["journal"] = ""
    after = client.get("/readyz")

    assert (before.status_code, before.json()) == (503, {"status": "not ready", "parts": {"journal": "replaying"}})
    assert (alive.status_code, after.status_code) == (200, 200)


def test_liveness_names_the_part_that_is_stuck(health: Health, client: httpx.Client):
    health.alive("engine", lambda: "no step for 30 s")

    answer = client.get("/healthz")

    assert (answer.status_code, answer.json()) == (503, {"status": "stuck", "parts": {"engine": "no step for 30 s"}})


def test_a_check_that_breaks_is_a_part_that_is_not_well(health: Health):
    def broken() -> str:
        raise KeyError("password=hunter2")

    health.ready("store", broken)

    assert health.readiness() == {"store": "the check failed (KeyError)"}


def test_other_paths_and_methods(client: httpx.Client):
    assert [client.get("/readyz/x").status_code, client.post("/readyz").status_code] == [404, 405]


def test_a_port_in_use_is_said_to_be(client: httpx.Client):
    port = client.base_url.port

    with pytest.raises(OSError, match=f"health cannot listen on 127.0.0.1:{port}: Address already in use"):
        AsgiThread(health_app(Health()), "127.0.0.1", port or 0, name="health").start()
