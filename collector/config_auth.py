"""The section `auth`: whose credentials are taken, and what each may do."""

from __future__ import annotations

import re
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
    tenant: Tenant = Field("", description="recorded with what it sends; who has one may send, and read its own traces")

    @field_validator("tenant")
    @classmethod
    def _not_empty(cls, tenant: str) -> str:
        """Written down and empty, a variable is not set, and who should read one tenant's traces would read all."""
        if not tenant:
            raise ValueError("the tenant is empty; expected a name, or no tenant at all for who is of all tenants")
        return tenant

    @model_validator(mode="after")
    def _own_traces_only(self) -> Self:
        if self.tenant and (beyond := sorted(set(self.roles) - {Role.INGEST, Role.READ})):
            raise ValueError(
                f"a tenant may not have the role {beyond[0]}, which is for what all tenants share; "
                "expected ingest, read (its own traces), or both"
            )
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
    tenant_claim: str = Field("", description="given: every token must have it, and may send, and read its own traces")

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


RecordsPerSecond = Annotated[float, Field(ge=1, le=1e9)]
BurstSeconds = Annotated[float, Field(ge=0.1, le=3600)]


class OwnQuota(Section):
    """What one tenant may send."""

    records_per_s: RecordsPerSecond | None = Field(description="spans and log records; null: no bound")
    burst_s: BurstSeconds | None = Field(None, description="default: that of all tenants")


class TenantQuota(Section):
    """What a tenant may send; each receiver process counts for itself."""

    records_per_s: RecordsPerSecond | None = Field(
        None, description="spans and log records of one tenant a second, in each receiver process; null: no bound"
    )
    burst_s: BurstSeconds = Field(10.0, description="so many seconds' worth may come at once, after a rest")
    tenants: dict[str, OwnQuota] = Field({}, max_length=1024, description="tenants with a quota of their own")

    @field_validator("tenants")
    @classmethod
    def _names(cls, tenants: dict[str, OwnQuota]) -> dict[str, OwnQuota]:
        for name in tenants:
            if not re.fullmatch(TENANT_PATTERN, name):
                raise ValueError(f"{name[:80]!r} is no tenant's name; expected {TENANT_PATTERN}")
        return tenants

    @property
    def bounds_some(self) -> bool:
        return self.records_per_s is not None or any(own.records_per_s is not None for own in self.tenants.values())


class Auth(Section):
    """Empty: everybody is let in."""

    receivers: bool = Field(True, description="ask at the OTLP ports")
    query: bool = Field(True, description="ask at REST and gRPC")
    bearer: list[BearerToken] = Field([], max_length=256)
    basic: Basic | None = None
    oidc: Oidc | None = None
    tenant_quota: TenantQuota = TenantQuota()

    @field_validator("bearer")
    @classmethod
    def _names_differ(cls, tokens: list[BearerToken]) -> list[BearerToken]:
        names = [token.name for token in tokens]
        if len(set(names)) < len(names):
            raise ValueError("two tokens have the same name; expected a name for each")
        return tokens

    @model_validator(mode="after")
    def _quotas_have_tenants(self) -> Self:
        """A bound that binds nobody would be taken for one that does."""
        if self.oidc is not None and self.oidc.tenant_claim and self.receivers:
            return self
        users = self.basic.users if self.basic is not None else []
        known = {grant.tenant for grant in (*self.bearer, *users) if grant.tenant} if self.receivers else set()
        if self.tenant_quota.bounds_some and not known:
            raise ValueError(
                "tenant_quota bounds what tenants send, and nobody who sends has one; expected receivers: true "
                "and a credential with tenant, or oidc.tenant_claim"
            )
        if unknown := sorted(self.tenant_quota.tenants.keys() - known):
            raise ValueError(
                f"tenant_quota.tenants has {unknown[0]}, the tenant of no credential; expected one of "
                f"{', '.join(sorted(known)[:8]) or 'none'}"
            )
        return self

    @property
    def enabled(self) -> bool:
        return bool(self.bearer) or self.basic is not None or self.oidc is not None
