"""Who may ask what: every route, every role, with a tenant and without; and what a strange path gets nobody."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from contextlib import suppress
from typing import Any

import grpc
import httpx
import pytest

from collector.auth.bearer import BearerTokens, TokenGrant
from collector.auth.guard import Guard
from collector.auth.identity import Identity, Role
from collector.pb.firstfault import v1
from collector.pb.firstfault.v1 import groups_pb2, incidents_pb2, root_cause_pb2
from collector.query.access import local_hosts
from collector.query.desk import Desk, QuerySettings
from collector.query.grpc import GrpcServer, RootCauseService
from collector.query.grpc_groups import GroupService
from collector.query.grpc_incidents import IncidentService
from collector.query.rest import create_app
from tests.collector.query.answers import TRACE
from tests.support import raw_http2
from tests.support.fakes.clock import ManualClock
from tests.support.fakes.store import FakeOpenTraces, FakeStore

API = "/api/v1"
READ, WRITE = Role.READ, Role.WRITE
# A new route stands here, with what it needs, or the first test below says so.
ROUTES: dict[tuple[str, str], Role] = {
    ("get", "/traces/{trace_id}/root-cause"): READ,
    ("get", "/traces/{trace_id}/graph"): READ,
    ("get", "/traces/{trace_id}/spans"): READ,
    ("get", "/traces/{trace_id}/held"): READ,
    ("get", "/traces/{trace_id}/report"): READ,
    ("get", "/incidents"): READ,
    ("get", "/incidents/watch"): READ,
    ("get", "/incidents/{incident_id}"): READ,
    ("get", "/incidents/{incident_id}/report"): READ,
    ("get", "/groups"): READ,
    ("get", "/groups/{group_id}"): READ,
    ("patch", "/groups/{group_id}"): WRITE,
    ("get", "/groups/{group_id}/report"): READ,
    ("get", "/traces/{trace_id}/runbook"): READ,
    ("put", "/traces/{trace_id}/runbook"): WRITE,
    ("delete", "/traces/{trace_id}/runbook"): WRITE,
    ("get", "/incidents/{incident_id}/runbook"): READ,
    ("put", "/incidents/{incident_id}/runbook"): WRITE,
    ("delete", "/incidents/{incident_id}/runbook"): WRITE,
    ("get", "/groups/{group_id}/runbook"): READ,
    ("put", "/groups/{group_id}/runbook"): WRITE,
    ("delete", "/groups/{group_id}/runbook"): WRITE,
    ("get", "/groups/{group_id}/notes"): READ,
    ("post", "/groups/{group_id}/notes"): WRITE,
    ("get", "/groups/{group_id}/notes/{note_id}"): READ,
    ("put", "/groups/{group_id}/notes/{note_id}"): WRITE,
    ("delete", "/groups/{group_id}/notes/{note_id}"): WRITE,
    ("get", "/notes"): READ,
    ("get", "/errors/top"): READ,
    ("get", "/impact"): READ,
    ("get", "/changes"): READ,
    ("post", "/changes"): WRITE,
    ("get", "/findings"): READ,
    ("get", "/services"): READ,
    ("get", "/service-graph"): READ,
    ("get", "/stats"): READ,
    ("get", "/schema"): READ,
    ("post", "/analyze"): READ,
}
UNLISTED = {("get", "/openapi.json"): READ, ("get", "/no/such/path"): READ, ("delete", "/groups"): WRITE}
METHODS = {
    "/firstfault.v1.RootCauseService/Get": root_cause_pb2.GetRequest(trace_id=TRACE.hex()),
    "/firstfault.v1.RootCauseService/List": root_cause_pb2.ListRequest(),
    "/firstfault.v1.RootCauseService/Watch": root_cause_pb2.WatchRequest(),
    "/firstfault.v1.IncidentService/Get": incidents_pb2.GetIncidentRequest(incident_id=TRACE.hex()),
    "/firstfault.v1.IncidentService/List": incidents_pb2.ListIncidentsRequest(),
    "/firstfault.v1.IncidentService/Watch": incidents_pb2.WatchIncidentsRequest(),
    "/firstfault.v1.GroupService/Get": groups_pb2.GetGroupRequest(group_id="ab" * 8),
    "/firstfault.v1.GroupService/List": groups_pb2.ListGroupsRequest(),
}
# What a tenant's reader may ask; what it is answered: test_own_traces.
OWN_ROUTES = {("get", path) for path in ("/schema", "/findings", *(f"/traces/{{trace_id}}/{part}" for part in ("root-cause", "graph", "spans")))}  # fmt: skip
OWN_METHODS = {f"/firstfault.v1.RootCauseService/{method}" for method in ("Get", "List", "Watch")}
READERS = {frozenset({role}) for role in Role if role is not Role.INGEST}
PEOPLE = [Identity(f"{role}-{tenant or 'all'}", frozenset({role}), tenant) for role in Role for tenant in ("", "shop")]
NOBODY = Identity("nobody", frozenset())


def token_of(who: Identity) -> str:
    return f"token-of-{who.name}-and-more"


def guard() -> Guard:
    return Guard([BearerTokens([TokenGrant(who, token_of(who)) for who in (*PEOPLE, NOBODY)], ManualClock())])


class Server:
    """REST behind a guard, without a socket; one event loop a question."""

    def __init__(self, hosts: frozenset[str] = frozenset(), *, guarded: bool = True) -> None:
        self.app = create_app(
            FakeStore(), FakeOpenTraces(), clock=ManualClock(), guard=guard() if guarded else None, hosts=hosts
        )
        self.app.state.stopping.set()  # streams end at once
        self._transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)

    def ask(self, method: str, path: str, who: Identity | None = None, **more: Any) -> httpx.Response:
        headers = more.pop("headers", {}) | ({"authorization": f"Bearer {token_of(who)}"} if who else {})

        async def ask() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url="http://firstfault") as client:
                return await client.request(method, path, headers=headers, **more)

        return asyncio.run(ask())


@pytest.fixture(scope="module")
def server() -> Server:
    return Server()


def filled(path: str) -> str:
    return (API + path).format(trace_id=TRACE.hex(), incident_id=TRACE.hex(), group_id="ab" * 8, note_id="cd" * 8)


def test_every_route_has_an_entry():
    """Taken from the API's own description: nobody can forget a route."""
    described = {
        (method, path.removeprefix(API))
        for path, operations in create_app(FakeStore(), FakeOpenTraces()).openapi()["paths"].items()
        for method in operations
    }

    assert described == set(ROUTES)


def test_every_method_of_grpc_has_an_entry():
    """Taken from all there is in our package of messages: a new file of them is found too."""
    files = [importlib.import_module(one.name) for one in pkgutil.iter_modules(v1.__path__, f"{v1.__name__}.")]
    described = {
        f"/{service.full_name}/{method.name}"
        for file in files
        if hasattr(file, "DESCRIPTOR")
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }

    assert described == set(METHODS)


@pytest.mark.parametrize("service", [RootCauseService, IncidentService, GroupService])
def test_every_method_of_grpc_is_answered(service: type):
    """What is not would be refused by the base class that the generator wrote, with NotImplementedError."""
    (base,) = service.__bases__
    methods = {name for name in vars(base) if not name.startswith("_")}

    assert methods
    assert methods <= set(vars(service))


@pytest.mark.parametrize(("method", "path"), [*ROUTES, *UNLISTED], ids=" ".join)
def test_route_by_role_by_tenant(server: Server, method: str, path: str):
    """401 without a credential, 403 without the role, and for a tenant where its own traces are not what is asked."""
    needed, own = (ROUTES | UNLISTED)[method, path], (method, path) in OWN_ROUTES
    expected = {who.name: who.may(needed, own=own) for who in (*PEOPLE, NOBODY)}

    answers = {who.name: server.ask(method, filled(path), who).status_code for who in (*PEOPLE, NOBODY)}
    stranger = server.ask(method, filled(path))

    assert {name: status != 403 for name, status in answers.items()} == expected
    assert 401 not in answers.values()
    assert {who.roles for who in PEOPLE if who.tenant and expected[who.name]} == (READERS if own else set())
    assert (stranger.status_code, stranger.headers["www-authenticate"]) == (401, 'Bearer realm="firstfault"')
    assert stranger.json()["type"] == "urn:firstfault:problem:unauthenticated"
    assert stranger.headers["content-security-policy"].startswith("default-src 'none'")


def test_what_is_there_and_what_is_not_look_alike_to_a_stranger(server: Server):
    """Neither traces nor paths can be tried out."""
    asked = [
        filled("/traces/{trace_id}/root-cause"),
        f"{API}/traces/{'0' * 31}1/root-cause",
        "/x",
        f"{API}/openapi.json",
    ]
    answers = [server.ask("get", path) for path in asked]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.json()["detail"] for answer in answers}) == 1


def _odd_paths() -> list[str]:
    """Spellings by which others were talked into taking a path for another one."""
    base = filled("/traces/{trace_id}/root-cause")
    prefixes = [
        "/",
        "//",
        "/./",
        "/../",
        "/%2e/",
        "/%2e%2e/",
        "/;/",
        "/%00/",
        "/%2f",
        "/\\",
        "/healthz/..",
        "/static/../",
    ]
    suffixes = ["", "/", "//", "/.", "/..", "%00", "%20", ";a=b", "?", "?x=/healthz", "#a", ".json", "/%2e%2e/stats"]
    return [prefix + base.lstrip("/") + suffix for prefix in prefixes for suffix in suffixes]


@pytest.mark.parametrize(
    "host", ["firstfault", "localhost", "firstfault/healthz", "a@b", "[::1]:80", "127.0.0.1?x=", ""]
)
def test_no_spelling_of_path_and_host_gets_a_stranger_in(server: Server, host: str):
    """Straight into the application, as the bytes of a request would come (CVE-2026-48710 and its kind)."""
    statuses = set()
    for path in _odd_paths():
        for method in ("GET", "HEAD", "POST", "PATCH", "OPTIONS", "get", "TRACE"):
            statuses.add(asyncio.run(_raw(server, method, path, host)))

    assert statuses <= {401}


async def _raw(server: Server, method: str, path: str, host: str) -> int:
    raw, _, query = path.partition("?")
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": raw, "raw_path": raw.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(b"host", host.encode())], "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8080), "state": {},
    }  # fmt: skip
    await server.app(scope, receive, send)
    status: int = sent[0]["status"]
    return status


@pytest.mark.parametrize("method", [*METHODS, "/firstfault.v1.RootCauseService/NoSuch", "/grpc.health.v1.Health/Check"])
def test_method_by_role_by_tenant(method: str):
    """Over gRPC: UNAUTHENTICATED and PERMISSION_DENIED, also for methods that are not there."""
    desk = Desk(FakeStore(), FakeOpenTraces(), ManualClock(), QuerySettings(watch_poll_s=0.005))
    server = GrpcServer(desk, "127.0.0.1", 0, guard=guard())
    ends: dict[str, str] = {}
    with grpc.insecure_channel(f"127.0.0.1:{server.start()}") as channel:
        for who in (*PEOPLE, NOBODY, None):
            metadata = (("authorization", f"Bearer {token_of(who)}"),) if who else ()
            ends[who.name if who else "stranger"] = _end(channel, method, metadata)
    server.stop(0)

    assert ends.pop("stranger") == "UNAUTHENTICATED"
    assert {name: end != "PERMISSION_DENIED" for name, end in ends.items()} == {
        who.name: who.may(READ, own=method in OWN_METHODS) for who in (*PEOPLE, NOBODY)
    }
    assert "UNAUTHENTICATED" not in ends.values()


@pytest.mark.parametrize("given", [None, *(Role)], ids=str)
def test_no_spelling_of_a_method_gets_more_than_the_method(given: Role | None):
    """Frames made by hand: paths that no library sends (CVE-2026-33186 and its kind) answer nobody who may not read."""
    desk = Desk(FakeStore(), FakeOpenTraces(), ManualClock(), QuerySettings())
    server = GrpcServer(desk, "127.0.0.1", 0, guard=guard())
    address = f"127.0.0.1:{server.start()}"
    headers = {"authorization": f"Bearer token-of-{given}-all-and-more"} if given else {}
    body = raw_http2.message(b"", compressed=False)
    ends = set()
    method = "firstfault.v1.RootCauseService/List"
    for path in (f"/{method}", method, f"//{method}", f"/{method}/", f"/{method}?x=/grpc.health.v1.Health/Check", f"/./{method}", f"/x/../{method}", f"/%66{method[1:]}", f"/{method}#", f"/{method.upper()}", "/", "*", "?"):  # fmt: skip
        with suppress(ConnectionError):  # some the library resets
            ends.add(raw_http2.call(address, path, [body], headers=headers))
    server.stop(0)

    unauthenticated, denied, ok = 16, 7, 0
    expected = {None: unauthenticated, Role.INGEST: denied}.get(given, ok)
    assert expected in ends
    assert (ok in ends) == (expected == ok)


def _end(channel: grpc.Channel, method: str, metadata: Any) -> str:
    """How a call ends; a stream is left when it greets."""
    message = METHODS.get(method)
    body = message.SerializeToString() if message is not None else b""
    try:
        if method.endswith("/Watch"):
            call = channel.unary_stream(method)(body, timeout=20, metadata=metadata)
            greeted = bool(call.initial_metadata())
            if greeted:
                call.cancel()
                return "OK"
            next(iter(call), None)
            return str(call.code().name)
        channel.unary_unary(method)(body, timeout=20, metadata=metadata)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:8080", 200), ("localhost", 200), ("[::1]:8080", 200), ("firstfault.test:80", 200),
     ("evil.test:8080", 421), ("localhost.evil.test", 421), ("127.0.0.1.evil.test", 421), ("", 421)],
)  # fmt: skip
def test_on_loopback_only_its_own_names_are_answered(host: str, status: int):
    """A page whose name leads to this machine (DNS rebinding) reads nothing."""
    server = Server(local_hosts("127.0.0.1", ["firstfault.test"]), guarded=False)

    assert server.ask("get", f"{API}/schema", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    "origin", ["https://evil.test", "null", "http://firstfault:8081", "http://firstfault.evil.test"]
)
def test_a_page_from_elsewhere_changes_nothing(origin: str):
    """A browser sends along what it knows of us; it also says whose page it is."""
    server = Server(guarded=False)
    words = {"json": {"version": "1"}, "headers": {"origin": origin}}

    assert server.ask("post", f"{API}/changes", **words).json()["type"] == "urn:firstfault:problem:cross_origin"
    assert (
        server.ask("post", f"{API}/changes", json={"version": "1"}, headers={"origin": "http://firstfault"}).status_code
        == 501
    )
    assert server.ask("get", f"{API}/schema", headers={"origin": origin}).status_code == 200


def test_beyond_loopback_any_name_is_answered_unless_some_are_given():
    assert local_hosts("0.0.0.0", []) == frozenset()
    assert local_hosts("0.0.0.0", ["a.test"]) == {"a.test"}
    assert local_hosts("[::1]", []) == {"localhost", "127.0.0.1", "::1"}
