"""What the doctor looks at around the machine: ports, who is let in, the exporter, peers, and when certificates end."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from collector.app.endpoints import host_port
from collector.clock import SystemClock
from collector.config import Config
from collector.config_exporters import OtlpExporterConfig
from collector.config_open import warnings_of
from collector.floors import Line
from collector.tls import client_tls
from collector.watched import FileFaultError

CONNECT_TIMEOUT_S = 3.0
ENDS_SOON_DAYS = 14
_LISTENING = "0A"  # state, as /proc/net/tcp writes it


def check_ports(config: Config) -> list[Line]:
    """Try to listen where a server would; say who does already."""
    protocols, service = config.receivers.otlp.protocols, config.service
    doors = [
        ("OTLP/gRPC", protocols.grpc.endpoint if protocols.grpc.enabled else ""),
        ("OTLP/HTTP", protocols.http.endpoint if protocols.http.enabled else ""),
        ("REST", config.query.endpoint),
        ("gRPC", config.query.grpc_endpoint),
        ("metrics", service.telemetry.metrics.endpoint),
        ("health", service.health.endpoint),
    ]
    lines = []
    held: dict[int, str] = {}
    with ExitStack() as sockets:  # held together: two doors at one port are found
        for door, endpoint in doors:
            if endpoint:
                lines.append(_port(door, endpoint, sockets, held))
    return lines


def _port(door: str, endpoint: str, sockets: ExitStack, held: dict[int, str]) -> Line:
    name = f"port {endpoint}"
    host, port = host_port(endpoint)
    if port in held:
        words = f"is told for {held[port]} and for {door}"
        return Line(name, "fault", words, "give each door a port of its own")
    if port:
        held[port] = door
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = sockets.enter_context(socket.socket(family, kind, protocol))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return _taken(name, door, port)
        todo = "choose a port from 1024 on" if error.errno == errno.EACCES else "choose an address of this machine"
        return Line(name, "fault", f"cannot be listened at for {door}: {error.strerror}", todo)
    return Line(name, "ok", f"is free for {door}")


def _taken(name: str, door: str, port: int) -> Line:
    holder = holder_of(port)
    if holder is None:
        todo = "stop who listens there (ss -ltnp), or choose another port"
        return Line(name, "fault", f"is taken, by a process we cannot see; {door} needs it", todo)
    pid, command = holder
    if "collector" in command or any(word.endswith("firstfault") for word in command):
        return Line(name, "ok", f"is held for {door} by a firstfault that runs (process {pid})")
    shown = " ".join(command)[:80]
    return Line(name, "fault", f"is taken by process {pid} ({shown}); {door} needs it", "stop it, or choose another")


def holder_of(port: int, proc: Path = Path("/proc")) -> tuple[int, list[str]] | None:
    """Process and command line of who listens at a port of this machine; None when we may not see it."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port, proc)}
    for folder in sorted(proc.glob("[0-9]*")):
        with suppress(OSError):
            for link in (folder / "fd").iterdir():
                with suppress(OSError):
                    if os.readlink(link) in wanted:
                        words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
                        return int(folder.name), _words(words)
    return None


def _words(command: list[str]) -> list[str]:
    """The command's words; of `-m collector.process` the package."""
    return [word.partition(".")[0] if word.startswith("collector.") else word for word in command if word]


def _listening_inodes(port: int, proc: Path) -> Iterator[str]:
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (proc / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def check_doors(config: Config) -> list[Line]:
    """Say what stands open because `service.insecure` allows it; without that, the configuration is a fault."""
    name = "open doors"
    said = [Line(name, "warn", words, todo) for words, todo in warnings_of(config.doors())]
    return said or [Line(name, "ok", "none: what is reached from beyond this machine has TLS and asks for credentials")]


def check_exporter(config: Config) -> list[Line]:
    """Connect to the destination, with TLS where it is told. Nothing is sent."""
    section = config.exporters.otlp
    if section is None:
        return [Line("exporter", "ok", "none: findings are answered here and sent nowhere")]
    host, port = host_port(section.endpoint)
    name = f"exporter {section.endpoint}"
    try:
        with socket.create_connection((host.strip("[]"), port), CONNECT_TIMEOUT_S) as connection:
            if section.insecure:
                return [Line(name, "ok", "takes connections, in plain text")]
            return [Line(name, "ok", f"takes connections, {_handshake(section, connection, host)}")]
    except FileFaultError as fault:
        return [Line(name, "fault", str(fault), "mend or exchange the file")]
    except ssl.SSLCertVerificationError as error:
        todo = "set exporters.otlp.ca_file, or server_name_override"
        return [Line(name, "fault", f"its certificate is not trusted: {error.verify_message}", todo)]
    except ssl.SSLError as error:
        todo = "is TLS spoken there? else set exporters.otlp.insecure: true"
        return [Line(name, "fault", f"TLS fails: {error.reason or error}", todo)]
    except OSError as error:
        why = error.strerror or str(error) or type(error).__name__
        todo = "findings wait in the outbox until it does; start it, or mend exporters.otlp.endpoint"
        return [Line(name, "fault", f"cannot be reached: {why}", todo)]


def _handshake(section: OtlpExporterConfig, connection: socket.socket, host: str) -> str:
    files = client_tls("tls_exporter", section.ca_file, section.cert_file, section.key_file, SystemClock())
    context = files.current().context
    context.set_alpn_protocols(["h2"] if section.protocol == "grpc" else ["http/1.1"])
    with context.wrap_socket(connection, server_hostname=section.server_name_override or host.strip("[]")) as secure:
        return str(secure.version())


def check_peers(config: Config) -> list[Line]:
    """Resolve who else is asked. A name without an instance yet is a warning: peers come and go."""
    section = config.query.peers
    names = [(section.dns, section.port)] if section.dns else []
    names += [host_port(endpoint) for endpoint in section.endpoints]
    if not names:
        return [Line("peers", "ok", "none: this instance answers alone")]
    lines = []
    for host, port in names:
        try:
            found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        except OSError as error:
            todo = "look at the name (a headless service), or mend query.peers"
            lines.append(Line(f"peer {host}", "warn", f"cannot be resolved: {error.strerror}", todo))
        else:
            count = len({address[4][0] for address in found})
            lines.append(Line(f"peer {host}", "ok", f"resolves to {count} address{'es' if count != 1 else ''}"))
    return lines


def check_certificates(config: Config, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> list[Line]:
    """Read when each certificate of the configuration ends; of files that hold several, the first to end."""
    lines = []
    for key, path in _certificate_files(config):
        try:
            found = x509.load_pem_x509_certificates(path.read_bytes())
        except (OSError, ValueError):
            continue  # said by the check of the configured files
        first = min(found, key=lambda one: one.not_valid_after_utc)
        left_days = (first.not_valid_after_utc - now()).total_seconds() / 86_400
        name = f"certificate {key}"
        ends = f"{path} ends {first.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
        if first.not_valid_before_utc > now():
            begins = f"{first.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
            lines.append(Line(name, "fault", f"{path} begins {begins}", "look at the clock"))
        elif left_days < 0:
            lines.append(Line(name, "fault", f"{ends}: it is over", "exchange the file; a server reads it again"))
        elif left_days < ENDS_SOON_DAYS:
            lines.append(Line(name, "warn", f"{ends}, in {left_days:.1f} days", "exchange the file in time"))
        else:
            lines.append(Line(name, "ok", f"{ends}, in {left_days:.0f} days"))
    return lines


def _certificate_files(config: Config) -> Iterator[tuple[str, Path]]:
    protocols, exporter = config.receivers.otlp.protocols, config.exporters.otlp
    sections = (
        ("grpc", protocols.grpc.tls if protocols.grpc.enabled else None),
        ("http", protocols.http.tls if protocols.http.enabled else None),
        ("query", config.query.tls),
    )
    for key, section in sections:
        if section is not None:
            yield key, section.cert_file
            if section.client_ca_file is not None:
                yield f"{key} clients", section.client_ca_file
    if exporter is not None:
        for key, path in (("exporter", exporter.cert_file), ("exporter's authority", exporter.ca_file)):
            if path is not None:
                yield key, path
