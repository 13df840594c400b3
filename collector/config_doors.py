"""Sections of the configuration that say who may come in, and how destinations are known."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from collector.config_base import FilePath, Section


class Tls(Section):
    """TLS of a port. Files are read again when they change."""

    cert_file: FilePath = Field(description="our certificate and its chain, PEM")
    key_file: FilePath = Field(description="its private key, PEM, not encrypted")
    client_ca_file: FilePath | None = Field(None, description="authorities of clients, PEM; given: clients need one")
    min_version: Literal["1.2", "1.3"] = "1.2"


class GrpcTls(Tls):
    """TLS of a port that speaks gRPC."""

    @model_validator(mode="after")
    def _only_what_grpcio_can(self) -> Self:
        if self.min_version != "1.2":
            raise ValueError("min_version is 1.3; expected 1.2: grpcio cannot be told to refuse TLS 1.2")
        return self


class ClientTls(Section):
    """How we know a destination, and show who we are."""

    insecure: bool = Field(True, description="no TLS")
    ca_file: FilePath | None = Field(None, description="authorities of the destination, PEM; default: the system's")
    cert_file: FilePath | None = Field(None, description="our certificate, for a destination that asks for one (mTLS)")
    key_file: FilePath | None = Field(None, description="its private key, PEM, not encrypted")
    server_name_override: str = Field("", max_length=253, description="name the destination's certificate must have")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        given = [name for name in ("ca_file", "cert_file", "key_file") if getattr(self, name) is not None]
        if self.server_name_override:
            given.append("server_name_override")
        if self.insecure and given:
            raise ValueError(f"{given[0]} is given and insecure is true; expected insecure: false, or no {given[0]}")
        if (self.cert_file is None) != (self.key_file is None):
            missing = "key_file" if self.key_file is None else "cert_file"
            raise ValueError(f"{missing} is missing; expected cert_file and key_file together")
        return self
