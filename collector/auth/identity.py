"""Whom a credential stands for, and what that one may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What may be done. `admin` may do all; who may write may read."""

    INGEST = "ingest"  # send spans, logs, metrics
    READ = "read"  # every answer; with a tenant those to its own traces
    WRITE = "write"  # tell of changes, decide about groups of errors
    ADMIN = "admin"


_IMPLIED: Mapping[Role, frozenset[Role]] = {
    Role.INGEST: frozenset({Role.INGEST}),
    Role.READ: frozenset({Role.READ}),
    Role.WRITE: frozenset({Role.WRITE, Role.READ}),
    Role.ADMIN: frozenset(Role),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """
    name : for people; never a secret
    tenant : whose telemetry it sends; who has one may send, and read answers to its own traces
    """

    name: str
    roles: frozenset[Role]
    tenant: str = ""

    def may(self, role: Role, *, own: bool = False) -> bool:
        """Say whether something that needs a role may be done.

        Parameters
        ----------
        own : it is answered from the traces of the asker's tenant alone
        """
        if self.tenant and role is not Role.INGEST and not (role is Role.READ and own):
            return False
        return any(role in _IMPLIED[held] for held in self.roles)
