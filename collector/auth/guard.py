"""Reads the credential of a request and says whom it stands for.

In: the headers, lower-case. Out: an `Identity`, or a refusal with what is asked for. May take a moment (a password's
hash, keys that are fetched), so it is called on threads that may wait.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from collector.auth.identity import Identity, Role
from collector.errors import ForbiddenError, NotAllowedError
from collector.telemetry import Snapshot, merge, sample

CREDENTIAL_CHARS_MAX = 16 * 1024
REALM = 'realm="firstfault"'


class Finder(Protocol):
    """Knows one kind of credential; None: not this one."""

    def find(self, credential: str) -> Identity | None: ...

    def snapshot(self) -> Snapshot: ...


class Guard:
    """Any thread.

    Parameters
    ----------
    bearers : asked in turn about `Authorization: Bearer`
    basic : asked about `Authorization: Basic`
    """

    def __init__(self, bearers: list[Finder], basic: Finder | None = None) -> None:
        self._bearers, self._basic = bearers, basic
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        schemes = (["Bearer"] if bearers else []) + (["Basic"] if basic is not None else [])
        self._schemes = " or ".join(schemes)
        self._challenge = ", ".join(f"{scheme} {REALM}" for scheme in schemes)  # with Basic a browser asks its user

    def admit(self, headers: Mapping[str, str], role: Role, *, own: bool = False) -> Identity:
        """Say who asks for something that needs a role; `own` as in `Identity.may`.

        Raises
        ------
        ForbiddenError
            There is no credential, or not a good one: nobody learns which.
        NotAllowedError
            It may not do this.
        OverloadedError
            It cannot be said now.
        """
        identity = self.identify(headers)
        self.require(identity, role, own=own)
        return identity

    def identify(self, headers: Mapping[str, str]) -> Identity:
        """Say who asks, as `admit` does, without asking for a role."""
        identity = self._find(headers.get("authorization", ""))
        if identity is None:
            self._count("unauthenticated")
            raise ForbiddenError(
                f"no valid credential; expected Authorization: {self._schemes}", challenge=self._challenge
            )
        return identity

    def require(self, identity: Identity, role: Role, *, own: bool = False) -> None:
        """See whether somebody may do something.

        Raises
        ------
        NotAllowedError
            They may not.
        """
        if not identity.may(role, own=own):
            self._count("not_allowed")
            if identity.may(role, own=True):
                raise NotAllowedError(
                    f"this credential has the tenant {identity.tenant}, and so may only ask for root causes, graphs, "
                    "spans and findings of what that tenant sent"
                )
            raise NotAllowedError(f"this credential lacks the role {role}")
        self._count("admitted")

    def snapshot(self) -> Snapshot:
        """Copy the counters, for `Telemetry.register`."""
        with self._lock:
            own = {sample("door_credentials", outcome): float(n) for outcome, n in self._counts.items()}
        finders = [*self._bearers, *([self._basic] if self._basic is not None else [])]
        return merge([own, *(finder.snapshot() for finder in finders)])

    def _find(self, value: str) -> Identity | None:
        scheme, _, credential = value.partition(" ")
        credential = credential.strip()
        if not credential or len(value) > CREDENTIAL_CHARS_MAX:
            return None
        if scheme.lower() == "basic" and self._basic is not None:
            return self._basic.find(credential)
        if scheme.lower() == "bearer":
            for finder in self._bearers:
                if (found := finder.find(credential)) is not None:
                    return found
        return None

    def _count(self, outcome: str) -> None:
        with self._lock:
            self._counts[outcome] += 1
