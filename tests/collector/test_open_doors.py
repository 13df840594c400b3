"""Ports that everybody reaches are refused, or said with the switch; and what the sections of the configuration become."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

from collector.app.doors import check_files, ingest_tenant, query_guard, receiver_guard, warn_of_open_doors
from collector.auth.identity import Role
from collector.cli import config_check, config_print, serve
from collector.config import ConfigError, check, load_config
from collector.errors import ForbiddenError, NotAllowedError
from tests.support.issuer import AUDIENCE, ISSUER, Issuer

TLS = {"cert_file": "c", "key_file": "k"}
TOKEN = {"bearer": [{"name": "a", "roles": ["ingest"], "token": "a-token-of-many-letters"}]}


MUTUAL_TLS = TLS | {"client_ca_file": "ca"}
WAYS_OUT = ("tls with auth or tls.client_ca_file", "docs/security.md", "127.0.0.1", "service.insecure: true", "a mesh")


def receivers(**doors: Any) -> dict[str, Any]:
    return {"receivers": {"otlp": {"protocols": doors}}}


def insecure(tree: dict[str, Any]) -> dict[str, Any]:
    return tree | {"service": {"insecure": True}}


def refusal(tree: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        check(tree)
    return str(caught.value)


def said(caplog: pytest.LogCaptureFixture, tree: dict[str, Any]) -> list[str]:
    with caplog.at_level(logging.WARNING):
        warn_of_open_doors(check(tree))
    return [record.getMessage() for record in caplog.records]


SHUT = pytest.mark.parametrize(
    "tree",
    [
        {},
        {"query": {"endpoint": "localhost:1", "grpc_endpoint": "[::1]:2"}},
        receivers(grpc={"endpoint": "0.0.0.0:1", "enabled": False}),
        receivers(grpc={"endpoint": "0.0.0.0:1", "tls": TLS}) | {"auth": TOKEN},
        receivers(grpc={"endpoint": "0.0.0.0:1", "tls": MUTUAL_TLS}),
        {"service": {"health": {"endpoint": "0.0.0.0:1"}, "telemetry": {"metrics": {"endpoint": "0.0.0.0:2"}}}},
    ],
    ids=["defaults", "loopback", "switched off", "asked for, over TLS", "mutual TLS", "health and metrics"],
)
OPEN = receivers(grpc={"endpoint": "0.0.0.0:4317"}, http={"endpoint": "[::]:4318", "tls": TLS}) | {
    "query": {"endpoint": "10.0.0.1:8080"}
}


@SHUT
def test_doors_that_are_shut_are_taken_in_silence(caplog: pytest.LogCaptureFixture, tree: dict[str, Any]):
    assert said(caplog, tree) == []


@SHUT
def test_the_switch_alone_opens_nothing(caplog: pytest.LogCaptureFixture, tree: dict[str, Any]):
    assert said(caplog, tree | {"service": tree.get("service", {}) | {"insecure": True}}) == []


def test_one_fault_names_every_open_door_and_the_ways_out():
    message = refusal(OPEN)

    assert "1 fault(s)" in message
    assert (
        "receivers.otlp.protocols.grpc.endpoint is 0.0.0.0:4317 (anybody can send spans, in plain text), "
        "receivers.otlp.protocols.http.endpoint is [::]:4318 (anybody can send spans), "
        "query.endpoint is 10.0.0.1:8080 (anybody can read and change answers, in plain text); "
    ) in message
    assert [words for words in WAYS_OUT if words not in message] == []


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (receivers(grpc={"endpoint": "0.0.0.0:1"}), "grpc.endpoint is 0.0.0.0:1 (anybody can send spans, in plain"),
        (receivers(http={"endpoint": "0.0.0.0:1", "tls": TLS}), "http.endpoint is 0.0.0.0:1 (anybody can send spans)"),
        ({"query": {"endpoint": "0.0.0.0:1", "tls": TLS}}, "query.endpoint is 0.0.0.0:1 (anybody can read and change"),
        ({"query": {"grpc_endpoint": "0.0.0.0:1"}}, "query.grpc_endpoint is 0.0.0.0:1 (anybody can read answers"),
        (receivers(grpc={"endpoint": "0.0.0.0:1"}) | {"auth": TOKEN}, "0.0.0.0:1 (takes credentials in plain text)"),
        ({"query": {"endpoint": "0.0.0.0:1"}, "auth": TOKEN}, "0.0.0.0:1 (takes credentials in plain text)"),
        (
            receivers(http={"endpoint": "0.0.0.0:1", "tls": TLS}) | {"auth": TOKEN | {"receivers": False}},
            "0.0.0.0:1 (anybody can send spans)",
        ),
        (
            {"query": {"endpoint": "0.0.0.0:1", "tls": TLS}, "auth": TOKEN | {"query": False}},
            "0.0.0.0:1 (anybody can read and change answers)",
        ),
        (receivers(grpc={"endpoint": "our.host.test:1"}), "grpc.endpoint is our.host.test:1"),
        (receivers(grpc={"endpoint": "127.host.test:1"}), "grpc.endpoint is 127.host.test:1"),
    ],
    ids=[
        "gRPC in", "HTTP in, TLS alone", "REST, TLS alone", "gRPC out", "a token in plain text", "the same at REST",
        "receivers let in", "query lets in", "a name", "a name like an address",
    ],
)  # fmt: skip
def test_each_way_to_leave_a_door_open_is_refused(tree: dict[str, Any], words: str):
    assert words in refusal(tree)
    check(insecure(tree))


@pytest.mark.parametrize(
    "endpoint",
    ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "::1:1", "[::ffff:127.0.0.1]:1", "localhost:1", "LOCALHOST.:1"],
)
def test_loopback_is_open_to_this_machine_only(endpoint: str):
    check(receivers(grpc={"endpoint": endpoint}))


def test_the_switch_lets_it_start_with_a_warning_that_names_every_open_door(caplog: pytest.LogCaptureFixture):
    (message,) = said(caplog, insecure(OPEN))

    assert (
        "0.0.0.0:4317 (send spans, in plain text), [::]:4318 (send spans), "
        "10.0.0.1:8080 (read and change answers, in plain text)"
    ) in message


def test_behind_a_proxy_credentials_in_plain_text_are_warned_of(caplog: pytest.LogCaptureFixture):
    (message,) = said(caplog, insecure(receivers(grpc={"endpoint": "0.0.0.0:4317"}) | {"auth": TOKEN}))

    assert "sent in plain text to 0.0.0.0:4317" in message


def test_the_switch_can_be_an_environment_variable(tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text("query: {endpoint: '0.0.0.0:8080'}\n")

    assert load_config(path, {"FIRSTFAULT__SERVICE__INSECURE": "true"}).service.insecure
    with pytest.raises(ConfigError, match=r"query\.endpoint is 0\.0\.0\.0:8080"):
        load_config(path, {})


@pytest.mark.parametrize("command", [serve, config_check, config_print])
def test_every_command_says_it(tmp_path: Path, command: Callable[[Path], None], capsys: pytest.CaptureFixture[str]):
    """Exit status 2, and the certificate that is missing as well is not even looked for."""
    path = tmp_path / "config.yaml"
    path.write_text("query: {endpoint: '0.0.0.0:8080', tls: {cert_file: /nowhere, key_file: /nowhere}}\n")

    with pytest.raises(typer.Exit) as ended:
        command(path)

    assert ended.value.exit_code == 2
    found = capsys.readouterr()
    assert found.out == ""
    assert "query.endpoint is 0.0.0.0:8080 (anybody can read and change answers); expected" in found.err


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
    headers = {"authorization": f"Bearer {issuer.token(groups=['senders'], org='shop-1')}"}
    with pytest.raises(NotAllowedError, match="of what that tenant sent"):
        guard.admit(headers, Role.READ)
    assert guard.admit(headers, Role.READ, own=True).tenant == "shop-1"


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
