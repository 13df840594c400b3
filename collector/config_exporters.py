"""Configuration: where findings are sent."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from collector.config_base import Endpoint, Section
from collector.config_doors import ClientTls
from collector.exporters.sentry_dsn import Dsn


class OtlpExporterConfig(ClientTls):
    endpoint: Endpoint = Field(description="host:port of an OTLP receiver; never one that feeds firstfault")
    protocol: Literal["grpc", "http"] = "grpc"
    headers: dict[str, SecretStr] = Field({}, description="sent with every request; shown masked")
    compression: Literal["none", "gzip"] = "gzip"
    timeout_s: float = Field(10.0, gt=0, le=300)
    retry_wait_max_s: float = Field(15.0, gt=0, le=3600, description="a destination that is away is tried this often")
    annotation_spans: bool = Field(True, description="send annotation spans (docs: write back, B)")
    log_events: bool = Field(True, description="send log events (docs: write back, A)")
    attribute_prefix: str = Field("firstfault.", pattern=r"^[a-z][a-z0-9_]*\.$")


class SentryExporterConfig(Section):
    dsn: SecretStr = Field(description="https://KEY@HOST/PROJECT of the project that takes the events; shown masked")
    environment: str = Field("", max_length=64, description="empty: that of the resource where the trouble began")
    release: str = Field("", max_length=200, description="empty: the version of the service where the trouble began")
    sample_rate: float = Field(1.0, ge=0, le=1, description="share of failing traces that are told, by trace id")
    send_user_ids: bool = Field(False, description="also tell who was hit (user.id, enduser.id, session.id)")
    tags: dict[str, str] = Field({}, max_length=32, description="on every event")
    ca_file: Path | None = Field(None, description="who signed the server's certificate; none: the system's list")
    timeout_s: float = Field(10.0, gt=0, le=300)
    retry_wait_max_s: float = Field(60.0, gt=0, le=3600, description="a destination that is away is tried this often")

    @field_validator("dsn")
    @classmethod
    def _is_read(cls, dsn: SecretStr) -> SecretStr:
        Dsn.read(dsn.get_secret_value())
        return dsn


class Exporters(Section):
    otlp: OtlpExporterConfig | None = None
    sentry: SentryExporterConfig | None = None
