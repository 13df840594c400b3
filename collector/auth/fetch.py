"""Fetch one small document from an address of the configuration, and nothing else.

https only, but for loopback or when it is allowed; no redirects, no proxies; link-local and such addresses are refused
after the name was resolved, and the connection goes to the address that was looked at; the body is capped, and the
whole has a deadline, also when it drips.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit

from analyzer.version import __version__

BODY_BYTES_MAX = 256 * 1024
TIMEOUT_S = 5.0


class FetchError(Exception):
    """It could not be fetched; the message has no secret in it."""


def check_url(url: str, *, insecure: bool = False) -> SplitResult:
    """Take an address apart.

    Raises
    ------
    ValueError
        It is not one we would ever ask.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{url[:200]!r} is not a URL: {error}") from error
    if not parts.hostname or parts.username is not None or parts.fragment or port == 0:
        raise ValueError(f"{_bare(url)!r} cannot be used; expected https://host/path without a user and a fragment")
    if parts.scheme == "https" or (parts.scheme == "http" and (insecure or _is_loopback(parts.hostname))):
        return parts
    raise ValueError(f"{_bare(url)!r} is not https; expected https, or http on loopback")


def fetch(
    url: str, *, tls: ssl.SSLContext | None = None, insecure: bool = False, timeout_s: float = TIMEOUT_S
) -> bytes:
    """Return the body of a 200.

    Raises
    ------
    FetchError
        No such answer within the time and the size.
    """
    parts = check_url(url, insecure=insecure)
    assert parts.hostname is not None
    secure = parts.scheme == "https"
    address = _resolve(parts.hostname, parts.port or (443 if secure else 80))
    connection = http.client.HTTPConnection(parts.hostname, address[1], timeout=timeout_s)
    over = threading.Event()

    def stop() -> None:
        over.set()
        sock = connection.sock
        if sock is not None:
            with suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    watchdog = threading.Timer(timeout_s, stop)  # a socket's timeout is for one read
    watchdog.daemon = True
    watchdog.start()
    try:
        connection.sock = socket.create_connection(address, timeout_s)
        if secure:
            context = tls or ssl.create_default_context()
            connection.sock = context.wrap_socket(connection.sock, server_hostname=parts.hostname)
        headers = {"Host": parts.netloc, "Accept": "application/json", "User-Agent": f"firstfault/{__version__}"}
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers=headers)
        response = connection.getresponse()
        if response.status != 200:
            raise FetchError(f"HTTP {response.status}; expected 200 (redirects are not followed)")
        body = response.read(BODY_BYTES_MAX + 1)
        if len(body) > BODY_BYTES_MAX:
            raise FetchError(f"more than {BODY_BYTES_MAX} bytes")
        if over.is_set() or response.length:
            raise FetchError("the answer broke off")
        return body
    except (OSError, http.client.HTTPException) as error:
        if over.is_set():
            raise FetchError(f"no answer in {timeout_s:g} s") from error
        raise FetchError(f"{type(error).__name__}: {str(error)[:200]}") from error
    finally:
        watchdog.cancel()
        connection.close()


def _resolve(host: str, port: int) -> tuple[str, int]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise FetchError(f"{host} cannot be resolved: {error}") from error
    address = str(found[0][4][0])
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    # Metadata services of clouds are link-local; a name that leads to ourselves is somebody's trick.
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified or (ip.is_loopback and not _is_loopback(host)):
        raise FetchError(f"{host} leads to {ip}, where no keys are fetched from")
    return address, port


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bare(url: str) -> str:
    """Without what stands before an @: it may be a password."""
    return url.rpartition("@")[2][:200]
