"""Who may come in: what the configuration says of TLS and credentials, made into what the doors take.

In: the configuration. Out: certificates and guards for each port, or one `ConfigError` with a line for every file that
is bad. What checks passwords and signatures is loaded only where it is asked for.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Mapping

from collector.auth.bearer import BearerTokens, TokenGrant
from collector.auth.fetch import fetch
from collector.auth.guard import Finder, Guard
from collector.auth.identity import Identity, Role
from collector.clock import SystemClock
from collector.config import Config, ConfigError
from collector.config_auth import Auth, Basic, Grant, Oidc
from collector.config_doors import ClientTls, Tls
from collector.config_open import warnings_of
from collector.config_redaction import Redaction
from collector.redaction import Redactor, UserRule
from collector.tls import ServerTls, TlsSettings, check_authorities, check_pair, client_tls
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
    faults += _auth_faults(config.auth)
    if config.exporters.otlp is not None:
        try:
            _check_client(config.exporters.otlp)
        except FileFaultError as fault:
            faults.append(f"exporters.otlp.{fault}")
    if config.exporters.sentry is not None and config.exporters.sentry.ca_file is not None:
        try:
            check_authorities(config.exporters.sentry.ca_file, "ca_file")
        except FileFaultError as fault:
            faults.append(f"exporters.sentry.{fault}")
    try:
        _check_client(config.query.peers)
    except FileFaultError as fault:
        faults.append(f"query.peers.{fault}")
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


def query_guard(config: Config) -> Guard | None:
    """Who knows the credentials of REST and gRPC; None: nobody is asked.

    Raises
    ------
    FileFaultError
        A file is bad.
    """
    return _guard(config.auth) if config.auth.enabled and config.auth.query else None


def receiver_guard(config: Config) -> Guard | None:
    """Who knows the credentials of the OTLP ports; None: nobody is asked.

    Raises
    ------
    FileFaultError
        A file is bad.
    """
    return _guard(config.auth) if config.auth.enabled and config.auth.receivers else None


def ingest_tenant(guard: Guard | None) -> Callable[[Mapping[str, str]], str] | None:
    """What the receivers ask: may this one send, and for which tenant."""
    return None if guard is None else lambda headers: guard.admit(headers, Role.INGEST).tenant


def _guard(section: Auth) -> Guard:
    bearers = [part for part in (_tokens(section), _signed(section.oidc)) if part is not None]
    return Guard(bearers, _passwords(section.basic))


def _tokens(section: Auth) -> Finder | None:
    if not section.bearer:
        return None
    grants = [
        TokenGrant(
            _identity(token.name, token), token.token.get_secret_value() if token.token else "", token.token_file
        )
        for token in section.bearer
    ]
    return BearerTokens(grants, SystemClock())


def _passwords(section: Basic | None) -> Finder | None:
    if section is None:
        return None
    from collector.auth.passwords import Passwords

    users = {user.name: _identity(user.name, user) for user in section.users}
    return Passwords(section.file, users, SystemClock())


def _signed(section: Oidc | None) -> Finder | None:
    if section is None:
        return None
    from collector.auth.keys import FetchedKeys, FileKeys, KeySource
    from collector.auth.tokens import SignedTokens, TokenRules

    tls = client_tls("tls_jwks", section.ca_file, None, None, SystemClock())
    keys: KeySource
    if section.jwks_file is not None:
        keys = FileKeys(section.jwks_file, SystemClock())
    else:
        keys = FetchedKeys(
            lambda: fetch(section.jwks_url, tls=tls.current().context, insecure=section.insecure), SystemClock()
        )
    rules = TokenRules(
        section.issuer,
        section.audience,
        section.algorithms,
        section.roles_claim,
        section.roles,
        section.tenant_claim,
    )
    return SignedTokens(rules, keys)


def _identity(name: str, grant: Grant) -> Identity:
    return Identity(name, frozenset(grant.roles), grant.tenant)


def _auth_faults(section: Auth) -> list[str]:
    """Try each part, so that all faults come at once."""
    faults: list[str] = []
    parts: tuple[tuple[str, Callable[[], Finder | None]], ...] = (
        ("auth.bearer", lambda: _tokens(section)),
        ("auth.basic", lambda: _passwords(section.basic)),
        ("auth.oidc", lambda: _signed(section.oidc)),
    )
    for key, make in parts:
        try:
            make()
        except FileFaultError as fault:
            faults.append(f"{key}: {fault}")
    return faults


def new_redactor(section: Redaction) -> Redactor:
    """What masks secrets in this process."""
    return Redactor(section.without, [UserRule(rule.name, rule.keys, rule.compiled) for rule in section.rules])


def warn_of_open_doors(config: Config) -> None:
    """Say once and plainly what stands open. Without `service.insecure` nothing does: it is a fault."""
    for words, todo in warnings_of(config.doors()):
        logger.warning("%s; %s", words, todo)


def client_context(section: ClientTls) -> ssl.SSLContext | None:
    """Make what our own HTTP questions are secured with; None for plain text. Files are read once, here."""
    if section.insecure:
        return None
    context = ssl.create_default_context(cafile=section.ca_file)
    if section.cert_file is not None:
        context.load_cert_chain(section.cert_file, section.key_file)
    return context


def _check_client(section: ClientTls) -> None:
    if section.cert_file is not None and section.key_file is not None:
        check_pair(section.cert_file, section.key_file, section.ca_file, "ca_file")
    elif section.ca_file is not None:
        check_authorities(section.ca_file, "ca_file")
