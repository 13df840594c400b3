"""Public keys of an issuer (JWKS): from a file that may be exchanged, or fetched and fetched again.

A key that is not known yet makes us look again, at most every `RETRY_S` seconds, so that strangers cannot make us ask
the issuer as often as they like. Keys that were fetched stay when the issuer does not answer.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from collector.auth.fetch import FetchError
from collector.contracts import Clock
from collector.errors import OverloadedError
from collector.telemetry import Snapshot, sample
from collector.watched import FileFaultError, Watched, read_bytes

REFRESH_S = 300.0
RETRY_S = 10.0
KEYS_MAX = 64
RSA_BITS_MIN = 2048

Keys = Mapping[str, jwt.PyJWK]

logger = logging.getLogger(__name__)


class KeySource(Protocol):
    """Where signatures are checked with."""

    def find(self, key_id: str) -> jwt.PyJWK | None:
        """The key of that id; without an id the only one there is."""

    def snapshot(self) -> Snapshot: ...


class FileKeys:
    """Keys of a file. Any thread.

    Raises
    ------
    FileFaultError
        It holds no keys that can be used.
    """

    def __init__(self, file: Path, clock: Clock) -> None:
        def load() -> Keys:
            try:
                return read_keys(read_bytes(file, "jwks_file"))
            except ValueError as error:
                raise FileFaultError(f"jwks_file {file} cannot be used: {error}") from error

        self._keys: Watched[Keys] = Watched("jwks", [file], load, clock)

    def find(self, key_id: str) -> jwt.PyJWK | None:
        return _pick(self._keys.current(), key_id)

    def snapshot(self) -> Snapshot:
        return self._keys.snapshot()


class FetchedKeys:
    """Keys that the issuer publishes; fetched when the first token comes. Any thread; one fetches at a time.

    Parameters
    ----------
    fetch : gets the document; raises `FetchError`
    """

    def __init__(self, fetch: Callable[[], bytes], clock: Clock) -> None:
        self._fetch, self._clock = fetch, clock
        self._keys: Keys = {}
        self._fetched_ns: int | None = None
        self._tried_ns: int | None = None
        self._turn = threading.Lock()
        self._counts = {"ok": 0, "failed": 0}

    def find(self, key_id: str) -> jwt.PyJWK | None:
        """Find a key.

        Raises
        ------
        OverloadedError
            It is not known, and keys are being fetched or cannot be: come again.
        """
        found = _pick(self._keys, key_id)
        if self._older(self._fetched_ns, REFRESH_S) or found is None:
            self._refresh(needed=found is None)
            found = _pick(self._keys, key_id)
        return found

    def snapshot(self) -> Snapshot:
        return {sample("door_file_reloads", "jwks", outcome): float(n) for outcome, n in self._counts.items()}

    def _refresh(self, *, needed: bool) -> None:
        if not self._older(self._tried_ns, RETRY_S):
            if needed and self._fetched_ns is None:
                raise OverloadedError("the issuer's keys cannot be fetched now; send it again", "auth_keys", RETRY_S)
            return
        if not self._turn.acquire(blocking=False):
            if needed:
                raise OverloadedError("the issuer's keys are being fetched; send it again", "auth_keys")
            return
        try:
            self._tried_ns = self._clock.monotonic_ns()
            try:
                self._keys = read_keys(self._fetch())
            except (FetchError, ValueError) as error:
                self._counts["failed"] += 1
                logger.error("the issuer's keys cannot be fetched, the ones of before stay in use: %s", error)
                if needed and self._fetched_ns is None:
                    raise OverloadedError(
                        "the issuer's keys cannot be fetched now; send it again", "auth_keys", RETRY_S
                    ) from error
                return
            self._counts["ok"] += 1
            self._fetched_ns = self._clock.monotonic_ns()
        finally:
            self._turn.release()

    def _older(self, since_ns: int | None, seconds: float) -> bool:
        return since_ns is None or self._clock.monotonic_ns() - since_ns >= seconds * 1e9


def read_keys(document: bytes) -> Keys:
    """Read the public keys for signatures; others are left out.

    Raises
    ------
    ValueError
        There is none, or it is not a JWKS.
    """
    try:
        entries: Any = json.loads(document)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("expected a JSON object with `keys` (JWKS, RFC 7517)") from error
    if not isinstance(entries, list) or len(entries) > KEYS_MAX:
        raise ValueError(f"expected a list of at most {KEYS_MAX} keys")
    found: dict[str, jwt.PyJWK] = {}
    for entry in entries:
        # A symmetric key in a published list is a mistake that would let anybody sign.
        if (
            not isinstance(entry, dict)
            or entry.get("kty") not in ("RSA", "EC", "OKP")
            or entry.get("use", "sig") != "sig"
        ):
            continue
        try:
            key = jwt.PyJWK.from_dict(entry)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue
        if isinstance(key.key, rsa.RSAPublicKey) and key.key.key_size < RSA_BITS_MIN:
            continue
        found[str(entry.get("kid", ""))] = key
    if not found:
        raise ValueError(f"expected a public RSA key of {RSA_BITS_MIN} bits or more, an EC or an Ed25519 key")
    return found


def _pick(keys: Keys, key_id: str) -> jwt.PyJWK | None:
    if key_id:
        return keys.get(key_id)
    return next(iter(keys.values())) if len(keys) == 1 else None
