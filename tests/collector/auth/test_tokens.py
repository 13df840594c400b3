"""Signed tokens: the good one of an issuer, and all that only look like one."""

from __future__ import annotations

import base64
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from collector.auth.identity import Identity, Role
from collector.auth.keys import FetchedKeys, FileKeys, read_keys
from collector.auth.tokens import SignedTokens, TokenRules
from collector.errors import OverloadedError
from collector.watched import FileFaultError
from tests.support.fakes.clock import ManualClock
from tests.support.issuer import AUDIENCE, ISSUER, Issuer, key_of

RULES = TokenRules(ISSUER, AUDIENCE, ("RS256", "ES256", "EdDSA"))
pytestmark = pytest.mark.filterwarnings("ignore:.*HMAC key is.*", "ignore:.*RSA key is.*")


def guard_of(folder: Path, issuer: Issuer, rules: TokenRules = RULES) -> SignedTokens:
    return SignedTokens(rules, FileKeys(issuer.write(folder), ManualClock()))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_good_token_says_who_and_what(tmp_path: Path, algorithm: str):
    issuer = Issuer(algorithm)

    found = guard_of(tmp_path, issuer).find(issuer.token(roles=["read", "dance"]))

    assert found == Identity("somebody", frozenset({Role.READ}))


def _unsigned(issuer: Issuer) -> str:
    _, body, _ = issuer.token(roles=["admin"]).split(".")
    return f"{_base64({'alg': 'none', 'kid': 'key-0'})}.{body}."


def _public_key_as_secret(issuer: Issuer) -> str:
    """The old trick: what is published is used as the secret of a symmetric signature."""
    public = key_of("ES256", 0).public_key()
    secret = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    _, body, _ = issuer.token(roles=["admin"]).split(".")
    signed = f"{_base64({'alg': 'HS256', 'kid': 'key-0'})}.{body}"
    signature = hmac.digest(secret, signed.encode(), "sha256")  # the library refuses to be tricked into it
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _base64(header: dict[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()


def _other_body(issuer: Issuer) -> str:
    head, _, signature = issuer.token(roles=["read"]).split(".")
    _, body, _ = issuer.token(roles=["admin"]).split(".")
    return f"{head}.{body}.{signature}"


NOW = int(time.time())
BAD: dict[str, Any] = {
    "nothing": lambda issuer: "",
    "not a token": lambda issuer: "abc.def.ghi",
    "only dots": lambda issuer: "." * 5000,
    "not signed": _unsigned,
    "signed with what is published": _public_key_as_secret,
    "signed by a stranger": lambda issuer: issuer.token(key=key_of("ES256", 99)),
    "another algorithm than is allowed": lambda issuer: issuer.token(key=key_of("RS256"), alg="RS512"),
    "a key of another kind": lambda issuer: issuer.token(key=key_of("RS256"), alg="RS256"),
    "a key that is not known": lambda issuer: issuer.token(headers={"kid": "key-7"}),
    "a key it brings itself": lambda issuer: issuer.token(
        key=key_of("ES256", 99), headers={"kid": "mine", "jwk": Issuer().public(0), "jku": "https://evil.test/keys"}
    ),
    "another body": _other_body,
    "ended": lambda issuer: issuer.token(exp=NOW - 60),
    "not yet": lambda issuer: issuer.token(nbf=NOW + 600),
    "without an end": lambda issuer: issuer.token(exp=None),
    "of another issuer": lambda issuer: issuer.token(iss="https://issuer.test/realm2"),
    "without an issuer": lambda issuer: issuer.token(iss=None),
    "for somebody else": lambda issuer: issuer.token(aud="grafana"),
    "for nobody": lambda issuer: issuer.token(aud=None),
}


@pytest.mark.parametrize("what", BAD)
def test_what_only_looks_like_a_token_is_nobody(tmp_path: Path, what: str):
    issuer = Issuer()

    assert guard_of(tmp_path, issuer).find(BAD[what](issuer)) is None


def test_a_short_key_is_not_used(tmp_path: Path):
    """1024 bits can be broken; a document of nothing else has no key."""
    with pytest.raises(FileFaultError, match="2048 bits"):
        guard_of(tmp_path, Issuer("short"))


@pytest.mark.parametrize(
    "document",
    [
        b"{}",
        b"[]",
        b"not json",
        b'{"keys": 7}',
        b'{"keys": [7, {"kty": "oct", "k": "c2VjcmV0", "kid": "a"}]}',
        b'{"keys": [' + b'{"kty": "RSA"},' * 64 + b'{"kty": "RSA"}]}',
        b"[" * 100_000,
    ],
    ids=["empty", "a list", "text", "a number", "a secret", "too many", "deep"],
)
def test_a_document_without_public_keys_is_refused(document: bytes):
    with pytest.raises(ValueError, match="expected"):
        read_keys(document)


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"realm_access": {"roles": ["ops"]}}, {Role.ADMIN}),
        ({"realm_access": {"roles": "dev ops"}}, {Role.ADMIN, Role.READ}),
        ({"realm_access.roles": ["dev"]}, {Role.READ}),
        ({"realm_access": {"roles": ["admin"]}}, set()),
        ({"realm_access": {"roles": {"ops": 1}}}, set()),
        ({"realm_access": ["ops"]}, set()),
        ({}, set()),
    ],
)
def test_roles_are_what_the_configuration_says_a_claim_means(
    tmp_path: Path, claims: dict[str, Any], expected: set[Role]
):
    """With a mapping the issuer's own word `admin` is only a word."""
    rules = TokenRules(ISSUER, AUDIENCE, ("ES256",), "realm_access.roles", {"ops": Role.ADMIN, "dev": Role.READ})
    issuer = Issuer()

    found = guard_of(tmp_path, issuer, rules).find(issuer.token(**claims))

    assert found is not None
    assert found.roles == expected


@pytest.mark.parametrize("tenant", [None, "", "a b", "ä", ["a"], 7, "x" * 129])
def test_with_a_tenant_claim_every_token_has_one(tmp_path: Path, tenant: object):
    issuer = Issuer()
    guard = guard_of(tmp_path, issuer, TokenRules(ISSUER, AUDIENCE, ("ES256",), tenant_claim="org"))

    good = guard.find(issuer.token(org="shop-1"))

    assert good is not None
    assert good.tenant == "shop-1"
    assert guard.find(issuer.token(org=tenant)) is None


class Published:
    """An address that answers with what an issuer publishes, or not."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer, self.clock = issuer, ManualClock()
        self.fetched, self.up = 0, True
        self.guard = SignedTokens(RULES, FetchedKeys(self.fetch, self.clock))

    def fetch(self) -> bytes:
        from collector.auth.fetch import FetchError

        self.fetched += 1
        if not self.up:
            raise FetchError("down")
        return self.issuer.jwks()

    def knows(self, token: str) -> bool:
        return self.guard.find(token) is not None


def test_a_new_key_is_fetched_when_it_is_used_and_the_old_one_ends():
    place = Published(Issuer())
    old = place.issuer.token()
    assert place.knows(old)
    place.issuer.rotate()
    new = place.issuer.token()
    place.clock.advance(11)

    assert (place.knows(new), place.knows(old), place.fetched) == (True, False, 2)


def test_strangers_do_not_make_us_ask_again_and_again():
    """A thousand tokens with made-up keys cost one fetch in ten seconds."""
    place = Published(Issuer())
    for number in range(1000):
        place.knows(place.issuer.token(headers={"kid": f"made-up-{number}"}, key=key_of("ES256", 99)))
    assert place.fetched == 1
    place.clock.advance(10)
    place.knows(place.issuer.token(headers={"kid": "another"}))
    assert place.fetched == 2


def test_when_the_issuer_does_not_answer_the_keys_of_before_stay():
    place = Published(Issuer())
    token = place.issuer.token()
    assert place.knows(token)
    place.up = False
    place.clock.advance(3600)

    assert place.knows(token)
    assert place.guard.snapshot() == {"door_file_reloads|jwks|ok": 1, "door_file_reloads|jwks|failed": 1}


def test_before_the_first_keys_are_there_who_asks_is_asked_to_come_again():
    """Not a refusal: the token may be good."""
    place = Published(Issuer())
    token = place.issuer.token()
    place.up = False
    for _ in range(3):
        with pytest.raises(OverloadedError):
            place.knows(token)
    assert place.fetched == 1
    place.up = True
    place.clock.advance(11)

    assert place.knows(token)


def test_a_key_file_that_is_exchanged_holds_at_once(tmp_path: Path):
    issuer, clock = Issuer(), ManualClock()
    guard = SignedTokens(RULES, FileKeys(issuer.write(tmp_path), clock))
    old = issuer.token()
    issuer.rotate()
    issuer.write(tmp_path)
    clock.advance(2)

    assert guard.find(old) is None
    assert guard.find(issuer.token()) is not None
