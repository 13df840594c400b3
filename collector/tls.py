"""TLS of the doors: certificates that are read again when their files change.

In: paths. Out: one `ssl.SSLContext` for a port of uvicorn, or credentials for a port of gRPC; both show to every new
connection what the files hold then, without a restart; connections that are open stay open. With a `client_ca_file`
clients must show a certificate of that authority (mTLS).
"""

from __future__ import annotations

import re
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import grpc

from collector.contracts import Clock
from collector.telemetry import Snapshot
from collector.watched import FileFaultError, Watched, read_bytes

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_PRIVATE_KEY = re.compile(rb"-----BEGIN (?:EC |RSA )?PRIVATE KEY-----")
_ENCRYPTED = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type:.*ENCRYPTED", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Names follow the Collector's configtls.

    cert_file : our certificate and the chain behind it, PEM
    key_file : its key, PEM, not encrypted
    client_ca_file : authorities of clients, PEM; None: clients need no certificate
    min_version : gRPC keeps to 1.2 whatever is said here: grpcio cannot be told
    """

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    min_version: Literal["1.2", "1.3"] = "1.2"


@dataclass(frozen=True, slots=True)
class _Loaded:
    certificate: bytes
    key: bytes
    client_ca: bytes | None
    context: ssl.SSLContext


class ServerTls:
    """The certificate of one door. `context` and `grpc_credentials` by the owner; handshakes on any thread.

    Raises
    ------
    FileFaultError
        A file cannot be used; the message names it and says why.
    """

    def __init__(self, door: str, settings: TlsSettings, clock: Clock) -> None:
        self._settings = settings
        paths = [settings.cert_file, settings.key_file]
        if settings.client_ca_file is not None:
            paths.append(settings.client_ca_file)
        self._files: Watched[_Loaded] = Watched(f"tls_{door}", paths, self._load, clock)

    def context(self) -> ssl.SSLContext:
        """Return the context to listen with.

        It shows nothing itself: each client hello is answered by the context of the files as they are then. That
        exchanges the client's authorities too, which `load_verify_locations` can only add to.
        """

        def choose(connection: ssl.SSLObject, name: str | None, listening: ssl.SSLContext) -> None:
            connection.context = self._files.current().context

        context = self._files.current().context
        listening = _context(self._settings, context.verify_mode)
        listening.load_cert_chain(self._settings.cert_file, self._settings.key_file)
        if self._settings.client_ca_file is not None:
            listening.load_verify_locations(self._settings.client_ca_file)
        listening.sni_callback = choose  # called for every hello, also one without a name
        return listening

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Return credentials that ask for the files of now before each handshake."""
        lock = threading.Lock()
        served = self._files.current()

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal served
            with lock:
                found = self._files.current()
                if found is served:
                    return None
                served = found
            return _grpc_configuration(found)

        return grpc.dynamic_ssl_server_credentials(
            _grpc_configuration(served), fetch, self._settings.client_ca_file is not None
        )

    def snapshot(self) -> Snapshot:
        """Copy the counters, for `Telemetry.register`."""
        return self._files.snapshot()

    def _load(self) -> _Loaded:
        settings = self._settings
        certificate, key, client_ca = check_pair(settings.cert_file, settings.key_file, settings.client_ca_file)
        context = _context(settings, ssl.CERT_REQUIRED if client_ca is not None else ssl.CERT_NONE)
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file, _no_password)
            if client_ca is not None:
                context.load_verify_locations(cadata=client_ca.decode("ascii"))
        except (ssl.SSLError, OSError, UnicodeDecodeError) as error:  # exchanged between the two readings
            raise FileFaultError(f"cert_file {settings.cert_file} cannot be used: {error}") from error
        return _Loaded(certificate, key, client_ca, context)


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """What a client trusts and shows; one object for as long as the files stay the same."""

    ca: bytes | None
    key: bytes | None
    certificate: bytes | None
    context: ssl.SSLContext


def client_tls(
    what: str, ca_file: Path | None, cert_file: Path | None, key_file: Path | None, clock: Clock
) -> Watched[ClientFiles]:
    """Read what a client needs; the destination's certificate is always verified.

    Raises
    ------
    FileFaultError
        A file cannot be used.
    """

    def load() -> ClientFiles:
        certificate = key = None
        if cert_file is not None and key_file is not None:
            certificate, key, ca = check_pair(cert_file, key_file, ca_file, "ca_file")
        else:
            ca = check_authorities(ca_file, "ca_file") if ca_file is not None else None
        context = ssl.create_default_context(cadata=ca.decode("ascii") if ca is not None else None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if cert_file is not None:
            context.load_cert_chain(cert_file, key_file, _no_password)
        return ClientFiles(ca, key, certificate, context)

    return Watched(what, [path for path in (ca_file, cert_file, key_file) if path is not None], load, clock)


def check_pair(
    cert_file: Path, key_file: Path, ca_file: Path | None, ca_name: str = "client_ca_file"
) -> tuple[bytes, bytes, bytes | None]:
    """Read a certificate, its key and authorities, and see that they can be used together.

    Raises
    ------
    FileFaultError
        One cannot be read or is not what its name says, or the key belongs to another certificate.
    """
    certificate, key = read_bytes(cert_file, "cert_file"), read_bytes(key_file, "key_file")
    if b"-----BEGIN CERTIFICATE-----" not in certificate:
        raise FileFaultError(f"cert_file {cert_file} holds no PEM certificate; expected -----BEGIN CERTIFICATE-----")
    if _ENCRYPTED.search(key):
        raise FileFaultError(f"key_file {key_file} is encrypted; expected a plain key in a file that only we may read")
    if not _PRIVATE_KEY.search(key):
        raise FileFaultError(f"key_file {key_file} holds no PEM private key; expected -----BEGIN PRIVATE KEY-----")
    probe = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        probe.load_cert_chain(cert_file, key_file, _no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise FileFaultError(f"key_file {key_file} is not the key of cert_file {cert_file}") from error
        why = error.reason or error
        raise FileFaultError(f"cert_file {cert_file} with key_file {key_file} cannot be used: {why}") from error
    except OSError as error:
        raise FileFaultError(f"cert_file {cert_file} cannot be read: {error.strerror or error}") from error
    return certificate, key, check_authorities(ca_file, ca_name) if ca_file is not None else None


def check_authorities(ca_file: Path, name: str) -> bytes:
    """Read certificates of authorities.

    Raises
    ------
    FileFaultError
        There is none in the file, or one cannot be read.
    """
    found = read_bytes(ca_file, name)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=found.decode("ascii"))
    except (ssl.SSLError, UnicodeDecodeError) as error:
        raise FileFaultError(f"{name} {ca_file} holds no PEM certificates: {error}") from error
    return found


def _context(settings: TlsSettings, verify_mode: ssl.VerifyMode) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.min_version]
    context.verify_mode = verify_mode
    context.set_alpn_protocols(["http/1.1"])
    # Sessions are not resumed: one that began under an authority which is gone would live on.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    return context


def _grpc_configuration(loaded: _Loaded) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(loaded.key, loaded.certificate)], loaded.client_ca)


def _no_password() -> str:
    return ""  # never asked at a terminal; an encrypted key was refused before
