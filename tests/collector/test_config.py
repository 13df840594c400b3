"""Configuration is checked whole, and says everything that is wrong at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.config import Config, ConfigError, load_config, masked


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def test_defaults_listen_on_loopback_only():
    """Nobody outside the machine is let in unless somebody asks for it."""
    config = load_config(environ={})

    endpoints = [
        config.receivers.otlp.protocols.grpc.endpoint,
        config.receivers.otlp.protocols.http.endpoint,
        config.query.endpoint,
        config.query.grpc_endpoint,
        config.service.telemetry.metrics.endpoint,
        config.service.health.endpoint,
    ]
    assert {endpoint.split(":")[0] for endpoint in endpoints} == {"127.0.0.1"}


def test_all_faults_come_in_one_message(tmp_path: Path):
    """Three faults, three lines, each with its key."""
    path = write(tmp_path, "assembly: {idle_s: 0}\nqurey: {}\nquery: {endpoint: nowhere}\n")

    with pytest.raises(ConfigError) as caught:
        load_config(path, {})

    message = str(caught.value)
    assert "3 fault(s)" in message
    assert "assembly.idle_s: Input should be greater than 0 (found '0')" in message
    assert "qurey: unknown key" in message
    assert "query.endpoint" in message
    assert "'nowhere' is not host:port" in message


def test_a_url_where_host_and_port_belong_is_a_fault(tmp_path: Path):
    """SDKs want `http://host:port`; taken as a host's name it would be looked up, in vain, for ever."""
    path = write(tmp_path, "exporters: {otlp: {endpoint: 'http://tempo:4318', protocol: http}}\n")

    with pytest.raises(
        ConfigError, match=r"exporters.otlp.endpoint: .*'http://tempo:4318' is a URL; expected host:port"
    ):
        load_config(path, {})


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("${env:PORT:-9}", {}, 9),
        ("${env:PORT}", {"PORT": "7"}, 7),
        ("${PORT:-8}", {"PORT": ""}, 8),
    ],
)
def test_a_whole_reference_is_typed_again(tmp_path: Path, text: str, environ: dict[str, str], expected: int):
    """`${env:N}` alone becomes a number when it looks like one."""
    path = write(tmp_path, f"assembly: {{trace_spans_max: '{text}'}}")

    assert load_config(path, environ).assembly.trace_spans_max == expected


def test_what_is_put_in_never_becomes_structure(tmp_path: Path):
    """A value from the environment cannot bring keys of its own."""
    path = write(tmp_path, "storage: {path: '${env:WHERE}'}")

    config = load_config(path, {"WHERE": "{bytes_max: 1}"})

    assert str(config.storage.path) == "{bytes_max: 1}"


def test_two_dollars_are_one(tmp_path: Path):
    path = write(tmp_path, "storage: {path: 'a$${env:HOME}'}")

    assert str(load_config(path, {}).storage.path) == "a${env:HOME}"


def test_a_malformed_reference_is_named(tmp_path: Path):
    path = write(tmp_path, "storage: {path: '${env:1x}'}")

    with pytest.raises(ConfigError, match="is not a reference"):
        load_config(path, {})


def test_a_reference_that_is_not_closed_is_named(tmp_path: Path):
    path = write(tmp_path, "storage: {path: 'a${env:HOME'}")

    with pytest.raises(ConfigError, match="does not close it"):
        load_config(path, {})


def test_environment_overrides_the_file(tmp_path: Path):
    path = write(tmp_path, "query: {endpoint: 'localhost:1'}")

    config = load_config(path, {"FIRSTFAULT__QUERY__ENDPOINT": "localhost:2"})

    assert config.query.endpoint == "localhost:2"


def test_environment_faults_are_told_too():
    with pytest.raises(ConfigError, match=r"service\.processes"):
        load_config(environ={"FIRSTFAULT__SERVICE__PROCESSES": "many"})


def test_secrets_are_masked(tmp_path: Path):
    path = write(tmp_path, "exporters: {otlp: {endpoint: 'a:1', headers: {authorization: 'Bearer s3cret'}}}")

    shown = str(masked(load_config(path, {})))

    assert "s3cret" not in shown
    assert "authorization" in shown


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "just words"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str):
    with pytest.raises(ConfigError):
        load_config(write(tmp_path, text), {})


def test_the_schema_describes_every_section():
    schema = Config.model_json_schema()

    assert set(schema["properties"]) == set(Config.model_fields)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("query: {tls: {cert_file: a.pem}}", "query.tls.key_file: Field required"),
        ("query: {tls: {cert_file: '', key_file: k}}", "query.tls.cert_file: is empty"),
        ("query: {tls: {cert_file: c, key_file: k, min_version: '1.3'}}", "grpcio cannot be told to refuse TLS 1.2"),
        ("exporters: {otlp: {endpoint: 'a:1', ca_file: c}}", "ca_file is given and insecure is true"),
        ("exporters: {otlp: {endpoint: 'a:1', insecure: false, cert_file: c}}", "key_file is missing"),
        ("exporters: {otlp: {endpoint: 'a:1', server_name_override: b}}", "server_name_override is given and insecure"),
    ],
)
def test_half_a_description_of_tls_is_a_fault(tmp_path: Path, text: str, fault: str):
    """What would silently be plain text, or less than what was asked for."""
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text), {})

    assert fault in str(caught.value)


GOOD_TOKEN = "token: abcdefghijklmnopq"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("bearer: [{name: a, roles: [read]}]", "expected one of token and token_file"),
        (f"bearer: [{{name: a, roles: [], {GOOD_TOKEN}}}]", "auth.bearer.0.roles: List should have at least 1 item"),
        (f"bearer: [{{name: a, roles: [king], {GOOD_TOKEN}}}]", "'ingest', 'read', 'write' or 'admin'"),
        (f"bearer: [{{name: a, roles: [read], tenant: '', {GOOD_TOKEN}}}]", "the tenant is empty"),
        (
            f"bearer: [{{name: a, roles: [read, write], tenant: t, {GOOD_TOKEN}}}]",
            "a tenant may not have the role write",
        ),
        (f"bearer: [{{name: a, roles: [ingest], tenant: 'a b', {GOOD_TOKEN}}}]", "auth.bearer.0.tenant"),
        (f"bearer: [{{name: a, roles: [read], {GOOD_TOKEN}}}, {{name: a, roles: [read], {GOOD_TOKEN}}}]", "same name"),
        ("basic: {file: users}", "auth.basic.users: Field required"),
        ("oidc: {issuer: a, audience: b}", "expected one of jwks_url and jwks_file"),
        ("oidc: {issuer: a, audience: b, jwks_url: 'http://a.test/k'}", "is not https"),
        ("oidc: {issuer: a, audience: b, jwks_file: k, algorithms: [HS256]}", "auth.oidc.algorithms.0"),
        ("oidc: {issuer: a, audience: b, jwks_file: k, algorithms: []}", "auth.oidc.algorithms"),
    ],
)
def test_a_credential_that_says_too_little_or_too_much_is_a_fault(tmp_path: Path, text: str, fault: str):
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, f"auth: {{{text}}}"), {})

    assert fault in str(caught.value)
    assert "abcdefghijklmnopq" not in str(caught.value)


def test_what_may_be_a_secret_is_in_no_message(tmp_path: Path):
    """Also when it is of the wrong type."""
    text = (
        "auth: {bearer: [{name: a, roles: [read], token: 4711081547110815}]}\n"
        "exporters: {otlp: {endpoint: 'a:1', headers: {authorization: 4711081547110815}}, sentry: {dsn: 'https://4711081547110815@a/b'}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, text), {})

    assert "auth.bearer.0.token" in str(caught.value)
    assert "exporters.otlp.headers.authorization" in str(caught.value)
    assert "exporters.sentry.dsn" in str(caught.value)
    assert "4711" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("without: [cards]", "expected one of by_name, statement,"),
        ("rules: [{name: mine}]", "expected keys, a pattern, or both"),
        ("rules: [{name: jwt, keys: [a]}]", "jwt is a built-in rule"),
        ("rules: [{name: mine, pattern: '('}]", "is not a regular expression"),
        ("rules: [{name: mine, pattern: 'a*'}]", "would mask everywhere"),
        ("rules: [{name: 'My Rule', keys: [a]}]", "redaction.rules.0.name"),
    ],
)
def test_a_rule_that_masks_nothing_or_everything_is_a_fault(tmp_path: Path, text: str, fault: str):
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, f"redaction: {{{text}}}"), {})

    assert fault in str(caught.value)


def _properties(schema: dict[str, Any], definitions: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting with its path, as the JSON Schema tells it."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    for key, inner in schema.get("properties", {}).items():
        yield f"{path}.{key}".lstrip("."), inner
        yield from _properties(inner, definitions, f"{path}.{key}")
    for part in (*schema.get("anyOf", ()), schema.get("items", {}), schema.get("additionalProperties") or {}):
        if part and isinstance(part, dict):
            yield from _properties(part, definitions, path)


def test_every_setting_that_may_be_a_secret_is_masked():
    """By its name; one that is added as plain text fails here. Paths of files and names of claims are no secrets."""
    schema = Config.model_json_schema()
    settings = dict(_properties(schema, schema["$defs"]))
    secret = {
        path: found
        for path, found in settings.items()
        if re.search(
            r"(token|password|passwd|secret|dsn|headers|credential|authorization|api_?key)$", path.rpartition(".")[2]
        )
        and path != "receivers.otlp.protocols.http.cors.allowed_headers"
    }

    assert set(secret) == {"auth.bearer.token", "exporters.otlp.headers", "exporters.sentry.dsn", "query.peers.headers"}
    assert all('"format": "password"' in json.dumps(found) for found in secret.values())


def test_the_printed_configuration_shows_no_secret(tmp_path: Path):
    text = (
        "auth: {bearer: [{name: a, roles: [read], token: planted-token-0123456789}]}\n"
        "exporters: {otlp: {endpoint: 'a:1', headers: {authorization: planted-header}}}\n"
    )
    config = load_config(write(tmp_path, text), {})

    assert "planted" not in json.dumps(masked(config)) + repr(config) + str(config)
