"""Configuration: YAML with `${env:NAME:-default}`, checked whole before anything starts.

In: a file (or none), the environment. Out: a frozen `Config`, or one `ConfigError` that names every
fault with its key. Unknown keys are faults. Later wins: defaults, file, `FIRSTFAULT__A__B=value`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, model_validator

from analyzer.config import AnalysisConfig
from analyzer.errors.rules import RULES_MAX, Rule
from analyzer.errors.taxonomy import Overrule
from analyzer.incident_config import IncidentConfig
from collector.config_assembly import Assembly
from collector.config_auth import Auth
from collector.config_base import Endpoint, Section
from collector.config_doors import ClientTls, GrpcTls, Tls
from collector.config_exporters import Exporters
from collector.config_open import Door, fault_of
from collector.config_redaction import Redaction
from collector.config_text import ConfigTextError, read_yaml, substitute

ENV_PREFIX = "FIRSTFAULT__"


class ConfigError(Exception):
    """The configuration cannot be used; the message lists every fault."""


class Cors(Section):
    allowed_origins: list[str] = Field([], description="exact origins or patterns with *; empty: CORS is off")
    allowed_headers: list[str] = Field([], description="request headers a browser may send besides content-type")
    max_age_s: int = Field(600, ge=0, le=86_400)


class GrpcReceiver(Section):
    enabled: bool = True
    endpoint: Endpoint = "127.0.0.1:4317"
    message_bytes_max: int = Field(64 * 2**20, ge=1024, le=2**30, description="largest request after decompression")
    concurrent_streams_max: int = Field(100, ge=1, le=100_000)
    connections_max: int = Field(
        4096, ge=1, le=1_000_000, description="of one process; further ones are closed at once"
    )
    workers: int = Field(8, ge=1, le=256, description="threads that answer calls")
    reflection: bool | None = Field(None, description="server reflection; default: only on loopback")
    tls: GrpcTls | None = Field(None, description="none: plain text")


class HttpReceiver(Section):
    enabled: bool = True
    endpoint: Endpoint = "127.0.0.1:4318"
    message_bytes_max: int = Field(64 * 2**20, ge=1024, le=2**30, description="largest request after decompression")
    connections_max: int = Field(
        1024, ge=1, le=1_000_000, description="of one process; over it the longest waiting one is closed"
    )
    body_timeout_s: float = Field(30.0, gt=0, le=3600, description="time a client has to send its body")
    cors: Cors = Cors()
    tls: Tls | None = Field(None, description="none: plain text")


class Protocols(Section):
    grpc: GrpcReceiver = GrpcReceiver()
    http: HttpReceiver = HttpReceiver()


class RequestBudget(Section):
    spans_max: int = Field(100_000, ge=1, le=10_000_000, description="spans or log records in one request")
    messages_max: int = Field(1_000_000, ge=1, le=100_000_000, description="protobuf sub-messages in one request")
    resources_max: int = Field(10_000, ge=1, le=1_000_000)
    depth_max: int = Field(32, ge=1, le=64, description="nesting of attribute values")


class OtlpReceiver(Section):
    protocols: Protocols = Protocols()
    budget: RequestBudget = RequestBudget()


class Receivers(Section):
    otlp: OtlpReceiver = OtlpReceiver()


class Incidents(IncidentConfig):
    enabled: bool = Field(True, description="look over many traces: detect, rank, tell")
    tick_s: float = Field(10.0, ge=1, le=300, description="length of a tick of the detector")
    false_alarms_per_hour: float = Field(0.1, gt=0, le=100, description="budget of the detector, all alarms together")
    cold_s: float = Field(600.0, ge=0, le=31_536_000, description="age of an entity before its own history is believed")
    cold_count: int = Field(
        200, ge=1, le=1_000_000, description="calls of an entity before its own history is believed"
    )


class Errors(Section):
    groups_max: int = Field(5_000, ge=16, le=10_000, description="groups of errors in memory; the longest unseen leave")
    new_hours: float = Field(24.0, gt=0, le=8_760, description="how long a group counts as new, or as regressed")
    rules: list[Rule] = Field([], max_length=RULES_MAX, description="merge, split, ignore, name; the first that fits")
    taxonomy: list[Overrule] = Field(
        [], max_length=RULES_MAX, description="severity, type, observability of some groups"
    )
    synthetic_agents: list[Annotated[str, Field(min_length=3, max_length=200)]] = Field(
        [], max_length=RULES_MAX, description="more user agents of synthetic checks, by a part of theirs"
    )


class Sources(Section):
    checkout: str = Field("", description="directory of the application's code, mounted read-only; empty: off")
    maps: str = Field("", description="directory of source maps beside their bundles; empty: off")
    lines_around: int = Field(5, ge=0, le=50, description="lines of code before and after a frame's, in reports")
    commits_max: int = Field(5, ge=0, le=20, description="commits to these lines, in reports; 0: git is not asked")


class Storage(Section):
    path: Path = Field(Path("var/firstfault"), description="directory; made with mode 0700")
    retention_hours: float = Field(72.0, gt=0, le=87_600)
    bytes_max: int = Field(
        10 * 2**30, ge=2**20, le=2**50, description="all files together; the oldest hour leaves first"
    )
    clean_traces_per_second: float = Field(
        20.0, ge=0, le=1_000_000, description="clean traces kept whole; the rest: id only"
    )


class Journal(Section):
    segment_bytes: int = Field(
        64 * 2**20, ge=2**20, le=2**30, description="a file of the journal is closed at this size"
    )
    bytes_max: int = Field(
        4 * 2**30, ge=4 * 2**20, le=2**50, description="all journals together; more is refused for a while"
    )
    compression: Literal["none", "zstd"] = Field("none", description="zstd: a sixth of the bytes, some CPU")

    @model_validator(mode="after")
    def _holds_a_segment(self) -> Self:
        if self.segment_bytes > self.bytes_max:
            raise ValueError(
                f"segment_bytes is {self.segment_bytes}; expected at most bytes_max ({self.bytes_max}), of all segments"
            )
        return self


class Peers(ClientTls):
    dns: str = Field("", pattern=r"^[A-Za-z0-9._-]{0,253}$", description="name of all instances, a headless service")
    port: int = Field(8080, ge=1, le=65535, description="REST port of the instances behind `dns`")
    endpoints: list[Endpoint] = Field([], max_length=64, description="REST endpoints of other instances, beside `dns`")
    name: str = Field("", pattern=r"^[A-Za-z0-9._:-]{0,253}$", description="of this instance; empty: its host name")
    timeout_s: float = Field(0.5, gt=0, le=30, description="all peers together have this time to say what they hold")
    answer_timeout_s: float = Field(5.0, gt=0, le=60, description="time to fetch, and put together, what they hold")
    refresh_s: float = Field(5.0, gt=0, le=300, description="`dns` is resolved again after this time")
    peers_max: int = Field(16, ge=1, le=64, description="instances that are asked; answers name those left out")
    headers: dict[str, SecretStr] = Field({}, description="sent with every question: a credential with the role read")


class Query(Section):
    endpoint: Endpoint = "127.0.0.1:8080"
    grpc_endpoint: Endpoint = "127.0.0.1:9317"
    wait_max_s: float = Field(30.0, ge=0, le=300, description="upper bound of ?wait=")
    tls: GrpcTls | None = Field(None, description="of both endpoints; none: plain text")
    hosts: list[str] = Field([], description="names that may ask for us (Host); on loopback its own names are known")
    peers: Peers = Peers()


class Metrics(Section):
    endpoint: Endpoint = "127.0.0.1:8888"


class Logs(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"
    environment: Literal["dev", "staging", "production"] = "production"  # told in every JSON line


class Telemetry(Section):
    metrics: Metrics = Metrics()
    logs: Logs = Logs()


class Health(Section):
    endpoint: Endpoint = "127.0.0.1:13133"


class Service(Section):
    processes: int = Field(0, ge=0, le=64, description="0: one receiver a core, but one; 1: everything in one process")
    stop_timeout_s: float = Field(10.0, gt=0, le=3600)
    insecure: bool = Field(False, description="listen beyond this machine without TLS or credentials")
    telemetry: Telemetry = Telemetry()
    health: Health = Health()


class Config(Section):
    """All of it."""

    receivers: Receivers = Receivers()
    assembly: Assembly = Assembly()
    analysis: AnalysisConfig = AnalysisConfig()
    incidents: Incidents = Incidents()
    errors: Errors = Errors()
    sources: Sources = Sources()
    storage: Storage = Storage()
    durability: Literal["journal", "memory"] = Field(
        "journal", description="what an acknowledgement means: on disk, or in memory (a crash loses open traces)"
    )
    journal: Journal = Journal()
    exporters: Exporters = Exporters()
    auth: Auth = Auth()
    redaction: Redaction = Redaction()
    query: Query = Query()
    service: Service = Service()

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        """Two listeners of one address: with several processes both would bind, and each get half of the other's."""
        taken: dict[str, str] = {}
        for key, address in self.listeners().items():
            if address in taken and not address.endswith(":0"):
                raise ValueError(f"{taken[address]} and {key} are both {address}; expected a port for each")
            taken[address] = key
        exporter = self.exporters.otlp
        if exporter is not None and taken.get(exporter.endpoint, "").startswith("receivers."):
            raise ValueError(
                f"exporters.otlp.endpoint is {exporter.endpoint}, our own {taken[exporter.endpoint]}; "
                "expected a destination that does not feed firstfault"
            )
        return self

    @model_validator(mode="after")
    def _doors_are_shut(self) -> Self:
        """Everybody's port by oversight is worse than no start: who wants it says so."""
        fault = "" if self.service.insecure else fault_of(self.doors())
        if fault:
            raise ValueError(fault)
        return self

    def doors(self) -> list[Door]:
        """Where telemetry and questions come in; what is switched off is not there."""
        otlp, query, auth = self.receivers.otlp.protocols, self.query, self.auth
        sends, asks = auth.enabled and auth.receivers, auth.enabled and auth.query
        key = "receivers.otlp.protocols"
        found = []
        if otlp.grpc.enabled:
            found.append(Door(f"{key}.grpc.endpoint", otlp.grpc.endpoint, "send spans", sends, otlp.grpc.tls))
        if otlp.http.enabled:
            found.append(Door(f"{key}.http.endpoint", otlp.http.endpoint, "send spans", sends, otlp.http.tls))
        found.append(Door("query.endpoint", query.endpoint, "read and change answers", asks, query.tls))
        found.append(Door("query.grpc_endpoint", query.grpc_endpoint, "read answers", asks, query.tls))
        return found

    def listeners(self) -> dict[str, str]:
        """Key of the configuration -> the address we listen on."""
        protocols = self.receivers.otlp.protocols
        found = {
            "query.endpoint": self.query.endpoint,
            "query.grpc_endpoint": self.query.grpc_endpoint,
            "service.telemetry.metrics.endpoint": self.service.telemetry.metrics.endpoint,
            "service.health.endpoint": self.service.health.endpoint,
        }
        if protocols.grpc.enabled:
            found["receivers.otlp.protocols.grpc.endpoint"] = protocols.grpc.endpoint
        if protocols.http.enabled:
            found["receivers.otlp.protocols.http.endpoint"] = protocols.http.endpoint
        return found


def load_config(path: Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Read, substitute, override and check.

    Raises
    ------
    ConfigError
        The file cannot be read, is not YAML, or holds faults; all of them are in the message.
    """
    return check(read_tree(path, environ), str(path) if path else "the environment")


def read_tree(path: Path | None = None, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Read the file and the environment into one plain tree, references filled, nothing checked yet.

    Raises
    ------
    ConfigError
        The file cannot be read, is not YAML or not a mapping, or a variable names no setting.
    """
    environ = os.environ if environ is None else environ
    tree: dict[str, Any] = {} if path is None else _read(path, environ)
    _override(tree, environ)
    return tree


def check(tree: dict[str, Any], where: str = "the configuration") -> Config:
    """Check a plain tree.

    Raises
    ------
    ConfigError
        With a line for every fault.
    """
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        faults = [_fault(detail) for detail in error.errors()]
    raise ConfigError(f"{len(faults)} fault(s) in {where}:\n" + "\n".join(f"  {fault}" for fault in faults))


def _read(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    try:
        tree = read_yaml(text)
    except ConfigTextError as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} holds a {type(tree).__name__}; expected a mapping with keys like receivers, storage")
    try:
        found = substitute(tree, environ)
    except ConfigTextError as error:
        raise ConfigError(f"{path}: {error}") from error
    assert isinstance(found, dict)
    return found


def _override(tree: dict[str, Any], environ: Mapping[str, str]) -> None:
    for name in sorted(environ):
        if not name.startswith(ENV_PREFIX):
            continue
        *parents, leaf = name[len(ENV_PREFIX) :].lower().split("__")
        place: Any = tree
        for key in parents:
            place = place.setdefault(key, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict) or not leaf:
            raise ConfigError(f"{name} does not name a setting; expected {ENV_PREFIX}SECTION__KEY=value")
        try:
            place[leaf] = read_yaml(environ[name])
        except ConfigTextError:
            place[leaf] = environ[name]


def _fault(detail: Any) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        return f"{key}: unknown key; remove it or see `firstfault config schema`"
    found = detail.get("input")
    secret = "headers" in detail["loc"] or detail["loc"][-1:] in (("token",), ("dsn",))
    shown = "" if secret or isinstance(found, dict | list) else f" (found {str(found)[:80]!r})"
    words = str(detail["msg"]).removeprefix("Value error, ")  # pydantic's mark of a check of ours
    return f"{key}: {words}{shown}" if key else words


def masked(config: Config) -> dict[str, Any]:
    """Return the whole configuration as plain values, secrets masked."""
    return config.model_dump(mode="json")
