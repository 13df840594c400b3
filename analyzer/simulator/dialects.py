"""The conventions by which instrumentations write a span down; above all, how they tell of a failure.

In: what happened (`Record`). Out: name, kind, status, attributes, exception. Real systems differ most here, so a
case is drawn with one dialect (or, "mixed", one per service) and some of them tell very little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from analyzer.simulator.case import Attributes
from analyzer.simulator.failures import Failure
from analyzer.simulator.system import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, Call, Operation

if TYPE_CHECKING:
    from analyzer.simulator.player import Record

MIXED = "mixed"
UNSET, OK, ERROR = 0, 1, 2
_RPC_ERRORS_OF_SERVERS = (2, 4, 12, 13, 14, 15)  # the others are the client's business (OTel RPC conventions)


@dataclass(frozen=True, slots=True)
class Dialect:
    """One convention.

    protocol : "http", "http_old" (keys before 1.21), "grpc" or "" (no such attributes)
    status : who sets a span status: "all", "never", "outer" (servers only: what failed inside says nothing),
             "client" (callers only), or "raised" (where the exception is thrown, and servers)
    exception : "event", "attributes" or "" (none)
    clients : calls to services have a CLIENT span;  kinds : kinds are set, otherwise all are INTERNAL
    """

    protocol: str = "http"
    status: str = "all"
    exception: str = "event"
    error_type: bool = True
    says_ok: bool = False
    error_flag: bool = False
    clients: bool = True
    kinds: bool = True
    pods: bool = True
    peer_key: str = "server.address"
    names: str = "http"
    tenants: bool = True


DIALECTS: dict[str, Dialect] = {
    "otel_http": Dialect(),
    "otel_grpc": Dialect(protocol="grpc", names="rpc"),
    "http_without_status": Dialect(protocol="http_old", status="never", exception="", error_type=False),
    "outer_only": Dialect(status="outer", exception="", error_type=False, peer_key="peer.service"),
    "client_only": Dialect(protocol="grpc", status="client", exception="", names="rpc"),
    "exception_attributes": Dialect(protocol="http_old", exception="attributes", says_ok=True),
    "exception_events_only": Dialect(protocol="", status="never", error_type=False, names="rpc"),
    "all_internal": Dialect(
        protocol="", exception="", error_type=False, error_flag=True, kinds=False, peer_key="", names="plain"
    ),
    "server_only": Dialect(clients=False, says_ok=True),
    "without_pods": Dialect(pods=False, peer_key="peer.service", tenants=False),
    "bare": Dialect(
        protocol="", status="never", exception="", error_type=False, peer_key="", names="rpc", tenants=False
    ),
}
DIALECT_WEIGHTS = {
    "otel_http": 5,
    "otel_grpc": 4,
    "http_without_status": 2,
    "outer_only": 2,
    "client_only": 1,
    "exception_attributes": 2,
    "exception_events_only": 1,
    "all_internal": 1,
    "server_only": 1,
    "without_pods": 2,
    "bare": 2,
    MIXED: 2,
}


class Written(NamedTuple):
    """A span as a dialect writes it."""

    name: str
    kind: int
    status: int
    attributes: Attributes
    exception: tuple[str, str] | None


def write(record: Record, dialect: Dialect, tenant: str) -> Written:
    """Write one span down."""
    what, failure = record.what, record.failure
    if record.label or record.role == INTERNAL:  # inner work has a name and nothing else
        name = record.label or (what.work_name if isinstance(what, Operation) else "")
        kind, told = INTERNAL, []
    elif isinstance(what, Operation):
        name, kind = _operation_name(what.name, dialect, what.kind), what.kind
        told = _server(what, dialect, failure, tenant)
    else:
        kind = PRODUCER if what.kind == "publish" else CLIENT
        name, told = _client(what, dialect, failure)
    if kind == INTERNAL or not dialect.kinds:
        shown_kind = INTERNAL
    else:
        shown_kind = kind
    status = _status(record, dialect, kind)
    exception = None
    if failure is not None and status != OK:
        if dialect.exception and record.raised:
            if dialect.exception == "event":
                exception = (failure.type, failure.message)
            else:
                told += [("exception.type", failure.type), ("exception.message", failure.message)]
        if status == ERROR and dialect.error_type and kind in (SERVER, CLIENT):
            told.append(("error.type", str(failure.http) if failure.answered and dialect.protocol else failure.type))
        if status == ERROR and dialect.error_flag:
            told.append(("error", True))
    return Written(name, shown_kind, status, tuple(told), exception)


def _operation_name(name: str, dialect: Dialect, kind: int) -> str:
    verb, _, service = name.partition("/")
    if kind == CONSUMER:
        return f"{service.removesuffix('-worker')}-events process"
    if dialect.names == "http":
        method = "GET" if verb.startswith(("get", "list", "check", "find", "price")) else "POST"
        return f"{method} /{service}/{verb}"
    title = "".join(word.title() for word in service.split("-"))
    return f"shop.{title}/{verb.title()}" if dialect.names == "rpc" else f"{title}.{verb}"


def _server(
    what: Operation, dialect: Dialect, failure: Failure | None, tenant: str
) -> list[tuple[str, str | int | bool]]:
    told: list[tuple[str, str | int | bool]] = []
    name = _operation_name(what.name, dialect, what.kind)
    if what.kind == CONSUMER:
        if dialect.protocol:
            told += [("messaging.system", "kafka"), ("messaging.destination.name", name.removesuffix(" process"))]
    else:
        told += _codes(dialect, failure, name)
        if dialect.protocol.startswith("http") and dialect.names == "http":
            told.append(("http.route", name.partition(" ")[2]))
    if dialect.tenants and tenant:
        told.append(("app.tenant", tenant))
    return told


def _client(what: Call, dialect: Dialect, failure: Failure | None) -> tuple[str, list[tuple[str, str | int | bool]]]:
    told: list[tuple[str, str | int | bool]] = []
    if what.kind == "publish":
        if dialect.protocol:
            told += [("messaging.system", "kafka"), ("messaging.destination.name", what.callee)]
        return f"{what.callee} publish", told
    name = what.name
    if what.kind == "service":
        name = _operation_name(what.name, dialect, SERVER)
        told += _codes(dialect, failure, name)
        if dialect.names == "http":
            name = name.partition(" ")[0]
    elif what.kind == "saas":
        told += _codes(dialect, failure, name) if dialect.protocol.startswith("http") else []
    elif dialect.peer_key:
        system = "redis" if what.kind == "cache" else "postgresql"
        told += [("db.system.name", system), ("db.namespace", what.callee)]
    if dialect.peer_key:
        told.append((dialect.peer_key, what.callee))
    return name, told


def _codes(dialect: Dialect, failure: Failure | None, name: str) -> list[tuple[str, str | int | bool]]:
    if dialect.protocol == "grpc":
        service, _, method = name.partition("/")
        told: list[tuple[str, str | int | bool]] = [("rpc.system", "grpc"), ("rpc.service", service)]
        return [*told, ("rpc.method", method), ("rpc.grpc.status_code", failure.grpc if failure else 0)]
    if not dialect.protocol:
        return []
    key = "http.response.status_code" if dialect.protocol == "http" else "http.status_code"
    return [(key, failure.http if failure else 200)] if failure is None or failure.answered else []


def _status(record: Record, dialect: Dialect, kind: int) -> int:
    failure = record.failure
    if dialect.status == "never":
        return UNSET
    if failure is None:
        return OK if dialect.says_ok and kind in (SERVER, CONSUMER) else UNSET
    server = kind in (SERVER, CONSUMER)
    if dialect.status == "outer" and not server:
        return UNSET
    if dialect.status == "client" and kind != CLIENT:
        return UNSET
    if server and failure.business:
        return UNSET
    if server and dialect.protocol == "grpc" and failure.grpc not in _RPC_ERRORS_OF_SERVERS:
        return UNSET
    return ERROR
