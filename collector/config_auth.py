"""The section `auth`: whose credentials are taken, and what each may do."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from analyzer.spans import TENANT_PATTERN
from collector.auth.fetch import check_url
from collector.auth.identity import Role
from collector.config_base import FilePath, Section

Tenant = Annotated[str, StringConstraints(pattern=rf"^({TENANT_PATTERN})?$")]


class Grant(Section):
    """What a credential may do."""

    roles: list[Role] = Field(min_length=1, description="ingest, read, write (and read), admin (all)")
    tenant: Tenant = Field("", description="recorded with what it sends; who has one may only send")

    @model_validator(mode="after")
    def _senders_only(self) -> Self:
        if self.tenant and self.roles != [Role.INGEST]:
            raise ValueError("a tenant may only have the role ingest: answers are not kept apart by tenant")
        return self


class BearerToken(Grant):
    """A token of ours, or a file with one a line."""

    name: str = Field(min_length=1, max_length=64, description="for people; never the token")
    token: SecretStr | None = Field(None, description="such as ${env:NAME}; never written here as it is")
    token_file: FilePath | None = Field(None, description="a token a line: old and new while they are exchanged")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.token is None) == (self.token_file is None):
            raise ValueError("expected one of token and token_file")
        return self


class User(Grant):
    """A name of the password file."""

    name: str = Field(min_length=1, max_length=128, pattern=r"^[^:\s]+$")


class Basic(Section):
    """Names and passwords."""

    file: FilePath = Field(description="name:hash a line, bcrypt, as htpasswd -B writes it")
    users: list[User] = Field(min_length=1, max_length=1024, description="what each may do; others are nobody")


class Oidc(Section):
    """Tokens that somebody else signs."""

    issuer: str = Field(min_length=1, description="must be the token's iss")
    audience: str = Field(min_length=1, description="must be in the token's aud")
    jwks_url: str = Field("", description="where its keys are; https, or http on loopback")
    jwks_file: FilePath | None = None
    ca_file: FilePath | None = Field(None, description="authorities of jwks_url, PEM; default: the system's")
    insecure: bool = Field(False, description="jwks_url may be http beyond loopback")
    algorithms: list[
        Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
    ] = Field(["RS256", "ES256"], min_length=1)
    roles_claim: str = Field("roles", min_length=1, description="a list or words; with dots: inside of others")
    roles: dict[str, Role] = Field({}, description="value of the claim: role; empty: values are roles")
    tenant_claim: str = Field("", description="given: every token must have it, and may only send")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.jwks_url) == (self.jwks_file is not None):
            raise ValueError("expected one of jwks_url and jwks_file")
        if self.jwks_url:
            try:
                check_url(self.jwks_url, insecure=self.insecure)
            except ValueError as error:
                raise ValueError(f"jwks_url {error}") from error
        return self


class Auth(Section):
    """Empty: everybody is let in."""

    receivers: bool = Field(True, description="ask at the OTLP ports")
    query: bool = Field(True, description="ask at REST and gRPC")
    bearer: list[BearerToken] = Field([], max_length=256)
    basic: Basic | None = None
    oidc: Oidc | None = None

    @field_validator("bearer")
    @classmethod
    def _names_differ(cls, tokens: list[BearerToken]) -> list[BearerToken]:
        names = [token.name for token in tokens]
        if len(set(names)) < len(names):
            raise ValueError("two tokens have the same name; expected a name for each")
        return tokens

    @property
    def enabled(self) -> bool:
        return bool(self.bearer) or self.basic is not None or self.oidc is not None
