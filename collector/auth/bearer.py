"""Bearer tokens that the configuration knows: as they are, or one a line in a file that may be exchanged."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from collector.auth.identity import Identity
from collector.contracts import Clock
from collector.telemetry import Snapshot
from collector.watched import FileFaultError, Watched, read_bytes

TOKEN_BYTES_MIN = 16
TOKENS_MAX = 256  # each costs a comparison, a microsecond, for every request


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """A token, or a file of them, and whom it stands for."""

    identity: Identity
    token: str = ""
    token_file: Path | None = None


class BearerTokens:
    """Compares with all tokens, each in constant time. Any thread.

    Raises
    ------
    FileFaultError
        A file cannot be used, a token is too short, or there are too many.
    """

    def __init__(self, grants: Sequence[TokenGrant], clock: Clock) -> None:
        self._grants = tuple(grants)
        files = [grant.token_file for grant in grants if grant.token_file is not None]
        self._tokens: Watched[list[tuple[bytes, Identity]]] = Watched("tokens", files, self._load, clock)

    def find(self, token: str) -> Identity | None:
        shown = _digest(token.encode("utf-8", "surrogateescape"))
        found = None
        for digest, identity in self._tokens.current():  # to the end: when it was found is nobody's business
            if hmac.compare_digest(digest, shown):
                found = identity
        return found

    def snapshot(self) -> Snapshot:
        return self._tokens.snapshot()

    def _load(self) -> list[tuple[bytes, Identity]]:
        found: list[tuple[bytes, Identity]] = []
        for grant in self._grants:
            where, lines = f"the token of {grant.identity.name!r}", [grant.token.encode()]
            if grant.token_file is not None:
                where, lines = f"token_file {grant.token_file}", read_bytes(grant.token_file, "token_file").splitlines()
            for number, line in enumerate(lines, 1):
                token = line.strip()
                if not token:
                    continue
                if len(token) < TOKEN_BYTES_MIN or not token.isascii() or b" " in token:
                    raise FileFaultError(
                        f"{where}, line {number}: expected at least {TOKEN_BYTES_MIN} characters of ASCII without "
                        f"spaces; make one with: openssl rand -hex 32"
                    )
                found.append((_digest(token), grant.identity))
        if len(found) > TOKENS_MAX:
            raise FileFaultError(f"{len(found)} tokens in all; expected at most {TOKENS_MAX}")
        return found


def _digest(token: bytes) -> bytes:
    """Same length for all: the comparison says nothing of the length either."""
    return hashlib.sha256(token).digest()
