"""`firstfault selftest` against a running server: 0 only when the planted origin is named."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from analyzer.findings import Answer, Entity, RootCause, SpanRef
from collector.selftest import ORIGIN, PAYMENT, SHOP, plant
from tests.support.running import Server, firstfault, free_port, serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("selftest")) as server:
        yield server


@contextmanager
def oracle(answer: Callable[[str], tuple[int, bytes]], shown: list[str | None] | None = None) -> Iterator[str]:
    """A query API that answers what it is told to, and notes what credentials it is shown; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if shown is not None:
                shown.append(self.headers["authorization"])
            status, body = answer(self.path.split("/")[4])
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    listening = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_address[1]}"
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join(5)


def blamed(trace_id: str, service: str, span_id: str) -> bytes:
    """An answer that names one span of one service."""
    span = SpanRef(span_id=span_id, service=service, operation="POST /charge")
    entity = Entity(kind="service", name=service, service=service)
    cause = RootCause(rank=1, entity=entity, origin_spans=[span], probability=0.9, rule="error.x", sentence="So.")
    return Answer(trace_id=trace_id, status="finding", verdict="error", root_causes=[cause]).model_dump_json().encode()


def test_a_server_that_is_well_is_told_so(server: Server):
    """Exit status 0, the culprit and the id on standard output; the server knows the trace."""
    done = firstfault("selftest", "--otlp", server.otlp_grpc, "--query", server.url)

    said = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert said.startswith(f"right: {PAYMENT} is named")
    answer = server.root_cause(said.split()[-1])
    assert answer["root_causes"][0]["entity"]["service"] == PAYMENT
    assert answer["root_service"] == SHOP


@pytest.mark.parametrize(("service", "same_span"), [(SHOP, True), (PAYMENT, False)], ids=["service", "span"])
def test_a_wrong_answer_is_not_right(server: Server, service: str, same_span: bool):
    """Another service, or another span of the right one."""
    span_id = plant(10**18).span_ids[ORIGIN]  # of another trace: never the planted one
    with oracle(lambda trace_id: (200, blamed(trace_id, service, span_id))) as query:
        done = firstfault("selftest", "--otlp", server.otlp_grpc, "--query", query)

    assert (done.returncode, done.stdout) == (1, b"")
    assert b"expected " + PAYMENT.encode() in done.stderr


@pytest.mark.parametrize("status", ["clean", "partial", "unknown", "dropped"])
def test_an_answer_without_a_cause_is_not_right(server: Server, status: str):
    with oracle(lambda trace_id: (200, json.dumps({"trace_id": trace_id, "status": status}).encode())) as query:
        done = firstfault("selftest", "--otlp", server.otlp_grpc, "--query", query)

    assert (done.returncode, done.stdout) == (1, b"")
    assert f"the answer is {status}".encode() in done.stderr


def test_an_instance_that_does_not_know_the_trace_is_asked_again(server: Server):
    """404 twice (another instance has it, its peers were not reachable yet), then the server's own answer."""
    tries: list[str] = []

    def answer(trace_id: str) -> tuple[int, bytes]:
        tries.append(trace_id)
        found = server.get(f"/api/v1/traces/{trace_id}/root-cause?wait=10")
        return (404, b'{"title": "unknown trace"}') if len(tries) < 3 else (found.status_code, found.content)

    with oracle(answer) as query:
        done = firstfault("selftest", "--otlp", server.otlp_grpc, "--query", query)

    assert done.returncode == 0, done.stderr
    assert len(tries) == 3


def test_nobody_there(server: Server):
    """Neither door: exit status 1 within the time given, the address and what was tried in words."""
    nowhere = f"127.0.0.1:{free_port()}"

    for otlp, query in ((nowhere, server.url), (server.otlp_grpc, f"http://{nowhere}")):
        done = firstfault("selftest", "--otlp", otlp, "--query", query, "--timeout", "1")

        assert (done.returncode, done.stdout) == (1, b"")
        assert nowhere.encode() in done.stderr
        assert b"Traceback" not in done.stderr


def test_the_token_of_the_environment_is_shown(server: Server, monkeypatch: pytest.MonkeyPatch):
    """Where a door asks who is there; not on the command line, where everybody reads it."""
    monkeypatch.setenv("FIRSTFAULT_TOKEN", "0123456789abcdef\n")
    seen: list[str | None] = []

    with oracle(lambda trace_id: (403, b'{"title": "not for you"}'), seen) as query:
        done = firstfault("selftest", "--otlp", server.otlp_grpc, "--query", query)

    assert (done.returncode, seen) == (1, ["Bearer 0123456789abcdef"])
    assert b"HTTP 403: not for you" in done.stderr
    assert b"0123456789abcdef" not in done.stderr


def test_another_program_there(server: Server):
    with oracle(lambda _: (200, b"<html>\x1b[31mhello</html>")) as query:
        done = firstfault("selftest", "--otlp", server.otlp_grpc, "--query", query)

    assert (done.returncode, done.stdout) == (1, b"")
    assert b"not as firstfault does" in done.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ("--otlp", "http://"),
        ("--otlp", "127.0.0.1:notaport"),
        ("--query", "ftp://here"),
        ("--timeout", "0"),
        ("--cert-file", "cert.pem"),
        ("--otlp", "https://127.0.0.1:1", "--ca-file", "not-there.pem"),
    ],
    ids=" ".join,
)
def test_wrong_use(wrong: tuple[str, ...]):
    """Exit status 2 before anything is sent."""
    done = firstfault("selftest", *wrong)

    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Traceback" not in done.stderr
