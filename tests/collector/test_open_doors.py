"""What is said at the start of ports that everybody reaches; and what the sections of the configuration become."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from collector.app.doors import check_files, ingest_tenant, query_guard, receiver_guard, warn_of_open_doors
from collector.auth.identity import Role
from collector.config import ConfigError, check
from collector.errors import ForbiddenError, NotAllowedError
from tests.support.issuer import AUDIENCE, ISSUER, Issuer

TLS = {"cert_file": "c", "key_file": "k"}
TOKEN = {"bearer": [{"name": "a", "roles": ["ingest"], "token": "a-token-of-many-letters"}]}


def said(caplog: pytest.LogCaptureFixture, tree: dict[str, Any]) -> list[str]:
    with caplog.at_level(logging.WARNING):
        warn_of_open_doors(check(tree))
    return [record.getMessage() for record in caplog.records]


def receivers(**doors: Any) -> dict[str, Any]:
    return {"receivers": {"otlp": {"protocols": doors}}}


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"query": {"endpoint": "localhost:1", "grpc_endpoint": "[::1]:2"}},
        receivers(grpc={"endpoint": "0.0.0.0:1", "enabled": False}),
        receivers(grpc={"endpoint": "0.0.0.0:1", "tls": TLS}) | {"auth": TOKEN},
        receivers(grpc={"endpoint": "0.0.0.0:1", "tls": TLS | {"client_ca_file": "ca"}}),
    ],
    ids=["defaults", "loopback", "switched off", "asked for, over TLS", "mutual TLS"],
)
def test_nothing_is_said_of_doors_that_are_shut(caplog: pytest.LogCaptureFixture, tree: dict[str, Any]):
    assert said(caplog, tree) == []


def test_one_warning_names_every_open_door(caplog: pytest.LogCaptureFixture):
    tree = receivers(grpc={"endpoint": "0.0.0.0:4317"}, http={"endpoint": "[::]:4318", "tls": TLS}) | {
        "query": {"endpoint": "10.0.0.1:8080"}
    }

    (message,) = said(caplog, tree)

    assert (
        "0.0.0.0:4317 (send spans, in plain text), [::]:4318 (send spans), "
        "10.0.0.1:8080 (read and change answers, in plain text)"
    ) in message


def test_credentials_in_plain_text_are_said(caplog: pytest.LogCaptureFixture):
    (message,) = said(caplog, receivers(grpc={"endpoint": "0.0.0.0:4317"}) | {"auth": TOKEN})

    assert "sent in plain text to 0.0.0.0:4317" in message


@pytest.mark.parametrize(
    ("changes", "asked"),
    [({}, (True, True)), ({"receivers": False}, (False, True)), ({"query": False}, (True, False))],
)
def test_each_side_can_be_left_open(changes: dict[str, bool], asked: tuple[bool, bool]):
    config = check({"auth": TOKEN | changes})

    assert (receiver_guard(config) is not None, query_guard(config) is not None) == asked


def test_without_a_kind_of_credential_nobody_is_asked():
    assert (receiver_guard(check({})), query_guard(check({})), ingest_tenant(None)) == (None, None, None)


def test_the_sections_become_a_guard(tmp_path: Path):
    """Tokens of ours and of an issuer side by side; the tenant comes out at the receivers."""
    issuer = Issuer()
    oidc = {
        "issuer": ISSUER, "audience": AUDIENCE, "jwks_file": str(issuer.write(tmp_path)),
        "roles_claim": "groups", "roles": {"senders": "ingest"}, "tenant_claim": "org",
    }  # fmt: skip
    authorize = ingest_tenant(receiver_guard(check({"auth": TOKEN | {"oidc": oidc}})))
    assert authorize is not None

    def tenant(token: str) -> str:
        return authorize({"authorization": f"Bearer {token}"})

    assert tenant("a-token-of-many-letters") == ""
    assert tenant(issuer.token(groups=["senders"], org="shop-1")) == "shop-1"
    with pytest.raises(NotAllowedError):
        tenant(issuer.token(groups=["ingest"], org="shop-1"))
    with pytest.raises(ForbiddenError):
        tenant(issuer.token(groups=["senders"]))
    guard = query_guard(check({"auth": TOKEN | {"oidc": oidc | {"roles": {"senders": "admin"}}}}))
    assert guard is not None
    with pytest.raises(NotAllowedError, match="not kept apart by tenant"):
        guard.admit({"authorization": f"Bearer {issuer.token(groups=['senders'], org='shop-1')}"}, Role.READ)


def test_every_bad_file_is_named_at_once(tmp_path: Path):
    (tmp_path / "users").write_text("ann:apple")
    (tmp_path / "keys").write_text("{}")
    auth = {
        "bearer": [{"name": "a", "roles": ["read"], "token_file": str(tmp_path / "none")}],
        "basic": {"file": str(tmp_path / "users"), "users": [{"name": "ann", "roles": ["read"]}]},
        "oidc": {"issuer": ISSUER, "audience": AUDIENCE, "jwks_file": str(tmp_path / "keys")},
    }

    with pytest.raises(ConfigError) as caught:
        check_files(check({"auth": auth}))

    for words in ("3 fault(s)", "auth.bearer: token_file", "auth.basic: file", "line 1", "auth.oidc: jwks_file"):
        assert words in str(caught.value)
    assert "apple" not in str(caught.value)
