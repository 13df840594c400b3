"""Who may come in: what the configuration says of TLS and credentials, made into what the doors take.

In: the configuration. Out: certificates for each port, or one `ConfigError` with a line for every file that is bad.
"""

from __future__ import annotations

import logging

from collector.app.endpoints import is_loopback
from collector.clock import SystemClock
from collector.config import Config, ConfigError, OtlpExporterConfig
from collector.config_doors import Tls
from collector.tls import ServerTls, TlsSettings, check_authorities, check_pair
from collector.watched import FileFaultError

logger = logging.getLogger(__name__)


def check_files(config: Config) -> None:
    """Read every file that the doors and the exporter will need.

    Raises
    ------
    ConfigError
        With a line for every file that cannot be used: its key, its path and why.
    """
    grpc, http = config.receivers.otlp.protocols.grpc, config.receivers.otlp.protocols.http
    faults: list[str] = []
    for key, section in (
        ("receivers.otlp.protocols.grpc.tls", grpc.tls if grpc.enabled else None),
        ("receivers.otlp.protocols.http.tls", http.tls if http.enabled else None),
        ("query.tls", config.query.tls),
    ):
        try:
            server_tls(key, section)
        except FileFaultError as fault:
            faults.append(f"{key}.{fault}")
    if config.exporters.otlp is not None:
        try:
            _check_client(config.exporters.otlp)
        except FileFaultError as fault:
            faults.append(f"exporters.otlp.{fault}")
    if faults:
        raise ConfigError(
            f"{len(faults)} fault(s) in files of the configuration:\n" + "\n".join(f"  {fault}" for fault in faults)
        )


def server_tls(door: str, section: Tls | None) -> ServerTls | None:
    """Make the certificate of one door; None for plain text.

    Raises
    ------
    FileFaultError
        A file is bad.
    """
    if section is None:
        return None
    return ServerTls(
        door,
        TlsSettings(section.cert_file, section.key_file, section.client_ca_file, section.min_version),
        SystemClock(),
    )


def warn_of_open_doors(config: Config) -> None:
    """Say once and plainly what everybody who reaches this machine can do."""
    grpc, http = config.receivers.otlp.protocols.grpc, config.receivers.otlp.protocols.http
    ways_in = [
        (grpc.endpoint, grpc.enabled, "send spans", grpc.tls),
        (http.endpoint, http.enabled, "send spans", http.tls),
        (config.query.endpoint, True, "read and change answers", config.query.tls),
        (config.query.grpc_endpoint, True, "read answers", config.query.tls),
    ]
    open_doors = [
        f"{endpoint} ({what}{', in plain text' if tls is None else ''})"
        for endpoint, enabled, what, tls in ways_in
        if enabled and not is_loopback(endpoint) and (tls is None or tls.client_ca_file is None)
    ]
    if open_doors:
        logger.warning(
            "no credential is asked for at %s: whoever reaches these ports can. Set auth and tls "
            "(docs/security.md), or listen on 127.0.0.1",
            ", ".join(open_doors),
        )


def _check_client(section: OtlpExporterConfig) -> None:
    if section.cert_file is not None and section.key_file is not None:
        check_pair(section.cert_file, section.key_file, section.ca_file, "ca_file")
    elif section.ca_file is not None:
        check_authorities(section.ca_file, "ca_file")
