"""Whom the exporter trusts and who it says it is; the destination is a real pair of doors with mTLS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from collector.contracts import Signal
from collector.exporters.otlp import connect
from collector.exporters.transport import OtlpSettings, Transport, Verdict
from collector.tls import ServerTls, TlsSettings
from collector.watched import FileFaultError
from tests.support.certificates import Authority
from tests.support.doors import Doors, log_request, open_doors
from tests.support.fakes.clock import ManualClock

ACCEPTED, RETRY = Verdict.ACCEPTED, Verdict.RETRY


@dataclass
class Destination:
    """Doors whose certificate is for `collector.internal`, and which know the clients of one authority."""

    folder: Path
    doors: Doors
    protocol: str
    servers: Authority
    clients: Authority
    clock: ManualClock = field(default_factory=ManualClock)

    def connect(self, **changes: object) -> Transport:
        address = self.doors.grpc_address if self.protocol == "grpc" else self.doors.http_address
        words = {
            "endpoint": address.removeprefix("https://"),
            "protocol": self.protocol,
            "insecure": False,
            "ca_file": self.servers.write(self.folder, "trusted"),
            "cert_file": self.folder / "us.pem",
            "key_file": self.folder / "us.key",
            "server_name_override": "collector.internal",
            "timeout_s": 5.0,
        }
        return connect(OtlpSettings(**(words | changes)), self.clock)  # type: ignore[arg-type]


@pytest.fixture(params=["grpc", "http"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Destination]:
    servers, clients = Authority("servers"), Authority("clients")
    files = servers.issue("server", "collector.internal").write(tmp_path)
    tls = ServerTls("test", TlsSettings(*files, clients.write(tmp_path, "clients")), ManualClock())
    clients.issue("us").write(tmp_path)
    with open_doors(tls=tls, ca=servers.pem) as doors:
        yield Destination(tmp_path, doors, str(request.param), servers, clients)


def test_it_shows_its_certificate_and_takes_the_name_it_is_told(destination: Destination):
    transport = destination.connect()

    assert transport.send(Signal.LOGS, log_request("x").SerializeToString()).verdict is ACCEPTED
    assert destination.doors.handover.logs() == ["x"]
    transport.close()


@pytest.mark.parametrize(
    "changes",
    [{"server_name_override": ""}, {"cert_file": None, "key_file": None}, {"ca_file": None}],
    ids=["another name", "no certificate", "an authority that is not trusted"],
)
def test_without_one_of_them_nothing_is_sent_and_nothing_is_lost(destination: Destination, changes: dict[str, object]):
    transport = destination.connect(**changes)

    assert transport.send(Signal.LOGS, log_request("x").SerializeToString()).verdict is RETRY
    assert destination.doors.handover.logs() == []
    transport.close()


def test_a_certificate_that_is_exchanged_is_shown_without_a_restart(destination: Destination):
    """The first is a stranger's; the second is good; a third that is broken leaves the second in use."""
    Authority("strangers").issue("us").write(destination.folder)
    transport = destination.connect()
    body = log_request("x").SerializeToString()
    verdicts = [transport.send(Signal.LOGS, body).verdict]
    destination.clients.issue("us").write(destination.folder)
    destination.clock.advance(2)
    verdicts.append(transport.send(Signal.LOGS, body).verdict)
    (destination.folder / "us.key").write_text("broken")
    destination.clock.advance(2)
    verdicts.append(transport.send(Signal.LOGS, body).verdict)
    transport.close()

    assert verdicts == [RETRY, ACCEPTED, ACCEPTED]


def test_a_bad_file_is_said_before_anything_is_sent(destination: Destination):
    with pytest.raises(FileFaultError, match=r"ca_file .*nowhere\.pem cannot be read"):
        destination.connect(ca_file=destination.folder / "nowhere.pem")
