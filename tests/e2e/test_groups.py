"""Groups of errors in the running program: counted, decided about from another process, kept over a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.drawing import draw
from tests.support.running import Server, firstfault, serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

FAILING = """
frontend POST /checkout 0..100 ERROR http.response.status_code=500
  frontend CLIENT POST 5..95 ERROR server.address=payment http.response.status_code=500
    payment POST /charge 10..90 ERROR http.response.status_code=500 !CardError: "terminal 7 does not answer"
"""


@pytest.fixture(params=[pytest.param(1, marks=pytest.mark.deep), 2], ids=["one process", "several processes"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    return tmp_path_factory.mktemp("groups"), request.param


def one_group(server: Server, count: int) -> dict[str, Any]:
    def look() -> Any:
        found = server.get("/api/v1/groups").json()["groups"]
        return found[0] if len(found) == 1 and found[0]["count"] == count else None

    found: dict[str, Any] = server.until(look, f"one group of {count}")
    return found


def test_errors_are_counted_decided_about_and_kept(place: tuple[Path, int]):
    folder, processes = place
    with serving(folder, processes=processes) as server:
        for seed in (71, 72):
            server.send(*draw(FAILING, seed=seed).requests())
        group = one_group(server, 2)
        assert (group["type"], group["service"], group["status"]) == ("CardError", "payment", "new")
        answer = httpx.patch(
            f"{server.url}/api/v1/groups/{group['group_id']}",
            json={"status": "ignored", "for_count": 100},
            timeout=20,
            trust_env=False,
        )
        assert (answer.status_code, answer.json()["status"]) == (200, "ignored")
        assert server.stop() == 0, server.said()

    with serving(folder, processes=processes) as server:
        impact = server.get(f"/api/v1/impact?group={group['group_id']}").json()
        assert [(one["requests"], one["failed"]) for one in impact["groups"]] == [(2, 2)]
        assert not impact["users_known"]
        server.send(*draw(FAILING, seed=73).requests())
        after = one_group(server, 3)
        assert (after["group_id"], after["status"]) == (group["group_id"], "ignored")
        assert after["first_seen_ns"] == group["first_seen_ns"]
        trace = server.root_cause(draw(FAILING, seed=73).trace_id)
        assert trace["group"]["id"] == group["group_id"]
        said = firstfault("groups", group["group_id"], "--server", server.url)
        assert b"CardError: terminal 7 does not answer" in said.stdout
        assert server.stop() == 0, server.said()
