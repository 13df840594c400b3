"""Messages of one error differ in their values only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzer.errors.templates import TEMPLATE_MAX, operation_template, similarity, template_of


@pytest.mark.parametrize(
    ("message", "template"),
    [
        ("user 4711 not found in 'eu-1' after 30.5ms", "user <n> not found in <value> after <duration>"),
        ("connect to 10.0.0.5:5432 failed", "connect to <ip> failed"),
        ("read tcp 10.1.2.3:4455->10.3.4.5:5432: i/o timeout", "read tcp <ip>-><ip>: i/o timeout"),
        ("dial fe80::1%eth0 refused", "dial <ip> refused"),
        ("GET https://api.acme.io/v1/7?x=1 gave status code 503", "GET <url> gave status code 503"),
        ("can't open /var/log/x/12.log", "can't open <path>"),
        ("at 2025-10-11T14:23:45.123Z or 14:23:45", "at <time> or <time>"),
        ("Key (id)=(42) already exists. error 1205", "Key (id)=(<n>) already exists. error 1205"),
        ("mail to a.b@c.com bounced", "mail to <email> bounced"),
        ("trace 4bf92f3577b34da6a3ce929d0e0e4736", "trace <id>"),
        ("order 3f2504e0-4f89-11d3-9a0c-0305e82c3301 gone", "order <id> gone"),
        ("ids [1, 2, 3] unknown", "ids [<n>] unknown"),
        ("at 0x7fff5694dc58", "at <id>"),
        ("order_id=77, status=404", "order_id=<n>, status=404"),
        ("took 1m30s", "took <duration>"),
        ("user42 is locked", "user<n> is locked"),
        ("", ""),
    ],
)
def test_values_are_taken_out(message: str, template: str):
    assert template_of(message) == template


@pytest.mark.parametrize(
    ("operation", "template"),
    [
        ("GET /users/4711/orders?page=2", "GET /users/<n>/orders"),
        ("GET /api/v1/users/:id", "GET /api/v1/users/:id"),
        ("POST /a", "POST /a"),
        ("GET /files/3f2504e0-4f89-11d3-9a0c-0305e82c3301", "GET /files/<id>"),
        ("SELECT shop.orders", "SELECT shop.orders"),
        ("acme.Pay/Charge", "acme.Pay/Charge"),
    ],
)
def test_an_operation_keeps_its_path_and_loses_its_ids(operation: str, template: str):
    assert operation_template(operation) == template


def test_codes_are_names_not_values():
    """404 and 503 are different troubles; 404 items and 503 items are not."""
    assert template_of("status 404") != template_of("status 503")
    assert template_of("404 items") == template_of("503 items")


@given(st.text(max_size=400), st.integers(0, 10**9))
def test_a_number_at_the_end_changes_nothing(text: str, number: int):
    assert template_of(f"{text} x {number}") == template_of(f"{text} x {number + 1}")


@given(st.text())
def test_any_text_has_a_bounded_printable_line(text: str):
    template = template_of(text)

    assert len(template) <= TEMPLATE_MAX
    assert template == " ".join(template.split())


@pytest.mark.parametrize("piece", ["'", "a@", ":", "1.", "/a", '"x', "<n> ", "1 ", "0x", "a'b", "1:", "f" * 31 + " "])
def test_work_grows_with_the_text_not_with_its_square(piece: str):
    """A megabyte of the worst is cut, and what is looked at has a bound."""
    assert len(template_of(piece * 500_000)) <= TEMPLATE_MAX


def test_similar_templates_share_words():
    assert similarity("user <n> not found", "user <n> not found") == 1.0
    assert similarity("user <n> not found", "user <n> not there") == 0.75
    assert similarity("a b", "c d") == 0.0
