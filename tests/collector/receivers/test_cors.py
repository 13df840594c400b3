"""Browsers that send telemetry from another origin."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from collector.receivers.cors import Cors, CorsSettings
from collector.receivers.otlp_http import HttpSettings
from tests.support.doors import PROTOBUF, Doors, open_doors

SETTINGS = CorsSettings(
    allowed_origins=["https://shop.example.com", "https://*.test.example.com"],
    allowed_headers=["X-Tenant"],
    max_age_s=7,
)
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "content-type,x-tenant"}


@pytest.fixture(scope="module")
def doors() -> Iterator[Doors]:
    with open_doors(http_settings=HttpSettings(cors=SETTINGS)) as found:
        yield found


def test_a_preflight_of_an_allowed_origin(doors: Doors):
    answer = doors.http.options("/v1/traces", headers=PREFLIGHT | {"origin": "https://shop.example.com"})

    found = {name: value for name, value in answer.headers.items() if name.startswith("access-") or name == "vary"}
    assert answer.status_code == 204
    assert found == {
        "vary": "Origin",
        "access-control-allow-origin": "https://shop.example.com",
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": "content-type, content-encoding, x-tenant",
        "access-control-max-age": "7",
    }


def test_a_preflight_of_another_origin_allows_nothing(doors: Doors):
    answer = doors.http.options("/v1/traces", headers=PREFLIGHT | {"origin": "https://evil.example"})

    assert [name for name in answer.headers if name.startswith("access-")] == []
    assert answer.headers["vary"] == "Origin"


def test_the_request_itself_carries_the_origin(doors: Doors):
    """Refusals too, or the browser hides them from the page."""
    headers = PROTOBUF | {"origin": "https://a.test.example.com"}
    answers = [doors.http.post("/v1/traces", content=body, headers=headers) for body in (b"", b"\xff")]

    assert [answer.status_code for answer in answers] == [200, 400]
    assert {answer.headers["access-control-allow-origin"] for answer in answers} == {"https://a.test.example.com"}


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://shop.example.com", True),
        ("HTTPS://SHOP.EXAMPLE.COM", True),
        ("https://a.test.example.com", True),
        ("https://a.b.test.example.com", True),
        ("http://shop.example.com", False),
        ("https://shop.example.com.evil.example", False),
        ("https://shop_example.com", False),
        ("https://evil.example/.test.example.com", False),
        ("https://evil.example\n.test.example.com", False),
        ("null", False),
        ("", False),
    ],
)
def test_origins(origin: str, allowed: bool):
    """A dot is a dot, and a star does not reach over a slash."""
    names = [name for name, _ in Cors(SETTINGS).response_headers(origin)]

    assert (b"access-control-allow-origin" in names) == allowed


def test_any_origin_is_answered_with_a_star():
    cors = Cors(CorsSettings(allowed_origins=["*"]))

    assert dict(cors.response_headers("https://anywhere.example"))[b"access-control-allow-origin"] == b"*"


def test_cors_is_off_by_default():
    with open_doors() as doors:
        answer = doors.http.options("/v1/traces", headers=PREFLIGHT | {"origin": "https://shop.example.com"})

        assert (answer.status_code, "vary" in answer.headers) == (405, False)
