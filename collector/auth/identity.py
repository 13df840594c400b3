"""Whom a credential stands for, and what that one may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What may be done. `admin` may do all; who may write may read."""

    INGEST = "ingest"  # send spans, logs, metrics
    READ = "read"  # every answer
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
    tenant : whose telemetry it sends; who has one may only send: readers are not kept apart by tenant
    """

    name: str
    roles: frozenset[Role]
    tenant: str = ""

    def may(self, role: Role) -> bool:
        if self.tenant and role is not Role.INGEST:
            return False
        return any(role in _IMPLIED[held] for held in self.roles)
