"""Names and passwords from a file as `htpasswd -B` writes it: `name:bcrypt hash`, a line each.

A hash is slow on purpose. So one is computed at a time, who comes meanwhile is asked to come again, and what was right
is remembered for a while under a key of this process.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import bcrypt

from collector.auth.identity import Identity
from collector.contracts import Clock
from collector.errors import OverloadedError
from collector.telemetry import Snapshot
from collector.watched import FileFaultError, Watched, read_bytes

_LINE = re.compile(rb"([^:\s]{1,128}):(\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53})")
COST_MAX = 14  # a second and more a password
REMEMBERED_MAX = 1024
REMEMBERED_S = 300.0


class Passwords:
    """Checks `Authorization: Basic`. Any thread.

    Parameters
    ----------
    file : may be exchanged
    users : what each name may do; a name that is not here is nobody

    Raises
    ------
    FileFaultError
        The file cannot be used; the line is named.
    """

    def __init__(self, file: Path, users: Mapping[str, Identity], clock: Clock) -> None:
        self._users, self._clock, self._file = dict(users), clock, file
        self._hashes: Watched[dict[bytes, bytes]] = Watched("users", [file], self._load, clock)
        self._turn = threading.Lock()
        self._secret = secrets.token_bytes(32)
        self._remembered: OrderedDict[bytes, int] = OrderedDict()
        self._remembered_of = self._hashes.current()
        self._lock = threading.Lock()

    def find(self, credentials: str) -> Identity | None:
        """Read base64 of `name:password`.

        Raises
        ------
        OverloadedError
            Another password is being checked.
        """
        try:
            name, separator, password = base64.b64decode(credentials, validate=True).partition(b":")
        except (ValueError, binascii.Error):
            return None
        if not separator or not password:
            return None
        hashes = self._hashes.current()
        identity = self._users.get(name.decode("utf-8", "replace"))
        key = hmac.digest(self._secret, name + b"\0" + password, "sha256")
        if self._is_remembered(key, hashes):
            return identity
        if not self._turn.acquire(blocking=False):
            raise OverloadedError("another password is being checked; send it again after the delay", "auth_busy")
        try:
            # An unknown name costs as much as a known one.
            known = hashes.get(name)
            right = _check(password, known or next(iter(hashes.values()))) and known is not None
        finally:
            self._turn.release()
        if not right or identity is None:
            return None
        self._remember(key)
        return identity

    def snapshot(self) -> Snapshot:
        return self._hashes.snapshot()

    def _is_remembered(self, key: bytes, hashes: dict[bytes, bytes]) -> bool:
        with self._lock:
            if hashes is not self._remembered_of:  # the file was exchanged: all are asked again
                self._remembered.clear()
                self._remembered_of = hashes
            until = self._remembered.get(key, 0)
            return self._clock.monotonic_ns() < until

    def _remember(self, key: bytes) -> None:
        with self._lock:
            self._remembered[key] = self._clock.monotonic_ns() + round(REMEMBERED_S * 1e9)
            self._remembered.move_to_end(key)
            while len(self._remembered) > REMEMBERED_MAX:
                self._remembered.popitem(last=False)

    def _load(self) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        for number, line in enumerate(read_bytes(self._file, "file").splitlines(), 1):
            if not line.strip() or line.startswith(b"#"):
                continue
            match = _LINE.fullmatch(line.strip())
            if match is None or not 4 <= int(match[3]) <= COST_MAX:
                raise FileFaultError(
                    f"file {self._file}, line {number}: expected name:hash with bcrypt of cost 4 to {COST_MAX}, as "
                    f"htpasswd -B -C 12 writes it"
                )
            found[match[1]] = match[2]
        if not found:
            raise FileFaultError(f"file {self._file} names nobody; expected lines of name:hash")
        return found


def _check(password: bytes, hashed: bytes) -> bool:
    try:
        return bcrypt.checkpw(password, hashed)
    except ValueError:  # longer than bcrypt reads, or with a NUL
        return False
