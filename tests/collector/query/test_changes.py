"""Changes over REST: told once, listed, refused in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.query.rest import create_app
from collector.store.changes import ChangeShelf
from tests.collector.query.rooms import Client
from tests.support.fakes.clock import EPOCH_NS, SECOND_NS, ManualClock
from tests.support.fakes.store import FakeOpenTraces, FakeStore

URL = "/api/v1/changes"
DEPLOYED = {"service": "payment", "version": "v2.3.1"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    clock = ManualClock()
    shelf = ChangeShelf(tmp_path, clock)
    yield Client(create_app(FakeStore(), FakeOpenTraces(), clock=clock, changes=shelf))
    shelf.close()


def test_a_deployment_is_told_and_listed(client: Client):
    told = client.post(URL, json=DEPLOYED)
    listed = client.get(URL, params={"service": "payment"})

    assert told.status_code == 201
    assert (told.json()["kind"], told.json()["time_ns"]) == ("deployment", EPOCH_NS)
    assert listed.json() == {"changes": [told.json()]}


def test_a_pipeline_that_tries_again_tells_once(client: Client):
    statuses = [client.post(URL, json=DEPLOYED).status_code for _ in range(2)]

    assert statuses == [201, 200]
    assert len(client.get(URL).json()["changes"]) == 1


def test_two_deployments_at_two_times_are_two(client: Client):
    for second in (1, 2):
        client.post(URL, json=DEPLOYED | {"time_ns": EPOCH_NS + second * SECOND_NS})

    assert len(client.get(URL).json()["changes"]) == 2
    found = client.get(URL, params={"from": str(EPOCH_NS + 2 * SECOND_NS)}).json()["changes"]
    assert [one["time_ns"] for one in found] == [EPOCH_NS + 2 * SECOND_NS]


def test_a_time_with_an_offset_is_read(client: Client):
    told = client.post(URL, json=DEPLOYED | {"time": "2025-10-11T16:23:45.123+02:00"})

    assert told.json()["time_ns"] == 1760192625123000000


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"kind": "party"}, "kind"),
        ({"time": "2025-10-11T14:23:45"}, "timezone"),
        ({"time": "1960-01-01T00:00:00Z"}, "time is 1960"),
        ({"time": "2025-10-11T14:23:45Z", "time_ns": 1}, "both given"),
        ({"time_ns": -1}, "greater than or equal to 0"),
        ({"service": "x" * 2000}, "at most 1024"),
        ({"change_id": "no spaces"}, "match pattern"),
        ({"verdict": "caused"}, "not permitted"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_words(client: Client, body: dict[str, object], words: str):
    found = client.post(URL, json=body)

    assert found.status_code == 400
    assert words in found.text
    assert client.get(URL).json() == {"changes": []}


def test_hostile_text_stays_text(client: Client):
    client.post(URL, json={"service": "<script>alert(1)</script>"})

    assert "<script>" not in client.get(URL).text
    assert client.get(URL).json()["changes"][0]["service"] == "<script>alert(1)</script>"


def test_a_form_of_a_web_page_tells_nothing(client: Client):
    """What a browser sends across sites without asking is not JSON by its type."""
    found = client.post(URL, content=b'{"service":"payment"}', headers={"content-type": "text/plain"})

    assert found.status_code == 400


def test_without_a_place_for_changes_it_says_so():
    client = Client(create_app(FakeStore(), FakeOpenTraces()))

    assert [client.get(URL).status_code, client.post(URL, json=DEPLOYED).status_code] == [501, 501]
