"""Fetching keys: whom we ask, and what we let an address do to us."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from collector.auth import fetch as fetching
from collector.auth.fetch import BODY_BYTES_MAX, FetchError, check_url, fetch

OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def answering(answer: bytes, *, endless: bool = False) -> Iterator[str]:
    """An address on loopback that gives these bytes to whoever asks; `endless`: and a byte now and then."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    connection.recv(65536)
                    connection.sendall(answer)
                    while endless and not over.wait(0.02):
                        connection.sendall(b"x")

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/keys"
    finally:
        over.set()
        listener.close()


def test_a_body_is_given_back():
    with answering(OK + b"Content-Length: 2\r\n\r\n{}") as url:
        assert fetch(url) == b"{}"


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "302"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "500"),
        (OK + b"\r\n" + b"x" * (BODY_BYTES_MAX + 1), "more than"),
        (OK + b"Content-Length: 100\r\n\r\n{}", "broke off"),
        (OK + b"a: b\r\n" * 200, "HTTPException"),
        (b"", "RemoteDisconnected"),
    ],
    ids=["a redirect", "a failure", "too much", "half", "many headers", "nothing"],
)
def test_what_is_not_a_whole_answer_is_an_error(answer: bytes, fault: str):
    with answering(answer) as url, pytest.raises(FetchError, match=fault):
        fetch(url)


@pytest.mark.parametrize("begun", [b"", OK + b"x: ", OK + b"Content-Length: 9999\r\n\r\n"], ids=["", "head", "body"])
def test_an_answer_that_drips_has_an_end(begun: bytes):
    """A byte now and then keeps every read alive; the whole has a deadline."""
    with answering(begun, endless=True) as url, pytest.raises(FetchError, match=r"no answer in 0\.3 s|broke off"):
        fetch(url, timeout_s=0.3)


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.test/keys",
        "file:///etc/passwd",
        "ftp://127.0.0.1/keys",
        "https://user:password@issuer.test/keys",
        "https:///keys",
        "https://issuer.test/keys#part",
        "https://issuer.test:99999/",
        "//issuer.test/keys",
        "gopher://127.0.0.1:70/",
        "",
    ],
)
def test_only_https_and_loopback_are_asked(url: str):
    with pytest.raises(ValueError, match=r"expected|not a URL") as caught:
        check_url(url)

    assert "password@" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://issuer.test/keys", "http://localhost:1/", "http://127.8.0.1/", "http://[::1]:80/"]
)
def test_these_are_asked(url: str):
    assert check_url(url).hostname


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "127.0.0.1",
        "0.0.0.0",
        "::1",
        "fe80::1",
        "::ffff:169.254.169.254",
        "::ffff:127.0.0.1",
        "224.0.0.1",
    ],
)
def test_a_name_that_leads_somewhere_special_is_refused(monkeypatch: pytest.MonkeyPatch, address: str):
    """Metadata services, ourselves, everybody: also in the clothes of IPv6."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 443))]
    monkeypatch.setattr(fetching.socket, "getaddrinfo", lambda *_, **__: found)

    with pytest.raises(FetchError, match="no keys are fetched from"):
        fetch("https://issuer.test/keys")


@pytest.mark.parametrize("host", ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518"])
def test_a_number_in_disguise_is_refused(host: str):
    """169.254.169.254 as inet_aton reads it, were it to."""
    with pytest.raises(FetchError, match=r"no keys are fetched from|cannot be resolved"):
        fetch(f"https://{host}/keys", timeout_s=0.5)
