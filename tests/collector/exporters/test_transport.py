"""One call, over both protocols: what it carries, and how each answer is taken."""

from __future__ import annotations

import gzip
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest

from collector.contracts import Signal
from collector.exporters.otlp import connect
from collector.exporters.otlp_http import _retry_after_s
from collector.exporters.transport import OtlpSettings, Outcome, Transport, Verdict, read_answer
from tests.support.fakes.otlp_sink import GrpcSink, HttpSink, Reply, Sink

ACCEPTED, RETRY, REFUSED = Verdict.ACCEPTED, Verdict.RETRY, Verdict.REFUSED
Dial = Callable[..., Transport]


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def sink(protocol: str) -> Iterator[Sink]:
    with GrpcSink() if protocol == "grpc" else HttpSink() as sink:
        yield sink


@pytest.fixture
def dial(protocol: str, sink: GrpcSink | HttpSink) -> Iterator[Dial]:
    """Make transports to the sink; closed at the end."""
    made: list[Transport] = []

    def dial(**settings: object) -> Transport:
        found = {"endpoint": sink.endpoint, "protocol": protocol, "timeout_s": 10.0, **settings}
        made.append(connect(OtlpSettings(**found)))  # type: ignore[arg-type]
        return made[-1]

    yield dial
    for transport in made:
        transport.cancel()
        transport.close()


@pytest.mark.parametrize("signal", [Signal.TRACES, Signal.LOGS])
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_the_bytes_arrive_as_they_are(sink: Sink, dial: Dial, signal: Signal, compression: str):
    """No decoding in between: any bytes will do."""
    payload = bytes(range(256)) * 10

    outcome = dial(compression=compression).send(signal, payload)

    assert outcome == Outcome(ACCEPTED)
    assert [(request.signal, request.payload) for request in sink.requests] == [(signal, payload)]


def test_headers_and_name_go_along(sink: Sink, dial: Dial):
    dial(headers={"Authorization": "Bearer secret", "x-tenant": "a b"}).send(Signal.LOGS, b"")

    headers = sink.requests[0].headers
    assert (headers["authorization"], headers["x-tenant"]) == ("Bearer secret", "a b")
    assert headers["user-agent"].startswith("firstfault/")


def test_one_connection_serves_many_calls(sink: Sink, dial: Dial):
    """Also after the destination broke it off between two."""
    transport = dial()
    outcomes = [transport.send(Signal.LOGS, b"%d" % n).verdict for n in range(5)]

    assert outcomes == [ACCEPTED] * 5
    assert sink.payloads == [b"0", b"1", b"2", b"3", b"4"]


def test_down_is_tried_again(sink: Sink, dial: Dial):
    sink.plan(Reply.down())

    outcome = dial().send(Signal.LOGS, b"x")

    assert (outcome.verdict, outcome.retry_after_s) == (RETRY, None)
    assert "down" in outcome.reason


@pytest.mark.parametrize("code", ["UNAVAILABLE", "RESOURCE_EXHAUSTED"])
def test_a_wait_that_is_asked_for_is_understood(sink: Sink, dial: Dial, code: str):
    sink.plan(Reply(code, retry_after_s=5))

    outcome = dial().send(Signal.LOGS, b"x")

    assert (outcome.verdict, outcome.retry_after_s) == (RETRY, 5.0)


def test_a_wait_of_a_year_is_cut_to_an_hour(sink: Sink, dial: Dial):
    """A destination may slow us; it may not stop us."""
    sink.plan(Reply.down(retry_after_s=365 * 24 * 3600))

    assert dial().send(Signal.LOGS, b"x").retry_after_s == 3600.0


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "UNAUTHENTICATED"])
def test_a_refusal_is_final(sink: Sink, dial: Dial, code: str):
    sink.plan(Reply(code, message="we do not take this"))

    outcome = dial().send(Signal.LOGS, b"x")

    assert outcome.verdict is REFUSED
    assert "we do not take this" in outcome.reason


@pytest.mark.parametrize("signal", [Signal.TRACES, Signal.LOGS])
def test_partial_success_says_how_many(sink: Sink, dial: Dial, signal: Signal):
    sink.plan(Reply.partial(3, "too old"))

    outcome = dial().send(signal, b"x")

    assert (outcome.verdict, outcome.rejected_count) == (ACCEPTED, 3)
    assert outcome.reason == "partial success, 3 rejected: too old"


def test_a_warning_without_rejections_is_success(sink: Sink, dial: Dial):
    """partial_success with a message and no count is advice (OTLP, Partial Success)."""
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    answer = ExportLogsServiceResponse()
    answer.partial_success.error_message = "use a newer version"
    sink.plan(Reply(body=answer.SerializeToString()))

    assert dial().send(Signal.LOGS, b"x") == Outcome(ACCEPTED, "use a newer version")


def test_what_a_destination_says_is_cut_and_cleaned(sink: Sink, dial: Dial):
    """It is shown in logs and dead letters."""
    sink.plan(Reply.permanent("line\nline \x1b[31mred " + "x" * 5000))

    reason = dial().send(Signal.LOGS, b"x").reason

    assert len(reason) < 300
    assert reason.isprintable()


def test_a_hanging_destination_is_given_up(sink: Sink, dial: Dial):
    """At the deadline, and the next call is not harmed."""
    sink.plan(Reply(hang=True))
    transport = dial(timeout_s=0.3)

    first = transport.send(Signal.LOGS, b"x")
    sink.always(Reply())

    assert first.verdict is RETRY
    assert dial(timeout_s=10.0).send(Signal.LOGS, b"y").verdict is ACCEPTED


def test_a_call_under_way_can_be_ended(sink: Sink, dial: Dial):
    """By another thread, long before its deadline; later calls are not made."""
    sink.plan(Reply(hang=True))
    transport = dial(timeout_s=60.0)
    outcomes: list[Outcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(transport.send(Signal.LOGS, b"x")))
    thread.start()
    sink.wait_for(1)

    transport.cancel()
    thread.join(10)

    assert [outcome.verdict for outcome in outcomes] == [RETRY]
    assert transport.send(Signal.LOGS, b"y").verdict is RETRY
    assert sink.payloads == [b"x"]


def test_nobody_there_is_tried_again(protocol: str, dial: Dial):
    transport = dial(endpoint="127.0.0.1:1", timeout_s=5.0)

    assert transport.send(Signal.LOGS, b"x").verdict is RETRY


def test_a_huge_answer_is_not_read(sink: Sink, dial: Dial):
    """16 MiB of answer to 1 byte of request: 64 KiB of it are read (CVE-2026-39882)."""
    sink.plan(Reply(body=b"\x00" * (16 * 2**20)))

    assert dial().send(Signal.LOGS, b"x").verdict is REFUSED


def test_a_huge_page_of_a_proxy_that_is_overloaded_is_tried_again():
    """503 with a page above the cap: the status counts, not the page."""
    with HttpSink() as sink:
        sink.plan(Reply("UNAVAILABLE", 3.0, body=b"<html>" + b" " * 2**20, content_type="text/html"))
        transport = connect(OtlpSettings(sink.endpoint, "http"))
        try:
            outcome = transport.send(Signal.LOGS, b"x")
        finally:
            transport.close()

    assert (outcome.verdict, outcome.retry_after_s) == (RETRY, 3.0)


def test_success_of_something_else_is_no_delivery(sink: Sink, dial: Dial):
    """A wrong port, a login page: nothing was delivered, nothing may be thrown away."""
    sink.plan(Reply(body=b"<html>please log in</html>", content_type="text/html"))

    outcome = dial().send(Signal.LOGS, b"x")

    assert outcome.verdict is RETRY
    assert "not an OTLP answer" in outcome.reason


# -- HTTP only -----------------------------------------------------------------------------------


@pytest.fixture
def http() -> Iterator[HttpSink]:
    with HttpSink() as sink:
        yield sink


def post(sink: HttpSink, timeout_s: float = 10.0) -> Outcome:
    transport = connect(OtlpSettings(endpoint=sink.endpoint, protocol="http", timeout_s=timeout_s))
    try:
        return transport.send(Signal.LOGS, b"x")
    finally:
        transport.close()


def test_an_answer_that_drips_ends_at_the_deadline(http: HttpSink):
    """Each byte comes in time, the answer never does."""
    http.plan(Reply(drip=True))

    assert post(http, timeout_s=0.5).verdict is RETRY


def test_a_broken_connection_is_tried_again(http: HttpSink):
    http.plan(Reply(cut=True))

    assert post(http).verdict is RETRY


def test_redirects_are_not_followed(http: HttpSink):
    """A destination may not send our findings elsewhere."""
    http.plan(Reply(location="http://127.0.0.1:1/v1/logs"))

    outcome = post(http)

    assert outcome.verdict is REFUSED
    assert outcome.reason.startswith("HTTP 307")


def test_an_answer_in_json_is_understood(http: HttpSink):
    http.plan(
        Reply(
            body=b'{"partialSuccess": {"rejectedLogRecords": "2", "errorMessage": "m"}}',
            content_type="application/json",
        ),
        Reply(body=b"{}", content_type="application/json; charset=utf-8"),
    )

    assert post(http).rejected_count == 2
    assert post(http) == Outcome(ACCEPTED)


def test_gzip_is_the_same_on_every_try(http: HttpSink):
    """No time in its header."""
    assert gzip.compress(b"x", 5, mtime=0) == gzip.compress(b"x", 5, mtime=0)
    assert post(http).verdict is ACCEPTED


@pytest.mark.parametrize(
    ("header", "expected"),
    [(None, None), ("7", 7.0), (" 7 ", 7.0), ("-1", None), ("soon", None), ("9" * 30, 3600.0), ("²", None), ("", None)],
)
def test_retry_after_in_seconds(header: str | None, expected: float | None):
    assert _retry_after_s(header) == expected


def test_retry_after_as_a_date():
    found = _retry_after_s(formatdate(time() + 120, usegmt=True))

    assert found is not None
    assert 100 < found <= 120
    assert _retry_after_s(formatdate(0, usegmt=True)) == 0.0


# -- settings and TLS ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"x": "a\r\nHost: evil"},
        {"x": ""},
        {"x": "ä"},
        {"x y": "a"},
        {"": "a"},
        {"content-length": "5"},
        {"Content-Type": "text/plain"},
        {"grpc-timeout": "1S"},
    ],
)
def test_headers_that_cannot_be_sent_are_refused_at_start(headers: dict[str, str]):
    with pytest.raises(ValueError, match="header"):
        OtlpSettings(endpoint="127.0.0.1:4317", headers=headers)


def test_tokens_are_not_shown():
    assert "secret" not in repr(OtlpSettings(endpoint="127.0.0.1:4317", headers={"authorization": "secret"}))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Key and certificate for localhost."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, cert


@pytest.fixture(params=["grpc", "http"])
def tls_sink(request: pytest.FixtureRequest, certificate: tuple[Path, Path]) -> Iterator[tuple[str, str, Sink]]:
    key, cert = certificate
    if request.param == "grpc":
        with GrpcSink(tls=(key.read_bytes(), cert.read_bytes())) as sink:
            yield "grpc", sink.endpoint, sink
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with HttpSink() as http_sink:
        server = http_sink._server
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        yield "http", f"localhost:{http_sink.port}", http_sink


def test_tls_is_verified(tls_sink: tuple[str, str, Sink], certificate: tuple[Path, Path]):
    """With its certificate trusted it is delivered; without, nothing is sent, and nothing is lost."""
    protocol, endpoint, sink = tls_sink
    verdicts = []
    for ca_file in (None, certificate[1]):
        settings = OtlpSettings(endpoint=endpoint, protocol=protocol, insecure=False, ca_file=ca_file, timeout_s=5.0)  # type: ignore[arg-type]
        transport = connect(settings)
        verdicts.append(transport.send(Signal.LOGS, b"x").verdict)
        transport.close()

    assert verdicts == [RETRY, ACCEPTED]
    assert sink.payloads == [b"x"]


def test_metrics_answers_are_not_confused():
    """Traces and logs count in different fields of the same shape."""
    assert read_answer(Signal.TRACES, b"") == Outcome(ACCEPTED)
    assert read_answer(Signal.LOGS, b"\xff\xff").verdict is RETRY
