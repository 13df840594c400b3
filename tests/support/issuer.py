"""Somebody who signs tokens: keys, the document that publishes them, tokens good and bad.

issuer = Issuer()
guard = SignedTokens(RULES, FileKeys(issuer.write(tmp_path), clock))
assert guard.find(issuer.token(roles=["read"])).may(Role.READ)
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER, AUDIENCE = "https://issuer.test/realm", "firstfault"
_MADE: dict[str, Any] = {}


def key_of(kind: str, number: int = 0) -> Any:
    """A private key; made once a run: RSA keys take a while."""
    name = f"{kind}-{number}"
    if name not in _MADE:
        makers = {
            "RS256": lambda: rsa.generate_private_key(65537, 2048),
            "short": lambda: rsa.generate_private_key(65537, 1024),
            "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
            "EdDSA": ed25519.Ed25519PrivateKey.generate,
        }
        _MADE[name] = makers[kind]()
    return _MADE[name]


class Issuer:
    """Signs with its newest key; publishes all it was not told to withdraw."""

    def __init__(self, algorithm: str = "ES256") -> None:
        self.algorithm = algorithm
        self.number = 0
        self.published = [0]

    def rotate(self) -> None:
        """Sign with a new key from now on; only that one is published."""
        self.number += 1
        self.published = [self.number]

    def jwks(self) -> bytes:
        return json.dumps({"keys": [self.public(number) for number in self.published]}).encode()

    def public(self, number: int) -> dict[str, Any]:
        algorithm = jwt.get_algorithm_by_name("RS256" if self.algorithm == "short" else self.algorithm)
        found: dict[str, Any] = algorithm.to_jwk(key_of(self.algorithm, number).public_key(), as_dict=True)
        return found | {"kid": f"key-{number}", "use": "sig"}

    def write(self, folder: Path) -> Path:
        path = folder / "jwks.json"
        path.write_bytes(self.jwks())
        return path

    def token(self, *, headers: dict[str, Any] | None = None, key: Any = None, alg: str = "", **claims: Any) -> str:
        """A good token for an hour; whatever is given is put in its place (None: left out)."""
        now = int(time.time())
        found = {"iss": ISSUER, "aud": AUDIENCE, "sub": "somebody", "iat": now, "exp": now + 3600} | claims
        return jwt.encode(
            {name: value for name, value in found.items() if value is not None},
            key if key is not None else key_of(self.algorithm, self.number),
            alg or ("RS256" if self.algorithm == "short" else self.algorithm),
            {"kid": f"key-{self.number}"} | (headers or {}),
        )
