"""TLS and mTLS at real doors: who is let in, and what happens when files change under them."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from collector.guarded_protocol import ServerLimits
from collector.receivers.otlp_http import HttpSettings
from collector.tls import ServerTls, TlsSettings
from collector.watched import FileFaultError
from tests.support.certificates import Authority, Pair
from tests.support.doors import PROTOBUF, Doors, open_doors, request
from tests.support.fakes.clock import ManualClock

BODY = request("a").SerializeToString()


class House:
    """A server's files in a folder, a clock, and the certificates of its authority."""

    def __init__(self, folder: Path, *, clients: Authority | None = None, min_version: str = "1.2") -> None:
        self.folder, self.clock, self.authority = folder, ManualClock(), Authority("servers")
        self.pair = self.exchange()
        cert_file, key_file = folder / "server.pem", folder / "server.key"
        ca_file = clients.write(folder, "clients") if clients is not None else None
        self.tls = ServerTls("test", TlsSettings(cert_file, key_file, ca_file, min_version), self.clock)  # type: ignore[arg-type]

    def exchange(self) -> Pair:
        """Write a new certificate over the old one."""
        pair = self.authority.issue("server")
        pair.write(self.folder)
        return pair

    @contextmanager
    def doors(self) -> Iterator[Doors]:
        with open_doors(tls=self.tls, ca=self.authority.pem) as doors:
            yield doors

    def send(self, doors: Doors, client: Pair | None = None) -> tuple[str, str]:
        """Send a span through each door on a new connection; how each ended."""
        key, cert = (client.key, client.certificate) if client is not None else (None, None)
        credentials = grpc.ssl_channel_credentials(self.authority.pem, key, cert)
        # Channels with the same settings share connections; this one is its own.
        own = (("grpc.use_local_subchannel_pool", 1),)
        with grpc.secure_channel(doors.grpc_address, credentials, own) as channel:
            try:
                TraceServiceStub(channel).Export(request("a"), timeout=5)
                over_grpc = "taken"
            except grpc.RpcError as error:
                over_grpc = error.code().name
        context = ssl.create_default_context(cadata=self.authority.pem.decode())
        if client is not None:
            context.load_cert_chain(*client.write(self.folder, f"client-{client.name}"))
        with httpx.Client(verify=context) as http:
            try:
                status = http.post(f"{doors.http_address}/v1/traces", content=BODY, headers=PROTOBUF).status_code
                over_http = "taken" if status == 200 else str(status)
            except httpx.TransportError:
                over_http = "broken off"
        return over_grpc, over_http


TAKEN, NOT_LET_IN = ("taken", "taken"), ("UNAVAILABLE", "broken off")


def shown(address: str) -> int:
    """Serial number of the certificate that a new connection sees."""
    host, _, port = address.removeprefix("https://").rpartition(":")
    return Pair("", ssl.get_server_certificate((host, int(port))).encode(), b"").serial


def shown_by(doors: Doors) -> list[int]:
    return [shown(doors.grpc_address), shown(doors.http_address)]


def test_both_doors_serve_tls_and_nothing_else(tmp_path: Path):
    """Who speaks plain text to them is not answered."""
    house = House(tmp_path)
    with house.doors() as doors:
        assert house.send(doors) == TAKEN
        plain = doors.http_address.replace("https", "http")
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{plain}/v1/traces", content=BODY, headers=PROTOBUF)

        assert doors.handover.spans() == ["a", "a"]


def test_mutual_tls_lets_in_whom_the_authority_knows(tmp_path: Path):
    """No certificate, another authority's, and one that has ended stay out; nothing of theirs is taken."""
    ours, theirs = Authority("ours"), Authority("theirs")
    house = House(tmp_path, clients=ours)
    with house.doors() as doors:
        ends = [
            house.send(doors, client)
            for client in (None, theirs.issue("stranger"), ours.issue("late", days=-1), ours.issue("friend"))
        ]

        assert ends == [NOT_LET_IN, NOT_LET_IN, NOT_LET_IN, TAKEN]
        assert doors.handover.spans() == ["a", "a"]


def test_a_new_certificate_is_shown_without_a_restart(tmp_path: Path):
    """New connections see it; the ones that are open are not disturbed."""
    house = House(tmp_path)
    old = house.pair.serial
    with house.doors() as doors:
        doors.traces.Export(request("before"), timeout=5)
        doors.http.post("/v1/traces", content=BODY, headers=PROTOBUF)
        new = house.exchange().serial
        at_once = shown_by(doors)
        house.clock.advance(2)
        later = shown_by(doors)

        assert (at_once, later) == ([old, old], [new, new])
        assert house.send(doors) == TAKEN
        doors.traces.Export(request("after"), timeout=5)
        assert doors.http.post("/v1/traces", content=BODY, headers=PROTOBUF).status_code == 200
        assert house.tls.snapshot() == {"door_file_reloads|tls_test|ok": 1, "door_file_reloads|tls_test|failed": 0}


def test_ten_exchanges_under_load_lose_no_request(tmp_path: Path):
    """R19: every request on old and new connections is answered."""
    house = House(tmp_path)
    with house.doors() as doors:
        for _ in range(10):
            serial = house.exchange().serial
            house.clock.advance(2)
            assert house.send(doors) == TAKEN
            doors.traces.Export(request("b"), timeout=5)
            assert shown_by(doors) == [serial, serial]

        assert doors.handover.spans().count("a") == 20
        assert doors.handover.spans().count("b") == 10


@pytest.mark.parametrize("half", ["server.key", "server.pem"])
def test_a_bad_exchange_keeps_what_was_good(tmp_path: Path, half: str):
    """A key without its certificate is half of an exchange: said, counted, and put right by the other half."""
    house = House(tmp_path)
    old = house.pair.serial
    with house.doors() as doors:
        good = (tmp_path / half).read_bytes()
        (tmp_path / half).write_bytes(house.authority.issue("other").key if half.endswith("key") else b"no certificate")
        house.clock.advance(2)
        assert shown_by(doors) == [old, old]
        assert house.tls.snapshot()["door_file_reloads|tls_test|failed"] == 1

        (tmp_path / half).write_bytes(good + b"\n")
        house.clock.advance(2)
        assert shown_by(doors) == [old, old]
        assert house.tls.snapshot()["door_file_reloads|tls_test|ok"] == 1


def test_an_authority_that_is_exchanged_lets_its_clients_in_and_the_old_ones_out(tmp_path: Path):
    """Also a session of before may not be taken up again."""
    old, new = Authority("old"), Authority("new")
    house = House(tmp_path, clients=old)
    with house.doors() as doors:
        one, other = old.issue("one"), new.issue("other")
        before = house.send(doors, one), house.send(doors, other)
        new.write(tmp_path, "clients")
        house.clock.advance(2)
        after = house.send(doors, one), house.send(doors, other)

    assert before == (TAKEN, NOT_LET_IN)
    assert after == (NOT_LET_IN, TAKEN)


def test_tls_1_3_may_be_asked_for(tmp_path: Path):
    """Over HTTP; a client that ends at 1.2 is not answered."""
    house = House(tmp_path, min_version="1.3")
    context = ssl.create_default_context(cadata=house.authority.pem.decode())
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with house.doors() as doors:
        with pytest.raises(httpx.ConnectError), httpx.Client(verify=context) as old:
            old.post(f"{doors.http_address}/v1/traces", content=BODY, headers=PROTOBUF)

        assert doors.http.post("/v1/traces", content=BODY, headers=PROTOBUF).status_code == 200


def test_a_client_that_never_says_hello_is_closed_in_time(tmp_path: Path):
    """A stalled handshake is not a connection yet: no cap counts it, so it has a deadline."""
    house = House(tmp_path)
    hasty = HttpSettings(server=ServerLimits(head_timeout_s=0.3))
    with open_doors(tls=house.tls, ca=house.authority.pem, http_settings=hasty) as doors:
        host, _, port = doors.http_address.removeprefix("https://").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=20) as stalled, suppress(ConnectionResetError):
            assert stalled.recv(1) == b""


def _pair(folder: Path) -> tuple[Path, Path]:
    return Authority("any").issue("server").write(folder)


def _missing(folder: Path) -> TlsSettings:
    return TlsSettings(folder / "nowhere.pem", _pair(folder)[1])


def _empty(folder: Path) -> TlsSettings:
    cert_file, key_file = _pair(folder)
    key_file.write_bytes(b"\n")
    return TlsSettings(cert_file, key_file)


def _swapped(folder: Path) -> TlsSettings:
    cert_file, key_file = _pair(folder)
    return TlsSettings(key_file, cert_file)


def _sealed(folder: Path) -> TlsSettings:
    cert_file, key_file = _pair(folder)
    key_file.write_bytes(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
    return TlsSettings(cert_file, key_file)


def _strange(folder: Path) -> TlsSettings:
    cert_file, _key_file = _pair(folder)
    return TlsSettings(cert_file, Authority("b").issue("other").write(folder)[1])


def _broken(folder: Path) -> TlsSettings:
    cert_file, key_file = _pair(folder)
    cert_file.write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    return TlsSettings(cert_file, key_file)


def _large(folder: Path) -> TlsSettings:
    cert_file, key_file = _pair(folder)
    cert_file.write_bytes(b"x" * (2**20 + 1))
    return TlsSettings(cert_file, key_file)


def _no_authority(folder: Path) -> TlsSettings:
    (folder / "clients.pem").write_text("these are my clients")
    return TlsSettings(*_pair(folder), folder / "clients.pem")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_missing, ("cert_file", "nowhere.pem", "No such file")),
        (_empty, ("key_file", "server.key", "is empty")),
        (_swapped, ("cert_file", "server.key", "expected -----BEGIN CERTIFICATE-----")),
        (_sealed, ("key_file", "server.key", "is encrypted")),
        (_strange, ("key_file", "other.key", "is not the key of cert_file")),
        (_broken, ("cert_file", "server.pem", "cannot be used")),
        (_large, ("cert_file", "server.pem", "is it the right file?")),
        (_no_authority, ("client_ca_file", "clients.pem", "holds no PEM certificates")),
    ],
)
def test_a_bad_file_is_named_with_the_reason(tmp_path: Path, make: object, words: tuple[str, ...]):
    with pytest.raises(FileFaultError) as caught:
        ServerTls("test", make(tmp_path), ManualClock())  # type: ignore[operator]

    assert [word for word in words if word not in str(caught.value)] == []
