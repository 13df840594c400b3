"""Secrets are masked, and what only looks like one is not; by name, by shape, and by rules of the user."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue

from collector.redaction import SEEN_MAX, TEXT_MAX, Redactor, UserRule
from collector.secret_shapes import LITERAL, MASK, RULES, SHAPES
from tests.support.regex_steps import Steps

M = MASK
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAK\n-----END RSA PRIVATE KEY-----"
SHOWN: dict[str, str] = {
    # credentials of HTTP
    "authorization: Bearer abc123def456": f"authorization: Bearer {M}",
    "got basic dXNlcjpwYXNz back": f"got basic {M} back",
    'Digest abcdef123456, "x"': f'Digest {M}, "x"',
    JWT: M,
    f"token {JWT} refused": f"token {M} refused",
    # keys of clouds and vendors
    "AKIAIOSFODNN7EXAMPLE": M,
    "id ASIAIOSFODNN7EXAMPLE.": f"id {M}.",
    "push with ghp_abcdefghijklmnopqrstuvwxyz0123456789": f"push with {M}",
    "github_pat_11ABCDEFG0abcdefghij_klmnop": M,
    "xoxb-123456789012-abcdef": M,
    "sk_live_abcdefghij0123456789": M,
    "AIzaSyA-abcdefghijklmnopqrstuvwxyz01234": M,
    "sk-ant-api03-abcdefghijklmnop": M,
    "glpat-abcdefghij0123456789": M,
    f"before {PEM} after": f"before {M} after",
    "-----BEGIN PRIVATE KEY-----\nMIIEow cut off": M,
    # URLs and connection strings
    "https://ann:apple@shop.test/a": f"https://{M}@shop.test/a",
    "postgres://u:p@ss@db:5432/x?sslmode=off": f"postgres://{M}@db:5432/x?sslmode=off",
    "redis://:pw@cache/0 and amqp://a:b@mq": f"redis://{M}@cache/0 and amqp://{M}@mq",
    "/cb?code=1&token=abc&x=2": f"/cb?code=1&token={M}&x=2",
    "?access_token=abc#top": f"?access_token={M}",
    "?X-Amz-Signature=ab12&X-Amz-Date=1": f"?X-Amz-Signature={M}&X-Amz-Date={M}",
    "Server=db;User Id=a;Password=p w;Port=1": f"Server=db;User Id=a;Password={M} w;Port=1",
    "AccountKey=abc/def+==;EndpointSuffix=x": f"AccountKey={M};EndpointSuffix=x",
    # words of messages, logs and command lines
    "login with password: hunter2 failed": f"login with password: {M} failed",
    '{"user": "a", "password": "a \\"b", "n": 1}': f'{{"user": "a", "password": "{M}", "n": 1}}',
    "{'api_key': 'abc'}": f"{{'api_key': '{M}'}}",
    '{"token":"abc"}': f'{{"token":"{M}"}}',
    "AWS_SECRET_ACCESS_KEY=abc/def": f"AWS_SECRET_ACCESS_KEY={M}",
    "mysql --password hunter2 -h db": f"mysql --password {M} -h db",
    "curl --token abc": f"curl --token {M}",
    # cards: test numbers of networks
    "card 4111 1111 1111 1111 declined": f"card {M} declined",
    "5555-5555-5555-4444": M,
    "378282246310005": M,
}
LEFT = [
    "",
    "GET /checkout",
    "bearer token expected",
    "basic authentication failed",
    "Digest mismatch",
    "Unexpected token: IDENTIFIER",
    "Invalid token",
    "the password is wrong",
    "passwordless login",
    "token_count=5 input_tokens=7",
    "primary key: id",
    "key=5&monkey=7",
    "eyJ is how they begin",
    "asia-east1 and AKIA",
    "https://shop.test:8080/a@b",
    "mailto:ann@shop.test",
    "git@host:path and a://b@c",
    "1764241234567 ms, 1764241234567890123 ns",
    "order 4111111111111112",
    "4111111111111111.5",
    "0000000000000000",
    "disk-full task-list risk-free",
    "secretary's office",
    "signature verification failed",
    "session expired",
]


@pytest.mark.parametrize(("text", "expected"), SHOWN.items(), ids=[text[:24] for text in SHOWN])
def test_a_secret_inside_of_a_text_is_masked(text: str, expected: str):
    """Between other words, and in capitals too where case does not matter; the bytes are seen to hold one."""
    redactor = Redactor()

    assert redactor.text(text) == expected
    assert redactor.text(f"({text})").startswith("(" + expected.split(M)[0])
    assert redactor.may_hold_secrets(b"\x0a\x03abc" + text.encode() + b"\x10")
    assert sum(redactor.snapshot().values()) >= 1


@pytest.mark.parametrize("text", LEFT)
def test_what_only_looks_like_one_is_left(text: str):
    redactor = Redactor()

    assert redactor.text(text) == text
    assert redactor.snapshot() == {}


@pytest.mark.parametrize("text", [*SHOWN, *LEFT])
def test_masking_twice_changes_nothing_and_counts_nothing(text: str):
    once = Redactor().text(text)
    again = Redactor()

    assert again.text(once) == once
    assert again.snapshot() == {}


@pytest.mark.parametrize(
    "key",
    [
        "authorization", "http.request.header.authorization", "http.request.header.proxy-authorization",
        "http.request.header.cookie", "http.response.header.set-cookie", "http.request.header.x-api-key",
        "password", "db.password", "user.passwd", "PWD", "secret", "client_secret", "clientSecret", "token", "accessToken",
        "access.token", "apiKey", "api-key", "API_KEY", "aws.secret_access_key", "private_key", "credentials",
        "db.connection_string", "db.query.parameter.0", "passphrase",
    ],
)  # fmt: skip
def test_a_name_that_says_secret_hides_the_whole_value(key: str):
    """Whatever it looks like; also where its bytes are kept."""
    redactor = Redactor()

    assert redactor.value(key, "hunter2") == MASK
    assert redactor.value(key, "") == ""
    assert redactor.hides(key)
    assert redactor.snapshot() == {"redacted_values|by_name": 1}
    pair = b"\x0a" + bytes([len(key)]) + key.encode() + b"\x12\x09\x0a\x07hunter2"
    assert redactor.may_hold_secrets(pair)


@pytest.mark.parametrize(
    "key",
    ["", "token.type", "gen_ai.usage.input_tokens", "secretary", "http.request.header.accept", "messaging.kafka.message.key",
     "password_reset", "cookie_banner", "db.statement", "session.id", "user.id", "key", "monkey", "keyboard"],
)  # fmt: skip
def test_another_name_hides_nothing(key: str):
    assert Redactor().value(key, "hunter2") == "hunter2"
    assert not Redactor().hides(key)


def test_literals_of_statements_are_masked():
    """In statements only; numbers and names stay, they tell calls apart."""
    redactor = Redactor()
    statement = "SELECT * FROM a WHERE b = 'it''s' AND c IN ('x', 'y\\'z') AND d = 7 -- 'open"

    expected = "SELECT * FROM a WHERE b = '?' AND c IN ('?', '?') AND d = 7 -- '?'"
    assert redactor.value("db.query.text", statement) == redactor.value("db.statement", statement) == expected
    assert redactor.value("db.query.text", expected) == expected
    assert redactor.value("message", statement) == statement
    assert redactor.snapshot() == {"redacted_values|statement": 2}


def pair_of(key: str, text: str) -> bytes:
    return KeyValue(key=key, value=AnyValue(string_value=text)).SerializeToString()


@pytest.mark.parametrize(
    "statement", ["a = 'b'", "a IN ('b')", "a:'b'", "'b' = a", "x" * 300 + "'b'", "x" * 20_000 + "'"]
)
@pytest.mark.parametrize("key", ["db.query.text", "db.statement"])
def test_a_literal_is_seen_in_the_bytes_of_a_request(key: str, statement: str):
    """Behind statements without one, too, and where the statement is a list."""
    listed = AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=statement)]))

    assert Redactor().may_hold_secrets(pair_of(key, "SELECT 1") * 3 + pair_of(key, statement))
    assert Redactor().may_hold_secrets(KeyValue(key=key, value=listed).SerializeToString())


def test_a_quote_elsewhere_is_no_literal_of_a_statement():
    """Neither a length that happens to be a quote's number, nor what an exception says."""
    statements = [pair_of("db.query.text", "x" * length) for length in range(36, 42)]

    assert not Redactor().may_hold_secrets(b"".join(statements) + pair_of("exception.message", "no key 'b'"))
    assert not Redactor().may_hold_secrets(pair_of("exception.message", "no key 'b'") + b"".join(statements))


def test_a_value_before_its_name_may_hold_a_literal():
    """No exporter writes it so; protobuf allows it."""
    key, value = b"\x0a\x0ddb.query.text", b"\x12\x09\x0a\x07a = 'b'"

    assert Redactor().may_hold_secrets(value + key)


def test_rules_of_the_user_are_added_and_built_in_ones_left_out():
    rules = [UserRule("email", pattern=re.compile(r"[\w.]+@[\w.]+")), UserRule("people", keys=("user.*", "*.IBAN"))]
    redactor = Redactor(["card", "by_name"], rules)

    assert redactor.text("mail ann@shop.test, card 4111 1111 1111 1111") == f"mail {MASK}, card 4111 1111 1111 1111"
    assert redactor.value("user.full_name", "Ann") == redactor.value("bank.iban", "DE00") == MASK
    assert redactor.value("db.password", "hunter2") == "hunter2"
    assert redactor.may_hold_secrets(b"nothing that the built-in rules know")
    assert redactor.snapshot() == {"redacted_values|email": 1, "redacted_values|people": 2}


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule not in ("by_name", "statement")])
def test_each_rule_can_be_left_out_by_its_name(rule: str):
    masked = {text for text in SHOWN if Redactor().text(text) != text}
    left = {text for text in SHOWN if Redactor([rule]).text(text) == text}

    assert left & masked


UNITS = [
    "a://", "a://b:", "://:@", "@", "password=", 'password="', "password: ", "secret ", "\\", "'", "'\\", "''", "4", "4 ", "4111-",
    "eyJ", "eyJaaaaa.", "-eyJaaaaa", "Bearer ", "bearer a", "aA", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "x-amz-", "token",
    "token=", "--token ", "key:", "key", "ghp_", "ghp_a", "sk-ant-", "AKIA", "=", " ", "a", "-", '"',
]  # fmt: skip


@pytest.mark.parametrize(
    "pattern", [*(shape.pattern for shape in SHAPES), LITERAL], ids=[*(one.name for one in SHAPES), "literal"]
)
def test_hostile_text_costs_steps_in_proportion(pattern: re.Pattern[str]):
    """Twice the text, at most about twice the steps, whatever is begun and then said again and again."""
    for start in ("", "'", "://:", "Bearer ", 'password="', "eyJaaaaa."):
        for unit in UNITS:
            once, twice = (Steps(pattern).scan(start + unit * count) for count in (30, 60))
            assert twice <= 2.5 * once + 3_000, f"{start!r} + {unit!r}: {once} steps, then {twice}"


def test_what_was_not_looked_at_is_not_kept():
    """A text over the bound is cut: behind the cut there could be anything."""
    assert Redactor().text("a" * TEXT_MAX + " password=hunter2") == "a" * TEXT_MAX


def test_memory_of_texts_is_bounded():
    redactor = Redactor()
    for number in range(SEEN_MAX + 100):
        redactor.text(f"text {number}")

    assert len(redactor._seen) == SEEN_MAX


@given(st.text())
def test_any_text_is_taken(text: str):
    found = Redactor().value("db.statement", text)

    assert Redactor().value("db.statement", found) == found
