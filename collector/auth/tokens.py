"""Signed tokens of an issuer (OIDC, JWT): signature, issuer, audience and times are checked, then who it is is read.

Only asymmetric algorithms, only those of the configuration. What a token says of where its key is (`jku`, `x5u`,
`jwk`) is never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jwt

from analyzer.spans import TENANT_PATTERN
from collector.auth.identity import Identity, Role
from collector.auth.keys import KeySource
from collector.telemetry import Snapshot

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LEEWAY_S = 30.0
_TENANT = re.compile(TENANT_PATTERN, re.ASCII)


@dataclass(frozen=True, slots=True)
class TokenRules:
    """
    roles_claim, tenant_claim : path of a claim, with dots; a tenant claim that is missing is a refusal
    roles : what a value of the claim means; empty: values are the names of roles
    """

    issuer: str
    audience: str
    algorithms: Sequence[str] = ("RS256", "ES256")
    roles_claim: str = "roles"
    roles: Mapping[str, Role] = field(default_factory=dict)
    tenant_claim: str = ""


class SignedTokens:
    """Checks tokens. Any thread; may fetch keys."""

    def __init__(self, rules: TokenRules, keys: KeySource) -> None:
        self._rules, self._keys = rules, keys

    def find(self, token: str) -> Identity | None:
        """Read a token; None when it is not good.

        Raises
        ------
        OverloadedError
            Its key may be known in a moment.
        """
        rules = self._rules
        try:
            header = jwt.get_unverified_header(token)
            algorithm = header.get("alg")
            if algorithm not in rules.algorithms or algorithm not in ALGORITHMS:
                return None
            key = self._keys.find(str(header.get("kid", "")))
            if key is None or not _fits(key, algorithm):
                return None
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=rules.audience,
                issuer=rules.issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            return None
        tenant = ""
        if rules.tenant_claim:
            found = _claim(claims, rules.tenant_claim)
            if not isinstance(found, str) or not _TENANT.fullmatch(found):
                return None
            tenant = found
        return Identity(str(claims.get("sub", ""))[:128], self._roles(claims), tenant)

    def snapshot(self) -> Snapshot:
        return self._keys.snapshot()

    def _roles(self, claims: Mapping[str, Any]) -> frozenset[Role]:
        found = _claim(claims, self._rules.roles_claim)
        values = found.split() if isinstance(found, str) else found if isinstance(found, list) else []
        meanings = self._rules.roles or {role.value: role for role in Role}
        return frozenset(meanings[value] for value in values if isinstance(value, str) and value in meanings)


def _fits(key: jwt.PyJWK, algorithm: str) -> bool:
    """A key is for its own algorithm; for RSA the list of the configuration decides, unless the key says one."""
    said = key._jwk_data.get("alg")
    kind = {"R": "RSA", "P": "RSA", "E": "EC"}[algorithm[0]] if algorithm != "EdDSA" else "OKP"
    return key.key_type == kind and said in (None, algorithm)


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    found: Any = claims.get(path)
    if found is None:  # some issuers name claims with dots, as URLs are
        found = claims
        for part in path.split("."):
            found = found.get(part) if isinstance(found, dict) else None
    return found
