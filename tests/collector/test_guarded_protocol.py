"""Clients that stall, at a real port of the query room: each is closed in time, and the others are answered."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from types import SimpleNamespace

import httpx
import pytest

from collector.asgi_thread import AsgiThread, Receive, Scope, Send, respond
from collector.guarded_protocol import ServerLimits, guarded
from collector.query.rest import RestServer, create_app
from tests.support.fakes.store import FakeOpenTraces, FakeStore

HASTY = ServerLimits(head_timeout_s=0.3, body_timeout_s=0.3, idle_timeout_s=1, read_pause_s=0.3, connections_max=40)
POST = b"POST /api/v1/%s HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
STALLS: dict[str, bytes] = {
    "nothing": b"",
    "half a line": b"GET /api/v1/sch",
    "half a head": b"GET /api/v1/schema HTTP/1.1\r\nhost: a\r\nx: ",
    "half a body": POST % b"changes" + b'content-length: 100\r\n\r\n{"version": ',
    "half a body to be analysed": POST % b"analyze" + b"content-length: 100\r\n\r\n{",
    "half a chunk": POST % b"changes" + b"transfer-encoding: chunked\r\n\r\nff\r\n{",
    "a body that is announced only": POST % b"changes" + b"content-length: 100\r\nexpect: 100-continue\r\n\r\n",
}


@contextmanager
def rest(limits: ServerLimits = HASTY) -> Iterator[int]:
    server = RestServer(create_app(FakeStore(), FakeOpenTraces()), "127.0.0.1", 0, limits=limits)
    yield server.start()
    server.stop(0.5)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def read_to_end(connection: socket.socket) -> bytes:
    """Everything until the server closes; a TimeoutError when it does not."""
    found = b""
    with suppress(ConnectionResetError, BrokenPipeError):
        while piece := connection.recv(65536):
            found += piece
    return found


def read_answer(connection: socket.socket) -> None:
    """One whole answer; the connection stays open."""
    with HTTPResponse(connection) as answer:
        answer.begin()
        answer.read()


@pytest.mark.parametrize("sent", STALLS.values(), ids=STALLS)
def test_a_request_that_stops_is_closed(sent: bytes):
    with rest() as port, connect(port) as stalled:
        stalled.sendall(sent)

        assert b"200 OK" not in read_to_end(stalled)
        assert httpx.get(f"http://127.0.0.1:{port}/api/v1/schema", trust_env=False).status_code == 200


@pytest.mark.parametrize("sent", [STALLS["half a head"], STALLS["half a body"]], ids=["head", "body"])
def test_a_byte_now_and_then_does_not_help(sent: bytes):
    """The deadline is for the whole, not for the next byte."""
    with rest() as port, connect(port) as dripping:
        dripping.sendall(sent)
        dripping.settimeout(0.05)
        for _ in range(600):
            try:
                dripping.recv(100)
                break
            except TimeoutError:
                with suppress(OSError):
                    dripping.sendall(b"x")
            except OSError:
                break
        else:
            pytest.fail("the connection is still open after half a minute of single bytes")


def test_many_that_stall_do_not_keep_others_out():
    """Up to the cap they are waited for, over it they are closed; then all are gone and everybody is let in again."""
    with rest() as port:
        stalled = [connect(port) for _ in range(60)]
        for connection in stalled:
            with suppress(OSError):
                connection.sendall(b"GET /api/v1/schema HTTP/1.1\r\n")
        for connection in stalled:
            read_to_end(connection)
            connection.close()

        assert httpx.get(f"http://127.0.0.1:{port}/api/v1/schema", trust_env=False).status_code == 200


FULL = ServerLimits(connections_max=4, young_s=0.05)
SCHEMA = b"GET /api/v1/schema HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.mark.parametrize("sent", [*STALLS.values(), SCHEMA], ids=[*STALLS, "a whole request, then nothing"])
def test_a_crowd_that_stalls_keeps_nobody_out(sent: bytes):
    """The port is full, nobody's deadline is near: who comes takes the place of the one that waits longest."""
    with rest(FULL) as port:
        crowd = [connect(port) for _ in range(4)]
        for connection in crowd:
            connection.sendall(sent)
            if sent == SCHEMA:  # the one answered first has kept us waiting longest
                read_answer(connection)
        status = None
        while status != 200:  # until they are no longer young; the test has an end of its own
            with suppress(httpx.TransportError):
                status = httpx.get(f"http://127.0.0.1:{port}/api/v1/schema", trust_env=False).status_code
        first = crowd[0]
        read_to_end(first)  # it was closed; a TimeoutError otherwise
        for connection in crowd:
            connection.close()

    assert status == 200


def test_who_sends_and_who_is_served_is_not_put_out():
    """One sends its body at ten times the least, one has its answer made: the fifth is closed, they are not."""
    working, taken, free = threading.Event(), threading.Event(), threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            working.set()
            await asyncio.to_thread(free.wait, 30)
        more, size = True, 0
        while more:
            piece = await receive()
            more, size = piece.get("more_body", False), size + len(piece.get("body", b""))
            if size >= 1_000_000:
                taken.set()
        await respond(send, 200, b"here", "text/plain")

    server = AsgiThread(app, "127.0.0.1", 0, name="full", limits=ServerLimits(connections_max=2, young_s=0.0))
    port = server.start()
    with connect(port) as sending, connect(port) as served:
        served.sendall(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
        sending.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000001\r\n\r\n")
        assert working.wait(30)
        sending.sendall(bytes(1_000_000))
        assert taken.wait(30)  # before it was read, it has sent nothing
        closed = 0
        while closed < 20:
            with connect(port) as fifth:
                closed += read_to_end(fifth) == b""
        sending.sendall(b"x")
        free.set()
        answers = [sending.recv(65536), served.recv(65536)]
    server.stop(0.5)

    assert [answer.startswith(b"HTTP/1.1 200") for answer in answers] == [True, True]


@pytest.mark.parametrize("turns", range(2))
def test_whose_request_is_here_already_is_not_put_out(turns: int):
    """It comes while another is let in, some turns of the loop later: it was not this client that kept us waiting."""
    others: list[socket.socket] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/":  # the port is full: itself and the one that rests
            others.append(connect(port))
            for _ in range(turns):
                await asyncio.sleep(0)
            resting.sendall(b"GET /late HTTP/1.1\r\nhost: a\r\n\r\n")
        await respond(send, 200, b"here", "text/plain")

    server = AsgiThread(app, "127.0.0.1", 0, name="full", limits=ServerLimits(connections_max=2, young_s=0.0))
    port = server.start()
    with connect(port) as resting, connect(port) as asking:
        resting.sendall(b"GET /first HTTP/1.1\r\nhost: a\r\n\r\n")
        read_answer(resting)
        asking.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        read_answer(asking)
        read_answer(resting)
    for other in others:
        other.close()
    server.stop(0.5)


@pytest.mark.parametrize("lost", [None, socket.socket()], ids=["no socket", "a closed one"])
def test_a_connection_that_was_just_lost_has_sent_nothing(lost: socket.socket | None):
    """Under TLS a moment passes between the loss of the transport and our hearing of it."""
    if lost is not None:
        lost.close()
    kind = guarded(ServerLimits())
    protocol = kind.__new__(kind)
    protocol.transport = SimpleNamespace(get_extra_info=lambda _: lost)  # type: ignore[assignment]

    assert protocol._has_sent() is False  # type: ignore[attr-defined]


@contextmanager
def giving(body: bytes, limits: ServerLimits) -> Iterator[tuple[int, Callable[[], str]]]:
    """A port that answers with a large body; how the last answer ended."""
    ends: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        ends.append("begun")
        await respond(send, 200, body, "text/plain")
        ends[-1] = "given"
        while (await receive())["type"] != "http.disconnect":
            pass
        ends[-1] = "left"

    server = AsgiThread(app, "127.0.0.1", 0, name="giving", limits=limits)
    yield server.start(), lambda: ends[-1] if ends else ""
    server.stop(0.5)


def _ask_for_all(port: int) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(30)
    connection.connect(("127.0.0.1", port))
    connection.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
    return connection


def test_a_client_that_does_not_read_is_closed():
    """Its answer is let go; what the system had taken already may still be read, then the connection is over."""
    body = bytes(64 * 2**20)
    with giving(body, HASTY) as (port, _), _ask_for_all(port) as deaf:
        other = httpx.get(f"http://127.0.0.1:{port}/", trust_env=False, timeout=30)
        assert len(other.content) == len(body)
        probe = connect(port)  # a few deadlines pass while these come and go
        read_to_end(probe)
        probe.close()

        assert len(read_to_end(deaf)) < len(body)


def test_a_client_that_reads_slowly_has_its_answer():
    """A deadline for the whole would cut a poor line off; progress is what counts."""
    body = bytes(8 * 2**20)
    with giving(body, ServerLimits(read_pause_s=0.3)) as (port, _), _ask_for_all(port) as slow:
        found = 0
        while found < len(body):
            found += len(slow.recv(256 * 1024))

    assert found >= len(body)
