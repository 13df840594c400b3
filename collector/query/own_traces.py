"""What a reader with a tenant may ask, and which trace it means.

A tenant reads answers to its own traces: the routes and methods below, each of which asks here for the name of a trace,
or lists with the tenant. All else is made of everybody's telemetry and is closed to it: a new route is, until it stands
here. An id of its own needs no `@tenant`. A trace of another, kept or not, is not known. (What is learned is by names
of services, whoever sends them, and shows in answers: docs/security.md.)
"""

from __future__ import annotations

import re

from collector.auth.identity import Identity
from collector.trace_names import TEXT_PATTERN, name_of, read_name, split_name

_NAME = TEXT_PATTERN.removeprefix("^").removesuffix("$")
_ROUTES = re.compile(rf"/api/v1/(?:schema|findings|traces/{_NAME}/(?:root-cause|graph|spans))", re.ASCII)
_METHODS = frozenset(f"/firstfault.v1.RootCauseService/{method}" for method in ("Get", "List", "Watch"))


def is_own_route(method: str, path: str) -> bool:
    """Whether a question over REST is answered from the asker's own traces; `path` as the router sees it."""
    return method in ("GET", "HEAD") and _ROUTES.fullmatch(path) is not None


def is_own_method(method: str) -> bool:
    """Whether a method of gRPC is answered from the asker's own traces."""
    return method in _METHODS


def tenant_of(identity: Identity | None) -> str | None:
    """The tenant whose traces somebody sees; None: those of all."""
    return (identity.tenant or None) if identity is not None else None


def own_name(text: str, tenant: str | None) -> bytes | None:
    """Read the name of a trace as somebody with a tenant, or without, means it; None: it is another tenant's.

    Raises
    ------
    BadRequestError
        It is no name.
    """
    name = read_name(text)
    trace_id, meant = split_name(name)
    if not tenant or meant == tenant:
        return name
    return None if meant else name_of(trace_id, tenant)
